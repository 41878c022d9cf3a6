"""Noise has the moments that were asked for, and is measured and whitened back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import data
from ntkdip.data import DataError
from ntkdip.operators import masks

COVARIANCE = np.array([[2.0, 0.6 - 0.5j, 0.1], [0.6 + 0.5j, 1.0, 0.2j], [0.1, -0.2j, 0.5]])


def test_white_noise_of_a_given_sigma() -> None:
    y = np.zeros((200, 200), np.complex64)
    n = data.add_noise(y, sigma=0.3, seed=1)
    assert n.dtype == np.complex64
    # 40,000 samples: relative standard error of a variance sqrt(1/40,000) = 0.5 %.
    assert np.mean(abs(n) ** 2) == pytest.approx(0.09, rel=0.02)
    assert np.var(n.real) == pytest.approx(0.045, rel=0.03)
    assert abs(np.mean(n**2)) < 0.09 * 0.02
    real = data.add_noise(y.real, sigma=0.3, seed=1)
    assert real.dtype == np.float32
    assert np.var(real) == pytest.approx(0.09, rel=0.03)


def test_signal_to_noise_ratio_in_decibels() -> None:
    y = np.full((300, 100), 2 - 1j)
    noise = data.add_noise(y, snr=20.0, seed=0) - y
    assert np.mean(abs(noise) ** 2) == pytest.approx(5 / 100, rel=0.03)


def test_covariance_across_coils() -> None:
    n = data.add_noise(np.zeros((3, 100, 400), complex), covariance=COVARIANCE, seed=3)
    flat = n.reshape(3, -1)
    np.testing.assert_allclose(flat @ flat.conj().T / 40_000, COVARIANCE, atol=0.05)


def test_seeds() -> None:
    y = np.zeros(50, complex)
    first = data.add_noise(y, sigma=1.0, seed=4)
    np.testing.assert_array_equal(first, data.add_noise(y, sigma=1.0, seed=4))
    assert (first != data.add_noise(y, sigma=1.0, seed=5)).all()
    rng = np.random.default_rng(4)
    np.testing.assert_array_equal(first, data.add_noise(y, sigma=1.0, seed=rng))
    assert (first != data.add_noise(y, sigma=1.0, seed=rng)).all()


def test_bad_noise_is_refused() -> None:
    y = np.zeros((3, 4), complex)
    for given in ({}, {"sigma": 1.0, "snr": 3.0}):
        with pytest.raises(ValueError, match="give one of sigma, snr and covariance; got"):
            data.add_noise(y, seed=0, **given)
    for sigma in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite standard deviation, 0 or more"):
            data.add_noise(y, seed=0, sigma=sigma)
    with pytest.raises(ValueError, match="finite number of decibels"):
        data.add_noise(y, seed=0, snr=np.nan)
    with pytest.raises(ValueError, match=r"3 coils is \(3, 3\).*got shape \(2, 2\)"):
        data.add_noise(y, seed=0, covariance=COVARIANCE[:2, :2])
    with pytest.raises(ValueError, match="belongs to complex data"):
        data.add_noise(y.real, seed=0, covariance=COVARIANCE)
    for wrong in (COVARIANCE + np.triu(np.ones((3, 3)), 1), COVARIANCE - 2 * np.eye(3)):
        with pytest.raises(ValueError, match="Hermitian and positive semidefinite"):
            data.add_noise(y, seed=0, covariance=wrong)


def _scan(n: int = 20_000) -> np.ndarray:
    noise = data.add_noise(np.zeros((3, n), complex), covariance=COVARIANCE, seed=7)
    return noise.astype(np.complex64)


def _kspace(mask=None, sigma: float = 0.02) -> data.KSpace:
    return data.mri_kspace(128, 3, mask=mask, sigma=sigma, seed=1)


def test_noise_scan_gives_the_covariance_and_the_level() -> None:
    k = dataclasses.replace(_kspace(), noise_scan=_scan())
    np.testing.assert_allclose(data.noise_covariance(k), COVARIANCE, atol=0.06)
    np.testing.assert_allclose(data.noise_level(k), np.sqrt([2, 1, 0.5]), rtol=0.02)


@pytest.mark.parametrize("acceleration", [1, 4])
def test_level_from_the_periphery_of_a_real_slice(acceleration: int) -> None:
    mask = masks.random_lines((128, 128), acceleration)
    level = data.noise_level(_kspace(mask))
    # Signal left out there makes it an upper estimate.
    assert (level > 0.02 * 0.95).all()
    assert (level < 0.02 * 1.15).all()


def test_whitened_noise_is_white() -> None:
    clean = _kspace(sigma=0.0)
    noisy = data.add_noise(clean.samples, covariance=COVARIANCE, seed=9)
    white = data.prewhiten(dataclasses.replace(clean, samples=noisy, noise_scan=_scan()))
    assert white.reference is None
    np.testing.assert_allclose(data.noise_covariance(white), np.eye(3), atol=1e-5)
    factor = np.linalg.inv(np.linalg.cholesky(COVARIANCE))
    residual = (white.samples - np.tensordot(factor, clean.samples, 1)).reshape(3, -1)
    np.testing.assert_allclose(residual @ residual.conj().T / 128**2, np.eye(3), atol=0.05)


def test_noise_that_cannot_be_measured_is_refused() -> None:
    k = _kspace()
    with pytest.raises(DataError, match="noise scan: 20 samples for 3 coils; at least 24"):
        data.noise_level(dataclasses.replace(k, noise_scan=_scan(20)))
    silent = k.samples.copy()
    silent[1] = 0
    with pytest.raises(DataError, match="periphery of k-space: coil 1 has no noise there"):
        data.noise_level(dataclasses.replace(k, samples=silent))
    with pytest.raises(ValueError, match=r"above 0 and at most 1; got 1\.5"):
        data.noise_level(k, share=1.5)
    with pytest.raises(DataError, match="periphery of k-space: 2 samples for 3 coils"):
        data.noise_level(k, share=1e-4)


def test_covariances_that_cannot_be_whitened_are_refused() -> None:
    k = _kspace()
    with pytest.raises(ValueError, match=r"3 coils is \(3, 3\); got \(2, 2\)"):
        data.prewhiten(k, np.eye(2, dtype=complex))
    with pytest.raises(ValueError, match="not positive definite"):
        data.prewhiten(k, np.ones((3, 3), complex))
