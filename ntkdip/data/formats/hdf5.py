"""HDF5: reading no more of a dataset than is asked for, and only from this file."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Inexact

from ntkdip.data.formats import hdf5_headers as headers
from ntkdip.data.formats import hdf5_storage as storage
from ntkdip.data.formats.request import Request, brief

MAGIC = b"\x89HDF\r\n\x1a\n"
FIRST_BLOCK = 512
"""The signature is at byte 0, or at this one times a power of 2."""

SIZES = (8, 8)
"""Bytes of an address and of a length."""

MOST_TEXT = 2**24
MOST_ATTRIBUTE = 16
"""Bytes of a header, and of an attribute that is a number, that are read at most."""


def is_hdf5(request: Request, size: int) -> bool:
    """Whether the signature is at one of the places where it may be, in a file of ``size``."""
    with open(request.path, "rb") as file:
        place = 0
        while place + len(MAGIC) <= size:
            file.seek(place)
            if file.read(len(MAGIC)) == MAGIC:
                return True
            place = 2 * place or FIRST_BLOCK
    return False


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Any]:
    """The open `h5py.File`."""
    import h5py

    with request.parsing("", "HDF5"):
        # A file that is only read needs no lock, which some file systems refuse.
        file = h5py.File(request.path, "r", locking=False)
    try:
        with request.parsing("", "HDF5"):
            if file.id.get_create_plist().get_sizes() != SIZES:
                raise request.error("", f"its addresses have not {SIZES[0]} bytes, as usual")
            headers.refuse_indexed(request, "", file)
        yield file
    finally:
        # Closing fails, too, after damage.
        with request.parsing("", "HDF5"):
            file.close()


def members(request: Request, file: Any, name: str) -> set[str]:
    """Names in the group ``name`` of a file; none if it is no group that is stored in it."""
    import h5py

    with request.parsing(name, "HDF5"):
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            return set()
        found = file[name]
        if not isinstance(found, h5py.Group):
            return set()
        headers.refuse_indexed(request, name, found)
        return set(found)


def child(request: Request, parent: Any, name: str, field: str) -> Any:
    """A dataset or group of ``parent`` that is stored in this file; None if it has none such.

    Links and storage that lead to other files are refused: what is read is what was named.
    """
    import h5py

    with request.parsing(field, "HDF5"):
        link = parent.get(name, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise request.error(field, "it is a link to another place; store the data here")
        found = parent[name]
        if isinstance(found, h5py.Dataset) and (found.is_virtual or found.external):
            raise request.error(field, "its data are in other files; store them in this one")
        headers.refuse_indexed(request, field, found)
    return found


def dataset(request: Request, parent: Any, name: str, field: str) -> Any:
    """`child`, refused where it is no dataset with entries."""
    import h5py

    found = child(request, parent, name, field)
    if found is None:
        return None
    if not isinstance(found, h5py.Dataset):
        raise request.error(field, "it is a group, not a dataset")
    if found.shape is None or 0 in found.shape:
        raise request.error(field, f"it is a dataset without entries (shape {found.shape})")
    return found


def rows(request: Request, field: str, stored: Any, entries: int, each: int) -> storage.Rows:
    """The rows of a dataset, of which ``entries`` entries take ``each`` bytes in memory.

    Raises `DataError` if they do not fit, or if the file cannot hold them.
    """
    with request.parsing(field, "HDF5"):
        itemsize = storage.form(request, field, stored).itemsize
    size = entries * itemsize
    chunk = math.prod(stored.chunks) * itemsize if stored.chunks else 0
    # A chunk is held whole: compressed, twice while it is decompressed, and what is taken of it.
    request.require_memory(field, entries * each + 4 * chunk)
    with request.parsing(field, "HDF5"):
        found = storage.Rows(request, field, stored)
    if found.held == 0 or (not found.pipeline and found.held < size):
        raise request.error(
            field,
            f"it declares the shape {stored.shape}, so that one slice has {size:,} bytes, but "
            f"the file holds {found.held:,} bytes of it; it was never written, or in part only",
        )
    return found


def read_slice(
    request: Request, field: str, found: storage.Rows, index: int, out: Inexact[np.ndarray, "..."]
) -> None:
    """Read entry ``index`` of the first axis into ``out``, converted to its type on the way."""
    with request.parsing(f"{field}[{index}]", "HDF5"), open(request.path, "rb") as file:
        found.fill(file, index, out[None])


def read_whole(request: Request, field: str, stored: Any) -> np.ndarray:
    """A small dataset as a whole, one entry of the file each."""
    found = rows(request, field, stored, stored.size, 2 * stored.dtype.itemsize)
    with request.parsing(field, "HDF5"), open(request.path, "rb") as file:
        out = np.empty(found.shape, found.form)
        found.fill(file, 0, out)
    return out


def text(request: Request, parent: Any, name: str, field: str) -> str | None:
    """A string stored as a dataset of one entry; None if it is missing."""
    import h5py

    stored = dataset(request, parent, name, field)
    if stored is None:
        return None
    with request.parsing(field, "HDF5"):
        is_text = h5py.check_string_dtype(stored.dtype) is not None
    if stored.size != 1 or not is_text or stored.dtype.itemsize > MOST_TEXT:
        raise request.error(
            field, f"it should be one text; it is {stored.dtype} of shape {stored.shape}"
        )
    value = read_whole(request, field, stored).tobytes()
    if stored.dtype.kind == "O":
        value = _of_any_length(request, field, stored, value)
    if len(value) > MOST_TEXT:
        raise request.error(field, "it should be one text of at most 16 MiB")
    with request.parsing(field, "HDF5"):
        return value.rstrip(b"\0").decode("utf-8")


def _of_any_length(request: Request, field: str, stored: Any, descriptor: bytes) -> bytes:
    """A text of any length, from its heap."""
    with request.parsing(field, "HDF5"), open(request.path, "rb") as file:
        heaps = storage.Heaps(request, stored.file.userblock_size)
        length, start = heaps.find(file, field, descriptor, 1)
        file.seek(start)
        return file.read(min(length, MOST_TEXT + 1))


def attributes(request: Request, file: Any) -> tuple[list[str], list[str]]:
    """Attributes of a file: ``name = value`` of single numbers, and the names of all others.

    Texts lie in heaps, about which HDF5's library believes what a damaged file says; nobody
    needs them, so that they are not read.
    """
    import h5py

    if not headers.few_attributes(request, file):
        return [], ["(many)"]
    numbers, others = [], []
    for name in sorted(file.attrs):
        found = file.attrs.get_id(name)
        number = found.get_type().get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT)
        if number and found.shape == () and found.get_storage_size() <= MOST_ATTRIBUTE:
            numbers.append(f"{brief(name)} = {brief(str(file.attrs[name]))}")
        else:
            others.append(name)
    return numbers, others
