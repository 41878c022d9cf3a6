"""What holds of every record, whatever file it came from."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact

from ntkdip.data.formats.request import Request
from ntkdip.data.records import Image, KSpace, Origin

LARGEST = 1e15
SMALLEST = 1e-15
"""Largest magnitudes of k-space outside of these cannot be squared and summed in float32."""


@dataclasses.dataclass
class Notes:
    """What a reader understood of a file, and what it left aside; it writes as it goes."""

    understood: list[str] = dataclasses.field(default_factory=list)
    ignored: list[str] = dataclasses.field(default_factory=list)

    def origin(self, request: Request, form: str, index: int = 0, count: int = 1) -> Origin:
        """The finished origin of a record."""
        return Origin(request.path, form, index, count, tuple(self.understood), tuple(self.ignored))


def require_finite(request: Request, field: str, values: Inexact[np.ndarray, "..."]) -> None:
    """Refuse NaN and infinity: how many there are, and the first place."""
    count, first = 0, None
    # Piece by piece, so that the temporaries are those of one image.
    for i, piece in enumerate(values if values.ndim > 2 else values[None]):
        bad = ~np.isfinite(piece)
        if bad.any():
            place = tuple(int(j) for j in np.argwhere(bad)[0])
            first = first or ((i, *place) if values.ndim > 2 else place)
            count += int(np.count_nonzero(bad))
    if first is not None:
        raise request.error(
            field,
            f"{count} of its {values.size} values are NaN or infinite, the first at {first} "
            f"of {values.shape}; repair or leave out this slice",
        )


def any_coil(samples: Complex[np.ndarray, "coils ny nx"]) -> Bool[np.ndarray, "ny nx"]:
    """Where any coil is not zero."""
    found = np.zeros(samples.shape[1:], bool)
    # Signalling NaN warn where they are compared; that they are NaN is said elsewhere.
    with np.errstate(invalid="ignore"):
        for coil in samples:
            found |= coil != 0
    return found


def measured_lines(samples: Complex[np.ndarray, "coils ny nx"]) -> Bool[np.ndarray, "ny nx"]:
    """Mask of the lines along axis 0, the readout, on which any coil is anywhere not zero."""
    lines = any_coil(samples).any(axis=0)
    return np.broadcast_to(lines, samples.shape[1:]).copy()


def as_mask(
    request: Request,
    field: str,
    stored: np.ndarray,
    shape: tuple[int, int],
) -> Bool[np.ndarray, "ny nx"]:
    """A stored mask, over the last axis or over both, as a mask of ``shape``."""
    if stored.dtype.kind not in "biuf":
        raise request.error(field, f"a mask is of numbers or booleans; this is {stored.dtype}")
    if stored.shape not in (shape, shape[1:]):
        raise request.error(
            field,
            f"a mask of k-space {shape} has the shape {shape[1:]} or {shape}; this has "
            f"{stored.shape}",
        )
    if stored.dtype.kind == "f":
        require_finite(request, field, np.atleast_2d(stored))
    return np.broadcast_to(stored != 0, shape).copy()


def kspace(
    request: Request,
    field: str,
    samples: Complex[np.ndarray, "coils ny nx"],
    mask: Bool[np.ndarray, "ny nx"],
    origin: Origin,
    *,
    reference: Float[np.ndarray, "h w"] | None = None,
    image_shape: tuple[int, int] | None = None,
    noise_scan: Complex[np.ndarray, "coils n"] | None = None,
) -> KSpace:
    """A record whose samples are complex64, finite, not all zero, and zero outside the mask.

    Raises `DataError` where that cannot be had.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        samples = samples.astype(np.complex64, copy=False)
    require_finite(request, field, samples)
    # float64: a float32 magnitude may overflow.
    peak = max(float(max(np.abs(coil.real).max(), np.abs(coil.imag).max())) for coil in samples)
    if peak == 0:
        raise request.error(field, "k-space of this slice holds nothing but zeros")
    if not SMALLEST < peak < LARGEST:
        raise request.error(
            field,
            f"its largest value is {peak:.3g}; scale k-space so that this lies between "
            f"{SMALLEST:g} and {LARGEST:g}, or sums of squares do not fit in single precision",
        )
    if not any(coil[mask].any() for coil in samples):
        raise request.error(field, "where the mask says measured, k-space is zero everywhere")
    for coil in samples:
        coil[~mask] = 0
    return KSpace(samples, mask, origin, reference, image_shape, noise_scan)


def image(request: Request, field: str, pixels: np.ndarray, origin: Origin) -> Image:
    """A record whose pixels are float64 or complex128 and finite; integers as they are."""
    kind = np.complex128 if pixels.dtype.kind == "c" else np.float64
    # A long double may be too large for a double.
    with np.errstate(over="ignore", invalid="ignore"):
        pixels = np.ascontiguousarray(pixels, kind)
    require_finite(request, field, pixels)
    return Image(pixels, origin)


def fraction_of_full_scale(pixels: np.ndarray) -> np.ndarray:
    """Integers over the largest value of their type, booleans as 0 and 1; others as they are."""
    if pixels.dtype.kind in "iu":
        return pixels / np.float64(np.iinfo(pixels.dtype).max)
    return pixels


def clip_shape(wanted: tuple[int, int], *available: tuple[int, int]) -> tuple[int, int]:
    """``wanted``, side by side at most what there is."""
    first, second = zip(wanted, *available, strict=True)
    return min(first), min(second)
