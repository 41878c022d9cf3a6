from __future__ import annotations

import numpy as np
import pytest

from ntkdip import data, kernels, metrics, operators, theory
from ntkdip.spaces import Space

ALL = (
    metrics.psnr, metrics.rmse, metrics.relative_distance, metrics.ssim, metrics.nmse,
    metrics.hfen, metrics.band_errors,
)  # fmt: skip


def test_psnr_by_hand_and_on_magnitudes() -> None:
    truth = np.array([2.0, 0.0, 0.0, 0.0])
    assert metrics.psnr(truth + np.array([0, 0.2, 0, 0]), truth) == pytest.approx(26.0206, abs=1e-4)
    assert metrics.psnr(1j * truth, truth) == np.inf


def test_rmse_and_distance_see_the_phase() -> None:
    truth = np.array([3.0, 4.0])
    assert metrics.rmse(1j * truth, truth) == pytest.approx(5.0)
    assert metrics.relative_distance(1j * truth, truth) == pytest.approx(np.sqrt(2))


def test_zero_truth_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not zero everywhere"):
        metrics.psnr(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match="equal shapes"):
        metrics.psnr(np.ones(2), np.ones(3))
    for metric in ALL:
        with pytest.raises(ValueError, match=r"equal shapes.*\(4, 4\), \(4,\)"):
            metric(np.ones((4, 4)), np.ones(4))
        with pytest.raises(ValueError, match="the image has NaN"):
            metric(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="not zero"):
        metrics.relative_distance(np.ones(2), np.zeros(2))
    for metric in (metrics.ssim, metrics.nmse, metrics.hfen):
        with pytest.raises(ValueError, match=f"{metric.__name__} needs a true image that is not"):
            metric(np.ones((16, 16)), np.zeros((16, 16)))
    with pytest.raises(ValueError, match=r"at least 11 pixels a side.*\(10, 16\)"):
        metrics.ssim(np.ones((10, 16)), np.ones((10, 16)))
    with pytest.raises(ValueError, match="this one is constant"):
        metrics.hfen(np.ones((16, 16)), np.ones((16, 16)))
    with pytest.raises(ValueError, match="no frequencies in band 1 of 3"):
        metrics.band_errors(np.ones((8, 8)), np.ones((8, 8)))
    with pytest.raises(ValueError, match="bands is at least 1; got 0"):
        metrics.band_errors(np.ones((8, 8)), np.ones((8, 8)), 0)


def _windows(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means over every window that lies inside."""
    views = np.lib.stride_tricks.sliding_window_view(x, weights.shape)
    return np.einsum("ijkl,kl->ij", views, weights)


def test_ssim_window_by_window() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((24, 20)) + 1
    image = (truth + 0.3 * rng.standard_normal((24, 20))) * np.exp(0.5j)
    one = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(one, one) / one.sum() ** 2
    x, y = np.abs(image), truth
    mx, my = _windows(x, weights), _windows(y, weights)
    vx, vy = _windows(x**2, weights) - mx**2, _windows(y**2, weights) - my**2
    vxy = _windows(x * y, weights) - mx * my
    c1, c2 = (0.01 * truth.max()) ** 2, (0.03 * truth.max()) ** 2
    local = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert metrics.ssim(image, truth) == pytest.approx(local.mean(), abs=1e-9)
    assert metrics.ssim(1j * truth, truth) == pytest.approx(1)


def test_nmse_by_hand() -> None:
    truth = np.array([3.0, 4.0])
    assert metrics.nmse(np.array([3j, 3.0]), truth) == pytest.approx(1 / 25)


def test_hfen_by_the_filter_written_out() -> None:
    rng = np.random.default_rng(1)
    truth, image = rng.random((12, 14)), rng.random((12, 14))
    n = np.arange(-7, 8)
    g = np.exp(-(n**2) / (2 * 1.5**2))
    g /= g.sum()
    second = g * (n**2 / 1.5**4 - 1 / 1.5**2)
    kernel = np.outer(second, g) + np.outer(g, second)
    filtered = [_windows(np.pad(x, 7, mode="symmetric"), kernel) for x in (image, truth)]
    want = np.linalg.norm(filtered[0] - filtered[1]) / np.linalg.norm(filtered[1])
    assert metrics.hfen(image, truth) == pytest.approx(want, rel=1e-10)


def test_blurring_hurts_high_bands_and_a_phase_hurts_all() -> None:
    truth = data.mri_slice(32)
    blur = operators.blur(np.ones((3, 3)) / 9, truth.shape, complex_image=True)
    with operators.host_float64():
        errors = metrics.band_errors(np.asarray(blur(truth)), truth)
    assert errors[0] < errors[1] / 2
    assert errors[1] < errors[2]
    np.testing.assert_allclose(metrics.band_errors(1j * truth, truth, 4), np.sqrt(2))


@pytest.mark.parametrize("shape", [(17,), (8, 8), (6, 5)])
def test_bands_are_those_of_theory(shape: tuple[int, ...]) -> None:
    """Without noise and at the limit the predicted error is that of one image."""
    rng = np.random.default_rng(0)
    q = int(np.prod(shape))
    x = rng.standard_normal(shape)
    G = rng.standard_normal((q, q))
    mask = rng.random(shape) < 0.5
    regime = theory.KernelRegime(
        kernels.DenseKernel(G @ G.T, Space(shape, False)), operators.pixel_mask(mask)
    )
    image = regime.trajectory(x[mask], [3])[0]
    by_band = regime.mse_by_band(x, 0.0, [3], bands=3)
    members = theory.bands.radial_bands(shape, 3).members
    power = np.abs(np.fft.fftshift(np.fft.fftn(x, norm="ortho"))).ravel() ** 2
    want = np.sqrt(np.ravel(by_band.bias) / (members @ power))
    np.testing.assert_allclose(metrics.band_errors(image, x), want, rtol=1e-8)
