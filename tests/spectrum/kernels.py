"""Kernels with known spectra, dense and behind an interface without a dense matrix."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space

CASES = [((16,), False), ((15,), True), ((6, 5), True), ((4, 6), False)]


def fourier_matrix(shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal DFT of flattened images, from its definition."""
    F = np.ones((1, 1))
    for n in shape:
        j = np.arange(n)
        F = np.kron(F, np.exp(-2j * np.pi * np.outer(j, j) / n) / np.sqrt(n))
    return F


def stationary(weights: np.ndarray, is_complex: bool) -> DenseKernel:
    """Circulant kernel with the given eigenvalues over frequencies (FFT order, even)."""
    F = fourier_matrix(weights.shape)
    W = np.real(F.conj().T @ (weights.ravel()[:, None] * F))
    W = (W + W.T) / 2
    return DenseKernel(np.kron(np.eye(2), W) if is_complex else W, Space(weights.shape, is_complex))


def circulant(shape: tuple[int, ...], is_complex: bool) -> DenseKernel:
    weights = np.random.default_rng(0).random(shape)
    mirrored = np.roll(np.flip(weights), 1, axis=tuple(range(len(shape))))
    return stationary(weights + mirrored, is_complex)


def random(shape: tuple[int, ...], is_complex: bool, seed: int = 1) -> DenseKernel:
    space = Space(shape, is_complex)
    G = np.random.default_rng(seed).standard_normal((space.real_size, space.real_size))
    return DenseKernel(G @ G.T, space)


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


class MatrixFree:
    """A kernel that gives products and leading eigenpairs only, in a basis of its own.

    Within each eigenspace of the matrix its eigenvectors are rotated at random, as another
    solver might return them.
    """

    def __init__(self, dense: DenseKernel, seed: int = 3) -> None:
        self._matrix, self.space = dense.dense(), dense.space
        values, vectors = scipy.linalg.eigh(self._matrix)
        values, vectors = values[::-1], vectors[:, ::-1].copy()
        start = 0
        for end in range(1, values.size + 1):
            if end == values.size or values[end - 1] - values[end] > 1e-9 * values[0]:
                vectors[:, start:end] @= rotation(end - start, seed + start)
                start = end
        self._pairs = values, vectors

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        assert v.dtype == np.float64
        return self._matrix @ v

    def dense(self) -> np.ndarray:
        raise AssertionError("a matrix-free kernel was asked for its dense matrix")

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        if k is None:
            raise AssertionError("a matrix-free kernel was asked for all eigenpairs")
        return self._pairs[0][:k], self._pairs[1][:, :k]
