"""The layer vocabulary: shapes, conventions by hand, and what is never trained."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ntkdip import kernels, networks, operators, training
from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.networks import Architecture
from ntkdip.networks.layers import (
    Abs,
    AveragePool,
    Conv,
    Erf,
    Gaussian,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    ReLU,
    Residual,
    Sine,
    Upsample,
)
from ntkdip.networks.modules import (
    Fixed,
    LayerNormalisation,
    Pointwise,
    Pooling,
    Upsampling,
)
from tests.kernels.infinite.analytic_zoo import EVERY, hard_input

KEY = jax.random.key(0)


@pytest.mark.parametrize("name", EVERY)
def test_the_network_makes_images_of_the_promised_shape(name) -> None:
    net, shape, channels = EVERY[name]
    z = jnp.asarray(hard_input(shape, channels), jnp.float32)
    image = jax.eval_shape(lambda z: net.apply(net.init(z, key=KEY), z), z)
    assert image.shape == net.image_space(z).shape


@pytest.mark.parametrize("padding", ["zero", "circular", "reflect"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [6, 7])
def test_convolution_by_hand(n, size, stride, padding) -> None:
    net = Architecture("one", (Conv(1, size, 3.0, padding, stride, 0.5),))
    x = np.random.default_rng(0).normal(size=(n, 2)).astype(np.float32)
    params = net.init(x, key=KEY)
    bias, kernel = (np.asarray(leaf) for leaf in jax.tree.leaves(params))
    made = -(-n // stride)
    before = max((made - 1) * stride + size - n, 0) // 2
    expected = np.full(made, np.sqrt(0.5) * bias[0])
    for i in range(made):
        for k in range(size):
            p = i * stride + k - before
            if padding == "circular":
                p %= n
            elif padding == "reflect":
                p = n - 1 - abs(n - 1 - abs(p))
            if 0 <= p < n:
                expected[i] += np.sqrt(3.0 / (2 * size)) * x[p] @ kernel[k, :, 0]
    np.testing.assert_allclose(net.apply(params, jnp.asarray(x)), expected, atol=1e-5)


def test_upsampling_by_hand() -> None:
    v = jnp.array([[1.0], [3.0], [7.0]])
    by_hand = {
        ("circular", 3): [1, 5 / 3, 7 / 3, 3, 13 / 3, 17 / 3, 7, 5, 3],
        ("half_pixel", 2): [1, 1.5, 2.5, 4, 6, 7],
        ("align_corners", 2): [1, 1.8, 2.6, 3.8, 5.4, 7],
        ("nearest", 2): [1, 1, 3, 3, 7, 7],
    }
    for (convention, factor), expected in by_hand.items():
        u = Upsampling(Upsample(convention, factor))(v)
        np.testing.assert_allclose(u[:, 0], expected, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize(
    "layer",
    [
        *(Upsample(c, f) for c in ("circular", "half_pixel", "align_corners", "nearest")
          for f in (1, 2, 3)),
        AveragePool(1),
    ],
)  # fmt: skip
def test_a_resampling_matrix_is_what_the_network_does(layer, n) -> None:
    module = Upsampling(layer) if isinstance(layer, Upsample) else Pooling(layer)
    basis = jnp.eye(n)
    np.testing.assert_allclose(module(basis), resampling_matrix(layer, n), atol=1e-6)


def test_pooling_by_hand() -> None:
    x = jnp.array([1.0, 3.0, 8.0, -2.0, 5.0, 0.0])[:, None]
    np.testing.assert_allclose(Pooling(AveragePool(2))(x)[:, 0], [2, 3, 2.5])
    np.testing.assert_allclose(Pooling(MaxPool(3))(x)[:, 0], [8, 5])
    np.testing.assert_allclose(resampling_matrix(AveragePool(2), 6) @ x[:, 0], [2, 3, 2.5])


def test_activations_by_hand() -> None:
    x = jnp.array([[-2.0, 0.0, 0.5]])
    by_hand = {
        ReLU(): [0, 0, 0.5],
        LeakyReLU(0.1): [-0.2, 0, 0.5],
        Abs(): [2, 0, 0.5],
        Erf(): [-0.995322265, 0, 0.520499878],
        Sine(2.0, 0.3): np.sin([-3.7, 0.3, 1.3]),
        Gaussian(0.5): np.exp([-2, 0, -0.125]),
    }
    for layer, expected in by_hand.items():
        np.testing.assert_allclose(Pointwise(layer)(x)[0], expected, atol=1e-6)


def test_layer_normalisation_normalises_pixels() -> None:
    x = jax.random.normal(KEY, (5, 40)) * 3 + 1
    y = LayerNormalisation(LayerNorm(1e-12))(x)
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-6)
    np.testing.assert_allclose(y.std(-1), 1, rtol=1e-5)


def test_residual_adds_its_branches() -> None:
    chain = (Conv(4), Residual((ReLU(), Conv(4, 3)), (Conv(4),)), Conv(1))
    net = Architecture("residual", chain)
    z = jax.random.normal(KEY, (6, 2))
    module = net.merge(net.init(z, key=KEY), z)
    x = module.layers[0](z)
    block = module.layers[1]
    expected = block.body[1](nnx.relu(x)) + block.shortcut[0](x)
    np.testing.assert_allclose(block(x), expected, atol=1e-6)


def test_weights_that_stay_are_in_no_kernel_and_never_move() -> None:
    net = networks.two_layer_generator(16, 3)
    z = jax.random.normal(KEY, (8, 3))
    params = net.init(z, key=KEY)
    moving = dataclasses.replace(net, layers=(*net.layers[:2], Conv(1)))
    frozen = kernels.empirical(net, params, z).matrix
    same = moving.init(z, key=KEY)
    everything = kernels.empirical(moving, same, z)
    both = kernels.empirical(moving, same, z, rates={"layers/2/*": 0.0}).matrix
    np.testing.assert_allclose(frozen, both, rtol=1e-5, atol=1e-6)
    assert np.trace(everything.matrix) > 1.1 * np.trace(frozen)
    np.testing.assert_allclose(kernels.matrix_free(net, params, z).dense(), frozen, atol=1e-5)

    A = operators.masked_fourier(np.ones(8, bool), complex_image=False)
    objective = training.least_squares(net, A, np.asarray(A(np.ones(8, np.float32))), z)
    run = training.train(objective, params, optax.sgd(0.01), record_at=[3])
    kept, moved = (
        jax.tree.leaves(p, is_leaf=lambda x: isinstance(x, nnx.Variable))
        for p in (params, run.params)
    )
    for before, after in zip(kept, moved, strict=True):
        unmoved = bool((before[...] == after[...]).all())
        assert unmoved == isinstance(before, Fixed)


def test_an_autoencoder_comes_back_to_its_size() -> None:
    net = networks.autoencoder(4, 2)
    assert net.upsampling_factor == 1
    assert networks.input_shape(net, (8, 12)) == (8, 12)
    with pytest.raises(ValueError, match=r"makes an image of \(12, 12\), not \(10, 12\)"):
        networks.input_shape(net, (10, 12))


REFUSED = {
    "kernel_size must be at least 1; got 0": lambda: Conv(4, 0),
    "stride must be at least 1": lambda: Conv(4, 3, stride=0),
    "bias_variance is a variance": lambda: Conv(4, bias_variance=-1.0),
    "gain is a variance": lambda: Conv(4, gain=float("nan")),
    "factor must be at least 1": lambda: Upsample(factor=0),
    "rate of a Gaussian": lambda: Gaussian(-1.0),
    "multiples of 2; it meets": lambda: _init(AveragePool(2)),
    "reflecting takes more pixels": lambda: _init(Conv(2, 11, padding="reflect")),
    "branches of a residual block make images": lambda: _init(Residual((Conv(2, stride=2),))),
    "branches of a residual block end in 3 and 2 channels": lambda: _init(Residual((Conv(3),))),
}


def _init(layer):
    net = Architecture("refused", (Conv(2), layer, Conv(1)))
    return net.init(jnp.zeros((5, 2)), key=KEY)


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused(message) -> None:
    with pytest.raises(ValueError, match=message):
        REFUSED[message]()
