"""Methods side by side: cells, tables, verdicts and pictures of `mri` and `inpainting`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from ntkdip.studies import contest, inpainting, mri
from ntkdip.studies.cells import Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.trials import TUNED, WEIGHTS

SOLVERS = {*mri.SOLVERS, *inpainting.SOLVERS}
STUDIES = {"mri": mri.STUDY, "inpainting": inpainting.STUDY}


def _contest(configuration: Any) -> contest.Contest:
    return getattr(configuration, "contest", configuration)


def _faked(study: Any, configuration: Any, finals: dict[str, float]) -> dict[Any, Result]:
    """Every cell's result: a final image of this quality, 1 dB below the best on the way."""
    c = _contest(configuration)
    truths = [problem.build().truth for problem in c.problems]

    def result(i: int, name: str, seed: int) -> Result:
        psnr = finals.get(name, 20.0) + 0.1 * seed
        tuned = name in WEIGHTS
        kind = TUNED if tuned else "final"
        found: dict[str, Any] = {kind: truths[i] * 0.9}
        kinds = {kind: psnr}
        if name in c.contenders:
            kinds |= {"averaged": psnr, "oracle best": psnr + 1}
            curve = np.array([5.0, psnr + 1, psnr])
            found |= {"step": np.arange(3), "psnr": curve, "average_psnr": curve}
            found |= {"averaged": truths[i], "step of final": 2}
        for kind, value in kinds.items():
            found |= {f"psnr of {kind}": value, f"ssim of {kind}": 0.5, f"nmse of {kind}": 0.1}
        return {name: np.asarray(value) for name, value in found.items()}

    return {label: result(*label) for label in study.cells(configuration)}


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", ["smoke", "quick", "full"])
def test_cells_are_all_methods_on_all_problems(name, preset) -> None:
    study = STUDIES[name]
    configuration = study.presets[preset]
    c = _contest(configuration)
    cells = study.cells(configuration)
    trained = len(c.problems) * len(c.contenders) * c.seeds
    kernel = len(c.problems) if getattr(configuration, "kernel", False) else 0
    assert len(cells) == trained + len(c.problems) * len(c.solvers) + kernel
    assert len({cell.key for cell in cells.values()}) == len(cells)
    assert all(c.method.__class__.__name__ for c in c.contenders.values())


@pytest.mark.parametrize("name", STUDIES)
def test_verdicts_follow_the_numbers(name) -> None:
    study = STUDIES[name]
    configuration = study.presets["quick"]
    ours = {
        "self-guided": 26.0,
        "self-guided from biharmonic": 26.0,
        **dict.fromkeys(SOLVERS, 23.0),
    }
    better = study.report(configuration, _faked(study, configuration, ours | {"vanilla": 24.0}))
    assert {v.answer for v in better.verdicts} == {"agrees"}
    assert any(v.effects == pytest.approx([2.0, 2.0]) for v in better.verdicts)
    theirs = dict.fromkeys(["vanilla", *SOLVERS], 28.0)
    worse = study.report(configuration, _faked(study, configuration, ours | theirs))
    assert {v.answer for v in worse.verdicts} == {"disagrees"}


def test_self_guidance_is_held_against_the_best_that_vanilla_passes() -> None:
    c = mri.PRESETS["quick"]
    found = mri.report(c, _faked(mri.STUDY, c, {"self-guided": 26.5, "vanilla": 26.0}))
    best, last, solver = found.verdicts[:3]
    assert solver.effects == pytest.approx([6.5, 6.6])
    assert (best.answer, best.effects) == ("disagrees", pytest.approx([-0.5, -0.5]))
    assert (last.answer, last.effects) == ("agrees", pytest.approx([0.5, 0.5]))


def test_tables_are_of_every_method_and_kind() -> None:
    c = mri.PRESETS["quick"]
    report = mri.report(c, _faked(mri.STUDY, c, {"vanilla": 24.0}))
    assert [table.name for table in report.tables] == ["mri_4x", "mri_8x", "mri_slices"]
    rows = {tuple(row[:2]): row[2:] for row in report.tables[0].texts()}
    assert rows["vanilla", "final"] == ["24.05 ± 0.07", "0.500 ± 0.000", "0.1000 ± 0.0000", "2 ± 0"]
    assert rows["vanilla", "oracle best"][0] == "25.05 ± 0.07"
    assert rows["zero-filled", "final"][-1] == "-"
    assert mri.KERNEL in {method for method, _ in rows}
    assert report.tables[2].columns == ("method", "head, 64², 4x", "head, 64², 8x")
    assert rows["CG-SENSE", TUNED][0] == "20.00"
    (finding,) = report.findings
    assert "the true magnitude, squared" in finding


def test_what_is_not_compared_is_said(monkeypatch) -> None:
    monkeypatch.setattr(contest, "available", lambda solvers: ("zero-filled", "CG-SENSE"))
    c = mri.PRESETS["quick"]
    small = dataclasses.replace(c, kernel=False)
    report = mri.report(small, _faked(mri.STUDY, small, {}))
    _, missing, kernel = report.findings
    assert "not compared: TV and wavelets, which need sigpy" in missing
    assert "kernel self-guidance, whose dense system has 2,048 complex unknowns" in kernel


def test_pictures_show_every_method() -> None:
    c = mri.PRESETS["quick"]
    curves, images = mri.report(c, _faked(mri.STUDY, c, {})).pictures
    labels = [text.get_text() for text in curves.figure.legends[0].get_texts()]
    assert labels == list(c.contest.contenders)
    assert len(curves.figure.axes[0].lines) == len(labels) * c.contest.seeds + 4
    titles = [ax.get_title() for ax in images.figure.axes if ax.get_title()]
    assert len(titles) == 1 + 4 + len(labels) + 1
    shown = [ax.images[0].get_clim() for ax in images.figure.axes if ax.images]
    peak = float(abs(c.contest.problems[0].build().truth).max())
    assert set(shown) == {(0.0, peak), (0.0, peak / contest.BRIGHTER)}


def test_a_contest_needs_problems_and_steps() -> None:
    with pytest.raises(ValueError, match="needs a problem and at least 1 step"):
        dataclasses.replace(inpainting.PRESETS["smoke"], problems=())
    with pytest.raises(ValueError, match="got 1, 0, 1 and 5"):
        dataclasses.replace(inpainting.PRESETS["smoke"], problems=(Mri(),), steps=0)


def test_seeds_of_many_images_are_one_effect_an_image() -> None:
    c = mri.PRESETS["full"]
    found = mri.report(c, _faked(mri.STUDY, c, {"self-guided": 26.0, "vanilla": 24.0}))
    last = found.verdicts[1]
    assert (last.effects, last.repetitions) == (pytest.approx([2.0] * 3), "images")
