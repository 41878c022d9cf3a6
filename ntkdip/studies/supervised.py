"""A supervised network and self-guided deep image prior, where the one was taught and elsewhere."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import matplotlib.pyplot as plt
import numpy as np

from ntkdip import metrics, plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.lessons import Lesson
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Classical, Trial, UNet
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import FINAL

SUPERVISED, GUIDED = "supervised", "self-guided"
START: Final = "zero-filled"
TAUGHT = "as taught"


@dataclasses.dataclass(frozen=True)
class SupervisedConfiguration:
    """What is taught, and what both reconstruct."""

    lesson: Lesson
    """Its tests are those of the shifts."""
    shifts: dict[str, Mri]
    """By what differs from the training data; `TAUGHT` is a slice that only was not seen."""
    trial: Trial
    """Self-guided, on any problem."""
    seeds: int = 3
    """Networks of either kind."""

    def __post_init__(self) -> None:
        if TAUGHT not in self.shifts or self.lesson.tests != tuple(self.shifts.values()):
            raise ValueError(
                f"the lesson's tests are the problems of the shifts, with {TAUGHT!r} among them; "
                f"got the shifts {list(self.shifts)} and {len(self.lesson.tests)} tests"
            )


def configuration(
    problem: Mri, slices: tuple[int, ...], trial: Trial, *, steps: int, seeds: int
) -> SupervisedConfiguration:
    """Shifts of subject and contrast, lines and acceleration, one at a time."""
    shifts = {
        TAUGHT: problem,
        "another head and contrast": dataclasses.replace(problem, brain=None),
        "other lines": dataclasses.replace(problem, seed=problem.seed + 1),
        "twice the acceleration": dataclasses.replace(
            problem, acceleration=2 * problem.acceleration
        ),
    }
    lesson = Lesson(problem, slices, tuple(shifts.values()), net=trial.net, steps=steps)  # type: ignore[arg-type]
    return SupervisedConfiguration(lesson, shifts, trial, seeds)


SMALL = Mri(size=64, coils=4, distance=1.5, sigma=0.02, seed=3, brain=12)
FAR = (*range(3, 10), *range(15, 24))
"""Slices of the brain at least 6.6 mm from the one that is tested."""

PRESETS = {
    "smoke": configuration(
        Mri(size=32, coils=2, brain=12), FAR,
        Trial(Mri(), training.SelfGuided(), Optimiser(), UNet((4, 8)), steps=20, record_every=5),
        steps=20, seeds=1,
    ),
    "quick": configuration(
        SMALL, FAR,
        Trial(SMALL, training.SelfGuided(alpha=0.1), Optimiser(rate=1e-2, input_rate=3e-2),
              UNet((8, 16, 16), 0.1), steps=600, record_every=10),
        steps=800, seeds=2,
    ),
    "full": configuration(
        Mri(brain=12), FAR, Trial(Mri(), training.SelfGuided(), Optimiser(rate=3e-3), UNet()),
        steps=20_000, seeds=3,
    ),
}  # fmt: skip


def cells(c: SupervisedConfiguration) -> dict[Any, Cell]:
    """A lesson a seed; a trial for each shift and seed; zero-filling for each shift."""
    found: dict[Any, Cell] = {}
    for seed in range(c.seeds):
        found[SUPERVISED, seed] = dataclasses.replace(c.lesson, seed=seed).cell()
        for shift, problem in c.shifts.items():
            trial = dataclasses.replace(c.trial, problem=problem, seed=seed)
            found[GUIDED, shift, seed] = trial.cell(f"{shift}: self-guided")
    for shift, problem in c.shifts.items():
        found[START, shift] = Classical(problem, START).cell()
    return found


def report(c: SupervisedConfiguration, results: Mapping[Any, Result]) -> Report:
    """PSNR under every shift, images, and who keeps what."""
    psnr = {
        (method, shift): tuple(float(_score(c, results, method, shift, s)) for s in range(c.seeds))
        for method in (SUPERVISED, GUIDED)
        for shift in c.shifts
    }
    gain = {shift: paired(psnr[GUIDED, shift], psnr[SUPERVISED, shift]) for shift in c.shifts}
    rows: list[tuple[Entry, ...]] = []
    for shift, problem in c.shifts.items():
        start = float(results[START, shift][f"psnr of {FINAL}"])
        both = (psnr[method, shift] for method in (SUPERVISED, GUIDED))
        spreads = (Spread(values, 2) for values in (*both, gain[shift]))
        rows.append((shift, problem.name, start, *spreads))
    columns = ("test", "problem", START, SUPERVISED, GUIDED, "self-guided less supervised")
    table = Table("supervised", f"PSNR (dB), {c.seeds} networks of each kind: mean ± sd",
                  columns, tuple(rows))  # fmt: skip
    verdicts = [
        Verdict("where it was taught the supervised network ends above self-guided DIP",
                paired(psnr[SUPERVISED, TAUGHT], psnr[GUIDED, TAUGHT]), unit="dB")
    ]  # fmt: skip
    for shift in c.shifts:
        if shift != TAUGHT:
            verdicts += [
                Verdict(f"{shift}: self-guided DIP ends above the supervised network",
                        gain[shift], unit="dB"),
                Verdict(f"{shift}: against where it was taught, the supervised network loses to "
                        "self-guided DIP", paired(gain[shift], gain[TAUGHT]), unit="dB"),
            ]  # fmt: skip
    taught = f"{len(c.lesson.slices)} slices of one head" + " and a phantom" * c.lesson.phantom
    finding = (
        f"the supervised network has seen {taught}, turned, flipped and of bent contrast, in "
        f"{c.lesson.steps:,} steps of {c.lesson.batch}: little data, which favours self-guidance"
    )
    return Report([table], _pictures(c, results, psnr), verdicts, findings=[finding])


def _score(
    c: SupervisedConfiguration, results: Mapping[Any, Result], method: str, shift: str, seed: int
) -> np.ndarray:
    if method == GUIDED:
        return results[GUIDED, shift, seed][f"psnr of {FINAL}"]
    return results[SUPERVISED, seed][f"psnr of test {list(c.shifts).index(shift)}"]


def _pictures(
    c: SupervisedConfiguration, results: Mapping[Any, Result], psnr: Mapping[Any, Any]
) -> Iterator[Picture]:
    with plotting.style():
        figure, ax = plt.subplots(figsize=(6.4, 3.4))
        palette = plotting.colours((GUIDED, SUPERVISED))
        places = np.arange(len(c.shifts))
        for offset, method in ((-0.1, SUPERVISED), (0.1, GUIDED)):
            for seed in range(c.seeds):
                values = [psnr[method, shift][seed] for shift in c.shifts]
                ax.plot(places + offset, values, "o", color=palette[method], markersize=5,
                        label=method if seed == 0 else None)  # fmt: skip
        starts = [float(results[START, shift][f"psnr of {FINAL}"]) for shift in c.shifts]
        ax.plot(places, starts, "_", color=plotting.colour(START), markersize=22, label=START)
        ax.set_xticks(places, [shift.replace(" and ", "\nand ") for shift in c.shifts])
        ax.set_ylabel("PSNR (dB)")
        ax.grid(True, axis="y")
        ax.legend()
        yield Picture("supervised", "Where it was taught, and elsewhere",
                      "A point a network.", figure)  # fmt: skip
        yield Picture(
            "supervised_images", "Images", "Rows: zero-filled, supervised, self-guided (first "
            "network of each). One grey scale a column.", _images(c, results),
        )  # fmt: skip


def _images(c: SupervisedConfiguration, results: Mapping[Any, Result]) -> Any:
    figure, grid = plt.subplots(4, len(c.shifts), figsize=(2.3 * len(c.shifts), 9.4))
    for i, (shift, problem) in enumerate(c.shifts.items()):
        truth = problem.build().truth
        peak = float(np.abs(truth).max())
        images = {
            START: results[START, shift][FINAL],
            SUPERVISED: results[SUPERVISED, 0][f"test {i}"],
            GUIDED: results[GUIDED, shift, 0][FINAL],
        }
        plotting.magnitude(grid[0, i], truth, f"{shift}\ntruth", peak=peak)
        for ax, (name, image) in zip(grid[1:, i], images.items(), strict=True):
            plotting.magnitude(ax, image, f"{name}: {metrics.psnr(image, truth):.1f} dB", peak=peak)
    return figure


STUDY: Study[SupervisedConfiguration] = Study(
    "supervised",
    "Supervised and self-guided",
    "What does a taught network keep where its data are not those that it was taught on?",
    PRESETS,
    cells,
    report,
)
