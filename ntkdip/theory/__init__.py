"""``W`` and ``A`` together: Theorems 1 and 2, Corollary 1.  Knows nothing of training."""

from ntkdip.theory.regime import KernelRegime, MeanSquaredError
from ntkdip.theory.verify import Check, Hypothesis, verify

__all__ = ["Check", "Hypothesis", "KernelRegime", "MeanSquaredError", "verify"]
