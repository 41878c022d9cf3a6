"""Corollary 1, frequency by frequency: what a circulant kernel does and leaves alone."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip import kernels, networks, operators
from ntkdip.kernels import BothParts, DenseKernel
from ntkdip.theory import GradientDescent, HeavyBall, KernelRegime
from tests.theory.zoo import KERNELS, SHAPE

MASK = np.random.default_rng(2).random(SHAPE) < 0.45
TIMES = [0, 1, 7, 100, 1e4, np.inf]


def kspace(image: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))


@pytest.mark.parametrize("route", ["waves", "dense"])
@pytest.mark.parametrize("method", [GradientDescent(), GradientDescent(ridge=0.05)], ids=str)
def test_sampled_frequencies_approach_the_data_and_others_stay(route: str, method) -> None:
    A = operators.masked_fourier(MASK)
    W = KERNELS["circulant"](A.domain)
    assert isinstance(W, BothParts)
    eigenvalues = np.fft.fftshift(np.fft.fft2(W.part.rows[0, 0]).real)
    if route == "dense":
        W = DenseKernel(W.dense(), W.space)
    rng = np.random.default_rng(0)
    z0, x = (rng.standard_normal(SHAPE) + 1j * rng.standard_normal(SHAPE) for _ in range(2))
    y = kspace(x)[MASK]
    regime = KernelRegime(W, A, method=method, z0=z0)
    for t, z in zip(TIMES, regime.trajectory(y, TIMES), strict=True):
        found, start = kspace(z), kspace(z0)
        assert np.abs(found - start)[~MASK].max() <= 1e-10
        w, ridge = eigenvalues[MASK], method.ridge
        left = (1 - regime.step_size * (w + ridge)) ** t
        expected = start[MASK] + (1 - left) * w / (w + ridge) * (y - start[MASK])
        assert np.abs(found[MASK] - expected).max() <= 1e-10


def test_a_real_image_also_has_the_mirror_images_of_its_samples() -> None:
    A = operators.masked_fourier(MASK, complex_image=False)
    W = KERNELS["circulant"](A.domain)
    x = np.random.default_rng(0).standard_normal(SHAPE)
    limit = KernelRegime(W, A).limit(kspace(x)[MASK])
    flipped = np.fft.fftshift(np.roll(np.flip(np.fft.ifftshift(MASK)), 1, axis=(0, 1)))
    expected = np.where(MASK | flipped, kspace(x), 0)
    assert (flipped & ~MASK).any()
    np.testing.assert_allclose(kspace(limit), expected, atol=1e-10)


def test_a_deep_decoder_couples_only_aliases() -> None:
    """Data at one frequency reach those a whole number of coarse periods away, and no others."""
    net = networks.deep_decoder(8, 2, normalisation=False, upsampling="circular")
    W = kernels.stationary(net, (16, 16))
    mask = np.zeros((16, 16), bool)
    mask[5, 9] = True
    A = operators.masked_fourier(mask)
    moved = np.abs(kspace(KernelRegime(W, A).limit(np.ones(1, complex))))
    reached = np.argwhere(moved > 1e-10)
    assert len(reached) > 1
    assert ((reached - [5, 9]) % 4 == 0).all()


@pytest.mark.parametrize("complex_image", [True, False])
def test_large_images_need_nothing_dense(complex_image: bool) -> None:
    """The dense route would ask for 128 GiB or more here."""
    shape = (256, 256)
    net = networks.wide_cnn(8, 4, 3, complex_image=complex_image)
    W = kernels.stationary(net, shape)
    mask = operators.masks.random_lines(shape, 4)
    A = operators.masked_fourier(mask, complex_image=complex_image)
    x = np.random.default_rng(0).standard_normal(shape)
    regime = KernelRegime(W, A, method=HeavyBall(momentum=0.5))
    mse = regime.mse(x, 0.1, TIMES)
    assert np.isfinite(mse.total).all()
    bias, variance = regime.bias_map(x, [100]), regime.variance_map(0.1, [100], frequencies=True)
    assert bias.sum() == pytest.approx(mse.bias[3], rel=1e-9)
    assert variance.sum() == pytest.approx(mse.variance[3], rel=1e-9)
