"""Closed forms against iterating, over kernels x operators, real and complex."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import numpy as np
import pytest

from ntkdip import operators, theory
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space
from ntkdip.theory import KernelRegime
from ntkdip.theory.cases import fourier_matrix
from tests.theory.zoo import KERNELS, OPERATORS, SHAPE, Problem, make_problem

STEPS = [0, 1, 2, 17, 400, 5000]
METHODS = {
    "gradient descent": theory.GradientDescent,
    "near the bound": theory.GradientDescent,
    "weight decay": theory.GradientDescent,
    "heavy ball": theory.HeavyBall,
    "Nesterov": theory.Nesterov,
}
OPTIONS = {"weight decay": {"ridge": 0.01}, "heavy ball": {"momentum": 0.8}}


@pytest.fixture(
    scope="module",
    params=itertools.product(KERNELS, OPERATORS, [True, False]),
    ids=lambda p: f"{p[0]}-{p[1]}-{'complex' if p[2] else 'real'}",
)
def problem(request: pytest.FixtureRequest) -> Problem:
    return make_problem(*request.param)


def iterate(problem: Problem, name: str, regime: KernelRegime, y, start):
    """The recursion, each as it is written down, in float64."""
    W, M, eta = problem.dense, problem.matrix, regime.step_size
    beta = OPTIONS.get(name, {}).get("momentum", 0.9)
    gain = W @ M.T
    if name == "weight decay":
        # On parameters: z = z_0 + W A* c, and theta - theta_0 decays with c.
        c = np.zeros(len(y))
        for t in range(STEPS[-1] + 1):
            z = start + gain @ c
            if t in STEPS:
                yield z
            c = c + eta * (y - M @ z - 0.01 * c)
        return
    z = before = start
    for t in range(STEPS[-1] + 1):
        if t in STEPS:
            yield z
        if name == "heavy ball":
            after = z + eta * gain @ (y - M @ z) + beta * (z - before)
        elif name == "Nesterov":
            ahead = z + beta * (z - before)
            after = ahead + eta * gain @ (y - M @ ahead)
        else:
            after = z + eta * gain @ (y - M @ z)
        z, before = after, z


@pytest.mark.parametrize("name", METHODS)
def test_trajectory_equals_the_recursion(problem: Problem, name: str) -> None:
    A, rng = problem.A, np.random.default_rng(0)
    x, start = rng.standard_normal((2, A.domain.real_size))
    y = problem.matrix @ x + 0.1 * rng.standard_normal(len(problem.matrix))
    method = METHODS[name](**OPTIONS.get(name, {}))
    z0 = A.domain.unembed(start)
    if name == "near the bound":
        bound = KernelRegime(problem.W, A).step_size_bound()
        method = theory.GradientDescent(0.99 * bound)
    regime = KernelRegime(problem.W, A, method=method, z0=z0)
    closed = regime.trajectory(A.range.unembed(y), STEPS)
    residual = regime.residual(A.range.unembed(y), STEPS)
    for i, z in enumerate(iterate(problem, name, regime, y, start)):
        error = np.linalg.norm(A.domain.embed(closed[i]) - z)
        assert error <= 1e-9 * np.linalg.norm(x - start)
        expected = np.linalg.norm(y - problem.matrix @ z)
        assert residual[i] == pytest.approx(expected, rel=1e-7, abs=1e-8 * np.linalg.norm(y))


def has_limit(problem: Problem) -> bool:
    """Whether zero and nonzero eigenvalues of ``A W A*`` can be told apart."""
    values = np.linalg.eigvalsh(problem.matrix @ problem.dense @ problem.matrix.T)
    return not np.any((values > 1e-14 * values[-1]) & (values < 1e-10 * values[-1]))


def test_limit_is_the_pseudo_inverse(problem: Problem) -> None:
    A, M = problem.A, problem.matrix
    if not has_limit(problem):
        pytest.skip("no gap in the spectrum: the pseudo-inverse is ill-posed")
    values, vectors = np.linalg.eigh(M @ problem.dense @ M.T)
    kept = values > 1e-12 * values[-1]
    y = M @ np.random.default_rng(0).standard_normal(A.domain.real_size)
    solution = (vectors[:, kept] / values[kept]) @ (vectors[:, kept].T @ y)
    expected = problem.dense @ M.T @ solution
    limit = A.domain.embed(KernelRegime(problem.W, A).limit(A.range.unembed(y)))
    assert np.linalg.norm(limit - expected) <= 1e-7 * np.linalg.norm(expected)


def test_mse_and_its_maps_are_those_of_the_linear_map(problem: Problem) -> None:
    A, M, steps = problem.A, problem.matrix, [0, 1, 2, 17, 400]
    x, start = np.random.default_rng(0).standard_normal((2, A.domain.real_size))
    regime = KernelRegime(problem.W, A, z0=A.domain.unembed(start))
    levels = [0.0, 0.3]
    mse = regime.mse(A.domain.unembed(x), levels, steps)
    freedom = regime.freedom(steps)
    maps = {
        f: (
            regime.bias_map(A.domain.unembed(x), steps, frequencies=f),
            regime.variance_map(0.3, steps, frequencies=f),
        )
        for f in (False, True)
    }
    to_kspace = fourier_matrix(np.ones(SHAPE, bool), A.domain.is_complex)
    s2 = 0.3**2 / 2 if A.range.is_complex else 0.3**2
    step, q, scale = regime.step_size, A.domain.size, x @ x
    image_step = np.eye(x.size) - step * problem.dense @ M.T @ M
    gain, error = np.zeros(M.T.shape), start - x
    for t in range(steps[-1] + 1):
        if t in steps:
            i = steps.index(t)
            assert mse.bias[i] == pytest.approx(error @ error, rel=1e-9, abs=1e-12 * scale)
            variance = s2 * np.sum(gain**2)
            assert mse.variance[1, i] == pytest.approx(variance, rel=1e-8, abs=1e-12 * scale)
            assert mse.variance[0, i] == 0
            np.testing.assert_array_equal(mse.total[:, i], mse.bias[i] + mse.variance[:, i])
            assert freedom[i] == pytest.approx(np.sum(M.T * gain), rel=1e-8, abs=1e-10)
            for f, (bias_map, variance_map) in maps.items():
                seen, spread = (to_kspace @ error, to_kspace @ gain) if f else (error, gain)
                folded = np.sum(np.reshape(seen**2, (-1, q)), axis=0).reshape(SHAPE)
                np.testing.assert_allclose(bias_map[i], folded, rtol=1e-8, atol=1e-12 * scale)
                power = s2 * np.sum(spread**2, axis=1)
                folded = np.sum(power.reshape(-1, q), axis=0).reshape(SHAPE)
                np.testing.assert_allclose(variance_map[i], folded, rtol=1e-7, atol=1e-10)
        error, gain = image_step @ error, image_step @ gain + step * problem.dense @ M.T


def test_late_iterations_stay_finite_and_reach_the_limit(problem: Problem) -> None:
    regime = KernelRegime(problem.W, problem.A)
    y = problem.A.range.unembed(problem.matrix @ np.ones(problem.A.domain.real_size))
    late = regime.trajectory(y, [1e6, 1e13, np.inf])
    assert np.isfinite(late).all()
    if has_limit(problem):
        np.testing.assert_allclose(late[1], late[2], atol=1e-2 * np.abs(late[2]).max())


@pytest.mark.parametrize("kernel", ["wishart", "periodic"])
def test_bands_share_the_error(kernel: str) -> None:
    A, _ = OPERATORS["fourier"](True)
    regime, x = KernelRegime(KERNELS[kernel](A.domain), A), np.ones(SHAPE) + 1j
    steps = [0, 3, np.inf]
    whole, parts = regime.mse(x, 0.1, steps), regime.mse_by_band(x, 0.1, steps)
    np.testing.assert_allclose(parts.bias.sum(1), whole.bias, rtol=1e-10)
    np.testing.assert_allclose(parts.variance.sum(1), whole.variance, rtol=1e-10, atol=1e-15)
    # A constant image is all in the lowest frequency, and so is the error of not having started.
    assert parts.bias[0] == pytest.approx([2 * x.size, 0, 0])
    inner = regime.mse_by_band(x, 0.1, steps, [0.0, 1.0])
    centre = regime.bias_map(x, steps, frequencies=True)[:, 2, 3]
    assert inner.bias.shape == (3, 1)
    np.testing.assert_allclose(inner.bias[:, 0] >= centre, True)
    with pytest.raises(ValueError, match="at least one band"):
        regime.mse_by_band(x, 0.1, steps, 0)


def _regime(**options) -> KernelRegime:
    A, _ = OPERATORS["fourier"](True)
    return KernelRegime(KERNELS["wishart"](A.domain), A, **options)


@pytest.mark.parametrize(
    ("method", "formula", "factor"),
    [
        (theory.GradientDescent, r"2 / lambda_max\(A W A\*\)", 2.0),
        (theory.HeavyBall, r"2 \(1 \+ beta\) / lambda_max\(A W A\*\)", 3.8),
        (theory.Nesterov, r"2 \(1 \+ beta\) / \(\(1 \+ 2 beta\) lambda_max.*\)", 3.8 / 2.8),
    ],
)
def test_unstable_step_names_the_bound(method, formula: str, factor: float) -> None:
    regime = _regime(method=method())
    assert regime.step_size * factor == pytest.approx(regime.step_size_bound())
    bound = regime.step_size_bound()
    for step in (bound, 2 * bound, 0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match=formula + f" = {bound:.6g}"):
            _regime(method=method(step))


@pytest.mark.parametrize("method", [theory.GradientDescent, theory.HeavyBall, theory.Nesterov])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_the_bound_is_sharp(method, ridge: float) -> None:
    """One step of the recursion as a matrix: its spectral radius passes 1 at the bound."""
    largest = 1.7
    one = method(ridge=ridge)
    beta = getattr(one, "momentum", 0.0)
    radii = []
    for share in (0.999, 1.001):
        left = 1 - share * one.step_size_bound(largest) * (largest + ridge)
        inertia = left if method is theory.Nesterov else 1.0
        step = [[left + beta * inertia, -beta * inertia], [1, 0]]
        radii.append(np.abs(np.linalg.eigvals(step)).max())
    assert radii[0] < 1 < radii[1]


def test_bad_input_is_refused() -> None:
    A, _ = OPERATORS["fourier"](True)
    other, _ = OPERATORS["fourier"](False)
    n = A.domain.real_size
    with pytest.raises(ValueError, match="the kernel acts on images in C"):
        KernelRegime(DenseKernel(np.eye(n), A.domain), other)
    with pytest.raises(ValueError, match=r"must be positive semidefinite.*from -"):
        KernelRegime(DenseKernel(-np.eye(n), A.domain), A)
    with pytest.raises(ValueError, match="not zero"):
        KernelRegime(DenseKernel(np.zeros((n, n)), A.domain), A)
    with pytest.raises(ValueError, match="own step size"):
        _regime(step_size=0.1, method=theory.GradientFlow())
    x = np.full(SHAPE, 1 + 0j)
    x[1, 1] = np.nan
    with pytest.raises(ValueError, match="true image: 1 of 24"):
        _regime().mse(x, 0.1, [1])
    with pytest.raises(ValueError, match="data: expected shape"):
        _regime().limit(np.zeros(3, complex))
    with pytest.raises(ValueError, match="non-negative integers or inf"):
        _regime().mse(np.ones(SHAPE), 0.1, [1.5])
    with pytest.raises(ValueError, match="sigma"):
        _regime().mse(np.ones(SHAPE), -0.1, [1])
    with pytest.raises(ValueError, match="start z0: 1 of 24"):
        _regime(z0=x)


class Lopsided:
    """Claims to be a kernel, and is not symmetric."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return np.triu(np.ones((len(v), len(v)))) @ v

    def dense(self) -> np.ndarray:
        return self @ np.eye(self.space.real_size)

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        raise NotImplementedError


def test_kernel_that_is_not_symmetric_is_refused() -> None:
    A, _ = OPERATORS["pixels"](False)
    with pytest.raises(ValueError, match="W is not symmetric"):
        KernelRegime(Lopsided(A.domain), A)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WithoutRealPart(operators.MaskedFourier):
    """The classic mistake: the adjoint of real images with a factor too many."""

    def adjoint(self, y):
        return 2 * super().adjoint(y)


def test_operator_that_fails_the_dot_test_is_refused() -> None:
    A, _ = OPERATORS["fourier"](False)
    wrong = WithoutRealPart(A.indices, A.shape, A.complex_image)
    with pytest.raises(ValueError, match=r"A.adjoint is not the adjoint of A: <A u, v> = "):
        KernelRegime(KERNELS["wishart"](A.domain), wrong)
