"""Angles, explained frequencies, sources and gain, against dense formulas by NumPy."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip import operators, theory
from ntkdip.kernels import DenseKernel
from ntkdip.theory.cases import fourier_matrix
from tests.theory.zoo import KERNELS, OPERATORS, SHAPE, Q

FIELDS = pytest.mark.parametrize("field", [True, False])


def _null_space(matrix: np.ndarray) -> np.ndarray:
    _, sizes, right = np.linalg.svd(matrix)
    return right[int((sizes > 1e-10 * sizes[0]).sum()) :].T


def _limit_map(dense: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """``W A* (A W A*)^+``, with the cut of the library."""
    S = matrix @ dense @ matrix.T
    return dense @ matrix.T @ np.linalg.pinv(S, rcond=1e-12, hermitian=True)


@FIELDS
@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("k", [3, 11, 22])
def test_angles_are_those_of_orthonormal_bases(operator: str, field: bool, k: int) -> None:
    A, matrix = OPERATORS[operator](field)
    W = KERNELS["wishart"](A.domain)
    found = theory.null_space_angles(W, A, k)
    leading = np.linalg.eigh(W.dense())[1][:, ::-1][:, :k]
    null = _null_space(matrix)
    cosines = np.zeros(k)
    values = np.linalg.svd(null.T @ leading, compute_uv=False)
    cosines[: len(values)] = values[:k]
    np.testing.assert_allclose(np.cos(found.angles), cosines, atol=1e-12)
    assert found.overlap == pytest.approx(np.sum((null.T @ leading) ** 2) / k, abs=1e-12)
    assert (np.diff(found.angles) >= -1e-12).all()
    assert len(found.angles) == k


def test_small_angles_are_exact() -> None:
    """A span that leaves the null space by 1e-9 rad; by its cosine alone it would not."""
    keep = np.zeros(4, bool)
    keep[:2] = True
    A = operators.pixel_mask(keep, complex_image=False)
    tilted = np.array([1e-9, 0, 1, 0])
    W = DenseKernel(np.outer(tilted, tilted), A.domain)
    assert theory.null_space_angles(W, A, 1).angles[0] == pytest.approx(1e-9, rel=1e-6)


@FIELDS
def test_angles_bound_the_noise_of_exact_recovery(field: bool) -> None:
    """Theorem 1 (b): exact where no angle is 0, and no noise grows by more than 1 / sine."""
    A, matrix = OPERATORS["fourier"](field)
    n, k = A.domain.real_size, 6
    G = np.random.default_rng(0).standard_normal((n, k))
    W = DenseKernel(G @ G.T, A.domain)
    sines = np.sin(theory.null_space_angles(W, A, k).angles)
    assert sines[0] > 0.1
    x = A.domain.unembed(G @ np.arange(1.0, k + 1))
    limit = theory.KernelRegime(W, A).limit(np.asarray(_measured(A, x)))
    np.testing.assert_allclose(limit, x, atol=1e-9)
    largest = np.linalg.norm(_limit_map(W.dense(), matrix), 2)
    # A real image's frequencies k and -k may share one sample, which halves what is seen.
    assert largest <= (1 if field else np.sqrt(2)) / sines[0] * (1 + 1e-9)
    if field:
        assert largest == pytest.approx(1 / sines[0])


def _measured(A: operators.LinearOperator, x: np.ndarray) -> np.ndarray:
    row = operators.apply_to_rows(A, A.domain.embed(x)[None].astype(np.float64))[0]
    return A.range.unembed(row)


@FIELDS
@pytest.mark.parametrize("kernel", ["wishart", "singular", "factored", "periodic", "circulant"])
@pytest.mark.parametrize("operator", ["fourier", "coils", "pixels"])
def test_explained_is_the_reduction_of_variance(kernel: str, operator: str, field: bool) -> None:
    A, matrix = OPERATORS[operator](field)
    W = KERNELS[kernel](A.domain)
    dense, F = W.dense(), fourier_matrix(np.ones(SHAPE, bool), field)
    seen = _limit_map(dense, matrix) @ matrix @ dense
    before, after = (
        np.einsum("ij,jk,ik->i", F, C, F).reshape(-1, Q).sum(0).reshape(SHAPE)
        for C in (dense, seen)
    )
    share = theory.explained(W, A)
    np.testing.assert_allclose(share, after / before, atol=1e-8)
    assert (share >= 0).all()
    assert (share <= 1).all()
    if operator == "fourier":
        sampled = np.zeros(Q, bool)
        sampled[np.asarray(A.indices)] = True
        np.testing.assert_allclose(share.ravel()[sampled], 1, atol=1e-8)


def test_a_circulant_kernel_explains_the_mask_and_no_more() -> None:
    """Corollary 1, by the dense route and by frequencies."""
    A, _ = OPERATORS["fourier"](True)
    W = KERNELS["circulant"](A.domain)
    mask = np.zeros(Q)
    mask[np.asarray(A.indices)] = 1
    for kernel in (W, DenseKernel(W.dense(), W.space)):
        np.testing.assert_allclose(theory.explained(kernel, A).ravel(), mask, atol=1e-10)
    noisy = theory.explained(W, A, 0.3).ravel()
    assert noisy[mask == 0].max() < 1e-10
    assert noisy.max() < 1


@FIELDS
@pytest.mark.parametrize("sigma", [0.0, 0.3])
@pytest.mark.parametrize("kernel", ["wishart", "factored", "periodic", "circulant"])
def test_sources_sum_to_the_reconstruction(kernel: str, sigma: float, field: bool) -> None:
    A, matrix = OPERATORS["fourier"](field)
    W = KERNELS[kernel](A.domain)
    rng = np.random.default_rng(1)
    if sigma:
        y = rng.standard_normal(A.range.shape) + 1j * rng.standard_normal(A.range.shape)
    else:
        y = A.range.unembed(matrix @ W.dense() @ rng.standard_normal(A.domain.real_size))
    image = theory.GaussianProcess(W, A, sigma).mean(y)
    coefficients = np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(image), norm="ortho"))
    wanted = [(0, 0), (-2, 1), (1, -3), (1, 2)]
    found = theory.sources(W, A, wanted, sigma)
    samples = np.zeros(Q, complex)
    samples[np.asarray(A.indices)] = y
    direct = found.direct.reshape(4, Q) @ samples
    total = direct + found.mirrored.reshape(4, Q) @ samples.conj()
    expected = [coefficients[f[0] + 2, f[1] + 3] for f in wanted]
    np.testing.assert_allclose(total, expected, atol=1e-8 * np.abs(coefficients).max())
    np.testing.assert_array_equal(found.frequency, wanted)
    outside = np.ones(Q, bool)
    outside[np.asarray(A.indices)] = False
    assert not found.magnitude.reshape(4, Q)[:, outside].any()
    if field and kernel != "wishart":
        assert np.abs(found.mirrored).max() < 1e-10 * np.abs(found.direct).max()


def test_a_sampled_frequency_is_its_own_source() -> None:
    A, _ = OPERATORS["fourier"](True)
    place = tuple(np.argwhere(_mask(A))[3])
    frequency = (int(place[0]) - 2, int(place[1]) - 3)
    found = theory.sources(KERNELS["wishart"](A.domain), A, frequency)
    expected = np.zeros((1, *SHAPE))
    expected[(0, *place)] = 1
    np.testing.assert_allclose(found.magnitude, expected, atol=1e-8)


def _mask(A: operators.MaskedFourier) -> np.ndarray:
    mask = np.zeros(Q, bool)
    mask[np.asarray(A.indices)] = True
    return mask.reshape(SHAPE)


def test_a_circulant_kernel_has_no_sources_for_what_is_unsampled() -> None:
    A, _ = OPERATORS["fourier"](True)
    unsampled = [(int(a) - 2, int(b) - 3) for a, b in np.argwhere(~_mask(A))]
    found = theory.sources(KERNELS["circulant"](A.domain), A, unsampled)
    assert found.magnitude.max() < 1e-10


@FIELDS
@pytest.mark.parametrize("operator", ["fourier", "coils", "pixels", "matrix"])
@pytest.mark.parametrize("kernel", ["wishart", "factored", "periodic"])
def test_gain_is_that_of_the_three_reconstructions(kernel: str, operator: str, field: bool) -> None:
    A, matrix = OPERATORS[operator](field)
    W = KERNELS[kernel](A.domain)
    x = np.random.default_rng(5).standard_normal(A.domain.real_size)
    found = theory.gain(W, A, A.domain.unembed(x))
    y = matrix @ x
    images = [
        _limit_map(W.dense(), matrix) @ y,
        np.linalg.pinv(matrix, rcond=1e-10) @ y,
        matrix.T @ y,
    ]
    errors = [image - x for image in images]
    rmse = [np.linalg.norm(e) / np.sqrt(Q) for e in errors]
    np.testing.assert_allclose(found[:3], rmse, rtol=1e-7, atol=1e-9)
    F, null = fourier_matrix(np.ones(SHAPE, bool), field), _null_space(matrix)
    powers = [((F @ e) ** 2).reshape(-1, Q).sum(0).reshape(SHAPE) for e in errors]
    np.testing.assert_allclose(found.error, powers[0], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.baseline, powers[1], rtol=1e-6, atol=1e-9)
    if not null.size:
        assert np.isnan(found.filled)
        return
    assert found.over_zero_filled == pytest.approx(20 * np.log10(rmse[2] / rmse[0]))
    assert found.over_pseudo_inverse == pytest.approx(20 * np.log10(rmse[1] / rmse[0]))
    unseen = np.sum((F @ null) ** 2, axis=1).reshape(-1, Q).sum(0).reshape(SHAPE)
    unseen /= np.sum(F**2, axis=1).reshape(-1, Q).sum(0).reshape(SHAPE)
    np.testing.assert_allclose(found.unseen, unseen, atol=1e-10)
    filled = 1 - np.sum(unseen * powers[0]) / np.sum(unseen * powers[1])
    assert found.filled == pytest.approx(filled, rel=1e-6, abs=1e-9)


def test_gain_by_extremes() -> None:
    A, _ = OPERATORS["fourier"](True)
    x = np.random.default_rng(0).standard_normal(2 * Q)
    image = A.domain.unembed(x)
    nothing = theory.gain(KERNELS["circulant"](A.domain), A, image)
    assert nothing.over_zero_filled == pytest.approx(0, abs=1e-9)
    assert nothing.filled == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(nothing.unseen, ~_mask(A), atol=1e-12)
    all_ = theory.gain(DenseKernel(np.outer(x, x), A.domain), A, image)
    assert all_.over_zero_filled > 200
    assert all_.filled == pytest.approx(1)
    zero = theory.gain(KERNELS["circulant"](A.domain), A, np.zeros(SHAPE))
    assert zero.over_zero_filled == 0
    assert np.isnan(zero.filled)


def test_bad_input_is_refused() -> None:
    A, _ = OPERATORS["fourier"](True)
    other, _ = OPERATORS["pixels"](False)
    W = KERNELS["wishart"](A.domain)
    with pytest.raises(ValueError, match="need masked Fourier sampling; got PixelMask"):
        theory.sources(KERNELS["wishart"](other.domain), other, (1, 1))
    with pytest.raises(ValueError, match="are 2 integers each"):
        theory.sources(W, A, (1,))
    with pytest.raises(ValueError, match="the kernel acts on images in C"):
        theory.null_space_angles(W, other, 3)
    with pytest.raises(ValueError, match="the kernel acts on images in C"):
        theory.gain(W, other, np.ones(SHAPE))
    with pytest.raises(ValueError, match="cuts an eigenspace"):
        theory.null_space_angles(KERNELS["factored"](A.domain), A, 3)
    with pytest.raises(ValueError, match="true image: expected shape"):
        theory.gain(W, A, np.ones(3))


@jax.tree_util.register_dataclass
class Doubled(operators.MaskedFourier):
    """An adjoint with a factor too many."""

    def adjoint(self, y):
        return 2 * super().adjoint(y)


def test_an_operator_that_fails_the_dot_test_is_refused() -> None:
    A, _ = OPERATORS["fourier"](True)
    wrong = Doubled(A.indices, A.shape, A.complex_image)
    with pytest.raises(ValueError, match="is not the adjoint"):
        theory.null_space_angles(KERNELS["wishart"](A.domain), wrong, 3)
