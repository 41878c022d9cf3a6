"""Image quality, on magnitudes where images are complex.  Knows nothing of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Inexact


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
    magnitude, true = map(np.abs, _pair(image, truth))
    peak = true.max()
    if peak == 0:
        raise ValueError("psnr needs a true image that is not zero everywhere")
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


def _pair(image: Any, reference: Any) -> tuple[np.ndarray, np.ndarray]:
    image, reference = np.asarray(image), np.asarray(reference)
    if image.shape != reference.shape:
        raise ValueError(f"images of equal shapes compare; got {image.shape}, {reference.shape}")
    for name, values in (("image", image), ("reference", reference)):
        if not np.isfinite(values).all():
            raise ValueError(f"the {name} has NaN or infinite entries; nothing can be compared")
    return image, reference
