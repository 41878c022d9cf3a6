"""Upsampling by 2 and the convolution after it, against `jax.image.resize` and `jax.lax`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip.networks import UNet, doubling
from ntkdip.networks.acceleration import accelerated
from ntkdip.networks.convolution import conv_general_dilated
from ntkdip.networks.doubling import convolve_joined, double

KEY = jax.random.key(0)


@pytest.mark.parametrize("shape", [(7, 3), (4, 5, 3), (1, 2, 1)])
def test_doubling_is_resizing(shape: tuple[int, ...]) -> None:
    x = jax.random.normal(KEY, shape)

    def resize(x: jax.Array) -> jax.Array:
        return jax.image.resize(x, (*(2 * n for n in shape[:-1]), shape[-1]), "linear")

    y, back = jax.vjp(double, x)
    expected, expected_back = jax.vjp(resize, x)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    g = jax.random.normal(KEY, y.shape)
    np.testing.assert_allclose(back(g)[0], expected_back(g)[0], atol=2e-6)


def _conv(before: int, after: int, **options: Any) -> nnx.Conv:
    given: dict[str, Any] = {
        "kernel_size": (3, 3), "padding": ((1, 1), (1, 1)), "rngs": nnx.Rngs(params=KEY),
        "bias_init": nnx.initializers.normal(1.0), "conv_general_dilated": conv_general_dilated,
    }  # fmt: skip
    return nnx.Conv(before, after, **given | options)


def _plain(conv: nnx.Conv, beside: jax.Array, x: jax.Array) -> jax.Array:
    larger = jax.image.resize(x, (*beside.shape[:-1], x.shape[-1]), "linear")
    return conv(jnp.concatenate([beside, larger], -1))


@pytest.mark.parametrize("shape", [(8, 11), (1, 4), (16, 16)])
@pytest.mark.parametrize("bias", [False, True])
def test_a_joined_convolution_is_that_of_the_joined_image(
    shape: tuple[int, int], bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubling, "LEAST_PIXELS", 1)
    with jax.enable_x64(True):
        beside, x, g = (
            jax.random.normal(key, (*sides, channels), jnp.float64)
            for key, sides, channels in zip(
                jax.random.split(KEY, 3),
                ((2 * shape[0], 2 * shape[1]), shape, (2 * shape[0], 2 * shape[1])),
                (16, 17, 18),
                strict=True,
            )
        )
        conv = _conv(33, 18, use_bias=bias, param_dtype=jnp.float64)
        graph, params = nnx.split(conv)

        def ours(params: Any, beside: jax.Array, x: jax.Array) -> jax.Array:
            return convolve_joined(beside, x, nnx.merge(graph, params))

        def plain(params: Any, beside: jax.Array, x: jax.Array) -> jax.Array:
            return _plain(nnx.merge(graph, params), beside, x)

        y, back = jax.vjp(ours, params, beside, x)
        expected, expected_back = jax.vjp(plain, params, beside, x)
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-12)
        for a, b in zip(jax.tree.leaves(back(g)), jax.tree.leaves(expected_back(g)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


def test_the_doubled_image_is_not_formed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubling, "LEAST_PIXELS", 64)
    conv, beside, x = _conv(36, 16), jnp.ones((16, 16, 20)), jnp.ones((8, 8, 16))
    assert "16,16,36" in str(jax.make_jaxpr(_plain, static_argnums=0)(conv, beside, x))
    traced = str(jax.make_jaxpr(convolve_joined, static_argnums=2)(beside, x, conv))
    assert "16,16,36" not in traced
    smaller = jax.make_jaxpr(convolve_joined, static_argnums=2)(beside[:14], x[:7], conv)
    assert "14,16,36" in str(smaller)  # too small to be worth it


@pytest.mark.parametrize(
    "options",
    [
        {"padding": "CIRCULAR"}, {"padding": "VALID"}, {"strides": 2}, {"kernel_size": (5, 5)},
        {"kernel_dilation": 2}, {"mask": jnp.zeros((3, 3, 32, 16))}, {"dtype": jnp.bfloat16},
        {"conv_general_dilated": lambda x, *_, **__: 0 * x[..., :16]},
    ],
    ids=["circular", "valid", "strides", "5x5", "dilated", "masked", "bfloat16", "function"],
)  # fmt: skip
def test_other_convolutions_stay_as_they_are(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doubling, "LEAST_PIXELS", 1)
    conv, beside, x = _conv(32, 16, **options), jnp.ones((16, 12, 16)), jnp.ones((8, 6, 16))
    y, expected = convolve_joined(beside, x, conv), _plain(conv, beside, x)
    assert y.dtype == expected.dtype
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize("joined", [False, True])
def test_an_accelerated_network_is_the_network(
    joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if joined:
        monkeypatch.setattr(doubling, "LEAST_PIXELS", 1)
    net = UNet((16, 18), in_channels=2, rngs=nnx.Rngs(params=KEY))
    fast = accelerated(net)
    z, target = jax.random.normal(KEY, (2, 16, 20, 2))

    @nnx.jit
    def gradient(net: UNet) -> Any:
        return nnx.value_and_grad(lambda net: ((net(z) - target) ** 2).mean())(net)

    (loss, grads), (expected, expected_grads) = gradient(fast), gradient(net)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * float(jnp.abs(b).max()))
    assert str(jax.make_jaxpr(net)(z)).count("conv_general_dilated") > 2
    # First and head; and the edges of what is joined, whose image is not formed.
    traced = str(jax.make_jaxpr(fast)(z))
    assert traced.count("conv_general_dilated") == (6 if joined else 2)
    assert ("16,20,34" in traced) == (not joined)
    jax.jvp(net, (z,), (z,))  # the network itself still has forward mode


def test_an_accelerated_network_in_1d_is_the_network() -> None:
    net = UNet((16, 16), in_channels=2, spatial_dims=1, rngs=nnx.Rngs(params=KEY))
    z = jax.random.normal(KEY, (32, 2))
    np.testing.assert_allclose(accelerated(net)(z), net(z), atol=1e-5)
