"""NIfTI volumes, plain or compressed: one slice along the third axis."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from ntkdip.data.formats.checks import Notes, image
from ntkdip.data.formats.request import Request
from ntkdip.data.records import Image

GZIP_MAGIC = b"\x1f\x8b"
HEADER_BYTES = 540
"""Of NIfTI-2, the longer one."""


def form(head: bytes) -> str | None:
    """``"NIfTI-1"``, ``"NIfTI-2"`` or a kind that is not read; None for what is no NIfTI."""
    if head[344:348] == b"n+1\0" and _is_size(head, 348):
        return "NIfTI-1"
    if head[4:8] == b"n+2\0" and _is_size(head, 540):
        return "NIfTI-2"
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
        return "NIfTI header without its image"
    return None


def _is_size(head: bytes, size: int) -> bool:
    return head[:4] in (size.to_bytes(4, "little"), size.to_bytes(4, "big"))


def head_of_compressed(path: Path) -> bytes:
    """The beginning of what a gzip file holds; empty if it is damaged."""
    try:
        with gzip.open(path) as file:
            return file.read(HEADER_BYTES)
    except Exception:  # zlib, gzip and EOFError share no base class
        return b""


def read(request: Request, version: str, compressed: bool) -> Image:
    """One slice of the first volume.

    Rows are the second voxel axis and columns the first, as they are stored: nothing is turned
    or flipped to an anatomical orientation.
    """
    request.require_kind("image", "k-space has no place in NIfTI")
    if version not in ("NIfTI-1", "NIfTI-2"):
        raise request.error("magic", f"{version}; store both in one .nii file")
    nibabel = request.package("nibabel", "nifti")
    notes = Notes()
    kind = nibabel.Nifti1Image if version == "NIfTI-1" else nibabel.Nifti2Image
    with gzip.open(request.path) if compressed else open(request.path, "rb") as stream:
        with request.parsing("header", "nibabel"):
            # From an open stream: nibabel would judge by the file's suffix.
            holder = nibabel.FileHolder(fileobj=stream)
            volume = kind.from_file_map({"image": holder, "header": holder}, mmap=False)
        index, count = _check(request, volume, compressed, notes)
        where = (slice(None), slice(None), index, *[0] * (len(volume.shape) - 3))
        with request.parsing(f"slice {index}", "nibabel"):
            plane = np.asarray(volume.dataobj[where[: len(volume.shape)]])
            if compressed:
                _verify_rest(stream)
    notes.understood.append("rows are the second voxel axis, columns the first, as stored")
    text = f"{version} (compressed)" if compressed else version
    return image(request, f"slice {index}", plane.T, notes.origin(request, text, index, count))


def _check(request: Request, volume: Any, compressed: bool, notes: Notes) -> tuple[int, int]:
    """The slice to read, and of how many; refused unless header, file and memory agree."""
    shape = tuple(int(n) for n in volume.shape)
    stored = volume.dataobj
    if stored.dtype.kind not in "iufc":
        raise request.error("datatype", f"voxels of {stored.dtype} are not read; store grey values")
    if len(shape) < 2 or min(shape) < 1:
        raise request.error("dim", f"its shape is {shape}; an image has two sides, a volume three")
    count = shape[2] if len(shape) > 2 else 1
    index = request.choose(count, "slices")
    plane = shape[0] * shape[1]
    # As stored, scaled, and as double precision.
    request.require_memory("dim", plane * (stored.dtype.itemsize + 2 * 16))
    if stored.offset < 0:
        raise request.error("vox_offset", f"it is negative: {stored.offset}")
    needed = int(stored.offset) + math.prod(shape) * stored.dtype.itemsize
    held = request.path.stat().st_size
    if not compressed and held < needed:
        raise request.error(
            "dim",
            f"its shape {shape} of {stored.dtype} takes {needed:,} bytes, the file has {held:,}",
        )
    scale = f"scaled by {stored.slope:.6g}, shifted by {stored.inter:.6g}"
    plain = stored.slope == 1 and stored.inter == 0
    notes.understood.append(f"{stored.dtype} values {'as stored' if plain else scale}")
    rest = math.prod(shape[3:])
    if rest > 1:
        notes.ignored.append(f"{rest - 1} further volumes")
    return index, count


def _verify_rest(stream: Any) -> None:
    """Read a compressed stream to its end, where its checksum is compared."""
    while stream.read(2**20):
        pass
