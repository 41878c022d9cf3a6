"""Means over seeds and their standard errors."""

from __future__ import annotations

import math
import sys
import tracemalloc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import kernels, networks
from ntkdip.kernels.monte_carlo import MonteCarloKernel, monte_carlo, monte_carlo_nngp
from ntkdip.networks.layers import ChannelNorm, Conv, MaxPool, ReLU
from tests.kernels.zoo import KEY, Normalised, distance, ntk

COMPLEX = networks.wide_cnn(6, 2, 3)
NORMALISED = networks.Architecture(
    "normalised", (Conv(6, 3, padding="circular"), ReLU(), ChannelNorm(), Conv(1))
)
POOLED = networks.Architecture("pooled", (Conv(6, 3), ReLU(), MaxPool(2), Conv(2, 3, gain=2.0)))
TWO_LAYERS = networks.Architecture("two layers", (Conv(32), ReLU(), Conv(1, gain=2.0)))


def statistics(samples: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """NumPy's mean, and the standard error that follows from its standard deviation."""
    return np.mean(samples, 0), np.std(samples, 0, ddof=1) / math.sqrt(len(samples))


def assert_same(result: MonteCarloKernel, samples: list[np.ndarray], rtol: float) -> None:
    mean, error = statistics(samples)
    assert result.seeds == len(samples)
    assert result.standard_error.dtype == np.float64
    assert distance(result.kernel.dense(), mean) <= rtol
    assert distance(result.standard_error, error) <= rtol


def affine(params, z):
    return (z @ params["a"] + params["b"])[:, 0]


def draw_affine(key):
    return {"a": jax.random.normal(key, (3, 1)), "b": jnp.ones(())}


@pytest.mark.parametrize("options", [{}, {"rates": {"layers/0/*": 0.0}, "input_rate": 0.5}])
def test_equals_the_plain_mean_and_numpys_standard_error(options) -> None:
    z = jax.random.normal(KEY, (9, 2))
    result = monte_carlo(COMPLEX, z, key=KEY, seeds=5, **options)
    draws = [COMPLEX.init(z, key=k) for k in jax.random.split(KEY, 5)]
    assert result.kernel.space.real_size == 18
    assert_same(result, [kernels.empirical(COMPLEX, p, z, **options).dense() for p in draws], 1e-12)


@pytest.mark.parametrize("net", [NORMALISED, POOLED], ids=lambda net: net.name)
def test_takes_what_has_no_closed_form(net: networks.Architecture) -> None:
    z = jax.random.normal(KEY, (4, 6, 2))
    result = monte_carlo(net, z, key=KEY, seeds=2)
    assert_same(result, [ntk(net, net.init(z, key=k), z) for k in jax.random.split(KEY, 2)], 2e-6)
    values, _ = result.kernel.eigh()
    assert values[-1] >= -1e-10 * values[0]


def test_modules_and_functions_with_their_own_draws() -> None:
    z = jax.random.normal(KEY, (8, 1))

    def draw(key):
        first = jax.tree.map(jnp.zeros_like, nnx.state(Normalised(), nnx.Param))
        return jax.tree.map(lambda p: p + jax.random.normal(key, p.shape), first)

    keys = jax.random.split(KEY, 3)
    result = monte_carlo(Normalised(), z, key=KEY, seeds=3, init=draw)
    samples = [kernels.empirical(Normalised(), draw(k), z).dense() for k in keys]
    assert_same(result, samples, 1e-12)

    z = jax.random.normal(KEY, (7, 3))
    function = monte_carlo(affine, z, key=KEY, seeds=3, init=draw_affine)
    # Linear in its parameters: the same kernel for every seed.
    assert distance(function.kernel.dense(), np.asarray(z) @ np.asarray(z).T + 1) <= 1e-6
    assert np.all(function.standard_error == 0)


def test_one_key_gives_one_kernel() -> None:
    z = jax.random.normal(KEY, (9, 2))
    once, again = (monte_carlo(COMPLEX, z, key=KEY, seeds=3) for _ in range(2))
    other = monte_carlo(COMPLEX, z, key=jax.random.key(1), seeds=3)
    np.testing.assert_array_equal(once.kernel.dense(), again.kernel.dense())
    np.testing.assert_array_equal(once.standard_error, again.standard_error)
    assert distance(other.kernel.dense(), once.kernel.dense()) > 0.01


def test_nngp_is_the_mean_of_outer_products() -> None:
    z = jax.random.normal(KEY, (9, 2))
    result = monte_carlo_nngp(COMPLEX, z, key=KEY, seeds=6)
    images = [COMPLEX.apply(COMPLEX.init(z, key=k), z) for k in jax.random.split(KEY, 6)]
    outputs = [np.asarray(jnp.concatenate([f.real, f.imag]), np.float64) for f in images]
    assert_same(result, [np.outer(f, f) for f in outputs], 1e-5)


def two_layer_kernels(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """NNGP and NTK of `TWO_LAYERS`, by the formulas of the design page, at any width."""
    K = z @ z.T / z.shape[1]
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    rho = np.clip(K / scale, -1.0, 1.0)
    angle = np.arccos(rho)
    nngp = scale * (np.sqrt(1 - rho**2) + rho * (np.pi - angle)) / np.pi
    return nngp, nngp + K * (np.pi - angle) / np.pi


@pytest.mark.parametrize(("average", "seeds"), [(monte_carlo_nngp, 192), (monte_carlo, 64)])
def test_agrees_with_the_closed_form_of_two_layers(average, seeds: int) -> None:
    z = jax.random.normal(jax.random.key(7), (10, 3))
    exact = two_layer_kernels(np.asarray(z, np.float64))[average is monte_carlo]
    result = average(TWO_LAYERS, z, key=KEY, seeds=seeds)
    # Exact in expectation at any width with one hidden layer: no bias beside the error.
    scores = (result.kernel.dense() - exact) / result.standard_error
    expected = np.linalg.norm(result.standard_error)
    # Entries are correlated, so that even the RMS score scatters: over 12 keys 0.66 to 1.60,
    # the largest score 1.4 to 3.6, the distance 0.56 to 1.81 of what is expected.
    assert 0.4 <= np.sqrt(np.mean(scores**2)) <= 2
    assert np.abs(scores).max() <= 4
    assert np.linalg.norm(result.kernel.dense() - exact) <= 3 * expected
    # What is expected is small enough to tell a wrong kernel (measured: 4 % and 17 %).
    assert expected <= 0.2 * np.linalg.norm(exact)


def test_memory_does_not_grow_with_seeds() -> None:
    n, peaks = 1200, []
    z = jax.random.normal(KEY, (n, 3))
    for seeds in (2, 2, 9):
        tracemalloc.start()
        monte_carlo_nngp(affine, z, key=KEY, seeds=seeds, init=draw_affine)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # The first call also compiles.  Three matrices: mean, standard error, one sample.
    assert max(peaks[1:]) <= 3.1 * 8 * n**2


@pytest.mark.parametrize("average", [monte_carlo, monte_carlo_nngp])
def test_refuses_before_work(average, monkeypatch) -> None:
    z = jax.random.normal(KEY, (9, 2))
    # The package's name for the module is the function's.
    monkeypatch.setattr(sys.modules["ntkdip.kernels.monte_carlo"], "_average", None)
    with pytest.raises(ValueError, match=r"at least 2 seeds, and about 16 .* got 1"):
        average(COMPLEX, z, key=KEY, seeds=1)
    with pytest.raises(ValueError, match="network input: 1 of 18"):
        average(COMPLEX, z.at[3, 1].set(jnp.nan), key=KEY)
    with pytest.raises(ValueError, match=r"pixels, channels\) or .*; got \(9,\)"):
        average(COMPLEX, z[:, 0], key=KEY)
    with pytest.raises(ValueError, match="give init, for a module lambda key"):
        average(Normalised(), z, key=KEY)
    with pytest.raises(ValueError, match="it returned None"):
        average(Normalised(), z[:, :1], key=KEY, init=lambda key: None)
    with pytest.raises(ValueError, match="positive number of bytes; got 0"):
        average(COMPLEX, z, key=KEY, memory_limit=0)
    with pytest.raises(MemoryError, match=r"mean, standard error and one kernel .* on C\^9"):
        average(COMPLEX, z, key=KEY, memory_limit=24 * 18**2 - 1)


def test_refuses_what_the_empirical_kernel_refuses() -> None:
    z = jax.random.normal(KEY, (9, 2))
    with pytest.raises(ValueError, match="'nothing' matches none"):
        monte_carlo(COMPLEX, z, key=KEY, rates={"nothing": 1.0})
    with pytest.raises(MemoryError, match="matrix_free"):
        # Room for the three matrices, but not for the work of making one.
        monte_carlo(COMPLEX, z, key=KEY, memory_limit=24 * 18**2)
