"""Kernels ``W``: neural tangent kernels of image networks.  Knows nothing of operators."""

from ntkdip.kernels.compare import alignment, drift, estimated_drift
from ntkdip.kernels.dense import DenseKernel, Kernel
from ntkdip.kernels.empirical import empirical
from ntkdip.kernels.memory import empirical_bytes, require_memory
from ntkdip.kernels.partial import ConvergenceWarning, Eigenpairs, leading_eigenpairs
from ntkdip.kernels.probing import Estimate, Products
from ntkdip.kernels.storage import StoredKernel, load, save

__all__ = [
    "ConvergenceWarning",
    "DenseKernel",
    "Eigenpairs",
    "Estimate",
    "Kernel",
    "Products",
    "StoredKernel",
    "alignment",
    "drift",
    "empirical",
    "empirical_bytes",
    "estimated_drift",
    "leading_eigenpairs",
    "load",
    "require_memory",
    "save",
]
