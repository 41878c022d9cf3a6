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
from ntkdip.studies.tables import Spread, Table
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
    seeds: int = 3
    """Masks, each with a draw of the noise."""


PRESETS = {
    "smoke": StoppingConfiguration((0.1,), size=16, seeds=2),
    "quick": StoppingConfiguration(),
    "full": StoppingConfiguration((0.01, 0.02, 0.05, 0.1, 0.2, 0.5), size=48, seeds=5),
}


@dataclasses.dataclass(frozen=True)
class StoppingSettings:
    """One noise level on one mask."""

    sigma: float
    size: int
    seed: int
    """Of mask and noise."""


def stop(given: StoppingSettings) -> dict[str, Any]:
    """Every stopping rule under the analytic kernel of a WCNN (depth 5, 3 x 3).

    Complex slice, 4x random lines, zero-filled image of the noise-free data as the network's
    input.  Each rule is told the noise level once, and once has to take
    `ntkdip.theory.estimate_noise`.  A second or two at 32 x 32.

    Returns
    -------
    Columns of `StoppingStudyRow`, and ``iterations``, ``bias`` and ``variance`` of the curve.
    """
    x = data.mri_slice(given.size)
    A = operators.masked_fourier(operators.masks.random_lines(x.shape, 4.0, seed=given.seed))
    clean, zero_filled = measured(A, x)
    net = networks.wide_cnn(depth=5, kernel_size=3)
    regime = theory.KernelRegime(kernels.analytic(net, networks.as_input(zero_filled)), A)
    y = data.add_noise(clean, sigma=given.sigma, seed=given.seed)
    rows = [
        StoppingStudyRow(given.sigma, assumed, row.rule, row.t, row.mse, row.excess)
        for assumed in (given.sigma, theory.estimate_noise(regime, y))
        for row in theory.stopping_table(regime, x, y, given.sigma, assumed_sigma=assumed)
    ]
    t = np.unique(np.round(np.geomspace(1, HORIZON, 200)))
    mse = regime.mse(x, given.sigma, t)
    curves = {"iterations": t, "bias": mse.bias, "variance": mse.variance}
    return columns_of(rows) | curves


def cells(c: StoppingConfiguration) -> dict[Any, Cell]:
    """A cell for each noise level and mask."""
    return {
        (sigma, seed): Cell(f"sigma {sigma:g}, mask {seed}", stop,
                            StoppingSettings(sigma, c.size, seed))
        for sigma in c.sigmas
        for seed in range(c.seeds)
    }  # fmt: skip


def report(c: StoppingConfiguration, results: Mapping[Any, Result]) -> Report:
    """What every rule loses to the best iteration, with the noise level known and estimated."""
    rows = {label: rows_of(StoppingStudyRow, found) for label, found in results.items()}
    rules = list(dict.fromkeys(r.rule for found in rows.values() for r in found))
    entries = []
    for sigma in c.sigmas:
        for rule in rules:
            for known in (True, False):
                found = [
                    r for seed in range(c.seeds) for r in rows[sigma, seed]
                    if r.rule == rule and (r.assumed_sigma == sigma) == known
                ]  # fmt: skip
                entries.append(
                    (sigma, rule, "known" if known else "estimated",
                     Spread(tuple(r.assumed_sigma for r in found), 3),
                     _iterations(found), Spread(tuple(100 * (r.excess - 1) for r in found), 1))
                )  # fmt: skip
    columns = ("sigma", "rule", "noise level", "assumed sigma", "iteration (median)",
               "error over the best (%)")  # fmt: skip
    title = f"Stopping rules: MRI slice of {c.size}², kernel of a WCNN, {c.seeds} masks"
    return Report(
        [Table("stopping", title, columns, tuple(entries))],
        _pictures(c, results, rows),
        [_verdict(sigma, c.seeds, rows) for sigma in c.sigmas],
    )


def _iterations(rows: Sequence[StoppingStudyRow]) -> str:
    return f"{np.median([row.t for row in rows]):.4g}"


def _verdict(sigma: float, seeds: int, rows: Mapping[Any, Sequence[StoppingStudyRow]]) -> Verdict:
    excess = tuple(
        100 * (r.excess - 1)
        for seed in range(seeds)
        for r in rows[sigma, seed]
        if r.rule == "SURE" and r.assumed_sigma == sigma
    )
    return Verdict(
        f"at sigma = {sigma:g} SURE with the noise level known loses less than {ALLOWED:g} % of "
        "the squared error to the best iteration (shown: the allowance minus the loss)",
        tuple(ALLOWED - value for value in excess), unit="%", repetitions="masks",
    )  # fmt: skip


def _pictures(
    c: StoppingConfiguration,
    results: Mapping[Any, Result],
    rows: Mapping[Any, Sequence[StoppingStudyRow]],
) -> Iterator[Picture]:
    with plotting.style():
        columns = len(c.sigmas)
        figure, axes = plt.subplots(1, columns, figsize=(5.2 * columns, 4.4), squeeze=False)
        for ax, sigma in zip(axes[0], c.sigmas, strict=True):
            found = results[sigma, 0]
            stops = {r.rule: r.t for r in rows[sigma, 0] if r.assumed_sigma == sigma}
            plotting.mse_curves(
                ax, found["iterations"], found["bias"], found["variance"], stops=stops
            )
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
