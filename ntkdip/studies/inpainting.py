"""Photographs of which a share of the pixels is known: deep image priors and interpolation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntkdip import training
from ntkdip.data.samples import Photograph
from ntkdip.studies.cells import Result
from ntkdip.studies.contest import (
    Contender,
    Contest,
    Scores,
    best_solver,
    contest_cells,
    contest_pictures,
    finals,
    gain,
    problem_table,
    score_table,
)
from ntkdip.studies.imaging import Inpainting
from ntkdip.studies.recorded import RecordedPhotograph, digest_of, files_of, recorded_photograph
from ntkdip.studies.study import Report, Study
from ntkdip.studies.trials import Decoder, Solver, UNet
from ntkdip.studies.verdicts import Verdict
from ntkdip.training import Optimiser

SOLVERS: tuple[Solver, ...] = ("zero-filled", "biharmonic")
GUIDED, INTERPOLATED, VANILLA = "self-guided", "self-guided from biharmonic", "vanilla"
KEPT = (0.5, 0.25, 0.1)


def contenders(net: UNet, decoder: Decoder, rates: Optimiser) -> dict[str, Contender]:
    """Self-guided from two starts, the interpolation as fixed input, and random inputs."""
    from_interpolation = training.SelfGuided(alpha=0.1, start_from="reference")
    return {
        GUIDED: Contender(training.SelfGuided(alpha=0.1), rates, net),
        INTERPOLATED: Contender(from_interpolation, rates, net),
        VANILLA: Contender(training.Vanilla(), rates, net),
        "vanilla + TV": Contender(training.TotalVariation(), rates, net),
        "Deep Decoder": Contender(training.DeepDecoder(), rates, decoder),
        "reference-guided": Contender(training.ReferenceGuided(), rates, net),
    }


def _problems(size: int, *photographs: Photograph) -> tuple[Inpainting, ...]:
    return tuple(Inpainting(name, size, kept, seed=3) for kept in KEPT for name in photographs)


RATES = Optimiser(rate=1e-2, input_rate=3e-2)

PRESETS = {
    "smoke": Contest(
        _problems(32, "camera")[:1], contenders(UNet((4, 8)), Decoder(6, 2), RATES),
        SOLVERS, steps=20, seeds=1, record_every=5,
    ),
    "quick": Contest(
        _problems(64, "camera"), contenders(UNet((8, 16, 16), 0.1), Decoder(16, 3), RATES),
        SOLVERS, steps=400, seeds=2, record_every=10,
    ),
    "full": Contest(
        _problems(128, "camera", "astronaut", "chelsea", "coffee"),
        contenders(UNet(), Decoder(48, 4), Optimiser(rate=3e-3)),
        SOLVERS, steps=3000, seeds=3,
    ),
}  # fmt: skip


def report(c: Contest, results: Mapping[Any, Result]) -> Report:
    """A table for each share of pixels, one over the photographs, and what self-guidance gains."""
    by_share: dict[float, list[int]] = {}
    for i, problem in enumerate(c.problems):
        assert isinstance(problem, Inpainting | RecordedPhotograph)
        by_share.setdefault(problem.kept, []).append(i)
    tables, verdicts = [], []
    for kept, problems in by_share.items():
        title = f"{kept:.0%} of pixels, photographs: {len(problems)}, seeds: {c.seeds}; mean ± sd"
        tables.append(score_table(f"inpainting_{100 * kept:.0f}", title, results, problems))
        verdicts += _verdicts(c, results, kept, problems)
    tables.append(problem_table("inpainting_photographs", c, results))
    return Report(tables, contest_pictures("inpainting", c, results), verdicts)


def _verdicts(
    c: Contest, results: Mapping[Any, Result], kept: float, problems: list[int]
) -> list[Verdict]:
    def of(name: str) -> Scores:
        return lambda p: finals(results, p, name)

    def interpolation(p: Sequence[int]) -> tuple[float, ...]:
        return best_solver(c, results, p)

    share = f"from {kept:.0%} of the pixels"
    return [
        gain(f"{share} self-guided DIP ends above vanilla DIP, by 0.5 dB", problems, of(GUIDED),
             of(VANILLA), 0.5),
        gain(f"{share} self-guided DIP that starts from the interpolation ends above vanilla DIP, "
             "by 0.5 dB", problems, of(INTERPOLATED), of(VANILLA), 0.5),
        gain(f"{share} it ends above the interpolation itself", problems, of(INTERPOLATED),
             interpolation),
    ]  # fmt: skip


def on_files(c: Contest, path: Path) -> Contest:
    """The same methods on every photograph of a folder, each at every share of pixels."""
    files = files_of(path)
    problems = tuple(
        RecordedPhotograph(str(file), digest_of(file), kept, seed=3)
        for kept in KEPT for file in files
    )  # fmt: skip
    for file in files:
        recorded_photograph(str(file))
    return dataclasses.replace(c, problems=problems)


STUDY: Study[Contest] = Study(
    "inpainting",
    "Photographs with missing pixels",
    "What do deep image priors make of a photograph of which a share of the pixels is known?",
    PRESETS,
    contest_cells,
    report,
    on_files,
)
