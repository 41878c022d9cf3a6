"""More noise, other lines, a detail nobody expects: what three kinds of network make of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ntkdip import plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.lessons import Lesson
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.supervised import FAR, GUIDED, SMALL, SUPERVISED
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Trial, UNet
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import FINAL

VANILLA = "vanilla"
METHODS = (SUPERVISED, GUIDED, VANILLA)


@dataclasses.dataclass(frozen=True)
class RobustnessConfiguration:
    """What is changed, and who reconstructs.

    Raises
    ------
    ValueError
        If nothing is changed, or the first noise level is not the problem's.
    """

    problem: Mri
    """As the supervised network was taught."""
    lesson: Lesson
    """Its tests are set here."""
    guided: Trial
    vanilla: Trial
    noise: tuple[float, ...]
    """Levels; the first is the problem's."""
    masks: int
    """Draws of the lines; the first is the problem's."""
    spot: float
    """Magnitude of a detail of 3 x 3 pixels; the image's maximum is 1."""
    seeds: int
    """Networks of each kind."""

    def __post_init__(self) -> None:
        if len(self.noise) < 2 or self.masks < 2 or self.noise[0] != self.problem.sigma:
            raise ValueError(
                f"robustness needs two noise levels, the first of them {self.problem.sigma}, and "
                f"two masks; got {self.noise} and {self.masks}"
            )

    @property
    def problems(self) -> tuple[Mri, ...]:
        """Every problem once: noise levels, then further masks, then the spot."""
        # The same noise for all: what is changed is one thing.
        first = dataclasses.replace(self.problem, noise_seed=self.problem.seed)
        change = dataclasses.replace
        return (
            *(change(first, sigma=sigma) for sigma in self.noise),
            *(change(first, seed=first.seed + i) for i in range(1, self.masks)),
            change(first, spot=self.spot),
        )

    @property
    def with_masks(self) -> list[int]:
        """Places of the problems that differ in their lines."""
        first = len(self.noise)
        return [0, *range(first, first + self.masks - 1)]


PRESETS = {
    "smoke": RobustnessConfiguration(
        Mri(size=32, coils=2, brain=12), Lesson(Mri(), FAR, (), net=UNet((4, 8)), steps=20),
        Trial(Mri(), training.SelfGuided(), Optimiser(rate=3e-3), UNet((4, 8)), 20, record_every=5),
        Trial(Mri(), training.Vanilla(), Optimiser(rate=3e-3), UNet((4, 8)), 20, record_every=5),
        noise=(0.01, 0.02), masks=2, spot=0.3, seeds=1,
    ),
    "quick": RobustnessConfiguration(
        SMALL, Lesson(SMALL, FAR, (), net=UNet((8, 16, 16), 0.1), steps=800),
        Trial(SMALL, training.SelfGuided(alpha=0.1), Optimiser(rate=1e-2, input_rate=3e-2),
              UNet((8, 16, 16), 0.1), 400, record_every=10),
        Trial(SMALL, training.Vanilla(), Optimiser(rate=1e-2),
              UNet((8, 16, 16), 0.1), 400, record_every=10),
        noise=(0.02, 0.04, 0.08), masks=3, spot=0.3, seeds=2,
    ),
    "full": RobustnessConfiguration(
        Mri(brain=12), Lesson(Mri(brain=12), FAR, (), steps=20_000),
        Trial(Mri(), training.SelfGuided(), Optimiser(rate=3e-3), UNet()),
        Trial(Mri(), training.Vanilla(), Optimiser(rate=1e-2), UNet()),
        noise=(0.01, 0.02, 0.05, 0.1), masks=5, spot=0.3, seeds=3,
    ),
}  # fmt: skip


def cells(c: RobustnessConfiguration) -> dict[Any, Cell]:
    """A lesson a seed, which reconstructs every problem; a trial for each problem and seed."""
    found: dict[Any, Cell] = {}
    for seed in range(c.seeds):
        lesson = dataclasses.replace(c.lesson, problem=c.problem, tests=c.problems, seed=seed)
        found[SUPERVISED, seed] = lesson.cell()
        for name, trial in ((GUIDED, c.guided), (VANILLA, c.vanilla)):
            for i, problem in enumerate(c.problems):
                mine = dataclasses.replace(trial, problem=problem, seed=seed)
                found[name, i, seed] = mine.cell(f"{name} on problem {i}")
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """What the results say of each method."""

    c: RobustnessConfiguration
    results: Mapping[Any, Result]

    def psnr(self, method: str, i: int) -> tuple[float, ...]:
        """Of the final image of problem ``i``, every seed."""
        if method == SUPERVISED:
            return tuple(float(self.results[method, s][f"psnr of test {i}"])
                         for s in range(self.c.seeds))  # fmt: skip
        return tuple(float(self.results[method, i, s][f"psnr of {FINAL}"])
                     for s in range(self.c.seeds))  # fmt: skip

    def image(self, method: str, i: int, seed: int) -> np.ndarray:
        """The final image itself."""
        if method == SUPERVISED:
            return self.results[method, seed][f"test {i}"]
        return self.results[method, i, seed][FINAL]

    def spot(self, method: str) -> tuple[float, ...]:
        """Share of the spot that is seen: its image's magnitude less that without it, there."""
        last, inside = len(self.c.problems) - 1, self.c.problem.inside
        return tuple(
            float(np.mean(np.abs(self.image(method, last, s))[inside]
                          - np.abs(self.image(method, 0, s))[inside]) / self.c.spot)
            for s in range(self.c.seeds)
        )  # fmt: skip

    def lost(self, method: str) -> tuple[float, ...]:
        """PSNR at the first noise level less that at the last."""
        return paired(self.psnr(method, 0), self.psnr(method, len(self.c.noise) - 1))

    def moved(self, method: str) -> tuple[float, ...]:
        """PSNR with the first mask less that with each other one, means over the seeds."""
        first, *others = (float(np.mean(self.psnr(method, i))) for i in self.c.with_masks)
        return tuple(first - other for other in others)

    def missed(self, method: str) -> tuple[float, ...]:
        """How far the spot is from being seen as it is."""
        return tuple(abs(1 - share) for share in self.spot(method))


def report(c: RobustnessConfiguration, results: Mapping[Any, Result]) -> Report:
    """PSNR under every change, the spot, and who loses least."""
    found = _Found(c, results)
    rows: list[tuple[Entry, ...]] = []
    for i, problem in enumerate(c.problems):
        what = f"noise {problem.sigma:g}, lines {problem.seed}" + ", spot" * bool(problem.spot)
        rows.append((what, *(Spread(found.psnr(m, i), 2) for m in METHODS)))
    rows.append(("share of the spot that is seen", *(Spread(found.spot(m), 2) for m in METHODS)))
    title = f"{c.problem.name}: PSNR (dB) of the final image, mean ± sd over {c.seeds} networks"
    table = Table("robustness", title, ("problem", *METHODS), tuple(rows))
    verdicts = [
        Verdict("under other lines the supervised network loses more than self-guided DIP",
                paired(found.moved(SUPERVISED), found.moved(GUIDED)), unit="dB",
                repetitions="draws of lines"),
        Verdict("under more noise the supervised network loses more than self-guided DIP",
                paired(found.lost(SUPERVISED), found.lost(GUIDED)), unit="dB"),
        Verdict("under more noise vanilla DIP loses more than self-guided DIP",
                paired(found.lost(VANILLA), found.lost(GUIDED)), unit="dB"),
        Verdict("self-guided DIP shows an unexpected detail more truly than the supervised network "
                "(difference of the shares that are missed)",
                paired(found.missed(SUPERVISED), found.missed(GUIDED))),
    ]  # fmt: skip
    return Report([table], _pictures(found), verdicts)


def _pictures(found: _Found) -> Iterator[Picture]:
    c = found.c
    palette = plotting.colours(METHODS)
    with plotting.style():
        figure, (noise, masks, spot) = plt.subplots(1, 3, figsize=(10, 3.4))
        for place, method in enumerate(METHODS):
            colour = palette[method]
            curves = np.array([found.psnr(method, i) for i in range(len(c.noise))])
            noise.plot(c.noise, curves, "o-", color=colour, markersize=4, linewidth=1)
            noise.plot([], [], "o-", color=colour, label=method)
            moved = np.array([found.psnr(method, i) for i in c.with_masks])
            shift = 0.12 * (place - 1)
            masks.plot(np.arange(c.masks) + shift, moved, "o", color=colour, markersize=4)
            seen = found.spot(method)
            spot.plot([place] * len(seen), seen, "o", color=colour, markersize=5)
        noise.set(xlabel="noise a sample, of the maximum", ylabel="PSNR (dB)", title="more noise",
                  xscale="log")  # fmt: skip
        noise.set_xticks(c.noise, [f"{sigma:g}" for sigma in c.noise])
        noise.minorticks_off()
        noise.legend()
        names = ["as taught", *(f"draw {i}" for i in range(1, c.masks))]
        masks.set_xticks(range(c.masks), names)
        masks.set(xlabel="sampled lines", ylabel="PSNR (dB)", title="other lines")
        spot.axhline(1, color="0.6", linestyle=":", linewidth=1)
        spot.set_xticks(range(len(METHODS)), METHODS)
        spot.set(ylabel="share that is seen", title="a bright spot of 3 x 3 pixels")
        spot.set_xlim(-0.5, len(METHODS) - 0.5)
        for ax in (noise, masks, spot):
            ax.grid(True, axis="y")
        yield Picture(
            "robustness", "What a change costs", "A point a network. The supervised one was "
            f"taught at noise {c.noise[0]:g} and one draw of lines; deep image priors are trained "
            "anew on each problem.", figure,
        )  # fmt: skip


STUDY: Study[RobustnessConfiguration] = Study(
    "robustness",
    "Robustness",
    "What do more noise, other lines and an unexpected detail cost each kind of network?",
    PRESETS,
    cells,
    report,
)
