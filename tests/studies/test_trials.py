"""Cells that make one image of one problem."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import baselines, metrics, training
from ntkdip.studies import trials
from ntkdip.studies.cells import Result
from ntkdip.studies.imaging import Inpainting, Mri
from ntkdip.studies.trials import Classical, Decoder, KernelGuided, Trial, UNet
from ntkdip.training import Optimiser

TINY = Mri(size=16, coils=2)
TRIAL = Trial(TINY, training.SelfGuided(), Optimiser(), net=UNet((4, 4)), steps=3, record_every=1)


@pytest.fixture(scope="module")
def trained() -> Result:
    return {name: np.asarray(value) for name, value in trials.train(TRIAL).items()}


def test_a_trial_holds_scores_curves_and_images(trained) -> None:
    truth = TINY.build().truth
    for kind in ("final", "averaged", "oracle best"):
        assert trained[f"psnr of {kind}"] == pytest.approx(metrics.psnr(trained[kind], truth))
        assert trained[f"ssim of {kind}"] == pytest.approx(metrics.ssim(trained[kind], truth))
        assert trained[f"nmse of {kind}"] == pytest.approx(metrics.nmse(trained[kind], truth))
    assert trained["step"].tolist() == [0, 1, 2, 3]
    assert trained["psnr"][-1] == pytest.approx(float(trained["psnr of final"]), abs=1e-3)
    # Three steps neither bring the residual down to the noise nor fill a window.
    assert not {"discrepancy", "windowed variance"} & set(trained)
    assert trained["inputs"].shape[1:] == (16, 16, 2)
    assert trials.kinds([trained]) == ["final", "averaged", "oracle best"]


def test_a_trial_repeats_itself_and_seeds_differ(trained) -> None:
    again = trials.train(TRIAL)
    np.testing.assert_array_equal(again["final"], trained["final"])
    other = trials.train(dataclasses.replace(TRIAL, seed=1))
    assert np.abs(other["final"] - trained["final"]).max() > 1e-3


def test_a_trial_takes_real_images_and_other_networks() -> None:
    problem = Inpainting(size=16)
    found = trials.train(
        Trial(problem, training.DeepDecoder(), Optimiser(), Decoder(4, 2), steps=2, record_every=1)
    )
    assert found["final"].shape == (16, 16)
    assert not np.iscomplexobj(found["final"])
    with pytest.raises(ValueError, match="needs fewer weights than numbers"):
        trials.train(Trial(problem, training.DeepDecoder(), Optimiser(), Decoder(64, 2), steps=2))


@pytest.mark.parametrize("solver", ["zero-filled", "CG-SENSE", "TV", "wavelets"])
def test_solvers_are_those_of_the_package_at_their_best_weight(solver) -> None:
    p = Mri(size=16, coils=2, sigma=0.05).build()
    found = trials.solve(Classical(Mri(size=16, coils=2, sigma=0.05), solver))
    alone = {
        "zero-filled": lambda _: baselines.zero_filled(p.A, p.y),
        "CG-SENSE": lambda w: baselines.cg_sense(p.A, p.y, ridge=w),
        "TV": lambda w: baselines.total_variation(p.A, p.y, weight=w),
        "wavelets": lambda w: baselines.wavelet_compressed_sensing(p.A, p.y, weight=w),
    }[solver]
    best = max(metrics.psnr(alone(w), p.truth) for w in trials.WEIGHTS.get(solver, (0.0,)))
    kind = trials.principal(found)
    assert kind == ("final" if solver == "zero-filled" else trials.TUNED)
    assert found[f"psnr of {kind}"] == pytest.approx(best, abs=1e-4)
    np.testing.assert_allclose(found[kind], alone(found["weight"]), atol=1e-6)


def test_interpolation_solves_photographs() -> None:
    found = trials.solve(Classical(Inpainting(size=16), "biharmonic"))
    np.testing.assert_allclose(found["final"], Inpainting(size=16).build().reference)


def test_what_needs_a_missing_package_is_left_out(monkeypatch) -> None:
    assert trials.available(("TV", "CG-SENSE")) == ("TV", "CG-SENSE")
    monkeypatch.setattr(trials.importlib.util, "find_spec", lambda name: None)
    assert trials.available(("TV", "CG-SENSE")) == ("CG-SENSE",)


def test_kernel_self_guidance_gives_its_chosen_iterate() -> None:
    found = trials.guide(KernelGuided(TINY, depth=3, iterations=3))
    truth = TINY.build().truth
    assert found["psnr of final"] == pytest.approx(metrics.psnr(found["final"], truth))
    assert found["psnr of final"] == pytest.approx(found["curve"][found["step of final"]])
    assert found["psnr of final"] > trials.solve(Classical(TINY, "zero-filled"))["psnr of final"]


def test_what_a_result_lacks_is_nan() -> None:
    some = [{"psnr of final": np.array(1.0), "psnr of discrepancy": np.array(2.0)}, {}]
    assert trials.kinds(some) == ["final", "discrepancy"]
    first, second = trials.entries(some, "psnr of final")
    assert first == 1.0
    assert np.isnan(second)
