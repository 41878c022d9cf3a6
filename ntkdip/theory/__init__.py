"""``W`` and ``A`` together: Theorems 1 and 2, Corollary 1.  Knows nothing of training."""

from ntkdip.theory.filters import GradientDescent, GradientFlow, HeavyBall, Method, Nesterov
from ntkdip.theory.krylov import KrylovSettings
from ntkdip.theory.regime import KernelRegime, MeanSquaredError
from ntkdip.theory.verify import Check, Hypothesis, verify

__all__ = [
    "Check",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Hypothesis",
    "KernelRegime",
    "KrylovSettings",
    "MeanSquaredError",
    "Method",
    "Nesterov",
    "verify",
]
