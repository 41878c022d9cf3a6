"""NumPy's .npy and .npz as images or k-space: which axis is what."""

from __future__ import annotations

import zipfile

import numpy as np

from ntkdip.data.formats import npy
from ntkdip.data.formats.checks import (
    Notes,
    as_mask,
    fraction_of_full_scale,
    image,
    kspace,
    measured_lines,
)
from ntkdip.data.formats.npy import Stored
from ntkdip.data.formats.request import Request, brief, listing
from ntkdip.data.records import Image, KSpace

SAY_SO = "complex, taken as an image; if it is k-space, say load(..., kind='kspace')"


def read_npy(request: Request) -> KSpace | Image:
    """One image or one slice of k-space of a .npy file; see `ntkdip.data.load`."""
    stored = npy.alone(request, "array")
    notes = Notes()
    if request.kind == "kspace":
        return _kspace(request, stored, None, "NumPy .npy", notes)
    return _image(request, stored, "NumPy .npy", notes)


def read_npz(request: Request) -> KSpace | Image:
    """One image or one slice of k-space of a .npz file; see `ntkdip.data.load`."""
    notes = Notes()
    with npy.archive(request) as (archive, members):
        name = _chosen(request, members, notes)
        stored = npy.in_archive(request, name, archive, members[name])
        if request.kind == "image" or (request.kind is None and name != "kspace"):
            return _image(request, stored, "NumPy .npz", notes)
        mask = None
        if "mask" in members:
            mask = npy.in_archive(request, "mask", archive, members["mask"])
        return _kspace(request, stored, mask, "NumPy .npz", notes)


def _chosen(request: Request, members: dict[str, zipfile.ZipInfo], notes: Notes) -> str:
    """The array to read: ``kspace`` if it is there and wanted, or else the only one."""
    names = sorted(members)
    if not names:
        raise request.error("", "it is a zip archive without any array of NumPy's")
    if "kspace" in names and request.kind != "image":
        name = "kspace"
    else:
        candidates = [n for n in names if n not in ("kspace", "mask")]
        if len(candidates) != 1:
            raise request.error(
                "",
                f"it holds {listing(names)}; it should hold k-space as 'kspace' (and maybe "
                "'mask'), or one image: save that one alone",
            )
        name = candidates[0]
    used = {name, "mask"} if name == "kspace" or request.kind == "kspace" else {name}
    others = [n for n in names if n not in used]
    if others:
        notes.ignored.append(f"arrays {listing(others)}")
    notes.understood.append(f"array {brief(name)!r}")
    return name


def _kspace(
    request: Request, stored: Stored, stored_mask: Stored | None, form: str, notes: Notes
) -> KSpace:
    """K-space of shape (ny, nx), (coils, ny, nx) or (slices, coils, ny, nx)."""
    if stored.dtype.kind != "c":
        raise request.error(
            stored.field,
            f"k-space is complex, but this is {stored.dtype} of shape {stored.shape}; store it "
            "as complex64",
        )
    if len(stored.shape) not in (2, 3, 4):
        raise request.error(
            stored.field,
            f"its shape is {stored.shape}; k-space is (ny, nx), (coils, ny, nx) or "
            "(slices, coils, ny, nx)",
        )
    stacked = len(stored.shape) == 4
    count = stored.shape[0] if stacked else 1
    index = request.choose(count, "slices")
    entries = stored.nbytes // stored.dtype.itemsize // count
    ny, nx = stored.shape[-2:]
    request.require_memory(stored.field, stored.working_bytes(stacked) + 8 * entries + 32 * ny * nx)
    values = stored.entry(index if stacked else None)
    with np.errstate(over="ignore", invalid="ignore"):
        samples = np.require(values.reshape(-1, ny, nx), np.complex64, "W")
    notes.understood.append(f"{count} slices of {samples.shape[0]} coils, readout along axis 0")
    if stored_mask is None:
        mask = measured_lines(samples)
        notes.understood.append("mask: the lines along axis 0 that are not zero")
    else:
        if stored_mask.shape not in ((ny, nx), (nx,)):
            raise request.error(
                "mask",
                f"its shape is {stored_mask.shape}; k-space of {(ny, nx)} has masks of shape "
                f"{(nx,)} or {(ny, nx)}",
            )
        mask = as_mask(request, "mask", stored_mask.entry(None), (ny, nx))
        notes.understood.append("mask: the file's own")
    origin = notes.origin(request, form, index, count)
    return kspace(request, stored.field, samples, mask, origin)


def _image(request: Request, stored: Stored, form: str, notes: Notes) -> Image:
    """An image of shape (h, w), real also (h, w, 1, 3 or 4), or one of a stack of such."""
    shape = stored.shape
    colour = stored.dtype.kind != "c" and len(shape) in (3, 4) and shape[-1] in (1, 3, 4)
    stacked = len(shape) - colour == 3
    if len(shape) - colour not in (2, 3):
        raise request.error(
            stored.field,
            f"its shape is {shape}; an image is (h, w), in colours (h, w, 3), and a stack has "
            "one axis before these; for k-space of several coils say load(..., kind='kspace')",
        )
    count = shape[0] if stacked else 1
    index = request.choose(count, "images")
    entries = stored.nbytes // stored.dtype.itemsize // count
    request.require_memory(stored.field, stored.working_bytes(stacked) + 2 * 16 * entries)
    pixels = stored.entry(index if stacked else None)
    if stacked:
        notes.understood.append(f"{count} images along axis 0")
    if colour and shape[-1] == 1:
        pixels = pixels[..., 0]
    if colour and shape[-1] == 4:
        notes.ignored.append("the fourth colour (alpha)")
        pixels = pixels[..., :3]
    if stored.dtype.kind in "iu":
        notes.understood.append(f"{stored.dtype}, scaled so that its largest value is 1")
    if stored.dtype.kind == "c":
        notes.understood.append(SAY_SO)
    origin = notes.origin(request, form, index, count)
    return image(request, stored.field, fraction_of_full_scale(pixels), origin)
