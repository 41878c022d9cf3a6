"""HDF5 is read as its own library reads it, as far as it is read at all."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ntkdip.data.errors import DataError
from ntkdip.data.formats import hdf5_filters, hdf5_headers, hdf5_storage
from ntkdip.data.formats.request import Request
from ntkdip.data.loading import load
from ntkdip.data.records import KSpace
from tests.data import writers

K = writers.noise((5, 3, 7, 6))
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunks": {"chunks": (2, 2, 4, 5)},
    "gzip": {"chunks": (2, 2, 4, 5), "compression": 9},
    "shuffle": {"chunks": (3, 3, 7, 2), "shuffle": True},
    "all": {"chunks": (1, 3, 7, 6), "compression": 1, "shuffle": True, "fletcher32": True},
    "resizable": {"chunks": (2, 3, 7, 6), "maxshape": (None, 3, 7, 6), "fletcher32": True},
}
VERSIONS = {
    "earliest": {"libver": "earliest"},
    "1.8": {"libver": ("v108", "v108")},
    "latest": {"libver": "latest"},
    "user block": {"userblock_size": 512},
}
TYPES = ["<c8", ">c8", "<f2", ">f4", "<f8", "u1", "<i4", ">i2", "?", "S5"]


def rows(path: Path, first: int, count: int) -> np.ndarray:
    request = Request(path, None, None, 2**24)
    with h5py.File(path) as file, open(path, "rb") as content:
        found = hdf5_storage.Rows(request, "x", file["x"])
        out = np.zeros((count, *found.shape[1:]), found.form)
        found.fill(content, first, out)
    return out


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", TYPES)
def test_rows(tmp_path: Path, layout: str, version: str, kind: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, K.shape)
    values = (K * 10).astype("c16") if "c" in kind else values
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **VERSIONS[version]) as file:
        file.create_dataset("x", data=values.astype(kind), **LAYOUTS[layout])
    for first, count in ((0, 5), (2, 1), (1, 3), (4, 1)):
        np.testing.assert_array_equal(
            rows(path, first, count), values.astype(kind)[first : first + count]
        )


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 2**18 + 1])
@pytest.mark.parametrize("value", [None, 0, 255])
def test_checksums(tmp_path: Path, size: int, value: int | None) -> None:
    content = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    if value is not None:
        content[:] = value
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", data=content, chunks=(size,), fletcher32=True)
        _, chunk = stored.id.read_direct_chunk((0,))
    pipeline = [(hdf5_filters.FLETCHER32, ())]
    assert hdf5_filters.undo(chunk, pipeline, 0, size) == content.tobytes()
    swapped = chunk[:-4] + bytes(chunk[i] for i in (-3, -4, -1, -2))
    assert hdf5_filters.undo(swapped, pipeline, 0, size) == content.tobytes()
    with pytest.raises(ValueError, match="checksum"):
        hdf5_filters.undo(bytes([chunk[0] ^ 4]) + chunk[1:], pipeline, 0, size)
    with pytest.raises(ValueError, match="instead of"):
        hdf5_filters.undo(chunk, pipeline, 1, size)


def test_a_chunk_that_would_grow_is_not_decompressed() -> None:
    bomb = hdf5_filters.zlib.compress(bytes(2**24))
    with pytest.raises(ValueError, match="too long"):
        hdf5_filters.undo(bomb, [(hdf5_filters.DEFLATE, (6,))], 0, 1000)
    with pytest.raises(ValueError, match="cut short"):
        hdf5_filters.undo(bomb[:-1], [(hdf5_filters.DEFLATE, (6,))], 0, 2**24)


def test_filters_that_one_chunk_skipped(tmp_path: Path) -> None:
    path = writers.fastmri(tmp_path / "x", 0 * K, options=LAYOUTS["all"])
    with h5py.File(path, "a") as file:
        for i in range(5):
            file["kspace"].id.write_direct_chunk((i, 0, 0, 0), K[i].tobytes(), filter_mask=0b111)
    found = load(path)
    assert isinstance(found, KSpace)
    np.testing.assert_array_equal(found.samples, K[2])


def lzf(file: h5py.File) -> None:
    file.create_dataset("kspace", data=K, compression="lzf")


def growing(file: h5py.File) -> None:
    file.create_dataset("kspace", data=K, maxshape=(None, None, 7, 6))


def crowded(file: h5py.File) -> None:
    file["kspace"] = K
    for i in range(20):
        file.create_group(f"{i}")


def partial(file: h5py.File) -> None:
    stored = file.create_dataset("kspace", K.shape, K.dtype, chunks=(1, 1, 7, 6), compression=1)
    stored[:, 1:] = K[:, 1:]


def absent(file: h5py.File) -> None:
    """Chunks without end, of which none was written."""
    file.create_dataset("kspace", (2**20, 1, 2**20, 2**20), np.complex64, chunks=(1, 1, 2, 2))


def packed(file: h5py.File) -> None:
    file["kspace"] = K
    kind = h5py.h5t.STD_I32LE.copy()
    kind.set_precision(24)
    h5py.h5d.create(file.id, b"mask", kind, h5py.h5s.create_simple((6,)))


@pytest.mark.parametrize(
    ("write", "version", "field", "message"),
    [
        (lzf, "earliest", "kspace", r"compressed by filter 32000 \(lzf\).*h5repack -f GZIP"),
        (growing, "latest", "kspace", "can grow.*without libver"),
        (crowded, "latest", "", "a group with an index.*without libver"),
        (partial, "earliest", "kspace", "never written, or in part only"),
        (absent, "latest", "kspace", "never written"),
        (packed, "earliest", "mask", "its numbers are stored unusually; store int32"),
    ],
)
def test_what_is_not_read(
    tmp_path: Path, write: Callable, version: str, field: str, message: str
) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **VERSIONS[version]) as file:
        write(file)
    with pytest.raises(DataError, match=message) as caught:
        load(path, memory_limit=2**50)
    assert caught.value.field == field


@pytest.mark.parametrize("version", VERSIONS)
def test_texts_of_attributes_are_not_read(tmp_path: Path, version: str) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **VERSIONS[version]) as file:
        file["kspace"] = K
        file.attrs.update({"max": 1.5, "n": 3, "name": "someone", "all": np.ones(3)})
    origin = load(path).origin
    assert {"max = 1.5", "n = 3"} <= set(origin.understood)
    assert origin.ignored == ("attributes 'all', 'name'",)
    with h5py.File(path, "a", **VERSIONS[version]) as file:
        file.attrs.update({f"{i:02}": i for i in range(20)})
    found = " ".join(load(path).origin.understood + load(path).origin.ignored)
    assert ("07 = 7" in found) != (re.search("attributes.*many", found) is not None)


@pytest.mark.parametrize("version", VERSIONS)
def test_headers(tmp_path: Path, version: str) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", **VERSIONS[version]) as file:
        stored = file.create_dataset("kspace", data=K, chunks=True)
        file["other"] = K
        for i in range(6):
            # Enough of them for a second part of the header.
            stored.attrs[f"{i}"] = np.arange(50.0)
    request = Request(path, None, None, 2**24)
    with h5py.File(path) as file:
        kinds = [kind for kind, _ in hdf5_headers.messages(request, file["kspace"])]
    assert kinds.count(hdf5_headers.LAYOUT) == 1
    assert kinds.count(0x0C) == 6
    assert hdf5_headers.CONTINUATION in kinds


@pytest.mark.parametrize(
    ("place", "content"), [(8, b"\xff" * 7 + b"\x7f"), (16, hdf5_headers.UNDEFINED)]
)
def test_arrays_of_chunks_that_are_no_such(tmp_path: Path, place: int, content: bytes) -> None:
    """HDF5 would go through 2^63 of them."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.create_dataset("kspace", data=K, **LAYOUTS["gzip"])
    request = Request(path, None, None, 2**24)
    whole = path.read_bytes()
    start = whole.index(b"FAHD") + place
    with h5py.File(path, locking=False) as file:
        stored = file["kspace"]
        hdf5_headers.refuse_indexed(request, "kspace", stored)
        # Once it is open, since HDF5 would see that the checksum is wrong.
        path.write_bytes(whole[:start] + content + whole[start + 8 :])
        with pytest.raises(DataError, match="index is damaged"):
            hdf5_headers.refuse_indexed(request, "kspace", stored)


def test_compact_layout(tmp_path: Path) -> None:
    path = writers.fastmri(tmp_path / "x", K)
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_layout(h5py.h5d.COMPACT)
    mask = np.array([1, 0, 1, 1, 0, 1], np.int32)
    with h5py.File(path, "a") as file:
        space, kind = h5py.h5s.create_simple(mask.shape), h5py.h5t.STD_I32LE
        stored = h5py.h5d.create(file.id, b"mask", kind, space, dcpl=plan)
        stored.write(h5py.h5s.ALL, h5py.h5s.ALL, mask)
    found = load(path)
    assert isinstance(found, KSpace)
    np.testing.assert_array_equal(found.mask, np.broadcast_to(mask != 0, (7, 6)))
