"""Real training of the same networks, and reconstruction by it.  Knows nothing of theory."""

from ntkdip.training.checkpoints import CheckpointError, CheckpointWarning
from ntkdip.training.holdout import held_out_split, training_weights
from ntkdip.training.interruption import InterruptedRunError
from ntkdip.training.linearised import LinearisedNetwork, stable_rate
from ntkdip.training.loop import DivergenceError, Run, train
from ntkdip.training.methods import (
    METHODS,
    DeepDecoder,
    Method,
    ReferenceGuided,
    SelfGuided,
    Sequential,
    TotalVariation,
    Vanilla,
)
from ntkdip.training.objectives import (
    Evaluation,
    Objective,
    joint_least_squares,
    joint_optimiser,
    joint_start,
    least_squares,
)
from ntkdip.training.optimisers import Optimiser
from ntkdip.training.reconstruction import reconstruct, self_guided, starting_points
from ntkdip.training.results import Outcome, Reconstruction
from ntkdip.training.settings import Settings
from ntkdip.training.stopping import (
    AtIteration,
    Discrepancy,
    HeldOut,
    Observation,
    Pick,
    StoppingRule,
    WindowedVariance,
    expected_noise_norm,
)

__all__ = [
    "METHODS",
    "AtIteration",
    "CheckpointError",
    "CheckpointWarning",
    "DeepDecoder",
    "Discrepancy",
    "DivergenceError",
    "Evaluation",
    "HeldOut",
    "InterruptedRunError",
    "LinearisedNetwork",
    "Method",
    "Objective",
    "Observation",
    "Optimiser",
    "Outcome",
    "Pick",
    "Reconstruction",
    "ReferenceGuided",
    "Run",
    "SelfGuided",
    "Sequential",
    "Settings",
    "StoppingRule",
    "TotalVariation",
    "Vanilla",
    "WindowedVariance",
    "expected_noise_norm",
    "held_out_split",
    "joint_least_squares",
    "joint_optimiser",
    "joint_start",
    "least_squares",
    "reconstruct",
    "self_guided",
    "stable_rate",
    "starting_points",
    "train",
    "training_weights",
]
