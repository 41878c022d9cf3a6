"""Image quality, on magnitudes where images are complex.  Knows nothing of the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Inexact


def rmse(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Root mean square error a pixel, phase included; same unit as the images."""
    return float(np.sqrt(np.mean(np.abs(np.asarray(image) - np.asarray(truth)) ** 2)))


def psnr(image: Inexact[Any, "..."], truth: Inexact[Any, "..."]) -> float:
    """Peak signal-to-noise ratio in dB, on magnitudes.

    The peak is the maximum of the true magnitude (design page, section 1).  Infinite
    where the magnitudes agree exactly.

    Raises
    ------
    ValueError
        If the shapes differ, or the truth is zero everywhere.
    """
    magnitude, true = np.abs(np.asarray(image)), np.abs(np.asarray(truth))
    if magnitude.shape != true.shape:
        raise ValueError(f"psnr compares equal shapes; got {magnitude.shape} and {true.shape}")
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
        If the reference is zero.
    """
    reference = np.asarray(reference)
    scale = np.linalg.norm(reference)
    if scale == 0:
        raise ValueError("relative_distance needs a reference that is not zero")
    return float(np.linalg.norm(np.asarray(image) - reference) / scale)
