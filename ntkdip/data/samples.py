"""Images that ship inside scikit-image, and the MRI slice as k-space of several coils."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Complex, Float64

from ntkdip.data.coils import biot_savart_sensitivities
from ntkdip.data.mri import SAMPLE, mri_slice
from ntkdip.data.noise import add_noise
from ntkdip.data.records import KSpace, Origin
from ntkdip.data.transforms import to_kspace

Photograph = Literal["astronaut", "camera", "chelsea", "coffee", "moon", "rocket"]


def shepp_logan(size: int = 128) -> Float64[np.ndarray, "size size"]:
    """The modified Shepp-Logan phantom of scikit-image, reduced to ``size`` pixels a side.

    Parameters
    ----------
    size
        2 to 400 pixels.

    Returns
    -------
    ``(size, size)`` float64, 0 to 1.

    Raises
    ------
    ValueError
        If the size is out of range.
    """
    from skimage.data import shepp_logan_phantom

    return _square(np.asarray(shepp_logan_phantom(), np.float64), size, "the phantom")


def photograph(
    name: Photograph = "camera", size: int | None = None
) -> Float64[np.ndarray, "h w *colours"]:
    """A photograph of scikit-image's that needs no download.

    Parameters
    ----------
    name
        ``camera`` and ``moon`` are grey, the others have three colours.
    size
        Side in pixels of the middle square, reduced with antialiasing; by default the whole
        photograph as it is (300 to 640 pixels a side).

    Returns
    -------
    ``(h, w)`` or ``(h, w, 3)`` float64, 0 to 1.

    Raises
    ------
    ValueError
        If the name is unknown or the size is below 2 or above the shorter side.
    """
    import skimage.data

    if name not in get_args(Photograph):
        raise ValueError(f"photographs are {', '.join(get_args(Photograph))}; got {name!r}")
    pixels = getattr(skimage.data, name)() / 255.0
    return pixels if size is None else _square(pixels, size, f"the photograph {name!r}")


def _square(pixels: np.ndarray, size: int, what: str) -> np.ndarray:
    from skimage.transform import resize

    side = min(pixels.shape[:2])
    if not 2 <= size <= side:
        raise ValueError(f"{what} has 2 to {side} pixels a side; got size {size}")
    top, left = ((n - side) // 2 for n in pixels.shape[:2])
    middle = pixels[top : top + side, left : left + side]
    smaller = resize(middle, (size, size), anti_aliasing=size < side, order=1)
    return np.clip(smaller, 0, 1)


def mri_kspace(
    size: int = 128,
    coils: int = 8,
    *,
    mask: Bool[np.ndarray, "size size"] | None = None,
    sensitivities: Complex[np.ndarray, "coils size size"] | None = None,
    sigma: float = 0.0,
    seed: int = 0,
) -> KSpace:
    """K-space of the MRI slice (`mri_slice`) as several coils would measure it.

    What `ntkdip.data.load` gives of a file, simulated: ``M F S_c x + n``.

    Parameters
    ----------
    size
        Side in pixels, 2 to 256.
    coils
        Number of coils.
    mask
        Where k-space is measured; by default everywhere.
    sensitivities
        By default `biot_savart_sensitivities`.
    sigma
        Standard deviation of the complex noise of a sample; the image's maximum is 1.
    seed
        Of the noise.

    Returns
    -------
    `KSpace` with the true magnitude as its ``reference``.

    Raises
    ------
    ValueError
        If `mri_slice` refuses the size, or mask or sensitivities do not fit it.
    """
    image = mri_slice(size)
    if sensitivities is None:
        sensitivities = biot_savart_sensitivities(image.shape, coils)
    mask = np.ones(image.shape, bool) if mask is None else np.asarray(mask, bool)
    if mask.shape != image.shape or sensitivities.shape[1:] != image.shape:
        raise ValueError(
            f"mask and sensitivities of a slice of {size} pixels are ({size}, {size}) and "
            f"(coils, {size}, {size}); got {mask.shape} and {sensitivities.shape}"
        )
    noisy = add_noise(to_kspace(sensitivities * image), sigma=sigma, seed=seed)
    origin = Origin(
        Path(SAMPLE), "simulation", understood=("T1-weighted head slice of matplotlib's samples",)
    )
    reference = np.abs(image).astype(np.float32)
    return KSpace((noisy * mask).astype(np.complex64), mask, origin, reference)
