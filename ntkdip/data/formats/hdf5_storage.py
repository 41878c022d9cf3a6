"""What HDF5 stores, read without its library, which trusts what a damaged file says.

The library allocates gigabytes, loops or crashes over damaged chunks and heaps.  So it is asked
only where the pieces of a dataset lie; they are checked, read and decompressed here, and so
are the heaps in which sequences of any length (texts, acquisitions) lie.  Layout: HDF5 File
Format Specification, versions 1 to 3, "Global Heap" and "Variable-length" datatypes.
"""

from __future__ import annotations

import math
from array import array
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Shaped

from ntkdip.data.formats import hdf5_filters
from ntkdip.data.formats.request import Request, brief

DESCRIPTOR_BYTES = 16
"""Length (4 bytes), address of a heap (8), number of an object in it (4)."""

HEAP_HEADER = 16
OBJECT_HEADER = 16
INDEX_BYTES = 8
"""The index of the chunks has at least so many bytes for each."""

BYTES_AT_ONCE = 2**20
MOST_INSIDE = 2**16
"""Bytes of a dataset that lies among the file's own notes, by the specification."""


def form(request: Request, field: str, stored: Any) -> np.dtype:
    """What an entry is in the file: a number or fixed text, or bytes; under `Request.parsing`.

    Raises `DataError` for numbers that NumPy has no type for, such as ones of 24 bits.
    """
    import h5py

    if stored.dtype.kind == "O":
        # HDF5 gives the size in memory, that of a pointer.
        return np.dtype((np.void, DESCRIPTOR_BYTES))
    kind = stored.id.get_type()
    if stored.dtype.kind == "V":
        return np.dtype((np.void, kind.get_size()))
    same = stored.dtype.itemsize == kind.get_size()
    if stored.dtype.kind != "S" and stored.dtype.itemsize > 1:
        same = same and bool(h5py.h5t.py_create(stored.dtype, logical=True) == kind)
    if not same:
        raise request.error(field, f"its numbers are stored unusually; store {stored.dtype}")
    return stored.dtype


def filters(request: Request, field: str, stored: Any) -> list[hdf5_filters.Filter]:
    """The filters, such as compression, that a dataset passes through.

    Raises `DataError` for one that is not known here.
    """
    if not stored.chunks:
        return []
    plan = stored.id.get_create_plist()
    found = []
    for i in range(plan.get_nfilters()):
        code, _, parameters, name = plan.get_filter(i)
        if code not in hdf5_filters.KNOWN or (code == hdf5_filters.SHUFFLE and not parameters):
            name = hdf5_filters.NAMES.get(code) or brief(name.decode("utf-8", "replace"))
            raise request.error(
                field,
                f"it is compressed by filter {code} ({name}); store it with gzip, for instance "
                "by: h5repack -f GZIP=4 old.h5 new.h5",
            )
        found.append((code, tuple(parameters)))
    return found


class Rows:
    """The entries of a dataset's first axis, as the file has them.

    Attributes: ``form`` of an entry; ``shape``, at least one axis; ``length``, rows of a chunk;
    ``held``, bytes in the file.
    """

    def __init__(self, request: Request, field: str, stored: Any) -> None:
        """Look up and check its pieces; under `Request.parsing`.

        Raises `DataError` for a piece that ends beyond the file, or is larger than a chunk.
        """
        self.request, self.field = request, field
        self.form = form(request, field, stored)
        self.shape: tuple[int, ...] = stored.shape or (1,)
        self.chunks: tuple[int, ...] | None = stored.chunks
        self.pipeline = filters(request, field, stored)
        self.end = request.path.stat().st_size
        self.inside: np.ndarray | None = None
        self.length = self.chunks[0] if self.chunks else 1
        if self.chunks:
            self._find_chunks(stored)
            return
        self.held, start = stored.id.get_storage_size(), stored.id.get_offset()
        self.start = start or 0
        if start is None and self.held and self.form.kind != "V":
            if math.prod(self.shape) * self.form.itemsize > MOST_INSIDE:
                raise self._absent()
            # It lies among the file's own notes, which HDF5 has read.
            self.inside = np.asarray(stored[()]).reshape(self.shape)
        elif start is None:
            self.held = 0
        elif start > self.end - self.held:
            raise self._beyond()

    def _beyond(self) -> Exception:
        return self.request.error(
            self.field, "it is stored beyond the end of the file, which is cut short"
        )

    def _find_chunks(self, stored: Any) -> None:
        assert self.chunks is not None
        grid = [-(-n // c) for n, c in zip(self.shape, self.chunks, strict=True)]
        self.each = math.prod(grid[1:])
        pieces = array("q")
        width = 3 + len(grid)
        # The numbers are held three times while they are sorted.
        room = self.request.memory_limit // (3 * pieces.itemsize * width)
        most = min(math.prod(grid), self.end // INDEX_BYTES, room)

        def note(chunk: Any) -> bool | None:
            pieces.extend((chunk.byte_offset, chunk.size, chunk.filter_mask, *chunk.chunk_offset))
            return True if len(pieces) > most * width else None

        stored.id.chunk_iter(note)
        found = np.array(pieces, np.int64).reshape(-1, width)
        self.held = int(found[:, 1].sum())
        size = math.prod(self.chunks) * self.form.itemsize
        # What cannot be compressed grows a little, and is followed by checksums.
        largest = 2 * size + 4096 if self.pipeline else size
        start, held, places = found[:, 0], found[:, 1], found[:, 3:]
        if (held < 1).any() or (held > largest).any() or (start > self.end - held).any():
            raise self._beyond()
        aligned = (places >= 0) & (places < self.shape) & (places % self.chunks == 0)
        if len(found) > most or not aligned.all():
            raise ValueError("more chunks than the dataset, the file or the memory limit allow")
        self.found = found[np.lexsort(places.T[::-1])]

    def fill(self, file: BinaryIO, first: int, out: Shaped[np.ndarray, "..."]) -> None:
        """Rows from ``first`` on into ``out``, converted to its type; under `Request.parsing`.

        ``out`` is contiguous, with the axes of the dataset.  Raises `DataError` for rows that
        were never written, ValueError or `zlib.error` for what is no such chunk.
        """
        if self.inside is not None:
            out[:] = self.inside[first : first + len(out)]
        elif self.chunks:
            self._fill_from_chunks(file, first, out, self.chunks)
        else:
            flat = out.reshape(-1)
            place = first * (flat.size // len(out)) * self.form.itemsize
            if place + flat.size * self.form.itemsize > self.held:
                raise self._absent()
            file.seek(self.start + place)
            most = max(1, BYTES_AT_ONCE // self.form.itemsize)
            for i in range(0, flat.size, most):
                part = flat[i : i + most]
                part[:] = np.frombuffer(file.read(part.size * self.form.itemsize), self.form)

    def _fill_from_chunks(
        self,
        file: BinaryIO,
        first: int,
        out: Shaped[np.ndarray, "..."],
        chunks: tuple[int, ...],
    ) -> None:
        size = math.prod(chunks) * self.form.itemsize
        last, start = first + len(out), first // self.length * self.length
        rows = self.found[:, 3]
        wanted = self.found[np.searchsorted(rows, start) : np.searchsorted(rows, last)]
        repeated = (np.diff(wanted[:, 3:], axis=0) == 0).all(axis=1).any()
        if repeated or len(wanted) != self.each * -(-(last - start) // self.length):
            raise self._absent()
        for place, held, skipped, row, *rest in wanted.tolist():
            file.seek(place)
            content = hdf5_filters.undo(file.read(held), self.pipeline, skipped, size)
            block = np.frombuffer(content, self.form).reshape(chunks)
            begin = max(0, first - row)
            target = out[row + begin - first :, *(slice(n, None) for n in rest)]
            target = target[: self.length - begin, *(slice(0, n) for n in chunks[1:])]
            target[:] = block[begin:, ...][tuple(slice(0, n) for n in target.shape)]

    def _absent(self) -> Exception:
        return self.request.error(
            self.field,
            f"it declares the shape {self.shape}, but the file holds only {self.held:,} bytes "
            "of it; it was never written, or in part only",
        )


class Heaps:
    """The heaps of one file, each checked once."""

    def __init__(self, request: Request, base: int) -> None:
        self.request, self.base = request, base
        self.end = request.path.stat().st_size
        self.objects: dict[int, dict[int, tuple[int, int]] | None] = {}
        # Heaps that do not overlap hold no more.
        self.left = self.end // OBJECT_HEADER

    def find(self, file: BinaryIO, field: str, descriptor: bytes, each: int) -> tuple[int, int]:
        """Entries of the sequence that a descriptor refers to, and the byte of the first.

        ``each``: bytes of an entry.  Raises `DataError` if its heap is no heap, or has no such
        sequence.
        """
        length = int.from_bytes(descriptor[:4], "little")
        if length == 0:
            return 0, 0
        address = int.from_bytes(descriptor[4:12], "little") + self.base
        if address not in self.objects:
            self.objects[address] = self._walk(file, address)
        objects = self.objects[address] or {}
        start, size = objects.get(int.from_bytes(descriptor[12:], "little"), (0, -1))
        if size != length * each:
            raise self.request.error(
                field,
                f"it refers to {length} entries at byte {address} of the file, where they are not; "
                "the file is cut short or damaged",
            )
        return length, start

    def _walk(self, file: BinaryIO, address: int) -> dict[int, tuple[int, int]] | None:
        """Place and bytes of each object of a heap; None unless they fill it in order."""
        if address + HEAP_HEADER > self.end:
            return None
        file.seek(address)
        header = file.read(HEAP_HEADER)
        size = int.from_bytes(header[8:], "little")
        if header[:5] != b"GCOL\1" or address + size > self.end:
            return None
        place = HEAP_HEADER
        found: dict[int, tuple[int, int]] = {}
        while place + OBJECT_HEADER <= size:
            file.seek(address + place)
            entry = file.read(OBJECT_HEADER)
            number, length = (int.from_bytes(part, "little") for part in (entry[:2], entry[8:]))
            if number == 0:
                # Free space is the last object, and its length counts its header.
                return found if length == size - place else None
            self.left -= 1
            if number in found or self.left < 0:
                return None
            place += OBJECT_HEADER
            found[number] = address + place, length
            place += -(-length // 8) * 8
        return found if place <= size else None
