"""Figures: axes in, axes out.  Knows nothing of files."""

from ntkdip.plotting.dynamics import distance_curve, psnr_curves
from ntkdip.plotting.images import error_map, magnitude, phase
from ntkdip.plotting.spectra import (
    eigenvalue_decay,
    eigenvector_fourier,
    kernel_coherence,
    kernel_fourier,
)
from ntkdip.plotting.style import COLOURS, colour, style

__all__ = [
    "COLOURS",
    "colour",
    "distance_curve",
    "eigenvalue_decay",
    "eigenvector_fourier",
    "error_map",
    "kernel_coherence",
    "kernel_fourier",
    "magnitude",
    "phase",
    "psnr_curves",
    "style",
]
