"""The study of methods: its problem, its rows and its figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import metrics, training
from ntkdip.studies import methods
from ntkdip.studies.cells import Result
from ntkdip.studies.study import Report
from ntkdip.training.results import BEST

TINY = dataclasses.replace(
    methods.PRESETS["smoke"], size=16, channels=(4, 4), steps=3, seeds=2, coils=2, record_every=1
)


@pytest.fixture(scope="module")
def results() -> dict[str, Result]:
    adam = training.Optimiser()
    given = {"vanilla": training.Vanilla(), "self-guided": training.SelfGuided()}
    settings = [methods.MethodSettings(TINY, name, m, adam) for name, m in given.items()]
    found = {s.name: methods.train_method(s) for s in settings}
    return {methods.UNTRAINED: methods.reconstruct_untrained(TINY)} | found


@pytest.fixture(scope="module")
def report(results) -> Report:
    return methods.report(TINY, results)


def _entry(report: Report, method: str, image: str, column: str) -> tuple[float, ...]:
    table = report.tables[1]
    row = next(r for r in table.rows if r[:2] == (method, image))
    return row[table.columns.index(column)].values


def test_rows_are_what_was_trained(results, report) -> None:
    best = _entry(report, "vanilla", "oracle best", "PSNR (dB)")
    assert len(best) == 2
    np.testing.assert_allclose(best, results["vanilla"]["curve_psnr"].max(axis=1), atol=1e-3)
    assert _entry(report, "vanilla", "final", "step") == (3.0, 3.0)
    truth = methods.mri_problem(TINY).truth
    averaged = metrics.psnr(results["vanilla"]["averaged"], truth)
    assert _entry(report, "vanilla", "averaged", "PSNR (dB)")[0] == pytest.approx(averaged)
    without = dict(report.tables[0].rows)
    assert without["CG-SENSE"] > without["zero-filled"]


def test_a_rule_that_has_not_triggered_has_no_number(report) -> None:
    # Three steps do not bring the residual down to the noise.
    assert np.isnan(_entry(report, "vanilla", "discrepancy", "PSNR (dB)")).all()
    table = report.tables[1]
    row = next(i for i, r in enumerate(table.rows) if r[:2] == ("vanilla", "discrepancy"))
    assert table.texts()[row][2:] == ["not reached"] * 3


def test_figures_are_of_curves_and_images(report) -> None:
    assert [picture.name for picture in report.pictures] == ["methods", "methods_images"]


def test_verdicts_follow_the_numbers(results, report) -> None:
    ours = np.array(_entry(report, "self-guided", "final", "PSNR (dB)"))
    theirs = np.array(_entry(report, "vanilla", BEST, "PSNR (dB)"))
    np.testing.assert_allclose(report.verdicts[0].effects, ours - theirs)
    # Better by 5 dB, then worse by 5 dB: the verdict has to follow.
    for shift, answer in ((5.0, "agrees"), (-5.0, "disagrees")):
        flipped = {name: dict(found) for name, found in results.items()}
        flipped["self-guided"]["psnr"] = np.broadcast_to(
            theirs + shift + np.array([0.0, 0.1]), results["self-guided"]["psnr"].shape
        )
        assert methods.report(TINY, flipped).verdicts[0].answer == answer


def test_every_contender_is_a_method_with_rates() -> None:
    assert list(methods.cells(TINY)) == [methods.UNTRAINED, *methods.contenders()]
    for method, optimiser in methods.contenders().values():
        assert isinstance(method, training.Method)
        assert optimiser.name == "adam"
