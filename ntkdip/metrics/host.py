"""Metrics of one image, on the host in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Inexact, Int

SSIM_WINDOW = 11
SIGMA = 1.5
HFEN_RADIUS = 7


def rmse(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Root mean square error a pixel, phase included; same unit as the images.

    Raises
    ------
    ValueError
        If the shapes differ, or an entry is NaN or infinite.
    """
    image, truth = _pair(image, truth)
    return float(np.sqrt(np.mean(np.abs(image - truth) ** 2)))


def psnr(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Peak signal-to-noise ratio in dB, on magnitudes.

    The peak is the maximum of the true magnitude (design page, section 1).  Infinite
    where the magnitudes agree exactly.

    Raises
    ------
    ValueError
        If the shapes differ, an entry is NaN or infinite, or the truth is zero everywhere.
    """
    magnitude, true = _magnitudes(image, truth, "psnr")
    peak = true.max()
    error = np.mean((magnitude - true) ** 2)
    return float(20 * np.log10(peak) - 10 * np.log10(error)) if error else float("inf")


def relative_distance(image: Inexact[Any, "..."], reference: Inexact[Any, "..."]) -> float:
    """``||image - reference|| / ||reference||``, phase included.

    Raises
    ------
    ValueError
        If the shapes differ, an entry is NaN or infinite, or the reference is zero.
    """
    image, reference = _pair(image, reference)
    scale = np.linalg.norm(reference)
    if scale == 0:
        raise ValueError("relative_distance needs a reference that is not zero")
    return float(np.linalg.norm(image - reference) / scale)


def ssim(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Structural similarity of magnitudes, at most 1; scikit-image's, with the paper's window.

    Gaussian window of ``sigma = 1.5``, 11 pixels wide; the range is the maximum of the true
    magnitude.  Source: Wang, Bovik, Sheikh and Simoncelli, IEEE Trans. Image Process. 13, 2004.

    Raises
    ------
    ValueError
        If `psnr` refuses the images, or they are not 2D with at least 11 pixels a side.
    """
    from skimage.metrics import structural_similarity

    magnitude, true = _magnitudes(image, truth, "ssim")
    if true.ndim != 2 or min(true.shape) < SSIM_WINDOW:
        raise ValueError(
            f"ssim needs 2D images of at least {SSIM_WINDOW} pixels a side, the width of its "
            f"window; got shape {true.shape}"
        )
    return float(
        structural_similarity(
            true, magnitude, data_range=float(true.max()), gaussian_weights=True, sigma=SIGMA,
            use_sample_covariance=False,
        )
    )  # fmt: skip


def nmse(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Squared error over squared norm of the truth, on magnitudes, as fastMRI scores it.

    Raises
    ------
    ValueError
        If `psnr` refuses the images.
    """
    magnitude, true = _magnitudes(image, truth, "nmse")
    return float(np.sum((magnitude - true) ** 2) / np.sum(true**2))


def hfen(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """High-frequency error norm: relative error of the Laplacian of a Gaussian of magnitudes.

    The filter has ``sigma = 1.5`` and 15 pixels a side; edges are continued by reflection.
    Source: Ravishankar and Bresler, IEEE Trans. Med. Imaging 30, 2011, there without the
    division by the truth's norm.

    Raises
    ------
    ValueError
        If `psnr` refuses the images, or the true magnitude is constant.
    """
    magnitude, true = _magnitudes(image, truth, "hfen")
    if np.ptp(true) == 0:
        raise ValueError("hfen needs a true image with edges; this one is constant")
    filtered, reference = map(laplacian_of_gaussian, (magnitude, true))
    return float(np.linalg.norm(filtered - reference) / np.linalg.norm(reference))


def laplacian_of_gaussian(x: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The filter of `hfen`."""
    from scipy.ndimage import gaussian_laplace

    return gaussian_laplace(x, SIGMA, truncate=HFEN_RADIUS / SIGMA)


def band_errors(
    image: Inexact[Any, "..."], truth: Inexact[Any, "..."], bands: int = 3
) -> Float64[np.ndarray, " bands"]:
    """Relative error in radial bands of k-space, phase included, low frequencies first.

    Bands are rings of equal width between 0 and the largest radius, that of the corners, in
    cycles a field of view: those of `ntkdip.theory.KernelRegime.mse_by_band`.  The error of a
    band is ``||F(image - truth)|| / ||F truth||`` over its frequencies.  Source: ours.

    Parameters
    ----------
    image, truth
        Arrays of one shape, real or complex, any number of axes.
    bands
        How many, at least 1.

    Returns
    -------
    ``(bands,)`` float64.

    Raises
    ------
    ValueError
        If the shapes differ, an entry is NaN or infinite, or the truth is 0 in a band.
    """
    if bands < 1:
        raise ValueError(f"bands is at least 1; got {bands}")
    image, truth = _pair(image, truth)
    band = radial_band(truth.shape, bands).ravel()
    energy = [
        np.bincount(band, (np.abs(np.fft.fftn(x)) ** 2).ravel(), bands)
        for x in (image - truth, truth)
    ]
    empty = np.flatnonzero(energy[1] == 0)
    if empty.size:
        raise ValueError(
            f"the truth has no frequencies in band {int(empty[0])} of {bands}; use fewer bands"
        )
    return np.sqrt(energy[0] / energy[1])


def radial_band(shape: tuple[int, ...], bands: int) -> Int[np.ndarray, "..."]:
    """Which ring each frequency lies in, 0 for the lowest; zero frequency first, as in NumPy."""
    axes = [np.fft.fftfreq(n, 1 / n) for n in shape]
    radius = np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij", sparse=True)))
    return np.digitize(radius, np.linspace(0.0, radius.max(), bands + 1)[1:-1])


def _magnitudes(image: Any, truth: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    magnitude, true = map(np.abs, _pair(image, truth))
    if true.max() == 0:
        raise ValueError(f"{name} needs a true image that is not zero everywhere")
    return magnitude, true


def _pair(image: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape:
        raise ValueError(f"images of equal shapes compare; got {image.shape}, {reference.shape}")
    for name, values in (("image", image), ("reference", reference)):
        if not np.isfinite(values).all():
            raise ValueError(f"the {name} has NaN or infinite entries; nothing can be compared")
    return image, reference
