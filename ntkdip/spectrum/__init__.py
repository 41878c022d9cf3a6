"""Spectra of kernels: decay, dimension, eigenspaces, Fourier content, density, alignment.

Knows nothing of ``A``.
"""

from ntkdip.spectrum.coupling import (
    KernelColumns,
    OffDiagonalEstimate,
    kernel_columns,
    off_diagonal_estimate,
)
from ntkdip.spectrum.decay import PowerLaw, fit_power_law
from ntkdip.spectrum.density import SpectralDensity, spectral_density
from ntkdip.spectrum.dimension import Bounds, effective_dimension, participation_ratio
from ntkdip.spectrum.eigenspace import (
    Eigenspace,
    EigenspaceContent,
    eigenspace_content,
    eigenspace_image,
    eigenspaces,
    leading_eigenspaces,
    projector_distance,
)
from ntkdip.spectrum.fourier import (
    EigenvectorContent,
    KernelContent,
    eigenvector_content,
    frequency_radius,
    kernel_content,
)
from ntkdip.spectrum.rows import KernelRow, kernel_row
from ntkdip.spectrum.stochastic import log_determinant, trace
from ntkdip.spectrum.subspaces import Alignment, PrincipalAngles, alignment, principal_angles

__all__ = [
    "Alignment",
    "Bounds",
    "Eigenspace",
    "EigenspaceContent",
    "EigenvectorContent",
    "KernelColumns",
    "KernelContent",
    "KernelRow",
    "OffDiagonalEstimate",
    "PowerLaw",
    "PrincipalAngles",
    "SpectralDensity",
    "alignment",
    "effective_dimension",
    "eigenspace_content",
    "eigenspace_image",
    "eigenspaces",
    "eigenvector_content",
    "fit_power_law",
    "frequency_radius",
    "kernel_columns",
    "kernel_content",
    "kernel_row",
    "leading_eigenspaces",
    "log_determinant",
    "off_diagonal_estimate",
    "participation_ratio",
    "principal_angles",
    "projector_distance",
    "spectral_density",
    "trace",
]
