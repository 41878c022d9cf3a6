"""HDF5: reading no more of a dataset than is asked for, and only from this file."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Inexact

from ntkdip.data.formats import hdf5_storage as storage
from ntkdip.data.formats.request import Request, brief

MAGIC = b"\x89HDF\r\n\x1a\n"
FIRST_BLOCK = 512
"""The signature is at byte 0, or at this one times a power of 2."""

MOST_TEXT = 2**24
MOST_ATTRIBUTE = 4096
"""Bytes of a header and of an attribute that are read at most."""


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
    with file:
        yield file


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


def require_room(request: Request, field: str, stored: Any, entries: int, each: int) -> None:
    """Check memory and storage before ``entries`` entries are read, at ``each`` bytes in memory.

    Raises `DataError` if they do not fit, or if the file cannot hold them.
    """
    size = entries * stored.dtype.itemsize
    chunk = math.prod(stored.chunks) * stored.dtype.itemsize if stored.chunks else 0
    # A compressed chunk is held whole, once before and once after each filter.
    request.require_memory(field, entries * each + 2 * chunk)
    held = stored.id.get_storage_size()
    if held == 0 or (not storage.filters(stored) and held < size):
        raise request.error(
            field,
            f"it declares the shape {stored.shape}, so that one slice has {size:,} bytes, but "
            f"the file holds {held:,} bytes of it; it was never written, or in part only",
        )
    with request.parsing(field, "HDF5"):
        storage.places(request, field, stored)


def read_slice(
    request: Request, field: str, stored: Any, index: int, out: Inexact[np.ndarray, "..."]
) -> None:
    """Read entry ``index`` of the first axis into ``out``, converted to its type on the way."""
    with request.parsing(f"{field}[{index}]", "HDF5"):
        stored.read_direct(out, np.s_[index])


def text(request: Request, parent: Any, name: str, field: str) -> str | None:
    """A string stored as a dataset of one entry; None if it is missing."""
    stored = dataset(request, parent, name, field)
    if stored is None:
        return None
    if stored.size != 1 or stored.dtype.kind not in "OSU" or stored.dtype.itemsize > MOST_TEXT:
        raise request.error(
            field, f"it should be one text; it is {stored.dtype} of shape {stored.shape}"
        )
    require_room(request, field, stored, 1, 1)
    found = _of_any_length(request, field, stored) if stored.dtype.kind == "O" else None
    with request.parsing(field, "HDF5"):
        value: Any = stored[()] if found is None else found
        while isinstance(value, np.ndarray):
            value = value.flat[0]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        raise request.error(field, "it should be one text of at most 16 MiB")
    return value


def _of_any_length(request: Request, field: str, stored: Any) -> bytes | None:
    """A text of any length, from its heap; None if that is for HDF5 to find."""
    with request.parsing(field, "HDF5"):
        found = [] if storage.filters(stored) else storage.places(request, field, stored)
        heaps = storage.Heaps(request, stored.file.userblock_size)
    if len(found) != 1:
        return None
    with open(request.path, "rb") as file:
        length, start = heaps.find(file, field, found[0][1], 1)
        file.seek(start)
        return file.read(min(length, MOST_TEXT + 1))


def attributes(file: Any) -> list[str]:
    """The attributes of a file, each as ``name = value`` in a few words."""
    found = []
    for name in sorted(file.attrs):
        if file.attrs.get_id(name).get_storage_size() > MOST_ATTRIBUTE:
            found.append(f"{brief(name)} (long)")
            continue
        value = file.attrs[name]
        value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        found.append(f"{brief(name)} = {brief(str(value))}")
    return found
