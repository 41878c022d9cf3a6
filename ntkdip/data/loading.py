"""Reading files written by others: what a file is decides its content, never its name."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

from ntkdip.data.formats import (
    arrays,
    bart,
    fastmri,
    hdf5,
    ismrmrd_raw,
    nifti,
    npy,
    photographs,
)
from ntkdip.data.formats.request import Request, listing
from ntkdip.data.records import Image, KSpace
from ntkdip.memory import available_bytes

KINDS = (None, "kspace", "image")
HEAD_BYTES = nifti.HEADER_BYTES

FORMATS = "fastMRI HDF5, ISMRMRD HDF5, NIfTI, NumPy .npy and .npz, BART .cfl/.hdr, PNG, JPEG, TIFF"

KNOWN_BUT_UNREAD = (
    (0, b"GIF8", "GIF; save it as PNG"),
    (0, b"BM", "BMP; save it as PNG"),
    (8, b"WEBP", "WebP; save it as PNG"),
    (0, b"%PDF", "a PDF; export the image as PNG"),
    (128, b"DICM", "DICOM; convert it to NIfTI, for instance with dcm2niix"),
    (0, b"MATLAB 5.0", "MATLAB's; save it as .npy, or as HDF5 in fastMRI's layout"),
    *((0, b"\x80" + bytes([n]), "a Python pickle, which may run any code; save it as .npy")
      for n in range(2, 6)),
)  # fmt: skip
"""Place, bytes and advice for formats that are recognised only to say what to do."""

PROBLEMS = {
    errno.ENOENT: "there is no such file or folder",
    errno.ELOOP: "its symbolic links form a loop",
    errno.EACCES: "it may not be read by this user",
    errno.EPERM: "it may not be read by this user",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
}


def load(
    path: str | os.PathLike[str],
    *,
    index: int | None = None,
    kind: str | None = None,
    memory_limit: int | None = None,
) -> KSpace | Image:
    """K-space of one slice, or one image, of a file or folder written by others.

    The content of the file decides how it is read, never its name: HDF5 of fastMRI and of
    ISMRMRD (mridata.org), NIfTI (also compressed), NumPy's .npy and .npz, BART's .cfl with its
    .hdr (either name), PNG, JPEG, TIFF, and folders of these three.  ``origin`` of the result
    says what was understood and what was left aside.

    - k-space is ``(coils, ny, nx)`` complex64, with the readout along axis 0 of the image.  Of a
      3D encoding (ISMRMRD, BART) the readout is transformed, and slices are across it.
    - A complex NumPy array is an image unless ``kind="kspace"``, and then ``(ny, nx)``,
      ``(coils, ny, nx)`` or ``(slices, coils, ny, nx)``; a .npz with ``kspace`` (and maybe
      ``mask``) needs no ``kind``.  A BART file of one coil needs one.
    - Integers of NumPy, PNG, JPEG and TIFF become fractions of full scale; NIfTI's stay what the
      header makes of them.  NIfTI's rows are its second axis, its columns the first.

    Parameters
    ----------
    path
        A file or a folder of images.
    index
        Slice, page or image; by default the middle one, and of a folder the first.
    kind
        ``"kspace"`` or ``"image"`` where both are possible.
    memory_limit
        Bytes that reading may take; by default half of what is available.

    Returns
    -------
    `KSpace` or `Image`, all values finite.

    Raises
    ------
    DataError
        For whatever is wrong with the file, naming file and field: missing, unreadable, cut
        short, damaged, of unknown format, without such a slice, NaN, shapes that disagree, or
        too large.
    ValueError
        If ``kind`` or ``memory_limit`` is none of the above.

    Notes
    -----
    Memory and time are those of one slice, times the file's chunks where it is compressed.
    In HDF5 a C library finds names, types and the places of the data, which are then checked,
    read and decompressed here (gzip, shuffle, Fletcher's checksum; no other filter); texts of
    attributes are named only, and indexes over which the library is known to crash are refused.
    Damage at random has not crashed it since, but nothing proves that a file forged on purpose
    cannot: open those of strangers in a process of its own.  Source: ours.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is 'kspace', 'image' or None; got {kind!r}")
    if memory_limit is not None and memory_limit < 1:
        raise ValueError(f"memory_limit is a positive number of bytes; got {memory_limit}")
    limit = available_bytes() // 2 if memory_limit is None else memory_limit
    request = Request(Path(path), index, kind, limit)
    try:
        return _reader(request)(request)
    except OSError as error:
        problem = PROBLEMS.get(error.errno or 0, f"it cannot be read ({error})")
        raise request.error("", problem) from error


def _reader(request: Request) -> Callable[[Request], KSpace | Image]:
    """How to read what is there; raises `DataError` or `OSError`."""
    path = request.path
    try:
        found = path.stat()
    except ValueError as error:
        raise request.error("", f"this is no name of a file ({error})") from error
    except FileNotFoundError:
        # BART itself names a pair of files without any suffix.
        header = path.with_name(f"{path.name}.hdr")
        if not _is_bart(request.at(header)):
            raise
        return lambda request: bart.read(request.at(header))
    if stat.S_ISDIR(found.st_mode):
        return photographs.read_folder
    if not stat.S_ISREG(found.st_mode):
        raise request.error("", "it is a pipe, socket or device; store the data in a file")
    if found.st_size == 0:
        raise request.error("", "the file is empty")
    return _by_content(request, found.st_size)


def _by_content(request: Request, size: int) -> Callable[[Request], KSpace | Image]:
    # A .cfl has no signature, only its .hdr beside it has one.
    header = request.path.with_suffix(".hdr")
    if request.path.suffix == ".cfl" and _is_bart(request.at(header)):
        return lambda request: bart.read(request.at(header))
    with open(request.path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(bart.MAGIC):
        return bart.read
    if head.startswith(npy.MAGIC):
        return arrays.read_npy
    if head.startswith(npy.ZIP_MAGICS):
        return arrays.read_npz
    picture = photographs.form(head)
    if picture is not None:
        return lambda request: photographs.read(request, picture)
    compressed = head.startswith(nifti.GZIP_MAGIC)
    version = nifti.form(nifti.head_of_compressed(request.path) if compressed else head)
    if version is not None:
        return lambda request: nifti.read(request, version, compressed)
    if hdf5.is_hdf5(request, size):
        return _read_hdf5
    for place, magic, advice in KNOWN_BUT_UNREAD:
        if head[place : place + len(magic)] == magic:
            raise request.error("", f"it is {advice}")
    raise request.error(
        "", f"of unknown format, it begins with {head[:8]!r}; what can be read is {FORMATS}"
    )


def _is_bart(header: Request) -> bool:
    try:
        return header.path.is_file() and bart.is_header(header)
    except (OSError, ValueError):
        return False


def _read_hdf5(request: Request) -> KSpace:
    """fastMRI's layout, or ISMRMRD's."""
    with hdf5.opened(request) as file:
        with request.parsing("", "HDF5"):
            names = sorted(file)
        if "kspace" in names:
            return fastmri.read(request, file)
        held = {name: hdf5.members(request, file, name) for name in names}
        groups = [name for name in names if held[name] >= ismrmrd_raw.MEMBERS]
        if groups:
            return ismrmrd_raw.read(request, file, groups)
        raise request.error(
            "kspace",
            "missing; an HDF5 file of fastMRI has a dataset 'kspace', one of ISMRMRD a group "
            f"with 'data' and 'xml', but this has {listing(names) or 'nothing in it'}",
        )
