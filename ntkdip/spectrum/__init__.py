"""Spectra of kernels: Fourier content, density, determinant.  Knows nothing of ``A``."""

from ntkdip.spectrum.density import SpectralDensity, spectral_density
from ntkdip.spectrum.fourier import (
    EigenvectorContent,
    KernelContent,
    eigenvector_content,
    frequency_radius,
    kernel_content,
)
from ntkdip.spectrum.stochastic import log_determinant, trace

__all__ = [
    "EigenvectorContent",
    "KernelContent",
    "SpectralDensity",
    "eigenvector_content",
    "frequency_radius",
    "kernel_content",
    "log_determinant",
    "spectral_density",
    "trace",
]
