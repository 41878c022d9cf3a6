"""The study of spectral bias and overfitting."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from ntkdip import kernels, metrics, networks, theory
from ntkdip.studies import fig2
from ntkdip.studies.cells import Result
from ntkdip.studies.imaging import Mri

QUICK = fig2.PRESETS["quick"]
TINY = Mri(size=16, coils=1, sigma=0.05)


@pytest.fixture(scope="module")
def followed() -> Result:
    given = fig2.Descent(TINY, width=32, depth=3, steps=40)
    return {name: np.asarray(value) for name, value in fig2.follow(given).items()}


def test_training_follows_theorem_2(followed) -> None:
    assert followed["step"][0] == 1
    assert followed["step"][-1] == 40
    # Measured, three seeds: at most 0.10 dB and 0.008.
    assert np.abs(followed["psnr"] - followed["predicted_psnr"]).max() < 0.3
    low = np.abs(followed["bands"] - followed["predicted_bands"])[:, 0]
    assert low.max() < 0.03


def test_the_prediction_is_the_mean_over_noise() -> None:
    """Theorem 2 by band against Monte Carlo over draws of noise, one kernel."""
    given = fig2.Descent(TINY, width=8, depth=3, steps=30)
    predicted = fig2.follow(given)["predicted_bands"][-1]
    built = TINY.build()
    net = networks.wide_cnn(8, depth=3, kernel_size=3)
    earlier = dataclasses.replace(TINY, noise_seed=fig2.EARLIER).build()
    z = networks.as_input(np.asarray(earlier.A.adjoint(earlier.y)))
    W = kernels.empirical(net, net.init(z, key=jax.random.key(0)), z)
    regime = theory.KernelRegime(W, built.A)
    errors = []
    for seed in range(200):
        y = dataclasses.replace(TINY, noise_seed=seed).build().y
        image = regime.trajectory(y, [30])[0]
        errors.append(metrics.band_errors(image, built.truth) ** 2)
    mean, error = np.mean(errors, axis=0), np.std(errors, axis=0) / np.sqrt(len(errors))
    assert (np.abs(mean - predicted**2) < 4 * error + 1e-4).all()


def test_every_repetition_has_its_noise_and_the_same_lines() -> None:
    cells = fig2.cells(QUICK)
    first, second = (cells["descent", seed].settings.problem.build() for seed in (0, 1))
    np.testing.assert_array_equal(first.A.fourier.indices, second.A.fourier.indices)
    assert np.abs(first.y - second.y).max() > 0.01
    assert {cells["vanilla", s].settings.problem.noise_seed for s in range(3)} == {0, 1, 2}


def test_what_is_unexplained_is_counted_where_it_was_measured() -> None:
    built = TINY.build()
    nothing = fig2._unexplained(np.zeros((16, 16)), built)
    np.testing.assert_allclose(nothing, 1, rtol=1e-5)
    # The zero-filled image has all that was measured, in every band: no bias.
    start = np.asarray(built.A.adjoint(built.y))
    np.testing.assert_allclose(fig2._unexplained(start, built), 0, atol=1e-5)
    np.testing.assert_allclose(fig2._unexplained(0.7 * start, built), 0.3, rtol=1e-4)


def _faked(final: float, high: float, shift: float, best: float = 10.5) -> dict[object, Result]:
    """Peaks of 20 dB at step 10; the high band's data unexplained; a prediction off by a shift."""

    def result(kind: str, seed: int) -> Result:
        psnr = np.array([10.0, 20.0, final + 0.1 * seed])
        bands = np.array([[1.0, 1.0, 1.0], [0.4, 0.6, high + 0.01 * seed], [0.3, 0.7, 1.0]])
        found = {"step": np.array([1, 10, 100]), "psnr": psnr}
        if kind == "vanilla":
            return found | {f"band_error_{n}": bands[:, i] for i, n in enumerate(fig2.BANDS)}
        return found | {
            "bands": bands, "predicted_bands": bands, "unexplained": bands,
            "predicted_psnr": psnr + shift * (1 + seed / 9),
            "mse": 30 - psnr,
            "best": np.array(best * (1 + seed / 9)),
        }  # fmt: skip

    return {label: result(*label) for label in fig2.cells(QUICK)}


def test_verdicts_follow_the_numbers() -> None:
    found = fig2.report(QUICK, _faked(final=16.0, high=0.9, shift=0.1))
    assert [v.answer for v in found.verdicts] == ["agrees"] * 5
    assert found.verdicts[0].effects == pytest.approx([0.5, 0.51, 0.52])
    assert found.verdicts[1].effects == pytest.approx([4.0, 3.9, 3.8])
    assert found.verdicts[4].effects[0] == pytest.approx(-np.log10(1.05))
    flipped = fig2.report(QUICK, _faked(final=19.7, high=0.2, shift=3.0, best=60.0))
    assert [v.answer for v in flipped.verdicts] == ["disagrees"] * 5
    rows = found.tables[0].texts()
    assert rows[0][1:4] == ["20.00 ± 0.00", "10 ± 0", "16.10 ± 0.10"]
    assert rows[2][4] == "40.0 ± 0.0"
    rings, curves = found.pictures
    assert [ax.get_title().split(" (")[0] for ax in rings.figure.axes] == list(fig2.BANDS)
    assert len(curves.figure.axes[2].lines) == 2 * 3 * QUICK.seeds


def test_a_training_that_is_too_short_says_so() -> None:
    results = _faked(final=16.0, high=0.9, shift=0.1, best=np.inf)
    for label, result in results.items():
        if label[0] == "descent":
            result["unexplained"] = np.full((3, 3), 0.9)
    found = fig2.report(QUICK, results)
    assert len(found.verdicts) == 3
    assert len(found.findings) == 2
