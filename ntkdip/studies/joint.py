"""Training the input too: how far it may move before the joint kernel's prediction ends.

The joint kernel ``W_theta + r W_z`` is the first order of parameters and input together.  What
it leaves out is of second order for smooth networks: relative to the change of the image, its
error starts in proportion to the movement ``m``.  ReLUs have kinks besides: a share ``m`` of the
units crosses theirs, each with an error of order ``m`` and a sign of its own, ``sqrt(m)`` relative
to the change at any width.  Their exponent therefore lies between 1/2 and 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from jaxtyping import Float
from matplotlib.axes import Axes

from ntkdip import kernels, networks, plotting, theory, training
from ntkdip.networks.layers import Erf, Layer, ReLU
from ntkdip.plotting.widths import movement_curves
from ntkdip.progress import track
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Table
from ntkdip.studies.verdicts import Verdict
from ntkdip.studies.width import Problem, accurately, width_problem

TOLERANCE = 0.1
"""Relative distance beyond which the prediction is said to have ended."""

HALF = 0.5
"""Share of the input's effect beyond which its prediction is said to have ended."""

ACTIVATIONS: dict[str, Layer] = {"ReLU": ReLU(), "Erf": Erf()}

FIRST_PART = 0.1
"""The first part of a run: up to ``t = FIRST_PART / (eta lambda_max)``, where the residual has
hardly changed, so that parameters and input both move in proportion to ``t``."""


@dataclasses.dataclass(frozen=True)
class JointConfiguration:
    """What the study of joint dynamics trains."""

    width: int = 256
    """Channels of the WCNN."""
    seeds: int = 1
    """Networks of each activation."""
    activations: tuple[str, ...] = ("ReLU", "Erf")
    """Of the WCNN: with kinks, or smooth."""
    input_rates: tuple[float, ...] = (10.0, 100.0, 300.0)
    """Learning rates of the input relative to that of the weights."""
    steps: int = 256
    """Iterations of gradient descent."""
    step_share: float = 0.02
    """``eta lambda_max(A W_theta A*)``: small, so that the first movements are small too."""

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.steps < 1 or not self.input_rates or min(self.input_rates) <= 0:
            raise ValueError(f"give a seed, a step and a rate, all positive; got {self}")
        if not 0 < self.step_share < 2:
            raise ValueError(
                f"step_share is eta lambda_max, stable between 0 and 2; got {self.step_share}"
            )
        if not self.activations or not set(self.activations) <= set(ACTIVATIONS):
            raise ValueError(f"activations are out of {tuple(ACTIVATIONS)}; got {self.activations}")


PRESETS = {
    "smoke": JointConfiguration(width=32, input_rates=(10.0, 100.0), steps=32),
    "quick": JointConfiguration(),
    "full": JointConfiguration(
        width=512, seeds=3, input_rates=(1.0, 10.0, 30.0, 100.0, 300.0, 1000.0), steps=512
    ),
}


@dataclasses.dataclass(frozen=True)
class JointRow:
    """One run of joint gradient descent against its prediction, at the recorded ``steps`` (T).

    ``movements`` are ``||z_t - z_0|| / ||z_0||``.  All others are relative to the prediction's
    norm: ``distances`` those between trained and predicted image; ``effects`` what training
    the input changed in the trained image (against the same network and steps, input fixed);
    ``errors`` how far the predicted effect is from it, so that the distance that finite width
    alone causes is left out.

    ``input_share`` is the input's share ``r g^T W_z g / g^T W g`` of the loss's first fall,
    ``g = A* y``.  ``slope`` is the
    exponent of ``errors`` against ``movements`` over the first part of the run, ``factor`` that
    of ``errors = factor * movements`` there; both None where the input does not move.
    ``ends_at`` is the movement where ``distances`` first pass `TOLERANCE`, ``effect_ends_at``
    where ``errors`` first pass half of ``effects``; None where they never do.
    """

    activation: str
    seed: int
    input_rate: float
    input_share: float
    steps: tuple[int, ...]
    movements: tuple[float, ...]
    distances: tuple[float, ...]
    effects: tuple[float, ...]
    errors: tuple[float, ...]
    slope: float | None
    factor: float | None
    ends_at: float | None
    effect_ends_at: float | None


@dataclasses.dataclass(frozen=True)
class JointStudy:
    """All runs; those with input rate 0 train the weights alone."""

    configuration: JointConfiguration
    rows: tuple[JointRow, ...]

    def moving(self, activation: str) -> list[JointRow]:
        """The runs of one activation whose input is trained."""
        return [r for r in self.rows if r.activation == activation and r.input_rate > 0]


@dataclasses.dataclass(frozen=True)
class JointSettings:
    """One network under every rate."""

    configuration: JointConfiguration
    """Its activations and seeds play no part."""
    activation: str
    seed: int


def train_jointly(given: JointSettings) -> dict[str, np.ndarray]:
    """Joint gradient descent on the 1D reference problem against the joint kernel.

    A centred WCNN is trained in weights (rate ``eta``) and input (``eta r``) from the same
    start for every relative rate ``r``, and predicted from ``kernels.empirical(...,
    input_rate=r)`` at the start.

    Returns
    -------
    Columns of `JointRow`, in the order of the rates, 0 first.

    Raises
    ------
    ValueError
        If the step is not stable for the largest rate.

    Notes
    -----
    About four seconds a run of 256 steps at width 256 on one core.  Source: design page,
    section 1 ("Input kernel"); measuring the effect of the input apart from the finite width
    is ours.
    """
    rows = _one_network(width_problem("1D"), given.configuration, given.activation, given.seed)
    return columns_of(list(rows))


def cells(c: JointConfiguration) -> dict[Any, Cell]:
    """A cell for each activation and seed."""
    return {
        (activation, seed): Cell(f"{activation}, seed {seed}", train_jointly,
                                 JointSettings(_shared(c), activation, seed))
        for activation in c.activations
        for seed in range(c.seeds)
    }  # fmt: skip


def _shared(c: JointConfiguration) -> JointConfiguration:
    """What decides a cell: neither how many seeds there are nor which other activations."""
    return dataclasses.replace(c, seeds=1, activations=tuple(ACTIVATIONS))


def study_of(c: JointConfiguration, results: Mapping[Any, Result]) -> JointStudy:
    """The rows of all cells."""
    return JointStudy(c, rows_of(JointRow, *results.values()))


def report(c: JointConfiguration, results: Mapping[Any, Result]) -> Report:
    """A table, the distances against movement, and where first order ends."""
    study = study_of(c, results)
    entries = tuple(
        (r.activation, f"{r.input_rate:g}", str(r.seed), 100 * r.input_share, r.movements[-1],
         100 * r.distances[-1], r.slope, r.factor, r.ends_at, r.effect_ends_at)
        for r in study.rows if r.input_rate > 0
    )  # fmt: skip
    columns = (
        "activation", "input rate", "seed", "share of the first step (%)", "movement at the end",
        "distance at the end (%)", "slope of the error", "error / movement",
        "movement at 10 % distance", "movement at half of the effect",
    )  # fmt: skip
    title = f"Joint training of weights and input, width {c.width} (-: not reached)"
    table = Table("joint", title, columns, entries)
    return Report([table], joint_pictures(study), _verdicts(study))


def _verdicts(study: JointStudy) -> list[Verdict]:
    """That smooth networks err to first order in the movement, and kinks sooner."""
    slopes = {
        activation: tuple(r.slope for r in study.moving(activation) if r.slope is not None)
        for activation in study.configuration.activations
    }
    return [
        Verdict(
            f"{activation}: relative to the movement of the input, the error of the joint "
            "kernel's prediction starts with an exponent above 0.9",
            found, bar=0.9, repetitions="runs (seeds and rates)",
        )
        for activation, found in slopes.items() if found
    ]  # fmt: skip


def joint_pictures(study: JointStudy) -> Iterator[Picture]:
    """``joint``: three distances against movement, one row an activation (first seed)."""
    activations = study.configuration.activations
    with plotting.style():
        figure, axes = plt.subplots(
            len(activations), 3, figsize=(14, 4.4 * len(activations)), squeeze=False
        )
        for row, activation in zip(axes, activations, strict=True):
            _draw(list(row), activation, [r for r in study.moving(activation) if r.seed == 0])
        yield Picture(
            "joint", "Where first order ends",
            "Against the movement of the input: distance of the trained image to the joint "
            "kernel's prediction; the error of the predicted effect of moving the input; that "
            "error as a share of the effect.", figure,
        )  # fmt: skip


def _draw(axes: list[Axes], activation: str, rows: list[JointRow]) -> None:
    whole, effect, share = axes
    names = {f"input rate {row.input_rate:g}": row for row in rows}
    moved = {name: np.array(row.movements) for name, row in names.items()}
    movement_curves(
        whole,
        {name: (moved[name], np.array(row.distances)) for name, row in names.items()},
        threshold=TOLERANCE,
        quantity="trained to predicted image (relative)",
    )
    whole.set_title(f"{activation}: distance, finite width included")
    movement_curves(
        effect,
        {name: (moved[name], np.array(row.errors)) for name, row in names.items()},
        first_order={n: row.factor for n, row in names.items() if row.factor is not None},
        quantity="error of the input's effect (relative to the image)",
    )
    effect.set_title(f"{activation}: what moving the input adds; dotted: first order")
    movement_curves(
        share,
        {n: (moved[n], np.array(r.errors) / np.array(r.effects)) for n, r in names.items()},
        threshold=HALF,
        quantity="error / effect of the input",
    )
    share.set_title(f"{activation}: share of the input's effect that is missed")


def _one_network(
    problem: Problem, c: JointConfiguration, activation: str, seed: int
) -> Iterator[JointRow]:
    """Every rate from the same start with the same step, the fixed input first."""
    net, z = _network(problem, c.width, activation), networks.as_input(problem.zero_filled)
    params = net.init(z, key=jax.random.key(seed))
    fixed = kernels.empirical(net, params, z)
    weights = theory.KernelRegime(fixed, problem.A)
    eta = c.step_share * weights.step_size
    # Every stability bound is tested before the first network is trained.
    regimes = {0.0: theory.KernelRegime(fixed, problem.A, step_size=eta)}
    for rate in sorted(c.input_rates):
        W = kernels.empirical(net, params, z, input_rate=rate)
        regimes[rate] = theory.KernelRegime(W, problem.A, step_size=eta)
    gradient = problem.A.domain.embed(problem.zero_filled)
    with accurately():
        objective = training.joint_least_squares(net, problem.A, problem.y, z, centre=params)
    record_at = np.unique(np.r_[2 ** np.arange(int(np.log2(c.steps)) + 1), c.steps])
    baseline: tuple[np.ndarray, np.ndarray] | None = None
    for rate, regime in track(regimes.items(), f"{activation}, seed {seed}: input rates"):
        optimiser = training.joint_optimiser(optax.sgd(eta), optax.sgd(eta * rate))
        start = training.joint_start(params, z)
        label = f"joint training, input rate {rate:g}"
        with accurately():
            run = training.train(objective, start, optimiser, record_at, name=label)
        predicted = regime.trajectory(problem.y, run.steps)
        baseline = baseline or (run.images, predicted)
        share = 1 - float(gradient @ (fixed @ gradient) / (gradient @ (regime.W @ gradient)))
        yield _row(activation, seed, rate, share, run, predicted, baseline, c.step_share)


def _network(problem: Problem, width: int, activation: str) -> networks.Architecture:
    net = problem.network(width)
    chosen = ACTIVATIONS[activation]
    layers = (chosen if isinstance(layer, ReLU) else layer for layer in net.layers)
    return dataclasses.replace(net, layers=tuple(layers))


def _row(
    activation: str,
    seed: int,
    rate: float,
    share: float,
    run: training.Run,
    predicted: np.ndarray,
    baseline: tuple[np.ndarray, np.ndarray],
    step_share: float,
) -> JointRow:
    def norms(images: np.ndarray) -> np.ndarray:
        return np.linalg.norm(images, axis=1)

    trained_fixed, predicted_fixed = baseline
    size = norms(predicted)
    effect = run.images - trained_fixed
    movements = run.scalars["input_movement"].astype(np.float64)
    distances = norms(run.images - predicted) / size
    effects = norms(effect) / size
    errors = norms(effect - (predicted - predicted_fixed)) / size
    slope = factor = half = None
    if rate > 0:
        first = run.steps <= max(FIRST_PART / step_share, run.steps[min(2, run.steps.size - 1)])
        logs = np.log(movements[first]), np.log(errors[first])
        slope = float(np.polyfit(*logs, 1)[0]) if first.sum() > 1 else None
        factor = float(np.exp(np.mean(logs[1] - logs[0])))
        half = _crossing(movements, errors / effects, HALF)
    return JointRow(
        activation, seed, rate, share, tuple(run.steps.tolist()), tuple(movements.tolist()),
        tuple(distances.tolist()), tuple(effects.tolist()), tuple(errors.tolist()), slope,
        factor, _crossing(movements, distances, TOLERANCE) if rate > 0 else None, half,
    )  # fmt: skip


def _crossing(
    movements: Float[np.ndarray, " T"], values: Float[np.ndarray, " T"], level: float
) -> float | None:
    """Movement where ``values`` first pass a level, on the logarithmic line to that point."""
    above = np.flatnonzero(values > level)
    if not above.size:
        return None
    i = int(above[0])
    if i == 0:
        return float(movements[0])
    x, v = np.log(movements[i - 1 : i + 1]), np.log(values[i - 1 : i + 1])
    return float(np.exp(x[0] + (np.log(level) - v[0]) / (v[1] - v[0]) * (x[1] - x[0])))


STUDY: Study[JointConfiguration] = Study(
    "joint",
    "Training the input too",
    "How far may the input move before the joint kernel's prediction ends?",
    PRESETS,
    cells,
    report,
)
