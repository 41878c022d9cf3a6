"""The study of the parts of self-guided deep image prior."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import training
from ntkdip.studies import ablation
from ntkdip.studies.cells import Result
from ntkdip.studies.trials import train

QUICK = ablation.PRESETS["quick"]


def _faked(finals: dict[tuple[str, float], float], c=QUICK) -> dict[object, Result]:
    """A base of 25 dB, unless said otherwise; the average 0.5 dB above."""

    def result(part: str, value: float, seed: int) -> Result:
        final = finals.get((part, value), 25.0) + 0.1 * seed
        found = {"final": final, "averaged": final + 0.5, "oracle best": final + 1}
        return {f"psnr of {kind}": np.asarray(psnr) for kind, psnr in found.items()}

    return {label: result(*label) for label in ablation.cells(c)}


def test_one_part_changes_at_a_time_and_the_base_is_shared() -> None:
    cells = ablation.cells(QUICK)
    base = {cells[part, QUICK.of_base(part), 0].key for part in QUICK.values}
    assert len(base) == 1
    for part in QUICK.values:
        for value in QUICK.settings(part):
            trial = QUICK.trial(part, value, 1)
            assert trial.seed == 1
            same = dataclasses.replace(trial, seed=0) == QUICK.base
            assert same == (value == QUICK.of_base(part))
    assert QUICK.trial("draws", 3.0, 0).method == dataclasses.replace(QUICK.base.method, draws=3)
    assert QUICK.trial("input_rate", 0.0, 0).optimiser.input_rate == ablation.FROZEN


def test_verdicts_follow_the_numbers() -> None:
    without = {("level", 0.0): 23.0, ("input_rate", 0.0): 23.0, ("alpha", 0.0): 23.0}
    good = ablation.report(QUICK, _faked(without | {("draws", 3.0): 26.0}))
    assert [v.answer for v in good.verdicts] == ["agrees"] * 5
    assert [v.mean for v in good.verdicts] == pytest.approx([2.0, 2.0, 2.0, 1.0, 0.5])
    bad = ablation.report(QUICK, _faked(dict.fromkeys(without, 27.0) | {("draws", 3.0): 24.0}))
    assert [v.answer for v in bad.verdicts] == ["disagrees"] * 4 + ["agrees"]


def test_the_table_marks_the_base_and_the_picture_has_a_panel_each() -> None:
    report = ablation.report(QUICK, _faked({}))
    (table,) = report.tables
    marked = [row[:2] for row in table.texts() if "(base)" in row[1]]
    assert [value for _, value in marked] == ["0.2 (base)", "1 (base)", "0.03 (base)", "0.1 (base)"]
    (picture,) = report.pictures
    panels = picture.figure.axes
    assert [ax.get_xlabel() for ax in panels] == list(ablation.MEANINGS.values())
    assert panels[0].get_xscale() == "symlog"


def test_an_input_that_stays_does_stay() -> None:
    c = ablation.PRESETS["smoke"]
    trial = dataclasses.replace(c.trial("input_rate", 0.0, 0), steps=4, record_every=1)
    inputs = train(trial)["inputs"]
    np.testing.assert_allclose(inputs[-1], inputs[0], atol=1e-10)


def test_the_base_is_self_guided_with_a_rate_of_its_own() -> None:
    vanilla = dataclasses.replace(QUICK.base, method=training.Vanilla())
    with pytest.raises(ValueError, match="parts are those of self-guided DIP"):
        dataclasses.replace(QUICK, base=vanilla)
    default = dataclasses.replace(QUICK.base, optimiser=training.Optimiser())
    with pytest.raises(ValueError, match="needs an input rate of its own"):
        dataclasses.replace(QUICK, base=default)
