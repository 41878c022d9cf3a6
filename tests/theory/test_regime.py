"""Closed forms against iterating, over kernels x operators, real and complex."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from ntkdip import operators, theory
from ntkdip.kernels import DenseKernel
from ntkdip.theory.cases import fourier_matrix

RNG = np.random.default_rng(5)
SHAPE = (5, 6)
STEPS = [0, 1, 2, 17, 400]


def _mask(kind: str) -> np.ndarray:
    if kind == "full":
        return np.ones(SHAPE, bool)
    if kind == "one":
        mask = np.zeros(SHAPE, bool)
        mask[2, 3] = True
        return mask
    return np.random.default_rng(2).random(SHAPE) < 0.4


def _kernel(kind: str, n: int) -> np.ndarray:
    G = np.random.default_rng(7).standard_normal((n, n))
    if kind == "identity":
        return np.eye(n)
    if kind == "singular":
        return G[:, : n // 3] @ G[:, : n // 3].T
    if kind == "rank-one":
        return np.outer(G[0], G[0])
    decay = 10.0 ** -np.linspace(0, 8, n)
    Q = np.linalg.qr(G)[0]
    W = (Q * decay) @ Q.T
    return G @ G.T / n if kind == "wishart" else (W + W.T) / 2


REGISTRY = list(
    itertools.product(
        ["identity", "wishart", "singular", "rank-one", "ill-conditioned"],
        ["random", "full", "one"],
        [True, False],
    )
)


@pytest.fixture(params=REGISTRY, ids=lambda p: f"{p[0]}-{p[1]}-{'complex' if p[2] else 'real'}")
def problem(request):
    kernel, mask, field = request.param
    A = operators.masked_fourier(_mask(mask), complex_image=field)
    W = _kernel(kernel, A.domain.real_size)
    return DenseKernel(W, A.domain), A, fourier_matrix(_mask(mask), field)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_trajectory_equals_the_recursion(problem, share: float) -> None:
    W, A, matrix = problem
    rng = np.random.default_rng(0)
    x, start = rng.standard_normal((2, A.domain.real_size))
    y = matrix @ x + 0.1 * rng.standard_normal(matrix.shape[0])
    bound = theory.KernelRegime(W, A).step_size_bound()
    step = share * bound
    regime = theory.KernelRegime(W, A, step_size=step, z0=A.domain.unembed(start))
    closed = regime.trajectory(A.range.unembed(y), STEPS)
    z = start
    for t in range(STEPS[-1] + 1):
        if t in STEPS:
            error = np.linalg.norm(A.domain.embed(closed[STEPS.index(t)]) - z)
            assert error <= 1e-9 * np.linalg.norm(x - start)
        z = z + step * W.dense() @ matrix.T @ (y - matrix @ z)


def test_limit_is_the_pseudo_inverse(problem) -> None:
    W, A, matrix = problem
    x = np.random.default_rng(0).standard_normal(A.domain.real_size)
    S = matrix @ W.dense() @ matrix.T
    expected = W.dense() @ matrix.T @ np.linalg.pinv(S, rcond=1e-11, hermitian=True) @ matrix @ x
    limit = A.domain.embed(theory.KernelRegime(W, A).limit(A.range.unembed(matrix @ x)))
    assert np.linalg.norm(limit - expected) <= 1e-8 * np.linalg.norm(x)


def test_mse_is_bias_plus_variance_of_the_linear_map(problem) -> None:
    W, A, matrix = problem
    x, start = np.random.default_rng(0).standard_normal((2, A.domain.real_size))
    regime = theory.KernelRegime(W, A, z0=A.domain.unembed(start))
    mse = regime.mse(A.domain.unembed(x), 0.3, STEPS)
    step = regime.step_size
    image_step = np.eye(x.size) - step * W.dense() @ matrix.T @ matrix
    gain = np.zeros((x.size, matrix.shape[0]))
    error = start - x
    for t in range(STEPS[-1] + 1):
        if t in STEPS:
            i = STEPS.index(t)
            scale = x @ x
            assert mse.bias[i] == pytest.approx(error @ error, rel=1e-9, abs=1e-12 * scale)
            variance = 0.3**2 / 2 * np.sum(gain**2)
            assert mse.variance[i] == pytest.approx(variance, rel=1e-8, abs=1e-12 * scale)
            assert mse.total[i] == mse.bias[i] + mse.variance[i]
        error, gain = image_step @ error, image_step @ gain + step * W.dense() @ matrix.T


def test_a_million_iterations_are_as_good_as_one(problem) -> None:
    W, A, matrix = problem
    regime = theory.KernelRegime(W, A)
    y = A.range.unembed(matrix @ np.ones(A.domain.real_size))
    late = regime.trajectory(y, [1e6, 1e15, np.inf])
    assert np.isfinite(late).all()
    np.testing.assert_allclose(late[1], late[2], atol=1e-2 * np.abs(late[2]).max())


def _regime(**options) -> theory.KernelRegime:
    A = operators.masked_fourier(_mask("random"))
    return theory.KernelRegime(DenseKernel(_kernel("wishart", 60), A.domain), A, **options)


def test_unstable_step_names_the_bound() -> None:
    bound = _regime().step_size_bound()
    assert _regime().step_size == bound / 2
    for step in (bound, 2 * bound, 0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=r"2 / lambda_max\(A W A\*\) = " + f"{bound:.6g}"):
            _regime(step_size=step)


def test_the_bound_is_sharp() -> None:
    A = operators.masked_fourier(_mask("random"))
    W = _kernel("wishart", 60)
    matrix = fourier_matrix(_mask("random"), True)
    bound = theory.KernelRegime(DenseKernel(W, A.domain), A).step_size_bound()
    growth = [
        np.abs(1 - s * bound * np.linalg.eigvalsh(matrix @ W @ matrix.T)).max()
        for s in (0.999, 1.001)
    ]
    assert growth[0] < 1 < growth[1]


def test_bad_input_is_refused() -> None:
    A = operators.masked_fourier(_mask("random"))
    other = operators.masked_fourier(_mask("random"), complex_image=False)
    with pytest.raises(ValueError, match="the kernel acts on images in C"):
        theory.KernelRegime(DenseKernel(np.eye(60), A.domain), other)
    with pytest.raises(ValueError, match=r"must be positive semidefinite.*from -"):
        theory.KernelRegime(DenseKernel(-np.eye(60), A.domain), A)
    with pytest.raises(ValueError, match="not zero"):
        theory.KernelRegime(DenseKernel(np.zeros((60, 60)), A.domain), A)
    x = np.full(SHAPE, 1 + 0j)
    x[1, 1] = np.nan
    with pytest.raises(ValueError, match="true image: 1 of 30"):
        _regime().mse(x, 0.1, [1])
    with pytest.raises(ValueError, match="data: expected shape"):
        _regime().limit(np.zeros(3, complex))
    with pytest.raises(ValueError, match="non-negative integers or inf"):
        _regime().mse(np.ones(SHAPE), 0.1, [1.5])
    with pytest.raises(ValueError, match="sigma"):
        _regime().mse(np.ones(SHAPE), -0.1, [1])
    with pytest.raises(ValueError, match="start z0: 1 of 30"):
        _regime(z0=x)
