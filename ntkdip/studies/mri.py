"""Undersampled MRI: deep image priors side by side, beside what needs no training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntkdip import training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.contest import (
    Contender,
    Contest,
    Scores,
    best_solver,
    bests,
    contest_cells,
    contest_pictures,
    finals,
    gain,
    problem_table,
    score_table,
)
from ntkdip.studies.imaging import Mri
from ntkdip.studies.recorded import RecordedSlice, digest_of, files_of
from ntkdip.studies.study import Report, Study
from ntkdip.studies.trials import Decoder, KernelGuided, Solver, UNet
from ntkdip.studies.verdicts import Verdict
from ntkdip.training import Optimiser

SOLVERS: tuple[Solver, ...] = ("zero-filled", "CG-SENSE", "TV", "wavelets")
GUIDED, VANILLA, KERNEL = "self-guided", "vanilla", "kernel self-guidance"
REFERENCE = "reference-guided"


@dataclasses.dataclass(frozen=True)
class MriConfiguration:
    """What is reconstructed, and how."""

    contest: Contest
    """Methods and problems: slices that ship, or recorded ones."""
    kernel: bool = False
    """Also by kernel self-guidance, whose cost is cubic in the number of samples."""


def contenders(
    net: UNet, decoder: Decoder, slow: Optimiser, fast: Optimiser
) -> dict[str, Contender]:
    """Every method: ``slow`` for those whose input is an image, ``fast`` for random inputs.

    aSeqDIP and reference-guided DIP have self-guided's rate, no better one was looked for.
    """
    return {
        GUIDED: Contender(training.SelfGuided(), slow, net),
        VANILLA: Contender(training.Vanilla(), fast, net),
        "vanilla + TV": Contender(training.TotalVariation(), fast, net),
        "Deep Decoder": Contender(training.DeepDecoder(), fast, decoder),
        "aSeqDIP": Contender(training.Sequential(), slow, net),
        REFERENCE: Contender(training.ReferenceGuided(), slow, net),
    }


def _at(*problems: Mri) -> tuple[Mri, ...]:
    """Each at 4x and at 8x."""
    return tuple(
        dataclasses.replace(p, acceleration=acceleration)
        for acceleration in (4.0, 8.0) for p in problems
    )  # fmt: skip


PRESETS = {
    "smoke": MriConfiguration(
        Contest(
            (Mri(size=32, coils=2, acceleration=8.0),),
            contenders(UNet((4, 8)), Decoder(8, 2), Optimiser(), Optimiser()),
            SOLVERS, steps=20, seeds=1, record_every=5,
        ),
        kernel=True,
    ),
    "quick": MriConfiguration(
        Contest(
            _at(Mri(size=64, coils=2, distance=1.5, sigma=0.02, seed=3)),
            contenders(UNet((8, 16, 16), 0.1), Decoder(24, 3),
                       Optimiser(rate=1e-2, input_rate=3e-2), Optimiser(rate=1e-2)),
            SOLVERS, steps=400, seeds=2, record_every=10,
        ),
        kernel=True,
    ),
    "full": MriConfiguration(
        Contest(
            _at(Mri(), Mri(brain=8), Mri(brain=16)),
            contenders(UNet(), Decoder(64, 4), Optimiser(rate=3e-3), Optimiser(rate=1e-2)),
            SOLVERS, steps=3000, seeds=3,
        )
    ),
}  # fmt: skip
"""Rates were chosen on another mask than the first problem's."""


def cells(c: MriConfiguration) -> dict[Any, Cell]:
    """Those of the contest, and kernel self-guidance for each problem."""
    found = contest_cells(c.contest)
    if c.kernel:
        for i, problem in enumerate(c.contest.problems):
            assert isinstance(problem, Mri)  # of recorded slices the noise is not known
            found[i, KERNEL, 0] = KernelGuided(problem).cell()
    return found


def report(c: MriConfiguration, results: Mapping[Any, Result]) -> Report:
    """A table for each acceleration, one over the slices, and what self-guidance gains."""
    by_acceleration: dict[float, list[int]] = {}
    for i, problem in enumerate(c.contest.problems):
        assert isinstance(problem, Mri | RecordedSlice)
        by_acceleration.setdefault(problem.acceleration, []).append(i)
    tables, verdicts = [], []
    for acceleration, problems in by_acceleration.items():
        title = f"{acceleration:g}x, slices: {len(problems)}, seeds: {c.contest.seeds}; mean ± sd"
        tables.append(score_table(f"mri_{acceleration:g}x", title, results, problems))
        verdicts += _verdicts(c.contest, results, acceleration, problems)
    tables.append(problem_table("mri_slices", c.contest, results))
    return Report(
        tables, contest_pictures("mri", c.contest, results), verdicts, findings=_findings(c)
    )


def _verdicts(
    c: Contest, results: Mapping[Any, Result], acceleration: float, problems: list[int]
) -> list[Verdict]:
    def ours(these: Sequence[int]) -> tuple[float, ...]:
        return finals(results, these, GUIDED)

    rivals: dict[str, Scores] = {
        "the best image by the truth of vanilla DIP": lambda p: bests(results, p, VANILLA),
        "the last image of vanilla DIP": lambda p: finals(results, p, VANILLA),
        "the best solver without training, its weight chosen by the truth": (
            lambda p: best_solver(c, results, p)
        ),
    }
    return [
        gain(f"at {acceleration:g}x self-guided DIP ends above {what}", problems, ours, theirs)
        for what, theirs in rivals.items()
    ]


def _findings(c: MriConfiguration) -> list[str]:
    found = []
    if REFERENCE in c.contest.contenders:
        found.append(
            "the reference of reference-guided DIP is the true magnitude, squared: without noise "
            "and in perfect register, the best that another contrast could be"
        )
    if c.contest.missing:
        found.append(
            f"not compared: {' and '.join(c.contest.missing)}, which need sigpy "
            '(pip install "ntkdip[mri]")'
        )
    if not c.kernel:
        first = c.contest.problems[0].build()
        found.append(
            f"not compared: kernel self-guidance, whose dense system has {first.A.range.size:,} "
            "complex unknowns here; the preset quick has it, on the slice that ships"
        )
    return found


def on_files(c: MriConfiguration, path: Path) -> MriConfiguration:
    """The same methods on the middle slice of every file, each at 4x and at 8x."""
    files = files_of(path)
    problems = tuple(
        RecordedSlice(str(file), digest_of(file), acceleration)
        for acceleration in (4.0, 8.0) for file in files
    )  # fmt: skip
    for problem in problems:  # coils may not be had from the few lines that are left
        problem.build()
    # A reference could only be made of the truth.
    fair = {name: given for name, given in c.contest.contenders.items() if name != REFERENCE}
    return MriConfiguration(dataclasses.replace(c.contest, problems=problems, contenders=fair))


STUDY: Study[MriConfiguration] = Study(
    "mri",
    "Undersampled MRI",
    "What do deep image priors make of undersampled slices, beside what needs no training?",
    PRESETS,
    cells,
    report,
    on_files,
)
