"""Networks of the width study: real training beside the kernel regime, one width at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip import data, kernels, metrics, networks, operators, theory, training
from ntkdip.studies.measurement import measured

STEPS = (10, 100)
"""Iterations at which training and prediction are compared: early, and at the end."""

METHODS = ("gradient descent", "momentum", "Adam")

MOMENTUM = 0.9

ADAM_RATE = 0.1
"""Adam's learning rate times the width.

A step of Adam moves every weight alike and the image in proportion to the width: at this
rate the image of every width moves as fast, and the kernel drifts less the wider it is.
"""

PATH = np.unique(np.round(np.geomspace(1, 1e7, 400)))
"""Iterations at which the predicted path is looked at first."""


@dataclasses.dataclass(frozen=True)
class WidthRow:
    """One network under one method.

    Distances are relative to the prediction's norm.  ``early_distance`` and ``distance`` are
    those after `STEPS`: to the prediction after as many iterations.  Adam has no prediction,
    so for Adam to gradient descent's at the iteration whose data residual comes closest.
    ``path_distance`` is that to the nearest image of the whole predicted path (iterations 1
    to 1e7).  ``drift`` is ``||W_t - W_0||_F / ||W_0||_F`` at the end and ``residual``
    ``||A f - y|| / ||y||`` there.
    """

    problem: str
    method: str
    width: int
    seed: int
    early_distance: float
    distance: float
    path_distance: float
    drift: float
    residual: float


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Operator, data and input of one setting, and the network of each width."""

    truth: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray
    zero_filled: np.ndarray
    network: Callable[[int], networks.Architecture]


def reference_problem(
    seed: int = 0,
) -> tuple[np.ndarray, operators.LinearOperator, np.ndarray, np.ndarray]:
    """The 1D reference problem of the design page (section 1), noise-free.

    Parameters
    ----------
    seed
        Of the mask; the reference numbers are on 0.

    Returns
    -------
    Truth (256,), operator with p samples, data (p,), zero-filled image (256,); p is 137 for
    seed 0.
    """
    truth = data.square_signal(256)
    mask = operators.masks.random_conjugate_pairs(256, seed=seed)
    A = operators.masked_fourier(mask, complex_image=False)
    return truth, A, *measured(A, truth)


def reference_wcnn(width: int) -> networks.Architecture:
    """The WCNN of the 1D reference problem: real, kernel size 9, depth 4."""
    return networks.wide_cnn(width, depth=4, kernel_size=9, complex_image=False)


def width_problem(name: str) -> Problem:
    """A setting of the width study.

    Parameters
    ----------
    name
        ``1D``: `reference_problem` and `reference_wcnn`.  ``2D``: the MRI slice at 16x16, 4 of
        16 lines, and a complex WCNN, kernel size 3, depth 4.

    Returns
    -------
    `Problem`; its networks see the zero-filled image.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    if name == "1D":
        return Problem(*reference_problem(), reference_wcnn)
    if name != "2D":
        raise ValueError(f"the width study knows the problems 1D and 2D; got {name!r}")
    truth = data.mri_slice(16)
    mask = operators.masks.random_lines(truth.shape, 4.0, seed=0)
    A = operators.masked_fourier(mask, shape=truth.shape)
    return Problem(truth, A, *measured(A, truth), lambda width: networks.wide_cnn(width, depth=4))


def accurately() -> AbstractContextManager[object]:
    """Scope whose products are float32 on every device.

    Accelerators round them to 10 or 8 bits by default, which would hide the agreement.
    """
    return jax.default_matmul_precision("highest")


@dataclasses.dataclass(frozen=True, eq=False)
class Start:
    """A centred network before training: where every method begins, and its kernel there."""

    net: networks.Architecture
    z: Array
    params: nnx.State
    descent: theory.KernelRegime
    objective: training.Objective

    def kernel(self, params: nnx.State) -> kernels.Kernel:
        """The empirical kernel at other parameters."""
        return kernels.empirical(self.net, params, self.z)

    def drift(self, params: nnx.State) -> float:
        """``||W_t - W_0||_F / ||W_0||_F`` at other parameters."""
        return kernels.drift(self.kernel(params), self.descent.W)


def start(problem: Problem, width: int, seed: int) -> Start:
    """The network of one width and seed, which sees the zero-filled image."""
    net, z = problem.network(width), networks.as_input(problem.zero_filled)
    params = net.init(z, key=jax.random.key(seed))
    descent = theory.KernelRegime(kernels.empirical(net, params, z), problem.A)
    with accurately():
        objective = training.least_squares(net, problem.A, problem.y, z, centre=params)
    return Start(net, z, params, descent, objective)


def train_one(
    problem: Problem, name: str, width: int, seed: int, methods: Sequence[str]
) -> Iterator[WidthRow]:
    """Every method from the same start, with the same kernel."""
    y, begun = problem.y, start(problem, width, seed)
    for method in methods:
        regime, optimiser = described(method, begun.descent, width)
        label = f"{method}, {name}, width {width}, seed {seed}"
        with accurately():
            run = training.train(begun.objective, begun.params, optimiser, STEPS, name=label)
        distances = distances_of(run, method, regime, y)
        yield WidthRow(
            name, method, width, seed, distances[0], distances[1],
            path_distance=_distance_to_path(regime, y, run.images[-1]),
            drift=begun.drift(run.params),
            residual=float(residuals_of(run, y)[-1]),
        )  # fmt: skip


def distances_of(
    run: training.Run, method: str, regime: theory.KernelRegime, y: np.ndarray
) -> list[float]:
    """Relative distance to the prediction at each recorded step, as `WidthRow` defines it."""
    if method == "Adam":
        return [_distance_at_residual(regime, y, image) for image in run.images]
    predicted = regime.trajectory(y, run.steps)
    return list(map(metrics.relative_distance, run.images, predicted))


def residuals_of(run: training.Run, y: np.ndarray) -> Float[np.ndarray, " T"]:
    """``||A f - y|| / ||y||`` at each recorded step."""
    return np.sqrt(2 * run.losses) / np.linalg.norm(y)


def described(
    method: str, descent: theory.KernelRegime, width: int
) -> tuple[theory.KernelRegime, optax.GradientTransformation]:
    """What predicts a method (Adam: gradient descent's regime), and what trains with it."""
    if method == "Adam":
        return descent, optax.adam(ADAM_RATE / width)
    if method == "gradient descent":
        return descent, optax.sgd(descent.step_size)
    step = (1 - MOMENTUM) * descent.step_size
    regime = theory.KernelRegime(
        descent.W, descent.A, method=theory.HeavyBall(step_size=step, momentum=MOMENTUM)
    )
    return regime, optax.sgd(step, momentum=MOMENTUM)


def _distance_to_path(
    regime: theory.KernelRegime, y: np.ndarray, image: Inexact[Array | np.ndarray, "..."]
) -> float:
    """Relative distance to the nearest image of the predicted path."""

    def distances(path: np.ndarray) -> np.ndarray:
        return np.array([metrics.relative_distance(image, z) for z in path])

    return float(distances(_searched(regime, y, distances)[None])[0])


def _distance_at_residual(
    regime: theory.KernelRegime, y: np.ndarray, image: Inexact[Array | np.ndarray, "..."]
) -> float:
    """Relative distance to the prediction whose data residual is the nearest."""
    A = regime.A
    data = A.range.embed(y)

    def residuals(images: np.ndarray) -> np.ndarray:
        rows = np.stack([A.domain.embed(np.asarray(z, images.dtype)) for z in images])
        return np.linalg.norm(operators.apply_to_rows(A, rows) - data, axis=1)

    wide = np.complex128 if A.domain.is_complex else np.float64
    own = residuals(np.asarray(image, wide)[None])[0]
    return metrics.relative_distance(
        image, _searched(regime, y, lambda path: np.abs(np.log(residuals(path) / own)))
    )


def _searched(
    regime: theory.KernelRegime, y: np.ndarray, cost: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """The image of the predicted path of least cost: coarsely first, then between neighbours."""
    best = int(np.argmin(cost(regime.trajectory(y, PATH))))
    low, high = PATH[max(best - 1, 0)], PATH[min(best + 1, PATH.size - 1)]
    near = np.unique(np.round(np.linspace(low, high, 64)))
    images = regime.trajectory(y, near)
    return images[int(np.argmin(cost(images)))]
