"""Kernels ``W``: neural tangent kernels of image networks.  Knows nothing of operators."""

from ntkdip.kernels.dense import DenseKernel, Kernel
from ntkdip.kernels.empirical import empirical
from ntkdip.kernels.estimates import CostEstimate, Route, estimate
from ntkdip.kernels.matrix_free import MatrixFreeKernel, matrix_free
from ntkdip.kernels.memory import require_memory
from ntkdip.kernels.plan import StructureWarning

__all__ = [
    "CostEstimate",
    "DenseKernel",
    "Kernel",
    "MatrixFreeKernel",
    "Route",
    "StructureWarning",
    "empirical",
    "estimate",
    "matrix_free",
    "require_memory",
]
