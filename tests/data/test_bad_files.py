"""Whatever is wrong with a file is said before anything heavy: which file, which field, what."""

from __future__ import annotations

import gzip
import os
import pickle
import socket
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pytest

from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from tests.data import writers
from tests.data.writers import fastmri

K = writers.noise((3, 2, 16, 12))
HEADER = writers.header((16, 12, 1), (8, 8, 1))
BILLION = HEADER.replace(
    "<ismrmrdHeader",
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>\n<ismrmrdHeader',
)
# The declaration is read as ASCII, the rest in an encoding in which "<!DOCTYPE" is other bytes.
HIDDEN = b'<?xml version="1.0" encoding="cp037"?>' + BILLION.split("?>")[1].encode("cp037")


def refused(path: Path, field: str, message: str, **options: Any) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(path, **options)
    assert caught.value.field == field
    assert str(path) in str(caught.value)


def spoilt(value: complex, *where: int) -> np.ndarray:
    k = K.copy()
    k[where] = value
    return k


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ({"kspace": K.real}, "kspace", "is complex, but this is float32"),
        ({"kspace": K[0, 0]}, "kspace", r"shape is \(16, 12\); it should be \(slices, coils"),
        ({"kspace": K[:0]}, "kspace", "without entries"),
        ({"kspace": "text"}, "kspace", "is complex, but this is object"),
        ({"other": K}, "kspace", "missing.*but this has 'other'"),
        ({}, "kspace", "nothing in it"),
        ({"kspace": spoilt(np.nan, 1, 1, 2, 3)}, "kspace[1]", r"1 of its 384.*\(1, 2, 3\)"),
        ({"kspace": spoilt(np.inf, 1, 0)}, "kspace[1]", r"192 of its 384.*\(0, 0, 0\)"),
        ({"kspace": 0 * K}, "kspace[1]", "nothing but zeros"),
        ({"kspace": K * np.float32(1e25)}, "kspace[1]", "scale k-space"),
        ({"kspace": K.astype("c16") * 1e200}, "kspace[1]", "NaN or infinite"),
        ({"kspace": K, "mask": np.ones(16)}, "mask", r"shape is \(16,\).*\(12,\) or \(16, 12\)"),
        ({"kspace": K, "mask": np.zeros(12)}, "kspace[1]", "mask says measured.*zero"),
        ({"kspace": K, "mask": np.full(12, np.nan)}, "mask", "NaN"),
        ({"kspace": K, "mask": K[0, 0, 0]}, "mask", "numbers or booleans"),
        (
            {"kspace": K, "reconstruction_rss": np.ones((2, 8, 8))},
            "reconstruction_rss",
            r"shape \(2, 8, 8\); for 3 slices",
        ),
        (
            {"kspace": K, "reconstruction_rss": np.full((3, 8, 8), np.nan)},
            "reconstruction_rss[1]",
            "64 of its 64",
        ),
        ({"kspace": K, "ismrmrd_header": "<a><b></a>"}, "ismrmrd_header", "the XML parser cannot"),
        ({"kspace": K, "ismrmrd_header": BILLION}, "ismrmrd_header", "document type"),
        ({"kspace": K, "ismrmrd_header": HIDDEN}, "ismrmrd_header", "cannot read|document type"),
        ({"kspace": K, "ismrmrd_header": 3.0}, "ismrmrd_header", "should be one text"),
        (
            {"kspace": K, "ismrmrd_header": HEADER.replace("<x>8<", "<x>-8<")},
            "ismrmrd_header: reconSpace",
            "positive sides",
        ),
    ],
)
def test_hdf5_contents(tmp_path: Path, content: dict, field: str, message: str) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    refused(path, field, message)


def test_hdf5_that_is_cut_short(tmp_path: Path) -> None:
    path = fastmri(tmp_path / "file.h5", K)
    whole = path.read_bytes()
    for end in (len(whole) - 1, len(whole) // 2, 600, 9):
        path.write_bytes(whole[:end])
        refused(path, "", "HDF5 cannot read it.*copy or download it again")


@pytest.mark.parametrize("chunks", [None, (1, 1, 2**10, 2**10), (1, 1, 2**14, 2**14)])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_declared_but_absent_or_absurd(
    tmp_path: Path, chunks: tuple | None, compression: str | None
) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        shape = (2**20, 2**10, 2**20, 2**20)
        options = {"chunks": chunks or True, "compression": compression}
        file.create_dataset("kspace", shape, np.complex64, **options)
    refused(path, "kspace", "reading one slice of it takes .*TiB, more than")
    path.unlink()
    with h5py.File(path, "w") as file:
        side = chunks[2] if chunks else 2**10
        options = {"chunks": chunks, "compression": compression if chunks else None}
        file.create_dataset("kspace", (2, 1, side, side), np.complex64, **options)
    refused(path, "kspace", "0 bytes of it; it was never written", memory_limit=2**36)
    refused(path, "kspace", "reading one slice of it takes", memory_limit=2**22)


def test_hdf5_that_leads_elsewhere(tmp_path: Path) -> None:
    fastmri(tmp_path / "other.h5", K)
    for name, link in (
        ("external", h5py.ExternalLink("other.h5", "kspace")),
        ("soft", h5py.SoftLink("/elsewhere")),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            file["kspace"] = link
        refused(tmp_path / name, "kspace", "a link to another place")
    layout = h5py.VirtualLayout(K.shape, K.dtype)
    layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "kspace", K.shape)
    with h5py.File(tmp_path / "virtual", "w") as file:
        file.create_virtual_dataset("kspace", layout)
    refused(tmp_path / "virtual", "kspace", "data are in other files")
    with h5py.File(tmp_path / "raw", "w") as file:
        outside = [(str(tmp_path / "numbers"), 0, K.nbytes)]
        file.create_dataset("kspace", K.shape, K.dtype, external=outside)
    refused(tmp_path / "raw", "kspace", "data are in other files")
    with h5py.File(tmp_path / "group", "w") as file:
        file.create_group("kspace")
    refused(tmp_path / "group", "kspace", "a group, not a dataset")


@pytest.mark.parametrize("index", [3, -1, 10**30])
def test_absurd_index(tmp_path: Path, index: int) -> None:
    path = fastmri(tmp_path / "x", K)
    refused(path, "index", f"3 slices, so that index is 0 to 2; got {index}", index=index)
    np.save(tmp_path / "x.npy", np.ones((4, 5)))
    refused(tmp_path / "x.npy", "index", "1 images.*0 to 0", index=index)


def test_one_slice_is_all_that_is_read(tmp_path: Path) -> None:
    k = np.zeros((64, 2, 64, 64), np.complex64)
    k[:] = writers.noise((2, 64, 64))
    fastmri(tmp_path / "x.h5", k)
    np.save(tmp_path / "x.npy", k)
    np.savez(tmp_path / "x.npz", kspace=k)
    for name in ("x.h5", "x.npy", "x.npz"):
        options: dict = {"kind": "kspace", "memory_limit": 2**20}
        load(tmp_path / name, **options)
        tracemalloc.start()
        load(tmp_path / name, **options)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # The whole is 4 MiB, one slice 64 KiB; pieces of an archive are 1 MiB.
        assert peak < 2.5 * 2**20, name
        refused(tmp_path / name, _field(name), "more than the 64.0 KiB|65,536 bytes allowed",
                kind="kspace", memory_limit=2**16)  # fmt: skip


def _field(name: str) -> str:
    return "array" if name.endswith(".npy") else "kspace"


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (np.array([{}, 1], object), None, "pickled Python objects, which may run any code"),
        (np.array(["a"]), None, "should hold numbers; it is of <U1"),
        (np.zeros(3, [("a", "f4")]), None, "should hold numbers"),
        (np.zeros((0, 3)), None, "there is nothing in it"),
        (np.zeros(5), None, r"shape is \(5,\); an image is \(h, w\)"),
        (np.zeros((2, 3, 4, 5)), None, "a stack has one axis before"),
        (np.full((2, 2), np.nan), None, r"4 of its 4 values.*\(0, 0\)"),
        (np.array([[np.longdouble(1e300) ** 2]]), None, "NaN or infinite"),
        (np.ones((3, 4)), "kspace", "k-space is complex, but this is float64"),
        (np.ones((2, 2, 2, 2, 2), complex), "kspace", r"k-space is \(ny, nx\)"),
        (np.zeros((2, 2), complex), "kspace", "nothing but zeros"),
        (np.array([[1, np.nan]], complex), "kspace", r"1 of its 2 values.*\(0, 0, 1\)"),
    ],
)
def test_numpy_contents(tmp_path: Path, array: np.ndarray, kind: str | None, message: str) -> None:
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    refused(tmp_path / "x.npy", "array", message, kind=kind)


def test_numpy_headers_that_lie(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    for shape in ("(1000000000000, 1000000000000)", "(4, 5)"):
        header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
        header += b" " * (117 - len(header)) + b"\n"
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        refused(path, "array", "bytes, but only 0 follow")
    path.write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + b"[" * 118)
    refused(path, "array", "NumPy cannot read it")
    path.write_bytes(b"\x93NUMPY\x07\x00")
    refused(path, "array", "NumPy cannot read it|version")


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, a=np.eye(2), b=np.eye(2))
    refused(path, "", "it holds 'a', 'b'; it should hold k-space as 'kspace'")
    np.savez(path, kspace=K[0], mask=np.ones(5))
    refused(path, "mask", r"shape is \(5,\)")
    refused(path, "", "it holds 'kspace', 'mask'", kind="image")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"")
    refused(path, "", "without any array")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("kspace.npy", b"\x93NUMPY")
    refused(path, "kspace", "in a way that NumPy does not use")
    np.savez_compressed(path, kspace=np.zeros((2**9, 2**9, 2**4), np.complex64))
    refused(path, "kspace", "more than the 1.0 MiB allowed", memory_limit=2**20)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (pickle.dumps({"a": 1}), "a Python pickle, which may run any code"),
        (b"x" * 128 + b"DICM", "DICOM; convert it to NIfTI"),
        (b"GIF89a", "GIF; save it as PNG"),
        (
            b"hello, world",
            "unknown format, it begins with b'hello, w'; what can be read is fastMRI",
        ),
        (gzip.compress(b"hello", mtime=0), "unknown format"),
        (b"\x1f\x8b", "unknown format"),
    ],
)
def test_what_is_no_data(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    refused(path, "", message)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    refused(tmp_path / "none", "", "no such file or folder")
    refused(tmp_path, "", "no PNG, JPEG or TIFF in it")
    refused(tmp_path / ("x" * 5000), "", "name is too long")
    with pytest.raises(DataError, match="no name of a file"):
        load(tmp_path / "a\0b")
    (tmp_path / "file").write_bytes(b"x")
    refused(tmp_path / "file" / "x", "", "a file, not a folder|no such file")


@pytest.mark.skipif(sys.platform == "win32", reason="needs pipes and symbolic links")
def test_what_would_block_or_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused(tmp_path / "pipe", "", "pipe, socket or device")
    refused(tmp_path, "", r"no PNG, JPEG or TIFF in it \(1 other")
    refused(Path("/dev/zero"), "", "pipe, socket or device")
    with socket.socket(socket.AF_UNIX) as listening:
        # By a short name: those of sockets have little room.
        monkeypatch.chdir(tmp_path)
        listening.bind("socket")
        refused(tmp_path / "socket", "", "pipe, socket or device")
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    refused(tmp_path / "a", "", "symbolic links form a loop")
    os.mkfifo(tmp_path / "k.hdr")
    (tmp_path / "k.cfl").write_bytes(b"x" * 8)
    refused(tmp_path / "k.cfl", "", "unknown format")


def test_unreadable_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.eye(2))

    def forbid(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Not by its mode: whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr("builtins.open", forbid)
    refused(path, "", "may not be read by this user", memory_limit=2**20)


@pytest.mark.parametrize(
    ("dims", "size", "options", "field", "message"),
    [
        ("4 5 1 2", 40 * 8 - 8, {}, "", r"320 bytes; it has 312"),
        ("4 5 1 2 3", 120 * 8, {}, "Dimensions", r"dimension 4 \(maps\) has 3 entries.*slice 4"),
        ("4 5", 20 * 8, {}, "Dimensions", "one coil, or an image: say load"),
        ("4 -5", 8, {}, "Dimensions", "positive dimensions"),
        ("", 8, {}, "Dimensions", "positive dimensions"),
        ("999999999999999999 " * 16, 8, {}, "", "it has 8"),
        ("9" * 5000, 8, {}, "Dimensions", "positive dimensions"),
    ],
)
def test_bart_headers(
    tmp_path: Path, dims: str, size: int, options: dict, field: str, message: str
) -> None:
    (tmp_path / "x.hdr").write_text(f"# Dimensions\n{dims}\n")
    (tmp_path / "x.cfl").write_bytes(b"\1" * size)
    with pytest.raises(DataError, match=message) as caught:
        load(tmp_path / "x.cfl", **options)
    assert caught.value.field == field
    (tmp_path / "x.cfl").unlink()
    with pytest.raises(DataError):
        load(tmp_path / "x.hdr", **options)


def test_nifti_headers(tmp_path: Path) -> None:
    path = tmp_path / "x.nii"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4)), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    refused(path, "dim", r"\(4, 5, 6\) of float32 takes 832 bytes, the file has 831")
    path.write_bytes(whole[:42] + b"\xff\x7f\xff\x7f" + whole[46:])
    refused(path, "dim", "takes .*, the file has 832|reading one slice")
    path.write_bytes(gzip.compress(whole)[:-10])
    refused(path, "slice 3", "nibabel cannot read it")
    path.write_bytes(whole[:344] + b"ni1\0" + whole[348:])
    refused(path, "magic", "header without its image; store both in one .nii")
    colours = np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), path)
    refused(path, "datatype", "store grey values")


@pytest.mark.parametrize(
    ("write", "kind", "message"),
    [
        (lambda path: fastmri(path, K), "image", "holds k-space, but kind='image'"),
        (lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), "kspace", "an image, but kind"),
    ],
)
def test_the_wrong_kind(
    tmp_path: Path, write: Callable[[Path], object], kind: str, message: str
) -> None:
    write(tmp_path / "x")
    refused(tmp_path / "x", "kind", message, kind=kind)


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="kind is 'kspace', 'image' or None; got 'photo'"):
        load(tmp_path, kind="photo")
    with pytest.raises(ValueError, match="memory_limit is a positive number of bytes; got 0"):
        load(tmp_path, memory_limit=0)


@pytest.mark.parametrize(("package", "extra"), [("nibabel", "nifti"), ("ismrmrd", "ismrmrd")])
def test_missing_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, extra: str
) -> None:
    path = tmp_path / "x.nii"
    if package == "nibabel":
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.float32), np.eye(4)), path)
    else:
        writers.raw(path, HEADER, writers.plane(K[0]))
    monkeypatch.setitem(sys.modules, package, None)
    refused(path, "", rf'needs {package}: pip install "ntkdip\[{extra}\]"')
