"""How close real training comes to the kernel regime as networks widen, and where it does not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scipy.stats
from jaxtyping import Float

from ntkdip import plotting
from ntkdip.plotting.widths import width_scaling
from ntkdip.progress import track
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Table
from ntkdip.studies.verdicts import Verdict
from ntkdip.studies.width import METHODS, STEPS, WidthRow, train_one, width_problem

QUANTITIES = {
    "early_distance": f"distance after {STEPS[0]} steps",
    "distance": f"distance after {STEPS[1]} steps",
    "path_distance": f"distance to the path after {STEPS[1]} steps",
    "drift": f"NTK drift after {STEPS[1]} steps",
}
"""What is fitted against width: fields of `WidthRow`, and what figures call them."""

PRESETS: dict[str, Mapping[str, Mapping[int, int]]] = {
    "smoke": {"1D": {16: 2, 32: 2}, "2D": {8: 1, 16: 1}},
    "quick": {"1D": {32: 4, 64: 4, 128: 4, 256: 3}, "2D": {32: 3, 64: 3, 128: 2, 256: 2}},
    "full": {
        "1D": {32: 8, 64: 8, 128: 8, 256: 4, 512: 4, 1024: 2, 2048: 1},
        "2D": {32: 8, 64: 8, 128: 8, 256: 4, 512: 4},
    },
}
"""Seeds for each width of each problem."""


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


@dataclasses.dataclass(frozen=True)
class WidthSettings:
    """One network under some methods."""

    problem: str
    """As `width_problem` names it."""
    width: int
    """Channels."""
    seed: int
    """Of the network."""
    methods: tuple[str, ...] = METHODS
    """Which of `METHODS`."""


def train_width(given: WidthSettings) -> dict[str, np.ndarray]:
    """Columns of the `WidthRow` of every method."""
    problem = width_problem(given.problem)
    rows = train_one(problem, given.problem, given.width, given.seed, given.methods)
    return columns_of(list(rows))


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
    wanted = cells(seeds, methods).values()
    found = [train_width(cell.settings) for cell in track(wanted, "networks", total=len(wanted))]
    return law_of(rows_of(WidthRow, *found))


def law_of(rows: Sequence[WidthRow]) -> WidthLaw:
    """Fit a power law to every quantity of every problem and method."""
    kinds = dict.fromkeys((row.problem, row.method) for row in rows)
    fits = tuple(_fit(rows, *kind, quantity) for kind in kinds for quantity in QUANTITIES)
    return WidthLaw(tuple(rows), fits)


def cells(
    seeds: Mapping[str, Mapping[int, int]], methods: Sequence[str] = METHODS
) -> dict[Any, Cell]:
    """A cell for each network."""
    for name in seeds:
        width_problem(name)
    return {
        (name, width, seed): Cell(f"{name}, width {width}, seed {seed}", train_width,
                                  WidthSettings(name, width, seed, tuple(methods)))
        for name, widths in seeds.items()
        for width, count in widths.items()
        for seed in range(count)
    }  # fmt: skip


def report(seeds: Mapping[str, Mapping[int, int]], results: Mapping[Any, Result]) -> Report:
    """A table and a figure a problem, and whether distances fall with width."""
    law = law_of(rows_of(WidthRow, *results.values()))
    verdicts = [
        Verdict(
            f"{problem}: under {method} the distance between training and its prediction falls "
            "with width (shown: minus the exponent, seed by seed)",
            tuple(-exponent for exponent in seed_exponents(law, problem, method)),
        )
        for problem in seeds
        for method in METHODS
    ]
    fits = [dataclasses.asdict(fit) for fit in law.fits]
    return Report(
        [_table(law, problem) for problem in seeds], width_pictures(law), verdicts,
        content={"fits": fits},
    )  # fmt: skip


def seed_exponents(law: WidthLaw, problem: str, method: str) -> tuple[float, ...]:
    """Exponent of ``distance`` for each seed that two widths have."""
    chosen = [r for r in law.rows if (r.problem, r.method) == (problem, method)]
    by_seed = [[r for r in chosen if r.seed == seed] for seed in {r.seed: 0 for r in chosen}]
    return tuple(
        _fit(rows, problem, method, "distance").exponent for rows in by_seed if len(rows) > 1
    )


def _table(law: WidthLaw, problem: str) -> Table:
    entries: list[tuple[Any, ...]] = []
    for method in METHODS:
        found = {q: law.values(problem, method, q) for q in QUANTITIES}
        for channels, values in found["distance"].items():
            means = [law.geometric_mean(problem, method, q, channels) for q in found]
            entries.append(
                (method, str(channels), len(values), *(f"{mean:.2%}" for mean in means))
            )  # fmt: skip
        exponents = (_exponent(law.fit(problem, method, q)) for q in found)
        entries.append((method, "exponent", None, *exponents))
    columns = ("method", "width", "seeds", *QUANTITIES.values())
    title = f"{problem}: geometric means over seeds"
    return Table(f"width_{problem}", title, columns, tuple(entries))


def _exponent(fit: WidthFit) -> str:
    known = fit.standard_error is not None
    return f"{fit.exponent:.2f} ± {fit.standard_error:.2f}" if known else f"{fit.exponent:.2f}"


def width_pictures(law: WidthLaw) -> Iterator[Picture]:
    """A figure for each problem, ``width_1D`` say: every quantity against width."""
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
            yield Picture(
                f"width_{problem}", f"Theory against training, {problem}",
                "Dots are networks, lines power laws through them. Adam has no prediction of its "
                "own: its distance is that to gradient descent's prediction at equal residual.",
                figure,
            )  # fmt: skip


def _line(fit: WidthFit) -> tuple[float, float | None, float]:
    return fit.exponent, fit.standard_error, fit.factor


def _fit(rows: Sequence[WidthRow], problem: str, method: str, quantity: str) -> WidthFit:
    """Least squares on logarithms, every network counting the same."""
    chosen = [r for r in rows if (r.problem, r.method) == (problem, method)]
    widths: Float[np.ndarray, " n"] = np.log([r.width for r in chosen])
    line = scipy.stats.linregress(widths, np.log([getattr(r, quantity) for r in chosen]))
    return WidthFit(
        problem, method, quantity, float(line.slope),
        float(line.stderr) if len(chosen) > 2 else None, float(np.exp(line.intercept)),
    )  # fmt: skip


STUDY: Study[Mapping[str, Mapping[int, int]]] = Study(
    "width",
    "Theory against training, by width",
    "How close does real training come to the kernel regime as networks widen, under gradient "
    "descent, momentum and Adam?",
    PRESETS,
    cells,
    report,
)
