"""Estimated sensitivities against those that made the data."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from ntkdip import data
from ntkdip.data import DataError
from ntkdip.operators import masks

SIZE, COILS = 64, 6


@pytest.fixture(scope="module")
def k() -> data.KSpace:
    mask = masks.random_lines((SIZE, SIZE), 3, centre_fraction=0.25)
    return data.mri_kspace(SIZE, COILS, mask=mask, sigma=0.002)


@pytest.fixture(scope="module")
def S() -> np.ndarray:
    return data.biot_savart_sensitivities((SIZE, SIZE), COILS)


def _mismatch(maps: np.ndarray, S: np.ndarray) -> np.ndarray:
    """``1 - |<maps, S>|``, pixel by pixel of the head: their common phase is free."""
    head = np.abs(data.mri_slice(SIZE)) > 0.1
    return 1 - np.abs(np.sum(maps.conj() * S, axis=0))[head]


@pytest.mark.parametrize(
    ("method", "median", "worst"),
    [("espirit", 1e-3, 0.05), ("low-resolution", 5e-3, 0.2), ("root-sum-of-squares", 1e-4, 0.05)],
)
def test_estimates_agree_with_the_truth(k, S, method, median: float, worst: float) -> None:
    if method == "espirit":
        pytest.importorskip("sigpy")
    if method == "root-sum-of-squares":
        k = data.mri_kspace(SIZE, COILS, sigma=0.002)
    maps = data.estimate_sensitivities(k, method)
    assert (maps.shape, maps.dtype) == (S.shape, np.complex64)
    assert np.isfinite(maps).all()
    total = np.sqrt((np.abs(maps) ** 2).sum(0))
    np.testing.assert_allclose(total[total > 0], 1, atol=1e-4)
    mismatch = _mismatch(maps, S)
    assert np.median(mismatch) < median
    assert np.quantile(mismatch, 0.95) < worst


def test_espirit_survives_a_coil_that_sees_nothing(k, S) -> None:
    pytest.importorskip("sigpy")
    samples = k.samples.copy()
    samples[0] = 0
    maps = data.estimate_sensitivities(dataclasses.replace(k, samples=samples))
    assert np.isfinite(maps).all()
    assert np.abs(maps[0]).max() < 1e-3
    others = S[1:] / np.linalg.norm(S[1:], axis=0)
    assert np.median(_mismatch(maps[1:], others)) < 1e-3


def test_calibration_region(k) -> None:
    lines = np.zeros((SIZE, SIZE), bool)
    lines[:, 24:40] = True
    k = dataclasses.replace(k, mask=lines)
    assert data.calibration_region(k, 24) == (24, 16)
    assert data.calibration_region(k, 10) == (10, 10)
    square = np.zeros((SIZE, SIZE), bool)
    square[30:35, 28:36] = True
    # About index 32: rows 30 to 34, columns 28 to 35.
    assert data.calibration_region(dataclasses.replace(k, mask=square)) == (5, 8)


def test_masks_without_a_centre_are_refused(k) -> None:
    for step in (2, 3):
        mask = np.zeros((SIZE, SIZE), bool)
        mask[:, ::step] = True
        for method in ("espirit", "low-resolution"):
            with pytest.raises(DataError, match=r"mask: the fully sampled centre .* needs 4"):
                data.estimate_sensitivities(dataclasses.replace(k, mask=mask), method)
    few = np.zeros((SIZE, SIZE), bool)
    few[:, 29:35] = True
    with pytest.raises(DataError, match=r"centre of 8 samples a side; here it has 6"):
        data.estimate_sensitivities(dataclasses.replace(k, mask=few))


def test_bad_parameters_are_refused(k) -> None:
    with pytest.raises(ValueError, match="crop is a share, 0 to 1; got 2"):
        data.estimate_sensitivities(k, crop=2.0)


def test_without_sigpy_the_message_says_what_to_install(k, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sigpy.mri.app", None)
    with pytest.raises(ImportError, match=r"pip install 'ntkdip\[mri\]'"):
        data.estimate_sensitivities(k)
