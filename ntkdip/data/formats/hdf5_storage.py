"""Where HDF5 keeps what it stores, checked before its library allocates or follows it.

The library believes what a damaged index or heap says: it allocates gigabytes, loops or
crashes.  Checked here are the pieces of a dataset, and the heaps in which sequences of any
length (texts, acquisitions) lie.  Layout: HDF5 File Format Specification, versions 1 to 3,
"Global Heap" and "Variable-length" datatypes.
"""

from __future__ import annotations

import math
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int

from ntkdip.data.formats.request import Request

DESCRIPTOR_BYTES = 16
"""Length (4 bytes), address of a heap (8), number of an object in it (4)."""

HEAP_HEADER = 16
OBJECT_HEADER = 16
FILTER_SPARE = 4096


def filters(stored: Any) -> int:
    """How many filters, such as compression, a dataset passes through."""
    return stored.id.get_create_plist().get_nfilters() if stored.chunks else 0


def element_bytes(stored: Any) -> int:
    """Bytes of an entry in the file.  HDF5 gives the size in memory for texts of any length."""
    return DESCRIPTOR_BYTES if stored.dtype.kind == "O" else stored.id.get_type().get_size()


def places(request: Request, field: str, stored: Any) -> list[tuple[int, int]]:
    """First row and byte in the file of each piece of a dataset; under `Request.parsing`.

    Raises `DataError` for a piece that ends beyond the file, or is larger than a chunk.
    """
    end = request.path.stat().st_size
    pieces: list[tuple[int, int, int]] = []
    if not stored.chunks:
        start, most = stored.id.get_offset(), stored.id.get_storage_size()
        if start is not None:
            pieces.append((0, start, most))
    else:
        stored.id.chunk_iter(
            lambda chunk: pieces.append((chunk.chunk_offset[0], chunk.byte_offset, chunk.size))
        )
        most = math.prod(stored.chunks) * element_bytes(stored)
        if filters(stored):
            # What cannot be compressed grows a little, and is followed by checksums.
            most = 2 * most + FILTER_SPARE
    if any(start + size > end or size > most for _, start, size in pieces):
        raise request.error(field, "it is stored beyond the end of the file, which is cut short")
    return [(row, start) for row, start, _ in pieces]


def row_places(request: Request, field: str, stored: Any) -> Int[np.ndarray, " n"] | None:
    """The byte at which each row begins; None where they are compressed.

    Raises `DataError` if a row is not stored at all; under `Request.parsing`.
    """
    if filters(stored):
        return None
    found = np.full(stored.shape[0], -1)
    size = element_bytes(stored)
    length = stored.chunks[0] if stored.chunks else stored.shape[0]
    for row, start in places(request, field, stored):
        rows = found[row : row + length]
        rows[:] = start + size * np.arange(rows.size)
    if (found < 0).any():
        raise request.error(field, f"{np.count_nonzero(found < 0)} of its rows were never written")
    return found


class Heaps:
    """The heaps of one file, each checked once."""

    def __init__(self, request: Request, base: int) -> None:
        self.request, self.base = request, base
        self.end = request.path.stat().st_size
        self.objects: dict[int, dict[int, tuple[int, int]] | None] = {}

    def find(self, file: BinaryIO, field: str, place: int, each: int) -> tuple[int, int]:
        """Entries of the sequence whose descriptor is at ``place``, and the byte of the first.

        ``each``: bytes of an entry.  Raises `DataError` if its heap is no heap, or has no such
        sequence.
        """
        file.seek(place)
        descriptor = file.read(DESCRIPTOR_BYTES)
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
            if number in found:
                return None
            place += OBJECT_HEADER
            found[number] = address + place, length
            place += -(-length // 8) * 8
        return found if place <= size else None
