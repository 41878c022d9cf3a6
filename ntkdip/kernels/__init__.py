"""Kernels ``W``: neural tangent kernels of image networks.  Knows nothing of operators."""

from ntkdip.kernels.both_parts import BothParts
from ntkdip.kernels.compare import alignment, drift, estimated_drift
from ntkdip.kernels.dense import DenseKernel, Factored, Kernel
from ntkdip.kernels.empirical import empirical
from ntkdip.kernels.estimates import CostEstimate, Route, estimate
from ntkdip.kernels.infinite.analytic import analytic
from ntkdip.kernels.infinite.bloch import StationaryKernel
from ntkdip.kernels.infinite.closed_form import NoClosedFormError, require_closed_form
from ntkdip.kernels.infinite.invariance import shift_period
from ntkdip.kernels.infinite.low_rank import LowRankKernel, low_rank
from ntkdip.kernels.infinite.recursion import PixelKernels, pixel_kernels
from ntkdip.kernels.infinite.stationary import stationary
from ntkdip.kernels.matrix_free import MatrixFreeKernel, matrix_free
from ntkdip.kernels.memory import require_memory
from ntkdip.kernels.monte_carlo import MonteCarloKernel, monte_carlo, monte_carlo_nngp
from ntkdip.kernels.partial import ConvergenceWarning, Eigenpairs, leading_eigenpairs
from ntkdip.kernels.plan import StructureWarning
from ntkdip.kernels.probing import Estimate, Products
from ntkdip.kernels.storage import StoredKernel, load, save

__all__ = [
    "BothParts",
    "ConvergenceWarning",
    "CostEstimate",
    "DenseKernel",
    "Eigenpairs",
    "Estimate",
    "Factored",
    "Kernel",
    "LowRankKernel",
    "MatrixFreeKernel",
    "MonteCarloKernel",
    "NoClosedFormError",
    "PixelKernels",
    "Products",
    "Route",
    "StationaryKernel",
    "StoredKernel",
    "StructureWarning",
    "alignment",
    "analytic",
    "drift",
    "empirical",
    "estimate",
    "estimated_drift",
    "leading_eigenpairs",
    "load",
    "low_rank",
    "matrix_free",
    "monte_carlo",
    "monte_carlo_nngp",
    "pixel_kernels",
    "require_closed_form",
    "require_memory",
    "save",
    "shift_period",
    "stationary",
]
