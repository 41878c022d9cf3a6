"""Kernels ``W``: neural tangent kernels of image networks.  Knows nothing of operators."""

from ntkdip.kernels.compare import alignment, drift, estimated_drift
from ntkdip.kernels.dense import DenseKernel, Kernel
from ntkdip.kernels.empirical import empirical
from ntkdip.kernels.estimates import CostEstimate, Route, estimate
from ntkdip.kernels.matrix_free import MatrixFreeKernel, matrix_free
from ntkdip.kernels.memory import require_memory
from ntkdip.kernels.partial import ConvergenceWarning, Eigenpairs, leading_eigenpairs
from ntkdip.kernels.plan import StructureWarning
from ntkdip.kernels.probing import Estimate, Products
from ntkdip.kernels.storage import StoredKernel, load, save

__all__ = [
    "ConvergenceWarning",
    "CostEstimate",
    "DenseKernel",
    "Eigenpairs",
    "Estimate",
    "Kernel",
    "MatrixFreeKernel",
    "Products",
    "Route",
    "StoredKernel",
    "StructureWarning",
    "alignment",
    "drift",
    "empirical",
    "estimate",
    "estimated_drift",
    "leading_eigenpairs",
    "load",
    "matrix_free",
    "require_memory",
    "save",
]
