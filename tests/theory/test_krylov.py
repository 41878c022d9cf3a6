"""Dynamics from products alone against the exact ones."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip import kernels, networks, operators
from ntkdip.kernels import ConvergenceWarning
from ntkdip.theory import HeavyBall, KernelRegime, KrylovSettings
from tests.theory.zoo import KERNELS, OPERATORS, SHAPE

KEY = jax.random.key(3)
STEPS = [0, 1, 10, 1000]


@pytest.mark.parametrize(
    ("kernel", "operator", "complex_image"),
    [
        ("wishart", "fourier", False),
        ("singular", "coils", False),
        ("factored", "pixels", True),
        ("periodic", "matrix", False),
        ("coarse", "denoising", False),
        ("wishart", "one sample", True),
    ],
)
def test_it_agrees_with_the_eigenproblem(kernel, operator, complex_image: bool) -> None:
    A, M = OPERATORS[operator](complex_image)
    W = KERNELS[kernel](A.domain)
    exact = KernelRegime(W, A)
    # Whole Krylov spaces: exact but for the number of probes.
    settings = KrylovSettings(KEY, tolerance=1e-10, probes=20)
    regime = KernelRegime(W, A, krylov=settings, step_size=exact.step_size)
    assert regime.step_size_bound() == pytest.approx(exact.step_size_bound(), rel=1e-9)
    x = A.domain.unembed(np.random.default_rng(0).standard_normal(A.domain.real_size))
    y = A.range.unembed(M @ A.domain.embed(x))
    expected = exact.trajectory(y, STEPS)
    found, error = regime.trajectory_with_error(y, STEPS)
    scale = np.linalg.norm(x)
    assert np.linalg.norm(found - expected) <= 1e-8 * scale
    assert (error <= 1e-10).all()
    np.testing.assert_allclose(regime.residual(y, STEPS), exact.residual(y, STEPS), atol=1e-8)
    mse, estimate = exact.mse(x, 0.1, STEPS), regime.mse(x, 0.1, STEPS)
    np.testing.assert_allclose(estimate.bias, mse.bias, rtol=1e-8, atol=1e-12 * scale**2)
    off = np.abs(estimate.variance - mse.variance)
    assert (off <= 4 * estimate.error + 1e-12 * scale**2).all()
    assert not mse.error.any()
    maps = regime.variance_map(0.1, STEPS)
    np.testing.assert_allclose(maps.sum((1, 2)), estimate.variance, rtol=1e-9)
    freedom = exact.freedom(STEPS)
    np.testing.assert_allclose(regime.freedom(STEPS), freedom, rtol=0.5, atol=1e-12)


def network_problem():
    net = networks.wide_cnn(8, 3, 3)
    A = operators.masked_fourier(operators.masks.random_lines((12, 12), 2))
    z = np.random.default_rng(0).standard_normal((12, 12, 2)).astype(np.float32)
    params = net.init(z, key=jax.random.key(0))
    return net, params, z, A


def test_matrix_free_kernel_of_a_network() -> None:
    net, params, z, A = network_problem()
    dense = KernelRegime(kernels.empirical(net, params, z), A)
    settings = KrylovSettings(KEY, tolerance=1e-5)
    free = KernelRegime(
        kernels.matrix_free(net, params, z), A, krylov=settings, step_size=dense.step_size
    )
    rng = np.random.default_rng(1)
    y = rng.standard_normal(A.range.shape) + 1j * rng.standard_normal(A.range.shape)
    steps = [1, 30, 1000]
    expected = dense.trajectory(y, steps)
    found, error = free.trajectory_with_error(y, steps)
    off = np.linalg.norm((found - expected).reshape(3, -1), axis=1)
    assert (off <= 1e-4 * np.linalg.norm(expected.reshape(3, -1), axis=1)).all()
    assert (error <= 1e-5).all()


def test_what_has_not_converged_is_said() -> None:
    net, params, z, A = network_problem()
    W = kernels.matrix_free(net, params, z)
    regime = KernelRegime(W, A, krylov=KrylovSettings(KEY, max_products=20))
    y = np.ones(A.range.shape, complex)
    with pytest.warns(ConvergenceWarning, match=r"after 20 products .* allow more products"):
        _, error = regime.trajectory_with_error(y, [1e6])
    assert error[0] > 1e-4


def test_bad_input_is_refused() -> None:
    net, params, z, A = network_problem()
    W = kernels.matrix_free(net, params, z)
    with pytest.raises(ValueError, match=r"needs krylov=ntkdip\.theory\.KrylovSettings"):
        KernelRegime(W, A)
    regime = KernelRegime(W, A, krylov=KrylovSettings(KEY))
    with pytest.raises(ValueError, match="known by its products only"):
        regime.data_eigenvalues()
    for options in ({"tolerance": 0.0}, {"max_products": 0}, {"probes": 1}):
        with pytest.raises(ValueError, match="at least 1 product and 2 probes"):
            KrylovSettings(KEY, **options)


def test_the_same_key_gives_the_same_estimate() -> None:
    A, _ = OPERATORS["fourier"](True)
    W, x = KERNELS["wishart"](A.domain), np.ones(SHAPE)
    method = HeavyBall(momentum=0.5)
    one, two, other = (
        KernelRegime(W, A, krylov=KrylovSettings(jax.random.key(k)), method=method)
        .mse(x, 0.1, [10]).variance[0]
        for k in (1, 1, 2)
    )  # fmt: skip
    assert one == two != other
