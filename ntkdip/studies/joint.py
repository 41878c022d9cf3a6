"""Training the input too: how far it may move before the joint kernel's prediction ends.

The joint kernel ``W_theta + r W_z`` is the first order of parameters and input together.  What
it leaves out is of second order for smooth networks: relative to the change of the image, its
error starts in proportion to the movement ``m``.  ReLUs have kinks besides: a share ``m`` of the
units crosses theirs, each with an error of order ``m`` and a sign of its own, ``sqrt(m)`` relative
to the change at any width.  Their exponent therefore lies between 1/2 and 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkdip import kernels, networks, plotting, theory, training
from ntkdip.networks.layers import Erf, Layer, ReLU
from ntkdip.plotting.widths import movement_curves
from ntkdip.progress import track
from ntkdip.studies.configuration import JointConfiguration
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


def joint_study(configuration: JointConfiguration) -> JointStudy:
    """Joint gradient descent on the 1D reference problem against the joint kernel.

    A centred WCNN is trained in weights (rate ``eta``) and input (``eta r``) from the same
    start for every relative rate ``r``, and predicted from ``kernels.empirical(...,
    input_rate=r)`` at the start.

    Parameters
    ----------
    configuration
        Width, activations, seeds, rates and steps.

    Returns
    -------
    `JointStudy`, the runs of one network in the order of the rates, 0 first.

    Raises
    ------
    ValueError
        If there is no seed or step, no positive rate, an unknown activation, or the step is
        not stable for the largest rate.

    Notes
    -----
    About four seconds a run of 256 steps at width 256 on one core.  Source: design page,
    section 1 ("Input kernel"); measuring the effect of the input apart from the finite width
    is ours.
    """
    c = configuration
    if c.seeds < 1 or c.steps < 1 or not c.input_rates or min(c.input_rates) <= 0:
        raise ValueError(f"give a seed, a step and a rate, all positive; got {c}")
    if not 0 < c.step_share < 2:
        raise ValueError(f"step_share is eta lambda_max, stable between 0 and 2; got {c}")
    if not c.activations or not set(c.activations) <= set(ACTIVATIONS):
        raise ValueError(f"activations are out of {tuple(ACTIVATIONS)}; got {c.activations}")
    problem = width_problem("1D")
    rows = [
        row
        for activation in c.activations
        for seed in range(c.seeds)
        for row in _one_network(problem, c, activation, seed)
    ]
    return JointStudy(c, tuple(rows))


def joint_figures(study: JointStudy) -> Iterator[tuple[str, Figure]]:
    """``joint``: three distances against movement, one row an activation (first seed).

    The figure is closed after it was used.
    """
    activations = study.configuration.activations
    with plotting.style():
        figure, axes = plt.subplots(
            len(activations), 3, figsize=(14, 4.4 * len(activations)), squeeze=False
        )
        for row, activation in zip(axes, activations, strict=True):
            _draw(list(row), activation, [r for r in study.moving(activation) if r.seed == 0])
        yield "joint", figure
        plt.close(figure)


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
