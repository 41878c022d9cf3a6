"""Methods side by side on several problems: cells, tables and pictures of such studies."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ntkdip import metrics, plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Built
from ntkdip.studies.study import Picture
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import (
    Classical,
    Decoder,
    Problem,
    Solver,
    Trial,
    UNet,
    available,
    entries,
    kinds,
    principal,
)
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import AVERAGED, BEST, FINAL

ACROSS = 6
"""Images in a row of a figure."""

BRIGHTER = 5
"""Factor of error maps over images."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """A method, its rates and its network."""

    method: training.Method
    optimiser: Optimiser
    net: UNet | Decoder


@dataclasses.dataclass(frozen=True)
class Contest:
    """Every solver and every contender on every problem.

    Raises
    ------
    ValueError
        If a number is below 1, or there is no problem.
    """

    problems: tuple[Problem, ...]
    """The first is the one that is shown."""
    contenders: dict[str, Contender]
    """By the name that tables and figures use."""
    solvers: tuple[Solver, ...]
    """Without a network; those whose packages are missing are left out."""
    steps: int
    """Of every training."""
    seeds: int
    """Networks of each contender and problem."""
    record_every: int = 20
    """Steps between records."""

    def __post_init__(self) -> None:
        if not self.problems or min(self.steps, self.seeds, self.record_every) < 1:
            raise ValueError(
                "a contest needs a problem and at least 1 step, seed and step between records; got "
                f"{len(self.problems)}, {self.steps}, {self.seeds} and {self.record_every}"
            )

    @property
    def missing(self) -> list[Solver]:
        """Solvers that cannot run here."""
        return [s for s in self.solvers if s not in available(self.solvers)]


def contest_cells(c: Contest) -> dict[Any, Cell]:
    """Under ``(problem's number, name, seed)``; solvers have seed 0."""
    found: dict[Any, Cell] = {}
    for i, problem in enumerate(c.problems):
        for solver in available(c.solvers):
            found[i, solver, 0] = Classical(problem, solver).cell()
        for name, given in c.contenders.items():
            for seed in range(c.seeds):
                trial = Trial(problem, given.method, given.optimiser, given.net, c.steps, seed,
                              c.record_every)  # fmt: skip
                found[i, name, seed] = trial.cell(f"{problem.name}: {name}")
    return found


def names_of(results: Mapping[Any, Result]) -> list[str]:
    """Solvers and contenders that there are results of, in order."""
    return list(dict.fromkeys(name for _, name, _ in results))


def results_of(results: Mapping[Any, Result], problems: Sequence[int], name: str) -> list[Result]:
    """Of one method: every seed of each of these problems, in order."""
    return [r for (i, n, _), r in results.items() if n == name and i in problems]


def score_table(
    name: str, title: str, results: Mapping[Any, Result], problems: Sequence[int]
) -> Table:
    """PSNR, SSIM, NMSE and step of every kind of image, over these problems and all seeds."""
    rows: list[tuple[Entry, ...]] = []
    for method in names_of(results):
        mine = results_of(results, problems, method)
        for kind in kinds(mine):
            psnr, ssim, nmse, step = (
                entries(mine, f"{entry} of {kind}") for entry in ("psnr", "ssim", "nmse", "step")
            )
            steps = None if f"step of {FINAL}" not in mine[0] else Spread(step, 0)
            rows.append((method, kind, Spread(psnr, 2), Spread(ssim, 3), Spread(nmse, 4), steps))
    return Table(name, title, ("method", "image", "PSNR (dB)", "SSIM", "NMSE", "step"), tuple(rows))


def problem_table(name: str, c: Contest, results: Mapping[Any, Result]) -> Table:
    """PSNR of the final image, a column a problem."""
    rows: list[tuple[Entry, ...]] = []
    for method in names_of(results):
        each = (finals(results, [i], method) for i in range(len(c.problems)))
        rows.append((method, *(Spread(psnr, 2) for psnr in each)))
    columns = ("method", *(problem.name for problem in c.problems))
    return Table(
        name, f"PSNR (dB) of the final image after {c.steps:,} steps", columns, tuple(rows)
    )


def contest_pictures(name: str, c: Contest, results: Mapping[Any, Result]) -> Iterator[Picture]:
    """Curves and images of the first problem."""
    first = {(n, seed): r for (i, n, seed), r in results.items() if i == 0}
    with plotting.style():
        yield Picture(
            f"{name}_curves", f"PSNR against steps: {c.problems[0].name}",
            "Every seed; dotted: without training, each with its best weight by the truth. The "
            "axis is cut below.",
            _curves(c, first),
        )  # fmt: skip
        shown = {n: r[AVERAGED] if AVERAGED in r else r[principal(r)]
                 for (n, seed), r in first.items() if seed == 0}  # fmt: skip
        yield Picture(
            f"{name}_images", f"Images and errors: {c.problems[0].name}",
            "The moving average where a network was trained, first seed; beneath each image its "
            f"error, {BRIGHTER} times as bright. All images are on one scale, and all errors.",
            _images(c.problems[0].build(), shown),
        )  # fmt: skip


def _curves(c: Contest, first: Mapping[Any, Result]) -> Figure:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.4), sharey=True)
    levels = {
        s: float(first[s, 0][f"psnr of {principal(first[s, 0])}"])
        for s in c.solvers
        if (s, 0) in first
    }
    titles = {"psnr": "image at each step", "average_psnr": "moving average"}
    for ax, (column, title) in zip(axes, titles.items(), strict=True):
        curves = {
            name: [(first[name, s]["step"], first[name, s][column]) for s in range(c.seeds)]
            for name in c.contenders
        }
        plotting.step_curves(ax, curves, ylabel="PSNR (dB)", title=title)
        ax.get_legend().remove()
        for level, height in levels.items():
            ax.axhline(height, color="0.4", linestyle=":", linewidth=1)
            ax.annotate(level, (1, height), xycoords=("axes fraction", "data"), fontsize=7,
                        xytext=(3, 0), textcoords="offset points", va="center",
                        color="0.3")  # fmt: skip
    ends = [float(first[name, s]["psnr"][-1]) for name in c.contenders for s in range(c.seeds)]
    axes[0].set_ylim(bottom=min([*levels.values(), *ends]) - 2)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _images(problem: Built, images: Mapping[str, Any]) -> Figure:
    peak = float(abs(problem.truth).max())
    panels = {"truth": problem.truth, **images}
    bands = math.ceil(len(panels) / ACROSS)
    figure, grid = plt.subplots(2 * bands, ACROSS, figsize=(10, 3.9 * bands), squeeze=False)
    for ax in grid.flat:
        ax.set_axis_off()
    for i, (name, image) in enumerate(panels.items()):
        row, column = 2 * (i // ACROSS), i % ACROSS
        score = "" if name == "truth" else f"{metrics.psnr(image, problem.truth):.1f} dB"
        plotting.magnitude(grid[row, column], image, f"{name}\n{score}", peak=peak)
        if name != "truth":
            plotting.error_map(grid[row + 1, column], image, problem.truth, "",
                               peak=peak / BRIGHTER)  # fmt: skip
    return figure


def finals(results: Mapping[Any, Result], problems: Sequence[int], name: str) -> tuple[float, ...]:
    """PSNR of a method's final images, over these problems and all seeds.

    Of solvers with a weight, of those with the best weight by the truth.
    """
    mine = results_of(results, problems, name)
    return tuple(float(r[f"psnr of {principal(r)}"]) for r in mine)


def bests(results: Mapping[Any, Result], problems: Sequence[int], name: str) -> tuple[float, ...]:
    """PSNR of a method's best images by the truth, likewise."""
    return entries(results_of(results, problems, name), f"psnr of {BEST}")


def best_solver(
    c: Contest, results: Mapping[Any, Result], problems: Sequence[int]
) -> tuple[float, ...]:
    """The best solver's PSNR on each of these problems, as often as there are seeds."""
    there = [s for s in c.solvers if s in names_of(results)]
    best = [max(finals(results, [i], solver)[0] for solver in there) for i in problems]
    return tuple(value for value in best for _ in range(c.seeds))


Scores = Callable[[Sequence[int]], tuple[float, ...]]


def gain(
    claim: str, problems: Sequence[int], ours: Scores, theirs: Scores, bar: float = 0.0
) -> Verdict:
    """A verdict on PSNR over theirs: seeds are repetitions of one problem, problems of many.

    Seeds of one problem share its image, lines and noise; over several problems their mean is
    one effect.
    """
    each = [paired(ours([i]), theirs([i])) for i in problems]
    if len(each) == 1:
        return Verdict(claim, each[0], bar, "dB")
    means = tuple(float(np.mean(effects)) for effects in each)
    return Verdict(claim, means, bar, "dB", "images")
