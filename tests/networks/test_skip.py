from __future__ import annotations

import functools
import math
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jaxtyping import Array

from ntkdip import networks
from ntkdip.networks import SkipNetwork

KEY = jax.random.key(0)


def _skip(seed: int = 0, **settings: object) -> SkipNetwork:
    defaults = {"widths": (3, 4), "in_channels": 2}
    return SkipNetwork(**(defaults | settings), rngs=nnx.Rngs(params=jax.random.key(seed)))


@nnx.jit
def _image(net: SkipNetwork, z: Array) -> Array:
    return net(z)


def _count(net: networks.ImageNetwork, channels: int = 32) -> int:
    return net.parameter_count(jax.ShapeDtypeStruct((64, 64, channels), jnp.float32))


def by_hand(inputs: int, width: int, levels: int, skip: int, out: int) -> int:
    """Weights of all convolutions, two numbers a normalised channel, and the head's bias."""
    down = 9 * (inputs * width + (2 * levels - 1) * width**2) + 2 * 2 * levels * width
    skips = skip * (inputs + (levels - 1) * width) + 2 * levels * skip
    joined = width + skip
    up = levels * (2 * joined + 9 * joined * width + 2 * width + width**2 + 2 * width)
    return down + skips + up + out * width + out


@pytest.mark.parametrize(
    ("size", "width", "levels"), [("small", 32, 4), ("medium", 64, 5), ("paper", 128, 5)]
)
def test_presets_have_the_counted_parameters(size: str, width: int, levels: int) -> None:
    assert _count(networks.skip_preset(size)) == by_hand(32, width, levels, 4, 2)
    real = networks.skip_preset(size, complex_image=False, skip_widths=128)
    assert _count(real, 3) == by_hand(3, width, levels, 128, 1)


def test_the_paper_has_two_million() -> None:
    assert _count(networks.skip_preset("paper")) == pytest.approx(2.2e6, rel=0.01)


@pytest.mark.parametrize("shape", [(8, 12), (7, 9), (16,), (13,)])
@pytest.mark.parametrize("upsampling", ["half_pixel", "nearest"])
def test_the_image_has_the_size_of_the_input(shape: tuple[int, ...], upsampling: str) -> None:
    net = _skip(spatial_dims=len(shape), upsampling=upsampling)
    image = _image(net, jax.random.normal(KEY, (*shape, 2)))
    assert image.shape == (*shape, 2)
    assert image.dtype == jnp.float32


def test_odd_sides_are_cut_at_the_end() -> None:
    # Repeating the last row makes the even image of which the odd one is a part: but for
    # what the normalisation and the second convolution see of the row, so both are left out.
    options = {"widths": (3,), "normalisation": False, "padding": "zero", "upsampling": "nearest"}
    net = _skip(**options, kernel_down=1, kernel_up=1)
    z = jax.random.normal(KEY, (7, 5, 2))
    even = jnp.pad(z, ((0, 1), (0, 1), (0, 0)))
    np.testing.assert_allclose(_image(net, z), _image(net, even)[:7, :5], atol=1e-6)


def test_widths_of_every_level_are_its_own() -> None:
    options = {"widths": (3, 5, 7), "widths_up": (4, 6, 8), "skip_widths": (2, 0, 1)}
    net = _skip(**options, kernel_down=5, kernel_up=1, kernel_skip=3, padding="zero")
    shapes = [
        [tuple(block.conv.kernel.shape) for block in (*level.down, *level.up)]
        for level in net.levels
    ]
    for (before, down), up, below, skip, found in zip(
        pairwise((2, 3, 5, 7)), (4, 6, 8), (6, 8, 7), (2, 0, 1), shapes, strict=True
    ):
        assert found == [
            (5, 5, before, down), (5, 5, down, down), (1, 1, below + skip, up), (1, 1, up, up)
        ]  # fmt: skip
    assert net.levels[1].skip is None
    assert net.levels[0].skip.conv.kernel.shape == (3, 3, 2, 2)
    assert _image(net, jnp.ones((9, 9, 2))).shape == (9, 9, 2)
    without = _skip(widths=(3,), pointwise=False)
    assert len(without.levels[0].up) == 1


@pytest.mark.parametrize("normalisation", [False, True])
@pytest.mark.parametrize("downsampling", ["strided", "average", "max"])
def test_every_parameter_has_a_gradient(normalisation: bool, downsampling: str) -> None:
    # Without edges of zeros the second normalisation would remove a shift by the first, and at
    # shifts of 0 that of both branches the scale of the skip's.
    net = _skip(
        widths=(8, 8), normalisation=normalisation, downsampling=downsampling, padding="zero"
    )
    for path, leaf in nnx.to_flat_state(nnx.state(net)):
        if path[-1] == "shift":
            leaf[...] = jnp.linspace(-0.5, 0.5, leaf.size)
    z, target = jax.random.normal(KEY, (2, 16, 16, 2))
    gradient = nnx.jit(nnx.grad(lambda net: ((net(z) - target) ** 2).sum()))(net)
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 1e-3, jax.tree_util.keystr(path)


def test_circular_networks_commute_with_shifts_of_whole_coarse_pixels() -> None:
    net = _skip(padding="circular", upsampling="circular")
    z = jax.random.normal(KEY, (16, 8, 2))
    shift = functools.partial(jnp.roll, shift=(4, 4), axis=(0, 1))
    np.testing.assert_allclose(_image(net, shift(z)), shift(_image(net, z)), atol=1e-5)
    by_one = functools.partial(jnp.roll, shift=1, axis=0)
    assert np.abs(_image(net, by_one(z)) - by_one(_image(net, z))).max() > 1e-2


def test_strided_convolutions_are_centred_on_the_first_of_two_pixels() -> None:
    down = _skip(widths=(1,), in_channels=1, padding="reflect", normalisation=False).levels[0].down
    conv = down[0].conv
    conv.kernel[...] = jnp.zeros((3, 3, 1, 1)).at[1, 1].set(1.0)
    z = jnp.arange(25.0).reshape(5, 5, 1)
    np.testing.assert_array_equal(conv(z), z[::2, ::2])
    conv.kernel[...] = jnp.zeros((3, 3, 1, 1)).at[0, 1].set(1.0)
    # The pixel above the first row is its reflection, the second row.
    np.testing.assert_array_equal(conv(z), z[np.array([1, 1, 3])][:, ::2])


def test_a_bounded_image_is_the_sigmoid_of_the_other() -> None:
    z = jax.random.normal(KEY, (8, 8, 2))
    free, bounded = (_skip(complex_image=False, bounded=b) for b in (False, True))
    np.testing.assert_allclose(_image(bounded, z), jax.nn.sigmoid(_image(free, z)), atol=1e-6)


@pytest.mark.parametrize("gain", [1 / 3, 2.0])
def test_weights_have_the_variance_asked_for(gain: float) -> None:
    wide = _skip(widths=(64,), gain=gain)
    kernel = wide.levels[0].down[1].conv.kernel[...]
    assert float(kernel.std()) == pytest.approx(math.sqrt(gain / (9 * 64)), rel=0.03)
    wide = _skip(widths=(64,), initial_deviation=0.02)
    assert float(wide.levels[0].down[1].conv.kernel[...].std()) == pytest.approx(0.02, rel=0.03)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(rows, columns, 2\); got \(8, 8, 3\)"):
        _skip()(jnp.ones((8, 8, 3)))
    with pytest.raises(ValueError, match=r"at least 5; got \(8, 4\).*padding='zero'"):
        _skip()(jnp.ones((8, 4, 2)))
    assert _image(_skip(padding="zero"), jnp.ones((2, 1, 2))).shape == (2, 1, 2)
    with pytest.raises(ValueError, match=r"multiples of 4; got \(8, 6\).*downsampling='strided'"):
        _skip(downsampling="average")(jnp.ones((8, 6, 2)))
    with pytest.raises(ValueError, match="at least one level"):
        networks.skip_network(())
    with pytest.raises(ValueError, match=r"got \(3, 4\), \(3,\) and \(4, 4\)"):
        networks.skip_network((3, 4), widths_up=(3,))
    with pytest.raises(ValueError, match="widths must be at least 1; got 0"):
        networks.skip_network((3, 0))
    with pytest.raises(ValueError, match="a sigmoid bounds real images"):
        networks.skip_network((3,), bounded=True)
    with pytest.raises(ValueError, match="gain of the weights must be positive and finite"):
        networks.skip_network((3,), gain=0.0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        networks.skip_network((3,), depth=5)


def test_sides_of_pooling_networks_are_multiples() -> None:
    assert networks.skip_network((3, 4), downsampling="max").side_multiple == 4
    assert networks.skip_network((3, 4)).side_multiple == 1
