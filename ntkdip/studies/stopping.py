"""Stopping without the truth, on the MRI slice: every rule beside the oracle."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ntkdip import data, kernels, networks, operators, plotting, theory
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.measurement import measured
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.verdicts import Verdict

HORIZON = 1e6
"""Last iteration of the figure's curves."""

ALLOWED = 5.0
"""Percent of the squared error that a good rule may lose to the best iteration: ours."""


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


@dataclasses.dataclass(frozen=True)
class StoppingConfiguration:
    """Noise levels and draws of the study of stopping rules."""

    sigmas: tuple[float, ...] = (0.02, 0.1, 0.5)
    """The image's maximum is 1."""
    size: int = 32
    """Pixels a side."""
    seeds: int = 5
    """Masks, each with a draw of the noise."""


PRESETS = {
    "smoke": StoppingConfiguration((0.1,), size=16, seeds=2),
    "quick": StoppingConfiguration(),
    "full": StoppingConfiguration((0.01, 0.02, 0.05, 0.1, 0.2, 0.5), size=48, seeds=10),
}


@dataclasses.dataclass(frozen=True)
class StoppingSettings:
    """One mask under every noise level."""

    sigmas: tuple[float, ...]
    size: int
    seed: int
    """Of mask and noise."""


def stop(given: StoppingSettings) -> dict[str, Any]:
    """Every stopping rule under the analytic kernel of a WCNN (depth 5, 3 x 3).

    Complex slice, 4x random lines, zero-filled image of the noise-free data as the network's
    input.  Each rule is told the noise level once, and once has to take
    `ntkdip.theory.estimate_noise`.  Seconds at 32 x 32.

    Returns
    -------
    Columns of `StoppingStudyRow`, and of the curves ``iterations`` (t,), ``bias`` (t,) and
    ``variance`` (sigmas, t).
    """
    x = data.mri_slice(given.size)
    A = operators.masked_fourier(operators.masks.random_lines(x.shape, 4.0, seed=given.seed))
    clean, zero_filled = measured(A, x)
    net = networks.wide_cnn(depth=5, kernel_size=3)
    regime = theory.KernelRegime(kernels.analytic(net, networks.as_input(zero_filled)), A)
    rows = []
    for sigma in given.sigmas:
        y = data.add_noise(clean, sigma=sigma, seed=given.seed)
        for assumed in (sigma, theory.estimate_noise(regime, y)):
            rows += [
                StoppingStudyRow(sigma, assumed, row.rule, row.t, row.mse, row.excess)
                for row in theory.stopping_table(regime, x, y, sigma, assumed_sigma=assumed)
            ]
    t = np.unique(np.round(np.geomspace(1, HORIZON, 200)))
    mse = regime.mse(x, np.asarray(given.sigmas), t)
    curves = {"iterations": t, "bias": mse.bias, "variance": mse.variance}
    return columns_of(rows) | curves


def cells(c: StoppingConfiguration) -> dict[Any, Cell]:
    """A cell for each mask."""
    return {
        seed: Cell(f"mask {seed}", stop, StoppingSettings(c.sigmas, c.size, seed))
        for seed in range(c.seeds)
    }


def report(c: StoppingConfiguration, results: Mapping[Any, Result]) -> Report:
    """What every rule loses to the best iteration, with the noise level known and estimated."""
    rows = rows_of(StoppingStudyRow, *results.values())
    rules = list(dict.fromkeys(r.rule for r in rows))
    entries = [
        _entry(sigma, rule, known, [
            r for r in rows
            if (r.sigma, r.rule, r.assumed_sigma == sigma) == (sigma, rule, known)
        ])
        for sigma in c.sigmas
        for rule in rules
        for known in (True, False)
        if known or rule != "oracle"
    ]  # fmt: skip
    columns = ("sigma", "rule", "noise level", "assumed sigma", "iteration (median)",
               "error over the best (%)")  # fmt: skip
    title = f"Stopping rules: MRI slice of {c.size}², kernel of a WCNN, {c.seeds} masks"
    return Report(
        [Table("stopping", title, columns, tuple(entries))],
        _pictures(c, results[0]),
        [_verdict(sigma, rows) for sigma in c.sigmas],
    )


def _entry(
    sigma: float, rule: str, known: bool, rows: Sequence[StoppingStudyRow]
) -> tuple[Entry, ...]:
    assumed = f"{sigma:g}" if known else str(Spread(tuple(r.assumed_sigma for r in rows), 3))
    iteration = f"{np.median([r.t for r in rows]):.4g}"
    excess = Spread(tuple(100 * (r.excess - 1) for r in rows), 1)
    return sigma, rule, "known" if known else "estimated", assumed, iteration, excess


def _verdict(sigma: float, rows: Sequence[StoppingStudyRow]) -> Verdict:
    excess = [
        100 * (r.excess - 1) for r in rows
        if (r.sigma, r.rule, r.assumed_sigma) == (sigma, "SURE", sigma)
    ]  # fmt: skip
    return Verdict(
        f"at sigma = {sigma:g} SURE with the noise level known loses less than {ALLOWED:g} % of "
        "the squared error to the best iteration (shown: the allowance minus the loss)",
        tuple(ALLOWED - value for value in excess), unit="%", repetitions="masks",
    )  # fmt: skip


def _pictures(c: StoppingConfiguration, first: Result) -> Iterator[Picture]:
    rows = rows_of(StoppingStudyRow, first)
    with plotting.style():
        columns = len(c.sigmas)
        figure, axes = plt.subplots(1, columns, figsize=(5.2 * columns, 4.4), squeeze=False)
        for ax, sigma, variance in zip(axes[0], c.sigmas, first["variance"], strict=True):
            stops = {r.rule: r.t for r in rows if r.sigma == r.assumed_sigma == sigma}
            plotting.mse_curves(ax, first["iterations"], first["bias"], variance, stops=stops)
            ax.set_title(rf"$\sigma$ = {sigma:g}")
        yield Picture(
            "stopping", "Bias, variance and where the rules stop",
            "Theorem 2's expected squared error against the iteration on the first mask, and "
            "what each rule picks when it is told the noise level.", figure,
        )  # fmt: skip


STUDY: Study[StoppingConfiguration] = Study(
    "stopping",
    "Stopping without the truth",
    "How much do rules that do not see the truth lose to the best iteration?",
    PRESETS,
    cells,
    report,
)
