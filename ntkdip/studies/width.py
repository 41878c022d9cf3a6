"""How close real training comes to the kernel regime as networks widen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from ntkdip import data, kernels, metrics, networks, operators, theory
from ntkdip.progress import track
from ntkdip.studies.comparison import train_centred

STEPS = (100, 200)


@dataclasses.dataclass(frozen=True)
class WidthRow:
    """One network: distance between trained and predicted image after `STEPS`, and the limit.

    ``distances`` are relative to the prediction's norm; ``limit_rmse`` is Theorem 1's.
    """

    width: int
    seed: int
    distances: tuple[float, ...]
    limit_rmse: float


@dataclasses.dataclass(frozen=True)
class WidthLaw:
    """All rows, and the exponent of the geometric mean against width after each of `STEPS`."""

    rows: tuple[WidthRow, ...]
    exponents: tuple[float, ...]

    def geometric_mean(self, width: int, step: int) -> float:
        """Geometric mean over seeds of the distance after ``step`` iterations."""
        values = [r.distances[STEPS.index(step)] for r in self.rows if r.width == width]
        return float(np.exp(np.mean(np.log(values))))

    def extremes(self, width: int, step: int) -> tuple[float, float]:
        """Smallest and largest distance over seeds after ``step`` iterations."""
        values = [r.distances[STEPS.index(step)] for r in self.rows if r.width == width]
        return min(values), max(values)


def reference_problem() -> tuple[np.ndarray, operators.LinearOperator, np.ndarray, np.ndarray]:
    """The 1D reference problem of the design page (section 1), noise-free.

    Returns
    -------
    Truth (256,), operator with 137 samples, data (137,), zero-filled image (256,).
    """
    truth = data.square_signal(256)
    mask = operators.masks.random_conjugate_pairs(256)
    A = operators.masked_fourier(mask, complex_image=False)
    with operators.host_float64():
        y = np.asarray(A(truth))
        zero_filled = np.asarray(A.adjoint(y))
    return truth, A, y, zero_filled


def width_law(seeds: dict[int, int]) -> WidthLaw:
    """Gradient descent against its prediction on the 1D reference problem, width by width.

    A centred WCNN (kernel size 9, depth 4, zero-filled image as input) is trained with
    ``eta = 1 / lambda_max(A W A*)``; theory says that the distance falls as
    ``width^(-1/2)``.

    Parameters
    ----------
    seeds
        Number of seeds for each width, for example ``{64: 8, 256: 8, 1024: 4}``.

    Returns
    -------
    `WidthLaw`.  About a second a seed at width 64, five at 256, ninety at 1024 on two
    cores.

    Raises
    ------
    ValueError
        If there are fewer than two widths, or a width without a seed.
    """
    if len(seeds) < 2 or min(seeds.values()) < 1:
        raise ValueError(f"an exponent needs two widths with a seed each; got {seeds}")
    problem = reference_problem()
    runs = [(width, seed) for width, count in seeds.items() for seed in range(count)]
    rows = tuple(_train_one(problem, *run) for run in track(runs, "networks"))
    law = WidthLaw(rows, ())
    widths = sorted(seeds)
    exponents = [_slope(widths, [law.geometric_mean(w, step) for w in widths]) for step in STEPS]
    return dataclasses.replace(law, exponents=tuple(exponents))


def _train_one(
    problem: tuple[np.ndarray, operators.LinearOperator, np.ndarray, np.ndarray],
    width: int,
    seed: int,
) -> WidthRow:
    truth, A, y, zero_filled = problem
    net = networks.wide_cnn(width, depth=4, kernel_size=9, complex_image=False)
    z = networks.as_input(zero_filled)
    params = net.init(z, key=jax.random.key(seed))
    regime = theory.KernelRegime(kernels.empirical(net, params, z), A)
    name = f"width {width}, seed {seed}"
    run = train_centred(net, params, z, A, y, regime.step_size, STEPS, name)
    predicted = regime.trajectory(y, STEPS)
    distances = map(metrics.relative_distance, run.images, predicted)
    return WidthRow(width, seed, tuple(distances), metrics.rmse(regime.limit(y), truth))


def _slope(widths: Sequence[int], distances: Sequence[float]) -> float:
    """Exponent of a power law, least squares on logarithms."""
    return float(np.polyfit(np.log(widths), np.log(distances), 1)[0])
