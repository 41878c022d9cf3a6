"""Products without the matrix, against full Jacobians and the dense kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import kernels, networks
from tests.kernels.zoo import KEY, ZOO, distance, ntk


@pytest.mark.parametrize("name", ["wcnn-2d-standard", "module-strided", "module-attention"])
def test_products_agree_with_full_jacobians(name: str) -> None:
    rates = {"*": 2.0}
    W = kernels.matrix_free(*ZOO[name], rates=rates, input_rate=0.5)
    oracle = ntk(*ZOO[name], rates, 0.5)
    V = np.random.default_rng(0).standard_normal((W.space.real_size, 3))
    assert distance(W @ V, oracle @ V) <= 1e-6
    assert distance(W @ V[:, 0], oracle @ V[:, 0]) <= 1e-6
    assert (W @ V).dtype == np.float64


def test_dense_matrix_column_by_column() -> None:
    problem = ZOO["wcnn-1d-real"]
    W = kernels.matrix_free(*problem).dense()
    assert distance(W, kernels.empirical(*problem).dense()) <= 1e-6
    np.testing.assert_array_equal(W, W.T)


def test_scale_of_the_vector_does_not_matter() -> None:
    W = kernels.matrix_free(*ZOO["wcnn-1d-real"])
    v = np.random.default_rng(0).standard_normal(40)
    np.testing.assert_allclose(W @ (1e-60 * v), 1e-60 * (W @ v), rtol=1e-12)
    np.testing.assert_array_equal(W @ np.zeros(40), np.zeros(40))


def test_leading_pairs_of_a_u_net_agree_with_the_dense_kernel() -> None:
    """The bar at 32 x 32 is 1e-4 of each eigenvalue and 1e-5 of the largest for residuals."""
    rngs = nnx.Rngs(params=KEY)
    net = networks.UNet((4, 8), in_channels=1, complex_image=False, rngs=rngs)
    z = jax.random.normal(KEY, (16, 16, 1))
    W, k = kernels.matrix_free(net, None, z), 24
    dense = kernels.empirical(net, None, z)
    pairs = kernels.leading_eigenpairs(W, k, key=KEY)
    assert pairs.converged
    np.testing.assert_allclose(pairs.values, dense.eigh(k)[0], rtol=1e-4)
    residuals = np.linalg.norm(dense @ pairs.vectors - pairs.vectors * pairs.values, axis=0)
    assert residuals.max() <= 1e-5 * pairs.values[0]
    np.testing.assert_allclose(W.eigh(k)[0], pairs.values, rtol=1e-4)


def test_is_a_kernel_and_refuses_what_does_not_fit() -> None:
    W = kernels.matrix_free(*ZOO["wcnn-1d-real"])
    assert isinstance(W, kernels.Kernel)
    with pytest.raises(ValueError, match=r"multiplies \(40,\) or \(40, m\); got \(39,\)"):
        W @ np.ones(39)
    with pytest.raises(ValueError, match="vector: 40 of 40 entries"):
        W @ np.full(40, np.nan)
    net = networks.wide_cnn(2, 2, 3)
    z = jnp.ones((512, 512, 2))
    params = net.init(z, key=KEY)
    big = kernels.matrix_free(net, params, z)
    with pytest.raises(MemoryError, match=r"C\^512x512 needs about"):
        big.dense()
    assert (big @ np.ones(2 * 512**2)).shape == (2 * 512**2,)
