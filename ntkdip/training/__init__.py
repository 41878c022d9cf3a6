"""Real training of the same networks.  Knows nothing of theory."""

from ntkdip.training.loop import DivergenceError, Run, train
from ntkdip.training.objectives import Objective, least_squares

__all__ = ["DivergenceError", "Objective", "Run", "least_squares", "train"]
