from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import spectrum
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space
from tests.spectrum.kernels import CASES, MatrixFree, circulant, random, rotation, stationary


def _image(space: Space) -> np.ndarray:
    return space.unembed(np.random.default_rng(4).standard_normal(space.real_size))


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_alignment_is_the_energy_of_the_projection(shape, is_complex) -> None:
    W = random(shape, is_complex)
    x = _image(W.space)
    k = W.space.real_size - 2
    found = spectrum.alignment(MatrixFree(W), x, k)
    np.testing.assert_array_equal(found.dimension, np.arange(1, k + 1))
    values, vectors = np.linalg.eigh(W.dense())
    np.testing.assert_allclose(found.value, values[::-1][:k], rtol=1e-6)
    for j in (1, k):
        P = vectors[:, ::-1][:, :j] @ vectors[:, ::-1][:, :j].T
        projected = W.space.unembed(P @ W.space.embed(x))
        expected = (np.linalg.norm(projected) / np.linalg.norm(x)) ** 2
        assert found.share[j - 1] == pytest.approx(expected)
    assert spectrum.alignment(W, x, W.space.real_size).share[-1] == pytest.approx(1)


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_alignment_does_not_depend_on_the_solver(shape, is_complex) -> None:
    W = circulant(shape, is_complex)
    x = _image(W.space)
    a, b = (spectrum.alignment(K, x, W.space.real_size - 1) for K in (W, MatrixFree(W)))
    np.testing.assert_array_equal(a.dimension, b.dimension)
    assert a.dimension.size < W.space.real_size - 1
    np.testing.assert_allclose(a.share, b.share, atol=1e-12)


def test_a_lowpass_kernel_holds_what_parseval_says() -> None:
    q = 16
    k = np.abs(np.fft.fftfreq(q, 1 / q))
    W = stationary(2.0**-k, True)
    x = _image(W.space).astype(np.complex64)
    energy = np.abs(np.fft.fft(x.astype(complex))) ** 2
    found = spectrum.alignment(W, jnp.asarray(x), 14)
    expected = [energy[k <= r].sum() / energy.sum() for r in range(4)]
    np.testing.assert_array_equal(found.dimension, [2, 6, 10, 14])
    np.testing.assert_allclose(found.share, expected, rtol=1e-6)
    real = spectrum.alignment(W, np.ones(q), 14)
    np.testing.assert_allclose(real.share, 1.0)


def test_known_angles_between_two_kernels() -> None:
    n, k = 10, 3
    angles = np.array([0.0, 0.2, 1.3])
    Q = rotation(n)
    V = Q.copy()
    V[:, :k] = np.cos(angles) * Q[:, :k] + np.sin(angles) * Q[:, k : 2 * k]
    V[:, k : 2 * k] = np.cos(angles) * Q[:, k : 2 * k] - np.sin(angles) * Q[:, :k]
    values = 2.0 ** -np.arange(n)
    space = Space((n,), False)
    A, B = (DenseKernel((M + M.T) / 2, space) for M in (X * values @ X.T for X in (Q, V)))
    found = spectrum.principal_angles(A, MatrixFree(B), k)
    np.testing.assert_allclose(found.angles, angles, atol=1e-12)
    assert found.overlap == pytest.approx(np.mean(np.cos(angles) ** 2))
    spans = [K.eigh(k)[1] for K in (A, B)]
    distance = spectrum.projector_distance(*spans)
    assert distance == pytest.approx(np.sin(1.3), rel=1e-12)


def test_one_kernel_from_two_solvers_has_no_angle_with_itself() -> None:
    W = circulant((15,), True)
    k = sum(s.dimension for s in spectrum.leading_eigenspaces(W, 10))
    found = spectrum.principal_angles(W, MatrixFree(W), k)
    np.testing.assert_allclose(found.angles, 0, atol=1e-12)
    assert found.overlap == pytest.approx(1)


def test_refusals_name_the_remedy() -> None:
    W = circulant((15,), True)
    reached = sum(s.dimension for s in spectrum.leading_eigenspaces(W, 7))
    with pytest.raises(ValueError, match=f"k=7 cuts an eigenspace.* is {reached}$"):
        spectrum.principal_angles(W, W, 7)
    with pytest.raises(ValueError, match="must act on one space"):
        spectrum.principal_angles(W, random((15,), False), 4)
    with pytest.raises(ValueError, match="zero image"):
        spectrum.alignment(W, np.zeros(15), 4)
    with pytest.raises(ValueError, match="expected shape"):
        spectrum.alignment(W, np.ones(14), 4)
    with pytest.raises(ValueError, match="x: 1 of 15 entries are NaN"):
        spectrum.alignment(W, np.r_[np.nan, np.ones(14)], 4)
