"""Stopping without the truth, on the MRI slice: every rule beside the oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ntkdip import data, kernels, networks, operators, plotting, theory
from ntkdip.progress import track
from ntkdip.studies.measurement import measured

HORIZON = 1e6
"""Last iteration of the figure's curves."""


@dataclasses.dataclass(frozen=True)
class StoppingStudyRow:
    """One rule at one noise level; ``assumed_sigma`` is what the rule was told.

    ``t`` is its pick, ``mse`` Theorem 2's expected squared error there (summed over pixels),
    ``excess`` its ratio to the smallest possible one.
    """

    sigma: float
    assumed_sigma: float
    rule: str
    t: float
    mse: float
    excess: float


@dataclasses.dataclass(frozen=True, eq=False)
class StoppingStudy:
    """All rows, and for each noise level the curve: iterations, bias and variance."""

    rows: tuple[StoppingStudyRow, ...]
    t: np.ndarray
    bias: np.ndarray
    variance: dict[float, np.ndarray]


def stopping_study(sigmas: Sequence[float], *, size: int = 32, seed: int = 0) -> StoppingStudy:
    """Every stopping rule under the analytic kernel of a WCNN (depth 5, 3 x 3).

    Complex slice of ``size`` pixels a side, 4x random lines, zero-filled image of the
    noise-free data as the network's input, one draw of the noise a level.  Each rule is told
    the noise level once, and once has to take `ntkdip.theory.estimate_noise`.

    Parameters
    ----------
    sigmas
        Noise levels; the image's maximum is 1.
    size, seed
        Pixels a side, and seed of mask and noise.

    Returns
    -------
    `StoppingStudy`.  A second or two a level at 32 x 32.
    """
    x = data.mri_slice(size)
    A = operators.masked_fourier(operators.masks.random_lines(x.shape, 4.0, seed=seed))
    clean, zero_filled = measured(A, x)
    net = networks.wide_cnn(depth=5, kernel_size=3)
    regime = theory.KernelRegime(kernels.analytic(net, networks.as_input(zero_filled)), A)
    rng, rows = np.random.default_rng(seed), []
    for sigma in track(sigmas, "noise levels"):
        y = data.add_noise(clean, sigma=sigma, seed=rng)
        for assumed in (sigma, theory.estimate_noise(regime, y)):
            rows += [
                StoppingStudyRow(sigma, assumed, row.rule, row.t, row.mse, row.excess)
                for row in theory.stopping_table(regime, x, y, sigma, assumed_sigma=assumed)
            ]
    t = np.unique(np.round(np.geomspace(1, HORIZON, 200)))
    mse = regime.mse(x, np.asarray(sigmas), t)
    curves = dict(zip(sigmas, mse.variance, strict=True))
    return StoppingStudy(tuple(rows), t, mse.bias, curves)


def stopping_figures(study: StoppingStudy) -> Iterator[tuple[str, Figure]]:
    """``stopping``: bias and variance at every noise level, and where the rules stop."""
    with plotting.style():
        columns = len(study.variance)
        figure, axes = plt.subplots(1, columns, figsize=(5.2 * columns, 4.4), squeeze=False)
        for ax, (sigma, variance) in zip(axes[0], study.variance.items(), strict=True):
            told = [r for r in study.rows if r.sigma == r.assumed_sigma == sigma]
            stops = {row.rule: row.t for row in told}
            plotting.mse_curves(ax, study.t, study.bias, variance, stops=stops)
            ax.set_title(rf"$\sigma$ = {sigma:g}")
        yield "stopping", figure
        plt.close(figure)
