"""Arrays stored by NumPy, alone or in an archive: their headers, and one entry of them."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import zipfile
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from jaxtyping import Shaped

from ntkdip.data.formats.request import Request

MAGIC = b"\x93NUMPY"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
PIECE = 2**20


@dataclasses.dataclass(frozen=True)
class Stored:
    """An array in a file, not read yet.

    Attributes: ``request``, for the file; ``field``, its name in messages; ``shape``, ``dtype``
    and ``fortran``, its order, by its header; ``offset``, where its data begin; ``member`` of
    ``archive``, or None for a file of its own.
    """

    request: Request
    field: str
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of all of it."""
        return math.prod(self.shape) * self.dtype.itemsize

    def working_bytes(self, stacked: bool) -> int:
        """Bytes as stored that must be in memory for one entry of the first axis, or for all."""
        if stacked and not (self.archive and self.fortran):
            return self.nbytes // self.shape[0]
        return 2 * self.nbytes if self.archive else self.nbytes

    def entry(self, index: int | None) -> Shaped[np.ndarray, "..."]:
        """Entry ``index`` of the first axis, or the whole array for None, as a copy."""
        with self.request.parsing(self.field, "NumPy"):
            if self.archive is not None:
                return self._from_archive(index)
            order: Any = "F" if self.fortran else "C"
            mapped = np.memmap(self.request.path, self.dtype, "r", self.offset, self.shape, order)
            return np.array(mapped if index is None else mapped[index])

    def _from_archive(self, index: int | None) -> np.ndarray:
        assert self.archive is not None
        assert self.member is not None
        partly = index is not None and not self.fortran
        size = self.nbytes // self.shape[0] if partly else self.nbytes
        with self.archive.open(self.member) as stream:
            _take(stream, self.offset + (size * index if partly and index else 0), keep=False)
            data = _take(stream, size)
            # To the end, where the checksum is compared.
            while stream.read(PIECE):
                pass
        values = np.frombuffer(data, self.dtype)
        if partly:
            return values.reshape(self.shape[1:])
        values = values.reshape(self.shape, order="F" if self.fortran else "C")
        return values if index is None else values[index]


def alone(request: Request, field: str) -> Stored:
    """The array of a .npy file."""
    with open(request.path, "rb") as stream:
        return _described(request, field, stream, request.path.stat().st_size)


def in_archive(
    request: Request, field: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> Stored:
    """One array of a .npz file."""
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise request.error(field, "it is compressed in a way that NumPy does not use")
    with request.parsing(field, "zipfile"):
        stream = archive.open(member)
    with stream:
        found = _described(request, field, stream, member.file_size)
    return dataclasses.replace(found, archive=archive, member=member)


@contextlib.contextmanager
def archive(request: Request) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """An open .npz file and its arrays by name."""
    with request.parsing("", "zipfile"):
        opened = zipfile.ZipFile(request.path)
    with opened:
        yield (
            opened,
            {
                m.filename.removesuffix(".npy"): m
                for m in opened.infolist()
                if m.filename.endswith(".npy")
            },
        )


def _described(
    request: Request, field: str, stream: IO[bytes] | io.BufferedIOBase, held: int
) -> Stored:
    """What the header says, refused unless the ``held`` bytes of the file agree with it."""
    with request.parsing(field, "NumPy"):
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
        else:
            raise request.error(field, f"version {version} of the format is not read; save again")
        offset = stream.tell()
    if dtype.hasobject:
        raise request.error(
            field, "it holds pickled Python objects, which may run any code; save plain numbers"
        )
    if dtype.kind not in "biufc":
        raise request.error(field, f"it should hold numbers; it is of {dtype}")
    if not all(type(n) is int and n > 0 for n in shape):
        raise request.error(field, f"its shape is {shape}; there is nothing in it")
    stored = Stored(request, field, shape, dtype, bool(fortran), offset)
    if offset + stored.nbytes > held:
        raise request.error(
            field,
            f"its header declares {dtype} of shape {shape}, {stored.nbytes:,} bytes, but only "
            f"{max(0, held - offset):,} follow; the file is cut short or damaged",
        )
    return stored


def _take(stream: IO[bytes] | io.BufferedIOBase, size: int, *, keep: bool = True) -> bytes:
    """The next ``size`` bytes, or nothing of them; memory grows only with what there is."""
    pieces = []
    while size > 0:
        piece = stream.read(min(size, PIECE))
        if not piece:
            raise EOFError("it ends too early")
        size -= len(piece)
        if keep:
            pieces.append(piece)
    return b"".join(pieces)
