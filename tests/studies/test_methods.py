"""The study of methods: its problem, its rows and its figures."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import metrics, training
from ntkdip.studies import methods

TINY = dataclasses.replace(
    methods.PRESETS["smoke"], size=16, channels=(4, 4), steps=3, seeds=2, coils=2, record_every=1
)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> methods.MethodsStudy:
    both = {"vanilla": (training.Vanilla(), training.Optimiser())}
    monkeypatch.setattr(methods, "contenders", lambda: both)
    return methods.methods_study(TINY)


def test_rows_and_figures(study: methods.MethodsStudy) -> None:
    images = ["final", "averaged", "oracle best"]
    assert [row.image for row in study.rows if row.image in images] == images
    best = study.row("vanilla", "oracle best")
    assert len(best.psnr) == 2
    curves = [run["psnr"] for run in study.curves["vanilla"]]
    np.testing.assert_allclose(best.psnr, [curve.max() for curve in curves], atol=1e-3)
    assert study.row("vanilla", "final").step == (3.0, 3.0)
    # Three steps do not bring the residual down to the noise.
    assert study.row("vanilla", "discrepancy").step == (3.0, 3.0)
    averaged = metrics.psnr(study.images["vanilla"], study.truth)
    assert study.row("vanilla", "averaged").psnr[0] == pytest.approx(averaged)
    assert study.baselines["CG-SENSE"] > study.baselines["zero-filled"]
    assert [name for name, _ in methods.methods_figures(study)] == ["methods", "methods_images"]
    stored = methods.content(study)
    assert stored["configuration"]["channels"] == (4, 4)
    assert len(stored["rows"]) == len(study.rows)
    assert [table.row_count for table in methods.methods_tables(study)] == [
        len(study.baselines), len(study.rows),
    ]  # fmt: skip


def test_every_contender_is_a_method_with_rates() -> None:
    for method, optimiser in methods.contenders().values():
        assert isinstance(method, training.Method)
        assert optimiser.name == "adam"


def test_spread_over_seeds() -> None:
    assert methods.spread((1.0, 2.0, 3.0), 1) == "2.0 ± 1.0"
    assert methods.spread((1.25,), 2) == "1.25"
