from __future__ import annotations

import numpy as np
import pytest

from ntkdip import spectrum
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space


def _circulant(shape: tuple[int, ...], is_complex: bool) -> DenseKernel:
    rng = np.random.default_rng(0)
    q = int(np.prod(shape))
    weights = rng.random(shape)
    weights = weights + np.roll(np.flip(weights), 1, axis=tuple(range(len(shape))))
    F = np.fft.fftn(np.eye(q).reshape(q, *shape), axes=range(1, len(shape) + 1), norm="ortho")
    F = F.reshape(q, q).T
    W = np.real(F.conj().T @ (weights.ravel()[:, None] * F))
    W = (W + W.T) / 2
    return DenseKernel(np.kron(np.eye(2), W) if is_complex else W, Space(shape, is_complex))


def _random(shape: tuple[int, ...], is_complex: bool) -> DenseKernel:
    space = Space(shape, is_complex)
    G = np.random.default_rng(1).standard_normal((space.real_size, space.real_size))
    return DenseKernel(G @ G.T, space)


CASES = [((16,), False), ((15,), True), ((6, 5), True), ((4, 6), False)]


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_circulant_kernels_couple_nothing_and_random_ones_do(shape, is_complex) -> None:
    assert spectrum.kernel_content(_circulant(shape, is_complex)).off_diagonal < 1e-12
    assert spectrum.kernel_content(_random(shape, is_complex)).off_diagonal > 0.3


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_kernel_content_is_the_matrix_product(shape, is_complex) -> None:
    W = _random(shape, is_complex)
    q = W.space.size
    F = np.fft.fftn(np.eye(q).reshape(q, *shape), axes=range(1, len(shape) + 1), norm="ortho")
    F = F.reshape(q, q).T
    parts = W.space.real_size // q
    blocks = W.dense().reshape(parts, q, parts, q).transpose(0, 2, 1, 3).reshape(-1, q, q)
    direct = np.sqrt(sum(np.abs(F @ block @ F.conj().T) ** 2 for block in blocks))
    content = spectrum.kernel_content(W)
    order = np.argsort(spectrum.frequency_radius(shape).ravel(), kind="stable")
    np.testing.assert_allclose(content.magnitude, direct[np.ix_(order, order)], atol=1e-10)
    assert np.linalg.norm(content.magnitude) == pytest.approx(np.linalg.norm(W.dense()))


def test_a_pure_mode_has_one_frequency_and_no_spread() -> None:
    j = np.arange(32)
    modes = np.stack([np.cos(2 * np.pi * k * j / 32) for k in (7, 2, 5)], axis=1)
    content = spectrum.eigenvector_content(
        modes / np.linalg.norm(modes, axis=0), Space((32,), False)
    )
    np.testing.assert_allclose(content.mean, [2, 5, 7], atol=1e-12)
    np.testing.assert_allclose(content.spread, 0, atol=1e-6)
    np.testing.assert_allclose(content.magnitude[[2, 5, 7], [0, 1, 2]], 1.0)


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_columns_keep_their_norm(shape, is_complex) -> None:
    vectors = _random(shape, is_complex).eigh()[1]
    content = spectrum.eigenvector_content(vectors, Space(shape, is_complex))
    np.testing.assert_allclose(np.linalg.norm(content.magnitude, axis=0), 1.0)
    assert (np.diff(content.mean) >= 0).all()
