"""What every description of a network promises, over a registry of them."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array

from ntkdip import kernels, networks
from ntkdip.networks.layers import Conv, MaxPool, ReLU, Residual, Upsample

KEY = jax.random.key(0)
SMALL_SKIP = networks.skip_network((3, 4), skip_widths=(2, 0))
NETWORKS = {
    "unet": networks.unet((3, 4)),
    "skip": SMALL_SKIP,
    "wcnn": networks.wide_cnn(4, 2, complex_image=False),
    "decoder": networks.deep_decoder(4, 1),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS)
def net(request) -> networks.ImageNetwork:
    return request.param


@pytest.fixture(params=[(8, 12), (16,)], ids=["2d", "1d"])
def shape(request) -> tuple[int, ...]:
    return request.param


class OneConvolution(nnx.Module):
    """A user's module: real images, with running statistics and a batch axis."""

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int,
        rngs: nnx.Rngs,
        complex_image: bool = False,
        channels: int = 1,
        dropout: float = 0.0,
    ):
        self.conv = nnx.Conv(in_channels, channels, (3,) * spatial_dims, rngs=rngs)
        self.norm = nnx.BatchNorm(channels, rngs=rngs)
        self.dropout = nnx.Dropout(dropout, rngs=nnx.Rngs(0)) if dropout else None

    def __call__(self, z: Array) -> Array:
        return self.norm(self.conv(z))[None]


@functools.cache
def apply(net: networks.ImageNetwork) -> Callable[[nnx.State, Array], Array]:
    return jax.jit(net.apply)


def test_the_image_is_in_the_promised_space(net, shape) -> None:
    z = networks.random_input(net, shape, 2, key=KEY)
    params = net.init(z, key=KEY)
    image = apply(net)(params, z)
    space = net.image_space(z)
    assert image.shape == space.shape == shape
    assert jnp.iscomplexobj(image) == space.is_complex == net.complex_image
    assert jnp.isfinite(jnp.abs(image)).all()
    assert net.parameter_count(z) == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_apply_is_the_module(net) -> None:
    z = networks.random_input(net, (8, 12), 2, key=KEY)
    graph, params = nnx.split(net.module(z, rngs=nnx.Rngs(params=KEY)))
    output = jax.jit(lambda params, z: nnx.merge(graph, params)(z))(params, z)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    close(apply(net)(params, z), networks.to_image(output))
    jax.tree.map(close, net.init(z, key=KEY), params)


def test_the_same_key_draws_the_same_parameters(net) -> None:
    z = networks.random_input(net, (8, 12), 2, key=KEY)
    one, two, other = (net.init(z, key=jax.random.key(seed)) for seed in (3, 3, 4))
    jax.tree.map(np.testing.assert_array_equal, one, two)
    assert any((a != b).any() for a, b in zip(*map(jax.tree.leaves, (one, other)), strict=True))


def test_apply_under_vmap(net) -> None:
    z, other = (networks.random_input(net, (8, 12), 2, key=jax.random.key(i)) for i in (0, 1))
    states = [net.init(z, key=key) for key in jax.random.split(KEY, 2)]
    seeds = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    both = jax.jit(jax.vmap(jax.vmap(net.apply, (0, None)), (None, 0)))
    images = both(seeds, jnp.stack([z, other]))
    close(images[0, 1], apply(net)(states[1], z))
    close(images[1, 0], apply(net)(states[0], other))


def test_equal_descriptions_are_equal_and_hashable() -> None:
    same, again, other = (networks.unet((3, w)) for w in (4, 4, 5))
    assert same == again
    assert hash(same) == hash(again)
    assert same != other
    assert {same: 1}[again] == 1
    static = jax.jit(lambda net, params, z: net.apply(params, z), static_argnums=0)
    z = jnp.ones((4, 4, 2))
    assert static(same, same.init(z, key=KEY), z).shape == (4, 4)


@pytest.mark.parametrize(
    "net",
    [
        networks.unet((16,)),
        networks.skip_network((16,), skip_widths=2),
        networks.wide_cnn(16, 3),
    ],
    ids=["unet", "skip", "wcnn"],
)
def test_for_training_is_the_same_network_in_reverse_mode(net: networks.ImageNetwork) -> None:
    z = networks.random_input(net, (16, 16), 2, key=KEY)
    trained = net.for_training()
    assert trained.for_training() == trained == net.for_training()
    assert trained != net
    assert (trained.name, trained.complex_image) == (net.name, net.complex_image)
    params = net.init(z, key=KEY)
    jax.tree.map(np.testing.assert_array_equal, params, trained.init(z, key=KEY))

    def both(net: networks.ImageNetwork) -> tuple[Array, np.ndarray]:
        def loss(params: nnx.State) -> tuple[Array, Array]:
            image = net.apply(params, z)
            return jnp.sum(jnp.abs(image - 1) ** 2), image

        gradient, image = jax.jit(jax.grad(loss, has_aux=True))(params)
        return image, np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)])

    for plain, fast in zip(both(net), both(trained), strict=True):
        assert np.linalg.norm(fast - plain) <= 1e-5 * np.linalg.norm(plain)


def test_for_training_takes_the_other_route() -> None:
    net = networks.unet((16,))
    z = jnp.ones((16, 16, 2))
    params = nnx.eval_shape(lambda: net.init(z, key=KEY))

    def convolutions(net: networks.ImageNetwork) -> int:
        return str(jax.make_jaxpr(net.apply)(params, z)).count("conv_general_dilated[")

    # Of 3 convolutions the one from 16 to 16 channels; that of 2 channels and the head stay.
    assert convolutions(net) == 3
    assert convolutions(net.for_training()) == 2


@pytest.mark.parametrize(
    "net",
    [
        networks.unet((2, 3), complex_image=False, normalisation=False),
        networks.skip_network((2,), skip_widths=1, complex_image=False, pointwise=False),
    ],
    ids=["unet", "skip"],
)
def test_kernels_of_the_description_are_those_of_the_module(net: networks.FlaxNetwork) -> None:
    z = networks.random_input(net, (4, 4), 1, key=KEY)
    module = net.module(z, rngs=nnx.Rngs(params=KEY))
    by_module = kernels.empirical(module, None, z).dense()
    by_description = kernels.empirical(net, nnx.state(module), z).dense()
    np.testing.assert_allclose(
        by_description, by_module, rtol=0, atol=1e-6 * np.abs(by_module).max()
    )


def test_a_module_of_ones_own() -> None:
    net = networks.flax_network("mine", OneConvolution, complex_image=False)
    z = jax.random.normal(KEY, (6, 6, 2))
    params = net.init(z, key=KEY)
    image = apply(net)(params, z)
    np.testing.assert_array_equal(image, apply(net)(params, z))
    np.testing.assert_allclose(image.mean(), 0, atol=1e-6)
    assert net.parameter_count(z) == 3 * 3 * 2 + 1 + 2
    marks = jax.tree.leaves(net.trained(params))
    assert (sum(marks), len(marks)) == (4, 6)
    gradient = jax.jit(jax.grad(lambda params: (net.apply(params, z) ** 3).sum()))(params)
    for moves, leaf in zip(marks, jax.tree.leaves(gradient), strict=True):
        assert moves or not np.abs(leaf).any()
    running = {"norm/mean": 1.0}
    with pytest.raises(ValueError, match="'norm/mean' matches none"):
        kernels.empirical(net, params, z, rates=running)


def test_modules_that_do_not_fit_are_refused() -> None:
    z = jnp.ones((6, 6, 2))
    with pytest.raises(ValueError, match=r"complex_image=True, but its module makes real images"):
        networks.flax_network("mine", OneConvolution).image_space(z)
    with pytest.raises(ValueError, match=r"deterministic and holds real weights only"):
        networks.flax_network("mine", OneConvolution, dropout=0.5).init(z, key=KEY)
    three = networks.flax_network("mine", OneConvolution, channels=3)
    with pytest.raises(ValueError, match=r"got shape \(1, 6, 6, 3\)"):
        three.image_space(z)
    with pytest.raises(ValueError, match=r"option widths of mine must be hashable"):
        networks.flax_network("mine", OneConvolution, widths=[1])
    with pytest.raises(ValueError, match=r"as_input\(image\)"):
        networks.unet((3,)).init(jnp.ones((4,)), key=KEY)


def test_sides_that_fit() -> None:
    assert networks.unet((3, 4, 5)).side_multiple == 4
    assert SMALL_SKIP.side_multiple == 1
    assert networks.wide_cnn().side_multiple == 1
    assert networks.deep_decoder(blocks=3).side_multiple == 8
    assert networks.autoencoder(levels=2).side_multiple == 4
    shrinking = networks.Architecture(
        "halves, then sums",
        (Conv(2, stride=2), Residual((Conv(2), ReLU())), MaxPool(3), Upsample(), Conv(1)),
    )
    # Of 6 k pixels 3 k, k, then 2 k: the images have even sides, of which every one occurs.
    assert shrinking.side_multiple == 2
    assert networks.unet((3, 4, 5)).fitting_shape((8, 9)) == (8, 12)
    assert networks.unet((3, 4, 5)).fitting_shape((1, 16)) == (4, 16)


@pytest.mark.parametrize("name", NETWORKS)
def test_fitting_shapes_are_made(name: str) -> None:
    net = NETWORKS[name]
    shape = net.fitting_shape((9, 10))
    z = networks.random_input(net, shape, 2, key=KEY)
    assert net.image_space(z).shape == shape


def test_random_inputs() -> None:
    z = networks.random_input(networks.unet((3, 4)), (16, 16), key=KEY)
    assert z.shape == (16, 16, 32)
    assert 0 <= z.min() < 0.001
    assert 0.099 < z.max() < 0.1
    decoder = networks.deep_decoder(4, 2)
    np.testing.assert_array_equal(
        networks.random_input(decoder, (16, 16), 8, key=KEY),
        networks.decoder_input(decoder, (16, 16), 8, key=KEY),
    )
    wide = networks.random_input(networks.wide_cnn(), (64, 64), key=KEY)
    assert float(wide.var()) == pytest.approx(1.0, rel=0.02)
    chosen = networks.random_input(decoder, (16, 16), key=KEY, interval=(2.0, 3.0))
    assert chosen.shape == (4, 4, 32)
    assert 2 <= chosen.min() < chosen.max() < 3


def test_random_inputs_that_cannot_be() -> None:
    net = networks.unet((3, 4, 5))
    with pytest.raises(ValueError, match=r"multiples of 4; got \(8, 9\). Use \(8, 12\)"):
        networks.random_input(net, (8, 9), key=KEY)
    with pytest.raises(ValueError, match="no multiple of 16"):
        networks.random_input(networks.deep_decoder(), (8, 16), key=KEY)
    with pytest.raises(ValueError, match="must rise between finite ends"):
        networks.random_input(net, (8, 8), key=KEY, interval=(1.0, 1.0))
    with pytest.raises(ValueError, match="channels must be at least 1"):
        networks.random_input(net, (8, 8), 0, key=KEY)
    upsampling = networks.flax_network("doubles", Doubles, complex_image=False)
    with pytest.raises(ValueError, match=r"image of \(16, 16\), not \(8, 8\)"):
        networks.random_input(upsampling, (8, 8), 1, key=KEY)


class Doubles(nnx.Module):
    """A generator: its input is smaller than its image."""

    def __init__(self, in_channels: int, spatial_dims: int, rngs: nnx.Rngs, complex_image: bool):
        self.conv = nnx.Conv(in_channels, 1, (1,) * spatial_dims, rngs=rngs)

    def __call__(self, z: Array) -> Array:
        return self.conv(z.repeat(2, 0).repeat(2, 1))
