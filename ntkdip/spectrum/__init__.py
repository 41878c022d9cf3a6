"""Spectra of kernels: Fourier content of eigenvectors and kernels.  Knows nothing of ``A``."""

from ntkdip.spectrum.fourier import (
    EigenvectorContent,
    KernelContent,
    eigenvector_content,
    frequency_radius,
    kernel_content,
)

__all__ = [
    "EigenvectorContent",
    "KernelContent",
    "eigenvector_content",
    "frequency_radius",
    "kernel_content",
]
