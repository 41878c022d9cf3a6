from __future__ import annotations

import numpy as np
import pytest

from ntkdip import spectrum
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space
from tests.spectrum.kernels import CASES, circulant, fourier_matrix, random


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_circulant_kernels_couple_nothing_and_random_ones_do(shape, is_complex) -> None:
    assert spectrum.kernel_content(circulant(shape, is_complex)).off_diagonal < 1e-12
    assert spectrum.kernel_content(random(shape, is_complex)).off_diagonal > 0.3


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_kernel_content_is_the_matrix_product(shape, is_complex) -> None:
    W = random(shape, is_complex)
    q = W.space.size
    F = fourier_matrix(shape)
    parts = W.space.real_size // q
    blocks = W.dense().reshape(parts, q, parts, q).transpose(0, 2, 1, 3).reshape(-1, q, q)
    direct = np.sqrt(sum(np.abs(F @ block @ F.conj().T) ** 2 for block in blocks))
    content = spectrum.kernel_content(W)
    order = np.argsort(spectrum.frequency_radius(shape).ravel(), kind="stable")
    np.testing.assert_allclose(content.magnitude, direct[np.ix_(order, order)], atol=1e-10)
    assert np.linalg.norm(content.magnitude) == pytest.approx(np.linalg.norm(W.dense()))


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_coherence_sees_the_coupling_of_weak_frequencies(shape, is_complex) -> None:
    uncoupled = spectrum.kernel_content(circulant(shape, is_complex))
    assert uncoupled.mean_coherence < 1e-10
    np.testing.assert_allclose(np.diag(uncoupled.coherence), 1.0)
    W = random(shape, is_complex)
    coupled = spectrum.kernel_content(W)
    assert coupled.mean_coherence > 0.1
    # The mean image in front of everything hides the coupling from the energy alone.
    loud = DenseKernel(W.dense() + 1e4 * np.trace(W.dense()), W.space)
    content = spectrum.kernel_content(loud)
    assert content.off_diagonal < 1e-3
    assert content.mean_coherence == pytest.approx(coupled.mean_coherence, rel=0.2)


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
    vectors = random(shape, is_complex).eigh()[1]
    content = spectrum.eigenvector_content(vectors, Space(shape, is_complex))
    np.testing.assert_allclose(np.linalg.norm(content.magnitude, axis=0), 1.0)
    assert (np.diff(content.mean) >= 0).all()
