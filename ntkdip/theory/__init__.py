"""``W`` and ``A`` together: Theorems 1 and 2, Corollary 1.  Knows nothing of training."""

from ntkdip.theory.cases import examples
from ntkdip.theory.coverage import Coverage
from ntkdip.theory.filters import GradientDescent, GradientFlow, HeavyBall, Method, Nesterov
from ntkdip.theory.krylov import KrylovSettings
from ntkdip.theory.posterior import BandDeviation, GaussianProcess
from ntkdip.theory.recoverability import (
    Gain,
    Sources,
    explained,
    gain,
    null_space_angles,
    sources,
)
from ntkdip.theory.regime import BandError, KernelRegime, MeanSquaredError
from ntkdip.theory.search import Best
from ntkdip.theory.self_guidance import SelfGuidanceError, SelfGuidanceRun, self_guidance
from ntkdip.theory.stopping import (
    StoppingRow,
    estimate_noise,
    gsure,
    stop,
    stopping_table,
    sure,
)
from ntkdip.theory.theorems import corollary_1, examine, theorem_1, theorem_2
from ntkdip.theory.verdicts import Check, Hypothesis, Verdict
from ntkdip.theory.verify import verify

__all__ = [
    "BandDeviation",
    "BandError",
    "Best",
    "Check",
    "Coverage",
    "Gain",
    "GaussianProcess",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Hypothesis",
    "KernelRegime",
    "KrylovSettings",
    "MeanSquaredError",
    "Method",
    "Nesterov",
    "SelfGuidanceError",
    "SelfGuidanceRun",
    "Sources",
    "StoppingRow",
    "Verdict",
    "corollary_1",
    "estimate_noise",
    "examine",
    "examples",
    "explained",
    "gain",
    "gsure",
    "null_space_angles",
    "self_guidance",
    "sources",
    "stop",
    "stopping_table",
    "sure",
    "theorem_1",
    "theorem_2",
    "verify",
]
