"""Kernels ``W``: neural tangent kernels of image networks.  Knows nothing of operators."""

from ntkdip.kernels.dense import DenseKernel, Kernel
from ntkdip.kernels.empirical import empirical
from ntkdip.kernels.memory import empirical_bytes, require_memory

__all__ = ["DenseKernel", "Kernel", "empirical", "empirical_bytes", "require_memory"]
