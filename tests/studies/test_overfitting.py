"""The study of long runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip.studies import overfitting
from ntkdip.studies.cells import Result

CONFIGURATION = dataclasses.replace(overfitting.PRESETS["full"], steps=100)


def _faked(ends: dict[str, tuple[float, float]]) -> dict[object, Result]:
    """By contender: best and final PSNR, the best at step 40."""

    def result(name: str, seed: int) -> Result:
        best, final = (value + 0.01 * seed for value in ends[name])
        curve = np.array([5.0, best, final])
        found = {"psnr of final": final, "psnr of averaged": final, "psnr of oracle best": best,
                 "step of oracle best": 40, "step": np.array([0, 40, 100]), "psnr": curve,
                 "average_psnr": curve}  # fmt: skip
        return {key: np.asarray(value) for key, value in found.items()}

    return {label: result(*label) for label in overfitting.cells(CONFIGURATION)}


def test_vanilla_falls_as_self_guided_does() -> None:
    contenders = overfitting.PRESETS["full"].contenders
    _, ours = contenders[overfitting.GUIDED]
    _, falling = contenders[overfitting.FALLING]
    _, constant = contenders[overfitting.CONSTANT]
    assert (falling.schedule, falling.final_share) == (ours.schedule, ours.final_share)
    assert constant.schedule == "constant"
    assert falling.rate == constant.rate


def test_verdicts_follow_the_numbers() -> None:
    good = {overfitting.GUIDED: (28.0, 27.9), overfitting.FALLING: (26.0, 24.0),
            overfitting.CONSTANT: (27.0, 25.0)}  # fmt: skip
    report = overfitting.report(CONFIGURATION, _faked(good))
    assert [v.answer for v in report.verdicts] == ["agrees"] * 5
    assert [v.mean for v in report.verdicts] == pytest.approx([1.9, 3.9, 0.9, 2.9, -0.1])
    bad = good | {overfitting.GUIDED: (28.0, 24.4)}
    answers = [v.answer for v in overfitting.report(CONFIGURATION, _faked(bad)).verdicts]
    assert answers == ["disagrees"] * 5


def test_the_table_has_every_seed_and_how_far_past_the_best_step() -> None:
    ends = dict.fromkeys(CONFIGURATION.contenders, (26.0, 24.0))
    report = overfitting.report(CONFIGURATION, _faked(ends))
    (table,) = report.tables
    assert len(table.rows) == 3 * (CONFIGURATION.seeds + 1)
    assert table.texts()[1] == [
        "self-guided", "1", "26.01", "40", "24.01", "24.01", "2.50", "-2.00"
    ]  # fmt: skip
    assert table.texts()[3][1:3] == ["all", "26.01 ± 0.01"]
    (picture,) = report.pictures
    left, right = picture.figure.axes
    assert len(left.lines) == len(right.lines) == 3 * CONFIGURATION.seeds
