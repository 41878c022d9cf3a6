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
    z = networks.as_input(np.asarray(built.A.adjoint(built.y)))
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


def _faked(final: float, high: float, shift: float) -> dict[object, Result]:
    """Peaks of 20 dB at step 10; errors of the high band; a prediction that is off by a shift."""

    def result(kind: str, seed: int) -> Result:
        psnr = np.array([10.0, 20.0, final + 0.1 * seed])
        bands = np.array([[1.0, 1.0, 1.0], [0.4, 0.6, high + 0.01 * seed], [0.3, 0.7, 1.0]])
        found = {"step": np.array([1, 10, 100]), "psnr": psnr}
        if kind == "vanilla":
            return found | {f"band_error_{n}": bands[:, i] for i, n in enumerate(fig2.BANDS)}
        return found | {"bands": bands, "predicted_bands": bands,
                        "predicted_psnr": np.array([10.0, 20.0 if shift < 1 else 5.0,
                                                    psnr[2] + shift * (1 + seed / 9)])}  # fmt: skip

    return {label: result(*label) for label in fig2.cells(QUICK)}


def test_verdicts_follow_the_numbers() -> None:
    found = fig2.report(QUICK, _faked(final=16.0, high=0.9, shift=0.1))
    assert [v.answer for v in found.verdicts] == ["agrees"] * 6
    assert found.verdicts[0].effects == pytest.approx([0.5, 0.51, 0.52])
    assert found.verdicts[2].effects == pytest.approx([4.0, 3.9, 3.8])
    flipped = fig2.report(QUICK, _faked(final=16.0, high=0.2, shift=3.0))
    answers = [v.answer for v in flipped.verdicts]
    assert answers == ["disagrees", "disagrees", "agrees", "agrees", "disagrees", "disagrees"]
    rows = found.tables[0].texts()
    assert rows[0][1:4] == ["20.00 ± 0.00", "10 ± 0", "16.10 ± 0.10"]
    assert rows[2][4] == "40.0 ± 0.0"
    rings, curves = found.pictures
    assert [ax.get_title().split(" (")[0] for ax in rings.figure.axes] == list(fig2.BANDS)
    assert len(curves.figure.axes[2].lines) == 2 * 3 * QUICK.seeds
