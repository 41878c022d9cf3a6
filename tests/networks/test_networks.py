from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import networks
from ntkdip.networks.layers import Conv, Upsample
from ntkdip.networks.modules import Upsampling

KEY = jax.random.key(0)

OPTIONS = {"wcnn": ("circular", "zero"), "decoder": ("circular", "half_pixel")}
REGISTRY = {
    f"{name}-{dims}d-{'complex' if field else 'real'}-{option}-{parameterisation}": (
        name, dims, field, option, parameterisation,
    )
    for name, options in OPTIONS.items()
    for dims in (1, 2)
    for field in (True, False)
    for option, parameterisation in zip(options, ("ntk", "standard"), strict=True)
}  # fmt: skip


@pytest.fixture(params=REGISTRY.values(), ids=REGISTRY.keys())
def built(request):
    name, dims, field, option, parameterisation = request.param
    shape = (12, 8)[:dims]
    options = {"complex_image": field, "parameterisation": parameterisation}
    if name == "wcnn":
        net = networks.wide_cnn(8, 3, 3, padding=option, **options)
        z = jax.random.normal(KEY, (*shape, 2))
    else:
        net = networks.deep_decoder(8, 2, upsampling=option, **options)
        z = networks.decoder_input(net, shape, 8, key=KEY)
    return net, z, shape


def test_output_is_an_image_of_the_promised_space(built) -> None:
    net, z, shape = built
    image = net.apply(net.init(z, key=KEY), z)
    assert image.shape == net.image_space(z).shape == shape
    assert jnp.iscomplexobj(image) == net.complex_image
    assert jnp.isfinite(jnp.abs(image)).all()


def test_same_key_same_parameters(built) -> None:
    net, z, _ = built
    one, two = net.init(z, key=KEY), net.init(z, key=KEY)
    other = net.init(z, key=jax.random.key(1))
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def test_jit_gives_the_same_image(built) -> None:
    net, z, _ = built
    params = net.init(z, key=KEY)
    compiled = jax.jit(net.apply)(params, z)
    np.testing.assert_allclose(compiled, net.apply(params, z), rtol=1e-4, atol=1e-5)


def test_ntk_and_standard_are_the_same_function_at_their_weights() -> None:
    ntk = networks.wide_cnn(6, 3, 3, parameterisation="ntk")
    standard = dataclasses.replace(ntk, parameterisation="standard")
    z = jax.random.normal(KEY, (8, 8, 2))
    params = ntk.init(z, key=KEY)
    module = ntk.merge(params, z)
    scales = [layer.scale for layer in module.layers if isinstance(layer, networks.Convolution)]
    leaves, tree = jax.tree.flatten(params)
    scaled = jax.tree.unflatten(tree, [s * w for s, w in zip(scales, leaves, strict=True)])
    np.testing.assert_allclose(standard.apply(scaled, z), ntk.apply(params, z), atol=1e-5)


def test_variance_of_a_wide_network_is_preserved() -> None:
    net = networks.wide_cnn(512, 3, 3, complex_image=False)
    z = jax.random.normal(KEY, (256, 4))
    images = [net.apply(net.init(z, key=k), z) for k in jax.random.split(KEY, 8)]
    assert np.mean(np.square(images)) == pytest.approx(1.0, rel=0.15)


def test_circular_upsampling_by_hand() -> None:
    v = jnp.array([[1.0], [3.0], [5.0]])
    u = Upsampling(Upsample("circular"))(v)
    np.testing.assert_allclose(u[:, 0], [1, 2, 3, 4, 5, 3])


def test_half_pixel_upsampling_by_hand() -> None:
    v = jnp.array([[0.0], [4.0]])
    u = Upsampling(Upsample("half_pixel"))(v)
    np.testing.assert_allclose(u[:, 0], [0, 1, 3, 4])


def test_circular_networks_commute_with_shifts() -> None:
    net = networks.wide_cnn(6, 3, 3)
    z = jax.random.normal(KEY, (8, 6, 2))
    params = net.init(z, key=KEY)
    shifted = net.apply(params, jnp.roll(z, (3, 2), (0, 1)))
    np.testing.assert_allclose(shifted, jnp.roll(net.apply(params, z), (3, 2), (0, 1)), atol=1e-5)


def test_channel_normalisation_normalises() -> None:
    net = networks.deep_decoder(8, 1)
    z = networks.decoder_input(net, (8, 8), 8, key=KEY)
    module = net.merge(net.init(z, key=KEY), z)
    x = z
    for layer in list(module.layers)[:-1]:
        x = layer(x)
    np.testing.assert_allclose(x.mean((0, 1)), 0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1)), 1, rtol=1e-3)


def test_module_is_plain_flax() -> None:
    net = networks.wide_cnn(4, 2, 3)
    module = net.module(jnp.zeros((5, 5, 2)), rngs=nnx.Rngs(params=KEY))
    assert isinstance(module, nnx.Module)
    assert module(jnp.ones((5, 5, 2))).shape == (5, 5, 2)


def test_as_input_and_back() -> None:
    image = np.array([[1 + 2j, 3 - 1j]])
    channels = networks.as_input(image)
    assert channels.shape == (1, 2, 2)
    assert channels.dtype == jnp.float32
    np.testing.assert_array_equal(networks.to_image(channels), image)
    assert networks.as_input(image.real).shape == (1, 2, 1)


def test_bad_sizes_are_refused() -> None:
    net = networks.deep_decoder(8, 3)
    with pytest.raises(ValueError, match="no multiple of 8, the upsampling of Deep Decoder"):
        networks.decoder_input(net, (36, 40), 8, key=KEY)
    with pytest.raises(ValueError, match="depth must be at least 2; got 1"):
        networks.wide_cnn(depth=1)
    with pytest.raises(ValueError, match="width must be at least 1; got 0"):
        networks.deep_decoder(0)
    with pytest.raises(ValueError, match="last layer is a convolution to 1"):
        networks.Architecture("three", (Conv(3),))
    with pytest.raises(ValueError, match="channels"):
        networks.wide_cnn(4).init(jnp.zeros(5), key=KEY)
