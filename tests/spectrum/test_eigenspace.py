from __future__ import annotations

import numpy as np
import pytest

from ntkdip import spectrum
from ntkdip.spaces import Space
from tests.spectrum.kernels import (
    CASES,
    MatrixFree,
    circulant,
    fourier_matrix,
    random,
    rotation,
    stationary,
)


def _lowpass(is_complex: bool):
    """1D, eigenvalues 2^-|k|: one constant, then pairs."""
    q = 16
    return stationary(2.0 ** -np.abs(np.fft.fftfreq(q, 1 / q)), is_complex)


@pytest.mark.parametrize("is_complex", [False, True])
def test_a_circulant_kernel_has_one_eigenspace_a_frequency(is_complex) -> None:
    W = _lowpass(is_complex)
    spaces = spectrum.eigenspaces(*W.eigh())
    parts = 2 if is_complex else 1
    assert [s.dimension for s in spaces] == [parts, *[2 * parts] * 7, parts]
    np.testing.assert_allclose([s.value for s in spaces], 2.0 ** -np.arange(9.0))
    assert all(s.complete for s in spaces)
    content = spectrum.eigenspace_content(spaces, W.space)
    np.testing.assert_allclose(content.energy, np.eye(9), atol=1e-12)
    np.testing.assert_allclose(content.mean, np.arange(9), atol=1e-10)
    np.testing.assert_allclose(content.spread, 0, atol=1e-5)
    np.testing.assert_array_equal(content.dimension, [s.dimension for s in spaces])


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_nothing_depends_on_the_basis_within_an_eigenspace(shape, is_complex) -> None:
    W = circulant(shape, is_complex)
    k = W.space.real_size - 1
    dense = spectrum.leading_eigenspaces(W, k)
    other = spectrum.leading_eigenspaces(MatrixFree(W), k)
    assert [s.dimension for s in dense] == [s.dimension for s in other]
    assert max(s.dimension for s in dense) > 1
    assert max(np.abs(a.basis - b.basis).max() for a, b in zip(dense, other, strict=True)) > 0.1
    for a, b in zip(dense, other, strict=True):
        assert spectrum.projector_distance(a.basis, b.basis) < 1e-10
        np.testing.assert_allclose(
            spectrum.eigenspace_image(a, W.space), spectrum.eigenspace_image(b, W.space), atol=1e-10
        )
    a, b = (spectrum.eigenspace_content(spaces, W.space) for spaces in (dense, other))
    for name in ("energy", "mean", "value"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-10)
    np.testing.assert_allclose(a.spread, b.spread, atol=1e-5)


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_content_is_the_trace_of_the_projector(shape, is_complex) -> None:
    space = Space(shape, is_complex)
    n, q = space.real_size, space.size
    eigenspace = spectrum.Eigenspace(1.0, rotation(n)[:, :3].copy(), True)
    content = spectrum.eigenspace_content([eigenspace], space)
    parts = n // q
    P = (eigenspace.basis @ eigenspace.basis.T).reshape(parts, q, parts, q)
    rings = np.rint(spectrum.frequency_radius(shape)).ravel()
    modes = fourier_matrix(shape)
    shares = sum(
        np.real(np.einsum("ka,ab,kb->k", modes, P[r, :, r], modes.conj())) for r in range(parts)
    )
    expected = [shares[rings == radius].sum() / 3 for radius in content.radius]
    np.testing.assert_allclose(content.energy[:, 0], expected, atol=1e-12)


def test_groups_follow_relative_gaps_down_to_rounding() -> None:
    values = np.array([1.0, 1.0 - 1e-8, 0.5, 1e-5, 1e-5 * (1 - 1e-4), 1e-17, -1e-17])
    spaces = spectrum.eigenspaces(values, np.eye(7))
    assert [s.dimension for s in spaces] == [2, 1, 1, 1, 2]
    loose = spectrum.eigenspaces(values, np.eye(7), rtol=1e-3)
    assert [s.dimension for s in loose] == [2, 1, 2, 2]
    strict = spectrum.eigenspaces(values, np.eye(7), rtol=0.0)
    assert [s.dimension for s in strict] == [1, 1, 1, 1, 1, 2]


def test_an_eigenspace_cut_by_k_is_not_complete() -> None:
    W = _lowpass(False)
    values, vectors = W.eigh(4)
    assert [s.complete for s in spectrum.eigenspaces(values, vectors)] == [True, True, False]
    for kernel in (W, MatrixFree(W)):
        found = {k: spectrum.leading_eigenspaces(kernel, k) for k in (1, 2, 3, 4, 5, 16)}
        dimensions = {k: sum(s.dimension for s in v) for k, v in found.items()}
        assert dimensions == {1: 1, 2: 1, 3: 3, 4: 3, 5: 5, 16: 16}


def test_a_simple_eigenspace_shows_its_vector_with_a_fixed_sign() -> None:
    W = random((4, 6), False)
    vectors = W.eigh(5)[1]
    for column in vectors.T:
        for sign in (1, -1):
            basis = sign * column[:, None]
            image = spectrum.eigenspace_image(spectrum.Eigenspace(1.0, basis, True), W.space)
            expected = column * np.sign(column[np.argmax(np.abs(column))])
            np.testing.assert_allclose(image.ravel(), expected, atol=1e-12)


def test_a_fourier_pair_shows_a_cosine_about_the_centre() -> None:
    W = _lowpass(False)
    image = spectrum.eigenspace_image(spectrum.eigenspaces(*W.eigh())[3], W.space)
    expected = np.cos(2 * np.pi * 3 * (np.arange(16) - 8) / 16)
    np.testing.assert_allclose(image, expected / np.linalg.norm(expected), atol=1e-10)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, np.pi / 2])
def test_projector_distance_is_the_sine_of_the_angle(angle) -> None:
    Q = rotation(9)
    tilted = np.cos(angle) * Q[:, 1] + np.sin(angle) * Q[:, 2]
    U, V = Q[:, :2] @ rotation(2, 1), np.stack([tilted, Q[:, 0]], axis=1)
    distance = spectrum.projector_distance(U, V)
    assert distance == pytest.approx(np.sin(angle), rel=1e-5, abs=1e-15)
    assert distance == pytest.approx(np.linalg.norm(U @ U.T - V @ V.T, 2), abs=1e-12)
    assert spectrum.projector_distance(U, V[:, :1]) == 1.0


def test_refusals_name_the_remedy() -> None:
    W = _lowpass(True)
    with pytest.raises(ValueError, match="within 1 to 32, the real dimension of C"):
        spectrum.leading_eigenspaces(W, 33)
    with pytest.raises(ValueError, match="more than 1 dimensions"):
        spectrum.leading_eigenspaces(W, 1)
    with pytest.raises(ValueError, match="must fall"):
        spectrum.eigenspaces(np.array([1.0, 2.0]), np.eye(2))
    with pytest.raises(ValueError, match="rtol must not be negative"):
        spectrum.eigenspaces(np.array([2.0, 1.0]), np.eye(2), rtol=-1.0)
    with pytest.raises(ValueError, match="columns of V must be orthonormal"):
        spectrum.projector_distance(np.eye(3)[:, :2], np.ones((3, 2)))
