"""Real training of the same networks.  Knows nothing of theory."""

from ntkdip.training.loop import DivergenceError, Run, train
from ntkdip.training.objectives import (
    Objective,
    joint_least_squares,
    joint_optimiser,
    joint_start,
    least_squares,
)

__all__ = [
    "DivergenceError",
    "Objective",
    "Run",
    "joint_least_squares",
    "joint_optimiser",
    "joint_start",
    "least_squares",
    "train",
]
