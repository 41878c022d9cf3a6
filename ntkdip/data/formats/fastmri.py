"""fastMRI's HDF5 files: k-space slice by slice, with the reconstruction it was fully sampled for.

Layout: https://fastmri.med.nyu.edu; axis -2 is the readout.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Float

from ntkdip.data.formats import hdf5, xml_header
from ntkdip.data.formats.checks import (
    Notes,
    any_coil,
    as_mask,
    clip_shape,
    kspace,
    measured_lines,
    require_finite,
)
from ntkdip.data.formats.request import Request, listing
from ntkdip.data.records import KSpace
from ntkdip.data.transforms import centre_crop

REFERENCES = ("reconstruction_rss", "reconstruction_esc")
KNOWN = {"kspace", "mask", "ismrmrd_header", *REFERENCES}


@dataclasses.dataclass
class _Stored:
    """What was read of a file, before anything is made of it."""

    samples: Complex[np.ndarray, "coils ny nx"]
    index: int
    count: int
    header: str | None = None
    mask: np.ndarray | None = None
    reference: np.ndarray | None = None
    reference_name: str = ""


def read(request: Request, file: Any) -> KSpace:
    """K-space of one slice; see `ntkdip.data.load`."""
    request.require_kind("kspace", "leave kind out; .magnitude() and .reference are its images")
    notes = Notes()
    with request.parsing("", "HDF5"):
        stored = _stored(request, file, notes)
    shape = (stored.samples.shape[1], stored.samples.shape[2])
    mask = _mask(request, stored, notes)
    wanted = _header_shape(request, stored, notes)
    reference, image_shape = _fit(request, stored, wanted, shape, notes)
    return kspace(
        request,
        f"kspace[{stored.index}]",
        stored.samples,
        mask,
        notes.origin(request, "fastMRI HDF5", stored.index, stored.count),
        reference=reference,
        image_shape=image_shape,
    )


def _stored(request: Request, file: Any, notes: Notes) -> _Stored:
    """Everything that touches HDF5."""
    dataset = hdf5.dataset(request, file, "kspace", "kspace")
    _require_kspace(request, dataset)
    slices, *rest = dataset.shape
    coils, ny, nx = rest if len(rest) == 3 else (1, *rest)
    index = request.choose(slices, "slices")
    entries = coils * ny * nx
    # Beside the samples: temporaries of one coil, and one mask.
    each = 8 + math.ceil(32 / coils)
    found = hdf5.rows(request, "kspace", dataset, entries, each)
    samples = np.empty((coils, ny, nx), np.complex64)
    hdf5.read_slice(request, "kspace", found, index, samples.reshape(rest))
    stored = _Stored(samples, index, slices)
    stored.header = hdf5.text(request, file, "ismrmrd_header", "ismrmrd_header")
    mask = hdf5.dataset(request, file, "mask", "mask")
    if mask is not None:
        if mask.shape not in ((ny, nx), (nx,)):
            raise request.error(
                "mask",
                f"its shape is {mask.shape}; k-space of {(ny, nx)} has masks of shape {(nx,)} "
                f"or {(ny, nx)}",
            )
        stored.mask = hdf5.read_whole(request, "mask", mask)
    _read_reference(request, file, stored, notes)
    coils_text = f"{coils} coils" if len(rest) == 3 else "single-coil"
    notes.understood.append(f"kspace: {slices} slices, {coils_text}, readout along axis 0")
    numbers, texts = hdf5.attributes(request, file)
    notes.understood += numbers
    if texts:
        notes.ignored.append(f"attributes {listing(texts)}")
    others = sorted(set(file) - KNOWN)
    if others:
        notes.ignored.append(f"datasets {listing(others)}")
    return stored


def _require_kspace(request: Request, dataset: Any) -> None:
    if dataset.dtype.kind != "c":
        raise request.error(
            "kspace",
            f"k-space is complex, but this is {dataset.dtype} of shape {dataset.shape}; store "
            "it as complex64",
        )
    if dataset.ndim not in (3, 4):
        raise request.error(
            "kspace",
            f"its shape is {dataset.shape}; it should be (slices, coils, ny, nx), or "
            "(slices, ny, nx) for one coil",
        )


def _read_reference(request: Request, file: Any, stored: _Stored, notes: Notes) -> None:
    """The reconstruction of the slice: of several coils rather the root-sum-of-squares."""
    names = [name for name in REFERENCES if name in file]
    if not names:
        return
    # Emulated single-coil reconstructions belong to single-coil files.
    name = names[-1] if stored.samples.shape[0] == 1 else names[0]
    notes.ignored += [other for other in names if other != name]
    dataset = hdf5.dataset(request, file, name, name)
    if dataset.ndim != 3 or dataset.shape[0] != stored.count or dataset.dtype.kind != "f":
        raise request.error(
            name,
            f"it is {dataset.dtype} of shape {dataset.shape}; for {stored.count} slices of "
            f"k-space it should be of real numbers and shape ({stored.count}, h, w)",
        )
    h, w = dataset.shape[1:]
    found = hdf5.rows(request, name, dataset, h * w, 8)
    stored.reference = np.empty((h, w), np.float32)
    hdf5.read_slice(request, name, found, stored.index, stored.reference)
    stored.reference_name = name


def _mask(request: Request, stored: _Stored, notes: Notes) -> Bool[np.ndarray, "ny nx"]:
    found = measured_lines(stored.samples)
    if stored.mask is None:
        notes.understood.append("mask: the lines along the readout that are not zero")
        return found
    mask = as_mask(request, "mask", stored.mask, found.shape)
    empty = (mask & ~found).any(axis=0)
    if empty.any():
        notes.understood.append(
            f"{np.count_nonzero(empty)} lines of the mask hold only zeros: not measured"
        )
    outside = np.count_nonzero(any_coil(stored.samples) & ~mask)
    if outside:
        notes.ignored.append(f"{outside} non-zero places of k-space outside the mask")
    notes.understood.append("mask: the file's own")
    return mask & found


def _header_shape(request: Request, stored: _Stored, notes: Notes) -> tuple[int, int] | None:
    """What the header says that images are cropped to."""
    if stored.header is None:
        return None
    wanted = xml_header.recon_matrix(request, "ismrmrd_header", stored.header)
    if wanted is None:
        notes.ignored.append("ismrmrd_header, which names no reconSpace")
    return wanted


def _fit(
    request: Request,
    stored: _Stored,
    wanted: tuple[int, int] | None,
    shape: tuple[int, int],
    notes: Notes,
) -> tuple[Float[np.ndarray, "h w"] | None, tuple[int, int] | None]:
    """The reference and the shape of images: equal, and no larger than k-space."""
    reference = stored.reference
    if wanted is not None:
        notes.understood.append(f"ismrmrd_header: images of {wanted}")
    if reference is None:
        return None, None if wanted is None else clip_shape(wanted, shape)
    field = f"{stored.reference_name}[{stored.index}]"
    require_finite(request, field, reference)
    held = (reference.shape[0], reference.shape[1])
    image_shape = clip_shape(wanted or held, held, shape)
    notes.understood.append(f"reference: {stored.reference_name}")
    if image_shape != held:
        notes.understood.append(f"reference cropped from {held} to {image_shape}")
    return centre_crop(reference, image_shape).copy(), image_shape
