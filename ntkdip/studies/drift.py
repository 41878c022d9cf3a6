"""How the kernel moves while a network trains, and where training leaves its prediction.

The width study looks at the end of training; here the same networks are followed on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ntkdip import plotting, training
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Spread, Table
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.studies.width import (
    accurately,
    described,
    distances_of,
    residuals_of,
    start,
    width_problem,
)

DESCENT, ADAM = "gradient descent", "Adam"


@dataclasses.dataclass(frozen=True)
class DriftConfiguration:
    """Which networks are followed, and how far."""

    seeds: Mapping[str, Mapping[int, int]]
    """Seeds for each width of each problem (`ntkdip.studies.width.width_problem`)."""
    steps: int = 1024
    """Of every run; the kernel is computed at each power of two."""

    def __post_init__(self) -> None:
        for name, widths in self.seeds.items():
            width_problem(name)
            if len(widths) < 2 or min(widths.values()) < 1:
                raise ValueError(
                    f"an exponent needs two widths with a seed each; {name} got {dict(widths)}"
                )


PRESETS = {
    "smoke": DriftConfiguration({"1D": {8: 2, 16: 2}}, 8),
    "quick": DriftConfiguration({"1D": {32: 4, 64: 4, 128: 4, 256: 3}}, 256),
    "full": DriftConfiguration(
        {
            "1D": {32: 8, 64: 8, 128: 8, 256: 4, 512: 4, 1024: 2},
            "2D": {32: 4, 64: 4, 128: 4, 256: 2},
        }
    ),
}


@dataclasses.dataclass(frozen=True)
class DriftRow:
    """One network under one method, at the recorded ``steps`` (T).

    ``drifts`` are ``||W_t - W_0||_F / ||W_0||_F``, ``distances`` those between training and
    its prediction (Adam: gradient descent's at the same residual) over the prediction's norm,
    ``residuals`` ``||A f - y|| / ||y||``.
    """

    problem: str
    method: str
    width: int
    seed: int
    steps: tuple[int, ...]
    drifts: tuple[float, ...]
    distances: tuple[float, ...]
    residuals: tuple[float, ...]

    @property
    def first_share(self) -> float:
        """Drift after the first step over that at the end."""
        return self.drifts[0] / self.drifts[-1]

    @property
    def first_distance(self) -> float:
        """Natural logarithm of the distance after the first step over that at the end."""
        return float(np.log(self.distances[0] / self.distances[-1]))

    @property
    def distance_a_drift(self) -> float:
        """Distance over drift at the end."""
        return self.distances[-1] / self.drifts[-1]


@dataclasses.dataclass(frozen=True)
class DriftSettings:
    """One network under both methods."""

    problem: str
    """As `width_problem` names it."""
    width: int
    """Channels."""
    seed: int
    """Of the network."""
    steps: int
    """Of either method."""


def follow(given: DriftSettings) -> dict[str, np.ndarray]:
    """Train a network by gradient descent and by Adam, and compute its kernel on the way.

    Both start at the same parameters, with the rates of the width study
    (`ntkdip.studies.width`).

    Returns
    -------
    Columns of `DriftRow`, one row a method.  In 1D at width 256 a kernel takes 0.7 s and a
    hundred steps about a second on one core.  Source: design page, section 1 ("NTK drift").
    """
    problem = width_problem(given.problem)
    begun = start(problem, given.width, given.seed)
    record_at = np.unique(np.r_[2 ** np.arange(int(np.log2(given.steps)) + 1), given.steps])
    rows = []
    for method in (DESCENT, ADAM):
        regime, optimiser = described(method, begun.descent, given.width)
        with accurately():
            run = training.train(
                begun.objective, begun.params, optimiser, record_at,
                name=f"{method}, {given.problem}, width {given.width}, seed {given.seed}",
                observe=lambda params: {"drift": begun.drift(params)},
            )  # fmt: skip
        rows.append(
            DriftRow(
                given.problem, method, given.width, given.seed, tuple(run.steps.tolist()),
                tuple(run.scalars["drift"].tolist()),
                tuple(distances_of(run, method, regime, problem.y)),
                tuple(residuals_of(run, problem.y).tolist()),
            )
        )  # fmt: skip
    return columns_of(rows)


def cells(c: DriftConfiguration) -> dict[Any, Cell]:
    """A cell for each network."""
    return {
        (name, width, seed): Cell(
            f"{name}, width {width}, seed {seed}", follow,
            DriftSettings(name, width, seed, c.steps),
        )
        for name, widths in c.seeds.items()
        for width, count in widths.items()
        for seed in range(count)
    }  # fmt: skip


def report(c: DriftConfiguration, results: Mapping[Any, Result]) -> Report:
    """A table and a figure a problem, and how drift and distance go together."""
    rows = rows_of(DriftRow, *results.values())
    by_problem = {name: [row for row in rows if row.problem == name] for name in c.seeds}
    verdicts = [v for name, own in by_problem.items() for v in _verdicts(name, own)]
    tables = [_table(name, own) for name, own in by_problem.items()]
    return Report(tables, _pictures(by_problem), verdicts)


def _table(problem: str, rows: list[DriftRow]) -> Table:
    def row(method: str, width: int) -> tuple[Any, ...]:
        own = [row for row in rows if (row.method, row.width) == (method, width)]
        drifts, distances = (
            [Spread(tuple(100 * getattr(r, quantity)[at] for r in own), 1) for at in (0, -1)]
            for quantity in ("drifts", "distances")
        )
        ratio = Spread(tuple(r.distance_a_drift for r in own))
        return (method, str(width), len(own), *drifts, *distances, ratio)

    widths = dict.fromkeys(r.width for r in rows)
    last = f"{rows[0].steps[-1]:,} steps"
    return Table(
        f"drift_{problem}",
        f"{problem}: NTK drift, and distance to the prediction",
        ("method", "width", "seeds", "drift, 1 step (%)", f"drift, {last} (%)",
         "distance, 1 step (%)", f"distance, {last} (%)", "distance / drift"),
        tuple(row(method, width) for method in (DESCENT, ADAM) for width in widths),
    )  # fmt: skip


def _verdicts(problem: str, rows: list[DriftRow]) -> list[Verdict]:
    def over_networks(claim: str, effects: tuple[float, ...]) -> Verdict:
        return Verdict(f"{problem}: {claim}", effects, repetitions="networks")

    descent, adam = ([row for row in rows if row.method == method] for method in (DESCENT, ADAM))
    shares = paired([row.first_share for row in descent], [row.first_share for row in adam])
    ratios = paired([np.log(row.distance_a_drift) for row in adam],
                    [np.log(row.distance_a_drift) for row in descent])  # fmt: skip
    slower = paired(_exponents(adam, "distances"), _exponents(descent, "distances"))
    return [
        *(Verdict(f"{problem}: under {method} the NTK drifts less the wider the network is (shown: "
                  "minus the exponent of the drift at the end, seed by seed)",
                  tuple(-exponent for exponent in _exponents(own, "drifts")))
          for method, own in ((DESCENT, descent), (ADAM, adam))),
        over_networks("more of the drift is there after the first step under gradient descent "
                      "than under Adam (difference of shares)", shares),
        over_networks("gradient descent is further from its prediction after the first step "
                      "than at the end (logarithm of the ratio of distances)",
                      tuple(row.first_distance for row in descent)),
        over_networks("Adam ends further from the prediction for its drift than gradient descent "
                      "(logarithm of the ratio of distance / drift)", ratios),
        Verdict(f"{problem}: the distance to the prediction falls more slowly with width under "
                "Adam than under gradient descent (difference of exponents, seed by seed)",
                slower),
    ]  # fmt: skip


def _exponents(rows: list[DriftRow], quantity: str) -> tuple[float, ...]:
    """Of the last value of a quantity against width, for each seed that two widths have."""
    found = []
    for seed in dict.fromkeys(row.seed for row in rows):
        same = [row for row in rows if row.seed == seed]
        if len(same) > 1:
            widths, values = zip(*((r.width, getattr(r, quantity)[-1]) for r in same), strict=True)
            found.append(float(np.polyfit(np.log(widths), np.log(values), 1)[0]))
    return tuple(found)


def _pictures(by_problem: Mapping[str, list[DriftRow]]) -> Iterator[Picture]:
    quantities = {
        "drift": "NTK drift (relative)",
        "distance": "distance to the prediction (relative)",
    }
    for problem, rows in by_problem.items():
        with plotting.style():
            figure, axes = plt.subplots(2, 3, figsize=(10, 6.4), sharex="col", sharey="col")
            for line, method in zip(axes, (DESCENT, ADAM), strict=True):
                for ax, (x, y) in zip(
                    line,
                    (("step", "drift"), ("step", "distance"), ("drift", "distance")),
                    strict=True,
                ):
                    plotting.runs_by_width(
                        ax, _runs(rows, method, x, y), title=f"{problem}, {method}",
                        xlabel=quantities.get(x, "iteration"), ylabel=quantities[y],
                    )  # fmt: skip
            axes[1, 0].legend(title="width (channels)", loc="lower right", ncols=2)
            yield Picture(
                f"drift_{problem}", f"The kernel on the way: {problem}",
                "Thin lines are networks, thick ones geometric means. Right: the same runs, "
                "distance against drift, time running from the open circle. Adam has no prediction "
                "of its own: its distance is that to gradient descent's at equal residual.",
                figure,
            )  # fmt: skip


def _runs(
    rows: list[DriftRow], method: str, x: str, y: str
) -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    found: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for row in rows:
        if row.method == method:
            pair = tuple(np.array(getattr(row, f"{name}s"), float) for name in (x, y))
            found.setdefault(row.width, []).append((pair[0], pair[1]))
    return found


STUDY: Study[DriftConfiguration] = Study(
    "drift",
    "The kernel during training",
    "When does the kernel move, by how much for each width, and does its movement say where "
    "training leaves its prediction?",
    PRESETS,
    cells,
    report,
)
