"""The dense empirical NTK against full Jacobians."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import kernels, networks
from tests.kernels.zoo import KEY, ZOO, Tied, distance, ntk


@functools.cache
def dense(name: str) -> np.ndarray:
    return kernels.empirical(*ZOO[name]).dense()


@pytest.mark.parametrize("name", ZOO)
def test_agrees_with_full_jacobians(name: str) -> None:
    assert distance(dense(name), ntk(*ZOO[name])) <= 1e-6


@pytest.mark.parametrize("name", ZOO)
def test_symmetric_and_psd_to_float64_rounding(name: str) -> None:
    W = dense(name)
    values = np.linalg.eigvalsh(W)
    assert W.dtype == np.float64
    np.testing.assert_array_equal(W, W.T)
    assert values[0] >= -1e-10 * values[-1]


@pytest.mark.parametrize("name", ["wcnn-2d-large-windows", "decoder-2d-circular"])
def test_float32_contraction_is_psd_to_float32_rounding(name: str) -> None:
    W = kernels.empirical(*ZOO[name], precision="float32").dense()
    values = np.linalg.eigvalsh(W)
    assert values[0] >= -1e-6 * values[-1]
    assert 0 < distance(W, dense(name)) <= 1e-6


@pytest.mark.parametrize("name", ["wcnn-1d-wide", "wcnn-2d-standard", "module-strided"])
def test_memory_limit_does_not_matter(name: str) -> None:
    least = kernels.estimate(ZOO[name][0], ZOO[name][2], ZOO[name][1]).routes[1].bytes
    tight = int(1.3 * least)
    estimate = kernels.estimate(ZOO[name][0], ZOO[name][2], ZOO[name][1], memory_limit=tight)
    assert estimate.sweeps > 1
    W = kernels.empirical(*ZOO[name], memory_limit=tight).dense()
    assert distance(W, dense(name)) <= 1e-6
    with pytest.raises(MemoryError, match="matrix_free"):
        kernels.empirical(*ZOO[name], memory_limit=int(0.9 * least))


@pytest.mark.parametrize("name", ["wcnn-2d-zero-even-kernel", "module-normalised"])
def test_input_and_joint_kernels(name: str) -> None:
    alone = kernels.empirical(*ZOO[name], rates={"*": 0.0}, input_rate=1.0).dense()
    assert distance(alone, ntk(*ZOO[name], {"*": 0.0}, 1.0)) <= 1e-6
    joint = kernels.empirical(*ZOO[name], input_rate=0.3).dense()
    np.testing.assert_allclose(joint, dense(name) + 0.3 * alone, atol=1e-6 * np.abs(joint).max())


def test_rates_of_parameter_groups() -> None:
    rates = {"first/bias": 0.0, "first/*": 3.0, "*/bias": 0.25}
    problem = ZOO["module-strided"]
    W = kernels.empirical(*problem, rates=rates).dense()
    assert distance(W, ntk(*problem, rates)) <= 1e-6
    assert distance(W, dense("module-strided")) > 0.1
    with pytest.raises(ValueError, match=r"'second/\*' matches none of the parameters depthwise"):
        kernels.empirical(*problem, rates={"second/*": 1.0})
    with pytest.raises(ValueError, match="at least 0; got -1"):
        kernels.empirical(*problem, rates={"*": -1.0})
    with pytest.raises(ValueError, match="every rate of Strided is 0"):
        kernels.empirical(*problem, rates={"*": 0.0})


def test_unknown_layers_get_plain_rows_and_are_named_once(recwarn) -> None:
    module, z = Tied(), jax.random.normal(KEY, (12, 1))
    with pytest.warns(kernels.StructureWarning, match=r"Tied: 2 of 6 parameters .*\(3, 3, 3\)"):
        W = kernels.empirical(module, None, z).dense()
    assert distance(W, ntk(module, None, z)) <= 1e-6
    again = kernels.empirical(module, None, z).dense()
    np.testing.assert_array_equal(W, again)


def test_parameters_of_a_module_may_be_given() -> None:
    module, _, z = ZOO["module-dense-head"]
    doubled = jax.tree.map(lambda p: 2 * p, nnx.state(module, nnx.Param))
    W = kernels.empirical(module, doubled, z).dense()
    assert distance(W, ntk(module, doubled, z)) <= 1e-6
    assert distance(W, dense("module-dense-head")) > 0.1


def test_running_statistics_stay_as_they_were() -> None:
    module, _, z = ZOO["module-normalised"]
    before = np.asarray(module.batch.mean[...])
    kernels.empirical(module, None, z)
    np.testing.assert_array_equal(before, module.batch.mean[...])


def test_float64_networks_are_taken_in_float64() -> None:
    with jax.enable_x64(True):
        params = {"w": jnp.asarray(np.random.default_rng(0).standard_normal((3, 1)))}
        z = jnp.asarray(np.random.default_rng(1).standard_normal((7, 3)))

        def image(params, z):
            return jnp.tanh(z @ params["w"])[:, 0]

        W = kernels.empirical(image, params, z).dense()
        y = np.tanh(np.asarray(z) @ np.asarray(params["w"]))
        J = (1 - y**2) * np.asarray(z)
    np.testing.assert_allclose(W, J @ J.T, rtol=1e-12)


def test_nan_and_wrong_arguments_are_refused() -> None:
    net, params, z = ZOO["wcnn-1d-wide"]
    with pytest.raises(ValueError, match="network input: 1 of 48"):
        kernels.empirical(net, params, z.at[3, 1].set(jnp.nan))
    broken = jax.tree.map(lambda p: p * jnp.nan, params)
    with pytest.raises(ValueError, match=r"parameter layers/0/conv/kernel.*NaN"):
        kernels.empirical(net, broken, z)
    with pytest.raises(ValueError, match="precision is float64 or float32; got 'bfloat16'"):
        kernels.empirical.__wrapped__(net, params, z, precision="bfloat16")
    with pytest.raises(ValueError, match="positive number of bytes; got 0"):
        kernels.empirical(net, params, z, memory_limit=0)


def test_what_cannot_fit_is_refused_before_it_is_traced() -> None:
    net = networks.wide_cnn(4, 2, 3)
    z = jnp.zeros((1024, 1024, 2))
    with pytest.raises(MemoryError, match=r"C\^1024x1024 needs about [0-9.,]+ GiB.*matrix_free"):
        kernels.empirical(net, net.init(z, key=KEY), z)
