from __future__ import annotations

import numpy as np
import pytest

from ntkdip import data
from ntkdip.operators import masks


@pytest.mark.parametrize("size", [32, 33, 400])
def test_shepp_logan(size: int) -> None:
    x = data.shepp_logan(size)
    assert (x.shape, x.dtype) == ((size, size), np.float64)
    assert x.min() == 0
    # The skull is thinner than a pixel of the smallest.
    assert 0.5 < x.max() <= 1
    assert 0.05 < x.mean() < 0.3
    with pytest.raises(ValueError, match="2 to 400 pixels a side; got size 401"):
        data.shepp_logan(401)


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee", "moon", "rocket"])
def test_photographs(name: str) -> None:
    whole, small = data.photograph(name), data.photograph(name, 48)
    assert whole.dtype == small.dtype == np.float64
    assert small.shape[:2] == (48, 48)
    assert whole.shape[2:] == small.shape[2:] == (() if name in ("camera", "moon") else (3,))
    assert 0 <= small.min() < small.max() <= 1
    side = min(whole.shape[:2])
    top, left = ((n - side) // 2 for n in whole.shape[:2])
    middle = whole[top : top + side, left : left + side]
    assert small.mean() == pytest.approx(middle.mean(), rel=0.01)


def test_photographs_that_are_not_there() -> None:
    with pytest.raises(ValueError, match="2 to 512 pixels a side; got size 513"):
        data.photograph("camera", 513)


def test_mri_kspace_is_what_the_coils_see() -> None:
    mask = masks.random_lines((32, 32))
    k = data.mri_kspace(32, 4, mask=mask)
    assert k.samples.dtype == np.complex64
    assert (k.coils, k.shape) == (4, (32, 32))
    assert k.acceleration == pytest.approx(4)
    assert not k.samples[:, ~mask].any()
    x, S = data.mri_slice(32), data.biot_savart_sensitivities((32, 32), 4)
    n = np.arange(32) - 16
    F = np.exp(-2j * np.pi * np.outer(n, n) / 32) / np.sqrt(32)
    want = F @ (S * x) @ F.T
    np.testing.assert_allclose(k.data(), want[:, mask], atol=1e-5)
    full = data.mri_kspace(32, 4)
    np.testing.assert_allclose(full.magnitude(), abs(x), atol=1e-5)
    np.testing.assert_allclose(full.coil_images(), S * x, atol=1e-5)
    np.testing.assert_allclose(full.reference, abs(x), atol=1e-6)


def test_mri_kspace_noise_and_errors() -> None:
    noise = data.mri_kspace(64, 2, sigma=0.1, seed=1).samples - data.mri_kspace(64, 2).samples
    assert np.mean(abs(noise) ** 2) == pytest.approx(0.01, rel=0.05)
    with pytest.raises(ValueError, match=r"are \(32, 32\) and \(coils, 32, 32\); got \(4, 4\)"):
        data.mri_kspace(32, mask=np.ones((4, 4), bool))


@pytest.mark.parametrize("axis", [0, 1])
def test_readout_cropped_without_loss(axis: int) -> None:
    lines = masks.random_lines((32, 32), 2, axis=1 - axis)
    k = data.mri_kspace(32, 3, mask=lines)
    short = k.crop_readout(20, axis=axis)
    shape = (20, 32) if axis == 0 else (32, 20)
    assert short.shape == short.mask.shape == shape
    assert short.samples.dtype == np.complex64
    assert not short.samples[:, ~short.mask].any()
    cut = (slice(None), *(slice(6, 26) if i == axis else slice(None) for i in (0, 1)))
    np.testing.assert_allclose(short.coil_images(), k.coil_images()[cut], atol=1e-6)


def test_readouts_that_are_none_are_refused() -> None:
    k = data.mri_kspace(32, 2, mask=masks.random_lines((32, 32)))
    with pytest.raises(ValueError, match=r"axis 1 are measured in part.*try axis=0"):
        k.crop_readout(20, axis=1)
    with pytest.raises(ValueError, match="names no size to crop to"):
        k.crop_readout()
    for size in (0, 33):
        with pytest.raises(ValueError, match=f"keeps 1 to 32 pixels of axis 0; got {size}"):
            k.crop_readout(size)
    with pytest.raises(ValueError, match="axis 0 or 1; got axis=2"):
        k.crop_readout(20, axis=2)


def test_brain_slices_are_another_head() -> None:
    low, middle, small = data.brain_slice(3), data.brain_slice(12), data.brain_slice(12, 64)
    assert (low.shape, small.shape) == ((128, 128), (64, 64))
    assert abs(middle).max() == pytest.approx(1)
    # A 96 x 128 plane in a square: bands of zeros above and below.
    assert abs(middle[:16]).max() < 1e-12 < abs(middle[20:]).max()
    assert np.corrcoef(abs(low).ravel(), abs(middle).ravel())[0, 1] < 0.95
    # The reduced slice is the middle of the larger one's k-space; the phase is the head's.
    np.testing.assert_allclose(
        np.angle(middle[64, 40:90]), np.angle(data.mri_slice(128)[64, 40:90]), atol=1e-9
    )
    for given in ((2, 128), (24, 128), (12, 129), (12, 1)):
        with pytest.raises(ValueError, match="slices of the brain are 3 to 23"):
            data.brain_slice(*given)
