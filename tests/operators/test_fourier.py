"""Masked Fourier sampling against NumPy's FFT; `test_operators` holds what every operator must."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import operators

SHAPES = [(16,), (15,), (8, 8), (7, 9), (6, 5)]


def _mask(shape: tuple[int, ...]) -> np.ndarray:
    mask = np.random.default_rng(3).random(shape) < 0.4
    mask[tuple(n // 2 for n in shape)] = True
    return mask


REGISTRY = {
    f"{'complex' if field else 'real'}-{'x'.join(map(str, shape))}": (shape, field)
    for shape in SHAPES
    for field in (True, False)
}


@pytest.fixture(params=REGISTRY.values(), ids=REGISTRY.keys())
def A(request: pytest.FixtureRequest) -> operators.LinearOperator:
    shape, field = request.param
    return operators.masked_fourier(_mask(shape), complex_image=field)


def _random(space, seed: int, dtype) -> jax.Array:
    rng = np.random.default_rng(seed)
    return jnp.asarray(space.unembed(rng.standard_normal(space.real_size)), dtype)


def test_matches_numpy(A) -> None:
    field = A.domain.is_complex
    x = np.asarray(_random(A.domain, 1, jnp.complex64 if field else jnp.float32), complex)
    kspace = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x), norm="ortho"))
    with operators.host_float64():
        y = np.asarray(A(x if field else x.real))
    np.testing.assert_allclose(y, kspace[_mask(A.domain.shape)], atol=1e-13)


def test_real_matrix_and_its_transpose_are_operator_and_adjoint(A) -> None:
    matrix = A.real().dense()
    assert matrix.shape == (A.range.real_size, A.domain.real_size)
    transposed = operators.apply_to_rows(A, np.eye(A.range.real_size), adjoint=True)
    np.testing.assert_allclose(transposed, matrix, atol=1e-14)
    assert np.linalg.norm(matrix, 2) <= 1 + 1e-12


def test_bad_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 4\) does not fit the image.*\(4, 5\)"):
        operators.masked_fourier(np.ones((4, 4), bool), shape=(4, 5))
    with pytest.raises(ValueError, match="measures nothing"):
        operators.masked_fourier(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match="1D or 2D"):
        operators.masked_fourier(np.ones((2, 2, 2), bool))
    with pytest.raises(ValueError, match="booleans or 0 and 1"):
        operators.masked_fourier(np.full((4, 4), 0.5))


def test_complex_image_for_a_real_operator_is_refused() -> None:
    A = operators.masked_fourier(np.ones(4, bool), complex_image=False)
    with pytest.raises(ValueError, match="expected real values"):
        A(np.zeros(4, np.complex64))
