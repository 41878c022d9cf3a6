"""How close real training comes to the kernel regime as networks widen, and where it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import jax
import matplotlib.pyplot as plt
import numpy as np
import optax
import scipy.stats
from jaxtyping import Array, Float, Inexact
from matplotlib.figure import Figure

from ntkdip import data, kernels, metrics, networks, operators, plotting, theory, training
from ntkdip.plotting.widths import width_scaling
from ntkdip.progress import track
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

QUANTITIES = {
    "early_distance": f"distance after {STEPS[0]} steps",
    "distance": f"distance after {STEPS[1]} steps",
    "path_distance": f"distance to the path after {STEPS[1]} steps",
    "drift": f"NTK drift after {STEPS[1]} steps",
}
"""What is fitted against width: fields of `WidthRow`, and what figures call them."""

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


@dataclasses.dataclass(frozen=True)
class WidthFit:
    """``quantity = factor * width^exponent``, least squares on logarithms over all networks.

    Two networks make a line and no ``standard_error``: None.
    """

    problem: str
    method: str
    quantity: str
    exponent: float
    standard_error: float | None
    factor: float


@dataclasses.dataclass(frozen=True)
class WidthLaw:
    """All rows, and a power law for each problem, method and quantity."""

    rows: tuple[WidthRow, ...]
    fits: tuple[WidthFit, ...]

    def values(self, problem: str, method: str, quantity: str) -> dict[int, list[float]]:
        """A quantity over seeds, by width."""
        found: dict[int, list[float]] = {}
        for row in self.rows:
            if (row.problem, row.method) == (problem, method):
                found.setdefault(row.width, []).append(getattr(row, quantity))
        return found

    def geometric_mean(self, problem: str, method: str, quantity: str, width: int) -> float:
        """Geometric mean over seeds."""
        return float(np.exp(np.mean(np.log(self.values(problem, method, quantity)[width]))))

    def fit(self, problem: str, method: str, quantity: str) -> WidthFit:
        """The power law of one quantity."""
        wanted = (problem, method, quantity)
        return next(f for f in self.fits if (f.problem, f.method, f.quantity) == wanted)


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """Operator, data and input of one setting, and the network of each width."""

    truth: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray
    zero_filled: np.ndarray
    network: Callable[[int], networks.Architecture]


def reference_problem() -> tuple[np.ndarray, operators.LinearOperator, np.ndarray, np.ndarray]:
    """The 1D reference problem of the design page (section 1), noise-free.

    Returns
    -------
    Truth (256,), operator with 137 samples, data (137,), zero-filled image (256,).
    """
    truth = data.square_signal(256)
    mask = operators.masks.random_conjugate_pairs(256)
    A = operators.masked_fourier(mask, complex_image=False)
    return truth, A, *measured(A, truth)


def width_problem(name: str) -> Problem:
    """A setting of the width study.

    Parameters
    ----------
    name
        ``1D``: `reference_problem` and a real WCNN, kernel size 9, depth 4.  ``2D``: the MRI
        slice at 16x16, 4 of 16 lines, and a complex WCNN, kernel size 3, depth 4.

    Returns
    -------
    `Problem`; its networks see the zero-filled image.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    if name == "1D":
        return Problem(
            *reference_problem(),
            lambda width: networks.wide_cnn(width, depth=4, kernel_size=9, complex_image=False),
        )
    if name != "2D":
        raise ValueError(f"the width study knows the problems 1D and 2D; got {name!r}")
    truth = data.mri_slice(16)
    mask = operators.masks.random_lines(truth.shape, 4.0, seed=0)
    A = operators.masked_fourier(mask, shape=truth.shape)
    return Problem(truth, A, *measured(A, truth), lambda width: networks.wide_cnn(width, depth=4))


def width_law(seeds: Mapping[str, Mapping[int, int]], methods: Sequence[str] = METHODS) -> WidthLaw:
    """Training against its prediction, width by width, from the same start.

    Centred WCNNs are trained for ``STEPS[-1]`` iterations with ``eta = 1 / lambda_max`` of
    ``A W A*`` (heavy ball of momentum 0.9: a tenth of it, the same rate in the long run).
    Theory says of both that distance and drift fall as ``width^(-1/2)``.  Adam reweights
    parameters, which no constant kernel describes: in 1D its distance stays near 5 % at every
    width while its kernel drifts less and less; in 2D it is twice gradient descent's, at equal
    drift.

    Parameters
    ----------
    seeds
        Seeds of every width of every problem (`width_problem`), for example
        ``{"1D": {64: 8, 256: 4}}``.
    methods
        Which of `METHODS`.

    Returns
    -------
    `WidthLaw`.

    Raises
    ------
    ValueError
        If a problem has fewer than two widths, or a width no seed; or a name is unknown.

    Notes
    -----
    A network under three methods takes 4 to 6 seconds up to width 128 on one core; in 1D 35
    at 512, 310 at 1024 and 900 at 2048, in 2D 60 at 512.  Source: design page, section 1 ("NTK
    drift"); Adam's two distances are ours.
    """
    for name, widths in seeds.items():
        if len(widths) < 2 or min(widths.values()) < 1:
            raise ValueError(
                f"an exponent needs two widths with a seed each; {name} got {dict(widths)}"
            )
    if not seeds or not methods or not set(methods) <= set(METHODS):
        raise ValueError(
            f"name a problem at least, and methods out of {METHODS}; got {list(seeds)} and "
            f"{list(methods)}"
        )
    problems = {name: width_problem(name) for name in seeds}
    runs = [
        (name, width, seed)
        for name, widths in seeds.items()
        for width, count in widths.items()
        for seed in range(count)
    ]
    rows = tuple(
        row
        for name, width, seed in track(runs, "networks")
        for row in _train_one(problems[name], name, width, seed, methods)
    )
    fits = tuple(
        _fit(rows, problem, method, quantity)
        for problem in seeds
        for method in methods
        for quantity in QUANTITIES
    )
    return WidthLaw(rows, fits)


def width_figures(law: WidthLaw) -> Iterator[tuple[str, Figure]]:
    """A figure for each problem, ``width_1D`` say: every quantity against width.

    Each is closed after it was used.
    """
    for problem in dict.fromkeys(row.problem for row in law.rows):
        with plotting.style():
            figure, axes = plt.subplots(2, 2, figsize=(10, 9))
            for ax, (quantity, name) in zip(axes.flat, QUANTITIES.items(), strict=True):
                methods = dict.fromkeys(row.method for row in law.rows)
                width_scaling(
                    ax,
                    {m: law.values(problem, m, quantity) for m in methods},
                    {m: _line(law.fit(problem, m, quantity)) for m in methods},
                    quantity=f"{name} (relative)",
                )
            figure.suptitle(f"Theory against training: {problem}")
            yield f"width_{problem}", figure
            plt.close(figure)


def accurately() -> AbstractContextManager[object]:
    """Scope whose products are float32 on every device.

    Accelerators round them to 10 or 8 bits by default, which would hide the agreement.
    """
    return jax.default_matmul_precision("highest")


def _line(fit: WidthFit) -> tuple[float, float | None, float]:
    return fit.exponent, fit.standard_error, fit.factor


def _train_one(
    problem: Problem, name: str, width: int, seed: int, methods: Sequence[str]
) -> Iterator[WidthRow]:
    """Every method from the same start, with the same kernel."""
    A, y = problem.A, problem.y
    net, z = problem.network(width), networks.as_input(problem.zero_filled)
    params = net.init(z, key=jax.random.key(seed))
    W = kernels.empirical(net, params, z)
    descent = theory.KernelRegime(W, A)
    with accurately():
        objective = training.least_squares(net, A, y, z, centre=params)
    for method in methods:
        regime, optimiser = _described(method, descent, width)
        label = f"{method}, {name}, width {width}, seed {seed}"
        with accurately():
            run = training.train(objective, params, optimiser, STEPS, name=label)
        if method == "Adam":
            distances = [_distance_at_residual(regime, y, image) for image in run.images]
        else:
            predicted = regime.trajectory(y, STEPS)
            distances = list(map(metrics.relative_distance, run.images, predicted))
        yield WidthRow(
            name, method, width, seed, distances[0], distances[1],
            path_distance=_distance_to_path(regime, y, run.images[-1]),
            drift=kernels.drift(kernels.empirical(net, run.params, z), W),
            residual=float(np.sqrt(2 * run.losses[-1]) / np.linalg.norm(y)),
        )  # fmt: skip


def _described(
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


def _fit(rows: Sequence[WidthRow], problem: str, method: str, quantity: str) -> WidthFit:
    """Least squares on logarithms, every network counting the same."""
    chosen = [r for r in rows if (r.problem, r.method) == (problem, method)]
    widths: Float[np.ndarray, " n"] = np.log([r.width for r in chosen])
    line = scipy.stats.linregress(widths, np.log([getattr(r, quantity) for r in chosen]))
    return WidthFit(
        problem, method, quantity, float(line.slope),
        float(line.stderr) if len(chosen) > 2 else None, float(np.exp(line.intercept)),
    )  # fmt: skip
