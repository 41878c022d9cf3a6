"""Figures: axes in, axes out.  Knows nothing of files."""

from ntkdip.plotting.coupling import coupling_columns, off_diagonal_shares
from ntkdip.plotting.dimension import effective_dimension_curve, power_law
from ntkdip.plotting.dynamics import distance_curve, mse_curves, psnr_curves
from ntkdip.plotting.eigenspaces import eigenspace_fourier, eigenvector_gallery, kernel_filter
from ntkdip.plotting.guidance import chosen_iterates, guidance_curves
from ntkdip.plotting.images import error_map, log_kspace, magnitude, phase, photograph
from ntkdip.plotting.masks import sampling_mask
from ntkdip.plotting.reconstruction import compared_images, input_evolution, step_curves
from ntkdip.plotting.recovery import (
    band_curve,
    calibration_curve,
    deviation_and_error,
    recovery_map,
    sources_map,
)
from ntkdip.plotting.spectra import (
    FLOOR,
    density_curve,
    eigenvalue_decay,
    eigenvector_fourier,
    kernel_coherence,
    kernel_fourier,
)
from ntkdip.plotting.style import COLOURS, colour, colours, decimal_ticks, style
from ntkdip.plotting.subspaces import alignment_curve, angle_curve
from ntkdip.plotting.widths import movement_curves, runs_by_width, width_scaling

__all__ = [
    "COLOURS",
    "FLOOR",
    "alignment_curve",
    "angle_curve",
    "band_curve",
    "calibration_curve",
    "chosen_iterates",
    "colour",
    "colours",
    "compared_images",
    "coupling_columns",
    "decimal_ticks",
    "density_curve",
    "deviation_and_error",
    "distance_curve",
    "effective_dimension_curve",
    "eigenspace_fourier",
    "eigenvalue_decay",
    "eigenvector_fourier",
    "eigenvector_gallery",
    "error_map",
    "guidance_curves",
    "input_evolution",
    "kernel_coherence",
    "kernel_filter",
    "kernel_fourier",
    "log_kspace",
    "magnitude",
    "movement_curves",
    "mse_curves",
    "off_diagonal_shares",
    "phase",
    "photograph",
    "power_law",
    "psnr_curves",
    "recovery_map",
    "runs_by_width",
    "sampling_mask",
    "sources_map",
    "step_curves",
    "style",
    "width_scaling",
]
