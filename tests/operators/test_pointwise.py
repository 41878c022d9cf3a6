"""Diagonal and circulant operators, blur and downsampling: their factories."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from ntkdip import operators
from tests.operators.zoo import kernel_of, mask_of, sensitivities_of, transfer_of


@pytest.mark.parametrize("make", [operators.diagonal, operators.circulant])
def test_bad_weights_are_refused(make) -> None:
    for empty in (np.ones(()), np.ones((3, 0))):
        with pytest.raises(ValueError, match="at least one axis and one entry; got"):
            make(empty)
    with pytest.raises(ValueError, match="expected real or complex numbers, got <U1"):
        make(np.full((2, 3), "a"))
    weights = np.ones((2, 3))
    weights[1, 2] = np.nan
    with pytest.raises(ValueError, match=r"1 of 6 .* index \(1, 2\)"):
        make(weights)


@pytest.mark.parametrize("shape", [(16,), (15,), (6, 5), (4, 6)])
def test_real_images_need_a_hermitian_transfer_function(shape) -> None:
    h = transfer_of(shape, False)
    operators.circulant(h, complex_image=False)
    operators.circulant(h.astype(np.complex64), complex_image=False)
    for bent in (np.roll(h, 1), h + 1e-6j):
        with pytest.raises(ValueError, match=r"h\(-k\) = conj\(h\(k\)\); it is broken by"):
            operators.circulant(bent, complex_image=False)
        operators.circulant(bent)
    with pytest.raises(ValueError, match=r"broken by 2 at frequency \(0,.*n // 2"):
        operators.circulant(
            1j * (mask_of((3, 3)) * 0 + np.eye(9)[4].reshape(3, 3)), complex_image=False
        )
    with pytest.raises(ValueError, match=r"one to three axes; got shape \(1, 1, 1, 2\)"):
        operators.circulant(np.ones((1, 1, 1, 2)))


def test_float32_transfer_of_a_large_image_is_symmetric_enough() -> None:
    kernel = np.random.default_rng(0).standard_normal((64, 63)).astype(np.float32)
    h = jnp.fft.fftshift(jnp.fft.fftn(jnp.asarray(kernel)))
    A = operators.circulant(h, complex_image=False)
    x = np.random.default_rng(1).standard_normal((64, 63)).astype(np.float32)
    want = scipy.ndimage.convolve(x, kernel, mode="wrap", origin=(-32, -31))
    assert np.linalg.norm(A(x) - want) <= 1e-5 * np.linalg.norm(want)


@pytest.mark.parametrize(("size", "shape"), [((1,), (9,)), ((4,), (9,)), ((9,), (9,))])
def test_blur_is_numpys_convolution(size, shape) -> None:
    kernel, x = kernel_of(size), np.random.default_rng(1).standard_normal(shape)
    with operators.host_float64():
        valid = operators.blur(kernel, shape, boundary="valid")(x)
        around = operators.blur(kernel, shape)(x)
    np.testing.assert_allclose(valid, np.convolve(x, kernel, "valid"), atol=1e-13)
    whole = np.convolve(np.concatenate([x, x, x]), kernel)
    start = len(x) + size[0] // 2
    np.testing.assert_allclose(around, whole[start : start + len(x)], atol=1e-13)


def test_blur_is_scipys_convolution_in_2d() -> None:
    kernel, x = kernel_of((3, 4)), np.random.default_rng(1).standard_normal((8, 7))
    with operators.host_float64():
        valid = operators.blur(kernel, (8, 7), boundary="valid")(x)
    np.testing.assert_allclose(valid, scipy.signal.convolve2d(x, kernel, "valid"), atol=1e-13)


def test_bad_blurs_are_refused() -> None:
    k = np.ones((3, 3))
    for kernel, shape, message in [
        (k, (9,), r"one or two; got a kernel of shape \(3, 3\) for images of shape \(9,\)"),
        (np.ones((2, 2, 2)), (4, 4, 4), "one or two; got a kernel"),
        (k, (4, 2), r"\(3, 3\) does not fit inside the image's \(4, 2\)"),
        (1j * k, (4, 4), "expected real values; .* circulant"),
        (0 * k, (4, 4), "every entry is 0"),
        (np.inf * k, (4, 4), "kernel: 9 of 9 entries"),
        (k, (4, 0), "at least one pixel along each"),
    ]:
        with pytest.raises(ValueError, match=message):
            operators.blur(kernel, shape)
    with pytest.raises(ValueError, match="one of circular, valid; got 'reflect'"):
        operators.blur(k, (4, 4), boundary="reflect")


def test_downsampling_is_slicing() -> None:
    x = np.arange(63, dtype=np.float32).reshape(7, 9)
    np.testing.assert_array_equal(operators.downsample((7, 9), 2)(x), x[::2, ::2])
    np.testing.assert_array_equal(operators.downsample((7, 9), (3, 1))(x), x[::3])
    np.testing.assert_array_equal(operators.downsample((7, 9), np.int64(7))(x), x[::7, ::7])
    for factor in (0, -1, 8, (), (2,), (2, 2, 2), (1, 10)):
        with pytest.raises(ValueError, match="integer from 1 to the length of each axis"):
            operators.downsample((7, 9), factor)


def test_accelerations() -> None:
    mask = np.arange(12).reshape(3, 4) % 3 == 0
    assert operators.masked_fourier(mask).acceleration == 3
    assert operators.pixel_mask(mask).acceleration == 3
    maps = sensitivities_of(2, (3, 4))
    assert operators.multi_coil_fourier(mask, maps).acceleration == 3
    assert operators.downsample((4, 6), (2, 3)).acceleration == 6


def test_later_changes_of_the_arguments_do_not_reach_the_operator() -> None:
    weights, x = np.ones((3, 4)), np.ones((3, 4), np.complex64)
    made = [operators.diagonal(weights), operators.circulant(weights)]
    weights[:] = 0
    for A in made:
        np.testing.assert_allclose(A(x), x, atol=1e-6)
