from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import networks
from ntkdip.networks import UNet

KEY = jax.random.key(0)


def _unet(seed: int = 0, **settings: object) -> UNet:
    defaults = {"channels": (3, 4, 5), "in_channels": 2}
    return UNet(**(defaults | settings), rngs=nnx.Rngs(params=jax.random.key(seed)))


@pytest.mark.parametrize("shape", [(8, 12), (16,)])
@pytest.mark.parametrize("complex_image", [False, True])
@pytest.mark.parametrize("downsampling", ["average", "max", "strided"])
def test_the_image_has_the_size_of_the_input(
    shape: tuple[int, ...], complex_image: bool, downsampling: str
) -> None:
    net = _unet(
        spatial_dims=len(shape), complex_image=complex_image, downsampling=downsampling
    )  # fmt: skip
    image = net(jax.random.normal(KEY, (*shape, 2)))
    assert image.shape == (*shape, 2 if complex_image else 1)
    assert image.dtype == jnp.float32


def test_one_level_has_no_skip() -> None:
    assert _unet(channels=(3,))(jnp.ones((5, 7, 2))).shape == (5, 7, 2)


@pytest.mark.parametrize("normalisation", [False, True])
@pytest.mark.parametrize("downsampling", ["average", "max", "strided"])
def test_every_parameter_has_a_gradient(normalisation: bool, downsampling: str) -> None:
    net = _unet(channels=(8, 8, 8), normalisation=normalisation, downsampling=downsampling)
    z, target = jax.random.normal(KEY, (2, 16, 16, 2))
    gradient = nnx.grad(lambda net: ((net(z) - target) ** 2).sum())(net)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.abs(leaf).max() > 1e-3, jax.tree_util.keystr(path)


def test_the_same_key_draws_the_same_network() -> None:
    z = jax.random.normal(KEY, (8, 8, 2))
    same, again, other = (_unet(seed)(z) for seed in (3, 3, 4))
    np.testing.assert_array_equal(same, again)
    assert np.abs(same - other).max() > 0.1


def test_it_is_deterministic_under_jit() -> None:
    net, z = _unet(), jax.random.normal(KEY, (8, 8, 2))
    graph, params = nnx.split(net)
    jitted = jax.jit(lambda params, z: nnx.merge(graph, params)(z))
    np.testing.assert_allclose(jitted(params, z), net(z), atol=1e-5)


def test_circular_padding_commutes_with_shifts_at_one_level() -> None:
    # With more levels the upsampling, which holds the edge, breaks it there.
    net = _unet(channels=(4,), padding="circular", complex_image=False)
    z = jax.random.normal(KEY, (8, 8, 2))
    shift = functools.partial(jnp.roll, shift=(2, 3), axis=(0, 1))
    np.testing.assert_allclose(net(shift(z)), shift(net(z)), atol=1e-5)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"multiples of 4; got \(8, 6\)"):
        _unet()(jnp.ones((8, 6, 2)))
    with pytest.raises(ValueError, match=r"\(rows, columns, 2\); got \(8, 8, 3\)"):
        _unet()(jnp.ones((8, 8, 3)))
    with pytest.raises(ValueError, match=r"\(pixels, 2\); got \(8, 8, 2\)"):
        _unet(spatial_dims=1)(jnp.ones((8, 8, 2)))
    with pytest.raises(ValueError, match="spatial_dims must be 1 or 2; got 3"):
        _unet(spatial_dims=3)
    with pytest.raises(ValueError, match="at least one level"):
        _unet(channels=())
    with pytest.raises(ValueError, match="0 input channels"):
        _unet(in_channels=0)
    with pytest.raises(ValueError, match="at least one level"):
        networks.unet(())
    with pytest.raises(ValueError, match="deviation of the weights must be positive"):
        networks.unet((3,), initial_deviation=0.0)


def _by_hand(channels: tuple[int, ...], inputs: int, outputs: int, narrow: bool) -> int:
    """9 numbers a pair of channels, 2 a normalised channel; a head with bias."""
    pairs = []
    for before, after in zip((inputs, *channels), channels, strict=False):
        pairs += [(before, after), (after, after)]
    below = channels[-1]
    for level in range(len(channels) - 2, -1, -1):
        last = channels[max(level - 1, 0)] if narrow else channels[level]
        pairs += [(below + channels[level], channels[level]), (channels[level], last)]
        below = last
    return sum(9 * a * b + 2 * b for a, b in pairs) + channels[0] * outputs + outputs


@pytest.mark.parametrize("size", networks.UNET_PRESETS)
@pytest.mark.parametrize("narrow", [False, True])
def test_presets_have_the_counted_parameters(size: str, narrow: bool) -> None:
    net = networks.unet_preset(size, narrow_early=narrow)
    channels = networks.UNET_PRESETS[size]["channels"]
    z = jax.ShapeDtypeStruct((64, 64, 2), jnp.float32)
    assert net.parameter_count(z) == _by_hand(channels, 2, 2, narrow)


def test_the_papers_network_has_69_million() -> None:
    z = jax.ShapeDtypeStruct((64, 64, 2), jnp.float32)
    net = networks.unet_preset("paper")
    assert round(net.parameter_count(z) / 1e6) == 69
    assert net.image_space(z).shape == (64, 64)


def test_all_convolutions_have_the_deviation_asked_for() -> None:
    net = _unet(channels=(32, 64), initial_deviation=0.02, downsampling="strided", in_channels=32)
    for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(net)):
        name = jax.tree_util.keystr(path)
        if "kernel" in name:
            # The head has 64 weights: 5 standard errors of their deviation are 0.44 of it.
            assert float(leaf.std()) == pytest.approx(0.02, rel=5 / (2 * leaf.size) ** 0.5), name
        elif "bias" in name:
            assert not leaf.any()


def test_upsampling_and_slope_are_those_asked_for() -> None:
    z = jax.random.normal(KEY, (8, 8, 2))
    near, smooth = (_unet(upsampling=u) for u in ("nearest", "half_pixel"))
    x = jnp.array([[0.0], [4.0]])
    np.testing.assert_array_equal(near.double(x)[:, 0], [0, 0, 4, 4])
    np.testing.assert_array_equal(smooth.double(x)[:, 0], [0, 1, 3, 4])
    leaky = _unet(slope=0.2)
    assert np.abs(nnx.jit(leaky)(z) - nnx.jit(smooth)(z)).max() > 1e-3
    assert leaky.down[0][0].relu(jnp.array([[-1.0]]))[0, 0] == pytest.approx(-0.2)
