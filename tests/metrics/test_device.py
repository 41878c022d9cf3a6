from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import data, metrics

BANDS = ("band_error_low", "band_error_middle", "band_error_high")


@functools.cache
def _pair(shape: tuple[int, ...], is_complex: bool) -> tuple[np.ndarray, np.ndarray]:
    """A random truth, and an image 10 % off."""
    rng = np.random.default_rng(len(shape))
    truth, error = rng.random((2, *shape)) + 0.1
    if is_complex:
        truth, error = (x * np.exp(2j * np.pi * rng.random(shape)) for x in (truth, error))
    dtype = np.complex64 if is_complex else np.float32
    return (truth + 0.1 * error).astype(dtype), truth


def _host(image: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    wanted = {"psnr": metrics.psnr, "nmse": metrics.nmse, "hfen": metrics.hfen}
    if truth.ndim == 2 and min(truth.shape) >= metrics.SSIM_WINDOW:
        wanted["ssim"] = metrics.ssim
    values = {name: metric(image, truth) for name, metric in wanted.items()}
    return values | dict(zip(BANDS, metrics.band_errors(image, truth), strict=True))


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("shape", [(33,), (5,), (3, 4), (24, 24), (11, 13), (37, 50), (5, 6, 7)])
def test_same_as_on_the_host(shape: tuple[int, ...], is_complex: bool) -> None:
    image, truth = _pair(shape, is_complex)
    found = metrics.against(truth)(jnp.asarray(image))
    want = _host(image, truth)
    assert found.keys() == want.keys()
    assert all(value.dtype == jnp.float32 and value.shape == () for value in found.values())
    for name, value in want.items():
        # Measured: 1.1e-6 at most.
        assert float(found[name]) == pytest.approx(value, rel=1e-5), name


@pytest.mark.parametrize("error", [1e-3, 0.1, 3.0])
def test_same_as_on_the_host_for_a_slice(error: float) -> None:
    truth = np.asarray(data.mri_slice(64))
    noise = np.random.default_rng(0).standard_normal((2, 64, 64))
    image = (truth + error * (noise[0] + 1j * noise[1])).astype(np.complex64)
    found = metrics.against(truth)(jnp.asarray(image))
    for name, value in _host(image, truth).items():
        assert float(found[name]) == pytest.approx(value, rel=1e-4), name


def test_real_image_of_a_complex_truth_and_the_reverse() -> None:
    real, complex_truth = _pair((12, 13), False)[0], _pair((12, 13), True)[1]
    for image, truth in ((real, complex_truth), (complex_truth.astype(np.complex64), real)):
        found = metrics.against(truth)(jnp.asarray(image))
        for name, value in _host(image, truth).items():
            assert float(found[name]) == pytest.approx(value, rel=1e-5), name


def test_batches_and_scans() -> None:
    image, truth = _pair((24, 24), True)
    score = metrics.against(truth)
    images = jnp.asarray(np.stack([image, image * 1.5, image * 0.5]))
    batch = jax.jit(jax.vmap(score))(images)
    _, scanned = jax.jit(lambda xs: jax.lax.scan(lambda _, x: (0, score(x)), 0, xs))(images)
    for i in range(3):
        for name, value in score(images[i]).items():
            np.testing.assert_allclose([batch[name][i], scanned[name][i]], value, rtol=1e-5)


def test_no_convolution_and_no_matrix_product() -> None:
    image, truth = _pair((24, 24), True)
    program = jax.jit(metrics.against(truth)).lower(jnp.asarray(image)).as_text()
    assert "convolution" not in program
    assert "dot_general" not in program


@pytest.mark.parametrize("is_complex", [False, True])
def test_perfect_image(is_complex: bool) -> None:
    truth = _pair((24, 24), is_complex)[1].astype(np.complex64 if is_complex else np.float32)
    found = metrics.against(truth)(jnp.asarray(truth))
    assert found["psnr"] > 130
    assert found["ssim"] == pytest.approx(1, abs=1e-6)
    assert all(found[name] < 1e-6 for name in ("nmse", "hfen", *BANDS))


def test_identical_real_images_are_infinitely_good() -> None:
    truth = np.ones((12, 12), np.float32)
    assert metrics.against(truth)(jnp.asarray(truth))["psnr"] == jnp.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_that_are_not_finite_give_nan(bad: float) -> None:
    image, truth = _pair((24, 24), True)
    spoilt = image.copy()
    spoilt[3, 4] = bad
    found = metrics.against(truth)(jnp.asarray(spoilt))
    assert not any(np.isfinite(value) for value in found.values())


def test_what_the_truth_does_not_allow_is_left_out() -> None:
    flat = metrics.against(np.ones((8, 8)))(jnp.ones((8, 8)))
    assert flat.keys() == {"psnr", "nmse", "band_error_low"}
    assert metrics.against(np.ones(3), bands=1)(jnp.ones(3)).keys() == {
        "psnr", "nmse", "band_error_1",
    }  # fmt: skip


def test_other_numbers_of_bands() -> None:
    image, truth = _pair((24, 24), True)
    found = metrics.against(truth, bands=5)(jnp.asarray(image))
    for i, error in enumerate(metrics.band_errors(image, truth, 5), start=1):
        assert float(found[f"band_error_{i}"]) == pytest.approx(error, rel=1e-5)


def test_refusals() -> None:
    truth = np.ones((4, 4))
    with pytest.raises(ValueError, match="bands is at least 1; got 0"):
        metrics.against(truth, bands=0)
    with pytest.raises(ValueError, match="one axis or more"):
        metrics.against(np.array(1.0))
    with pytest.raises(ValueError, match="truth has NaN"):
        metrics.against(truth * np.nan)
    with pytest.raises(ValueError, match="not zero everywhere"):
        metrics.against(truth * 0)
    with pytest.raises(ValueError, match=r"got \(4,\), the truth is \(4, 4\)"):
        metrics.against(truth)(jnp.ones(4))
