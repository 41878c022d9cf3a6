"""The study of the regulariser, and the trials that it shares with others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import metrics, training
from ntkdip.studies import fig3
from ntkdip.studies.cells import Result
from ntkdip.studies.imaging import Mri, Trial, train
from ntkdip.studies.methods import MethodsConfiguration, mri_problem
from ntkdip.training import Optimiser

TINY = Mri(size=16, coils=2)
TRIAL = Trial(TINY, training.SelfGuided(), Optimiser(), channels=(4, 4), steps=3, record_every=1)


@pytest.fixture(scope="module")
def trained() -> Result:
    return {name: np.asarray(value) for name, value in train(TRIAL).items()}


def test_the_problem_is_that_of_the_methods() -> None:
    ours = Mri(size=32, seed=1).build()
    theirs = mri_problem(MethodsConfiguration(size=32, mask_seed=1))
    np.testing.assert_array_equal(ours.y, theirs.y)
    assert ours.noise_norm == pytest.approx(0.01 * np.sqrt(ours.y.size))
    noise = np.linalg.norm(ours.y - np.asarray(ours.A(ours.truth.astype(np.complex64))))
    assert noise == pytest.approx(ours.noise_norm, rel=0.05)
    clean = dataclasses.replace(TINY, sigma=0.0).build()
    assert clean.noise_norm is None
    assert [rule.name for rule in clean.rules] == ["windowed variance"]


def test_a_trial_holds_scores_curves_and_images(trained) -> None:
    truth = TINY.build().truth
    for kind in ("final", "averaged", "oracle best"):
        assert trained[f"psnr of {kind}"] == pytest.approx(metrics.psnr(trained[kind], truth))
        assert trained[f"ssim of {kind}"] == pytest.approx(metrics.ssim(trained[kind], truth))
    assert trained["step"].tolist() == [0, 1, 2, 3]
    assert trained["psnr"][-1] == pytest.approx(float(trained["psnr of final"]), abs=1e-3)
    # Three steps neither bring the residual down to the noise nor fill a window.
    assert not {"discrepancy", "windowed variance"} & set(trained)
    assert trained["inputs"].shape[1:] == (16, 16, 2)


def test_a_trial_repeats_itself_and_seeds_differ(trained) -> None:
    again = train(TRIAL)
    np.testing.assert_array_equal(again["final"], trained["final"])
    other = train(dataclasses.replace(TRIAL, seed=1))
    assert np.abs(other["final"] - trained["final"]).max() > 1e-3


def _faked(c: fig3.Fig3Configuration, finals: dict[float, float]) -> dict[object, Result]:
    def result(alpha: float, seed: int) -> Result:
        final = finals[alpha] + 0.1 * seed
        curve = np.array([0.0, finals[alpha] + 1.0, final])
        found = {"psnr of final": final, "psnr of averaged": final, "psnr of oracle best": 30.0}
        arrays = found | {"step": np.arange(3), "psnr": curve}
        return {name: np.asarray(value) for name, value in arrays.items()}

    return {label: result(*label) for label in fig3.cells(c)}


def test_verdicts_follow_the_numbers() -> None:
    c = fig3.PRESETS["quick"]
    zero, low, shown, high = c.alphas
    better = fig3.report(c, _faked(c, {zero: 24.0, low: 25.0, shown: 26.0, high: 25.0}))
    assert [v.answer for v in better.verdicts] == ["agrees", "agrees"]
    assert [v.effects for v in better.verdicts] == [pytest.approx([2.0] * c.seeds)] * 2
    worse = fig3.report(c, _faked(c, {zero: 26.0, low: 25.0, shown: 24.0, high: 25.0}))
    assert [v.answer for v in worse.verdicts] == ["disagrees", "disagrees"]
    assert better.tables[0].texts()[2][:2] == ["0.1", "26.10 ± 0.10"]
    (picture,) = better.pictures
    left, right = picture.figure.axes
    assert len(left.lines) == len(c.alphas) * c.seeds
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["final", "averaged"]
    means = right.lines[c.seeds]
    np.testing.assert_allclose(means.get_ydata(), [0.0, 1.0, 2.0, 1.0])
    np.testing.assert_allclose(means.get_xdata(), c.alphas)


def test_the_weight_shown_is_one_of_those_trained() -> None:
    with pytest.raises(ValueError, match="must hold 0 and the weight shown"):
        fig3.Fig3Configuration(alphas=(0.1, 0.2))
