"""``W`` and ``A`` together: Theorems 1 and 2, Corollary 1.  Knows nothing of training."""

from ntkdip.theory.filters import GradientDescent, GradientFlow, HeavyBall, Method, Nesterov
from ntkdip.theory.krylov import KrylovSettings
from ntkdip.theory.regime import KernelRegime, MeanSquaredError
from ntkdip.theory.search import Best
from ntkdip.theory.stopping import (
    StoppingRow,
    estimate_noise,
    gsure,
    stop,
    stopping_table,
    sure,
)
from ntkdip.theory.verify import Check, Hypothesis, verify

__all__ = [
    "Best",
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
    "StoppingRow",
    "estimate_noise",
    "gsure",
    "stop",
    "stopping_table",
    "sure",
    "verify",
]
