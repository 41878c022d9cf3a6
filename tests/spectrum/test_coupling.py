from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip import spectrum
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space
from tests.spectrum.kernels import CASES, MatrixFree, circulant, fourier_matrix, random


def _frequencies(shape):
    return list(np.ndindex(*shape))


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_columns_at_every_frequency_are_the_whole_picture(shape, is_complex) -> None:
    W = random(shape, is_complex)
    whole = spectrum.kernel_content(W)
    columns = spectrum.kernel_columns(MatrixFree(W), _frequencies(shape))
    order = np.argsort(spectrum.frequency_radius(shape).ravel(), kind="stable")
    np.testing.assert_allclose(columns.magnitude[:, order], whole.magnitude, atol=1e-10)
    np.testing.assert_allclose(columns.radius, whole.radius)
    energy = (columns.magnitude**2).sum(0)
    share = columns.off_diagonal @ energy / energy.sum()
    assert share == pytest.approx(whole.off_diagonal, rel=1e-10)


def test_negative_frequencies_wrap_and_a_circulant_column_is_pure() -> None:
    W = circulant((6, 5), True)
    columns = spectrum.kernel_columns(W, [(1, -2), (-5, 3), (0, 0)])
    np.testing.assert_allclose(columns.magnitude[:, 0], columns.magnitude[:, 1], atol=1e-12)
    np.testing.assert_array_equal(columns.frequency, [(1, -2), (1, -2), (0, 0)])
    np.testing.assert_allclose(columns.off_diagonal, 0, atol=1e-12)
    eigenvalue = (fourier_matrix((6, 5)) @ W.dense()[:30, :30] @ fourier_matrix((6, 5)).conj().T)[
        0, 0
    ].real
    assert columns.magnitude[0, 2] == pytest.approx(np.sqrt(2) * eigenvalue)


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_the_estimate_agrees_with_the_dense_share(shape, is_complex) -> None:
    W = random(shape, is_complex)
    exact = spectrum.kernel_content(W).off_diagonal
    estimate = spectrum.off_diagonal_estimate(MatrixFree(W), key=jax.random.key(0), probes=64)
    assert 0 < estimate.standard_error < 0.1 * exact
    assert abs(estimate.share - exact) < 4 * estimate.standard_error
    again = spectrum.off_diagonal_estimate(W, key=jax.random.key(0), probes=64)
    assert again.share == pytest.approx(estimate.share, rel=1e-12)


def test_the_estimate_is_unbiased_and_its_error_is_its_scatter() -> None:
    W = random((8,), False, seed=5)
    W = DenseKernel(W.dense() + 20 * circulant((8,), False).dense(), W.space)
    exact = spectrum.kernel_content(W).off_diagonal
    keys = [jax.random.key(i) for i in range(80)]
    runs = [spectrum.off_diagonal_estimate(W, key=key, probes=8) for key in keys]
    shares = np.array([r.share for r in runs])
    assert 0.02 < exact < 0.5
    assert abs(shares.mean() - exact) < 4 * shares.std() / np.sqrt(80)
    errors = np.sqrt(np.mean([r.standard_error**2 for r in runs]))
    assert 0.8 < errors / shares.std() < 1.6


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_the_estimate_is_exact_where_nothing_couples(shape, is_complex) -> None:
    estimate = spectrum.off_diagonal_estimate(
        circulant(shape, is_complex), key=jax.random.key(2), probes=3
    )
    assert estimate.share < 1e-28
    assert estimate.standard_error < 1e-28
    assert estimate.probes == 3


def test_coupling_of_k_with_minus_k_is_on_the_diagonal() -> None:
    j = np.arange(8)
    cosine = np.cos(2 * np.pi * 3 * j / 8)
    W = DenseKernel(np.outer(cosine, cosine), Space((8,), False))
    assert spectrum.kernel_columns(W, [(3,), (-3,)]).off_diagonal == pytest.approx([0, 0])
    assert spectrum.off_diagonal_estimate(W, key=jax.random.key(0)).share < 1e-12


def test_refusals_name_the_remedy() -> None:
    W = random((6, 5), True)
    with pytest.raises(ValueError, match="tuples of 2 integers"):
        spectrum.kernel_columns(W, [(1,)])
    with pytest.raises(ValueError, match="tuples of 2 integers"):
        spectrum.kernel_columns(W, [])
    with pytest.raises(ValueError, match="at least 3 probes; got 2"):
        spectrum.off_diagonal_estimate(W, key=jax.random.key(0), probes=2)
    zero = DenseKernel(np.zeros((4, 4)), Space((4,), False))
    with pytest.raises(ValueError, match="zero kernel"):
        spectrum.off_diagonal_estimate(zero, key=jax.random.key(0))
