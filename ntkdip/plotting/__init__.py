"""Figures: axes in, axes out.  Knows nothing of files."""

from ntkdip.plotting.coupling import coupling_columns, off_diagonal_shares
from ntkdip.plotting.dimension import effective_dimension_curve, power_law
from ntkdip.plotting.dynamics import distance_curve, psnr_curves
from ntkdip.plotting.eigenspaces import eigenspace_fourier, eigenvector_gallery, kernel_filter
from ntkdip.plotting.images import error_map, magnitude, phase
from ntkdip.plotting.spectra import (
    FLOOR,
    density_curve,
    eigenvalue_decay,
    eigenvector_fourier,
    kernel_coherence,
    kernel_fourier,
)
from ntkdip.plotting.style import COLOURS, colour, colours, style
from ntkdip.plotting.subspaces import alignment_curve, angle_curve

__all__ = [
    "COLOURS",
    "FLOOR",
    "alignment_curve",
    "angle_curve",
    "colour",
    "colours",
    "coupling_columns",
    "density_curve",
    "distance_curve",
    "effective_dimension_curve",
    "eigenspace_fourier",
    "eigenvalue_decay",
    "eigenvector_fourier",
    "eigenvector_gallery",
    "error_map",
    "kernel_coherence",
    "kernel_filter",
    "kernel_fourier",
    "magnitude",
    "off_diagonal_shares",
    "phase",
    "power_law",
    "psnr_curves",
    "style",
]
