"""The bridge to neural-tangents, against kernels by hand in NumPy and finite networks."""

from __future__ import annotations

import importlib.util
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.special import erf

from ntkdip import networks
from ntkdip import neural_tangents_loader as loader
from ntkdip.networks import Architecture, stax_pixel_kernels, to_neural_tangents
from ntkdip.networks.layers import (
    Abs,
    AveragePool,
    ChannelNorm,
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

installed = all(map(importlib.util.find_spec, ("neural_tangents", "frozendict")))
needs_peer = pytest.mark.skipif(not installed, reason="neural-tangents is not installed")

# --- kernels by hand -------------------------------------------------------------------------


def shifts(layer: Conv, shape: tuple[int, ...]) -> list[np.ndarray]:
    """For every weight of a filter, the matrix from input pixels to those it meets."""

    def along(n: int) -> list[np.ndarray]:
        out = -(-n // layer.stride)
        before = max((out - 1) * layer.stride + layer.kernel_size - n, 0) // 2
        made = []
        for offset in range(layer.kernel_size):
            S = np.zeros((out, n))
            for i in range(out):
                met = i * layer.stride + offset - before
                if layer.padding == "circular":
                    S[i, met % n] = 1
                elif 0 <= met < n:
                    S[i, met] = 1
            made.append(S)
        return made

    if len(shape) == 1:
        return along(*shape)
    return [np.kron(S, T) for S in along(shape[0]) for T in along(shape[1])]


def resampling(layer, shape: tuple[int, ...]) -> np.ndarray:
    """The matrix of a resampling."""

    def along(n: int) -> np.ndarray:
        if isinstance(layer, AveragePool):
            return np.kron(np.eye(n // layer.size), np.ones(layer.size) / layer.size)
        if layer.convention == "nearest":
            return np.kron(np.eye(n), np.ones((layer.factor, 1)))
        places = (np.arange(layer.factor * n) + 0.5) / layer.factor - 0.5
        columns = [np.interp(places, np.arange(n), row) for row in np.eye(n)]
        return np.stack(columns, 1)

    matrices = [along(n) for n in shape]
    return matrices[0] if len(shape) == 1 else np.kron(*matrices)


def angles(K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scale = np.sqrt(np.outer(np.diag(K), np.diag(K)))
    return scale, np.arccos(np.clip(K / scale, -1, 1))


def quadrature(K: np.ndarray, function) -> np.ndarray:
    """``E f(u) f(v)`` for Gaussians of covariance K, by a Gauss-Hermite rule of 60 points."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    deviation = np.sqrt(np.diag(K))
    rho = np.clip(K / np.outer(deviation, deviation), -1, 1)[..., None, None]
    u = np.broadcast_to(x[:, None], (*K.shape, 60, 60)) * deviation[:, None, None, None]
    v = (rho * x[:, None] + np.sqrt(1 - rho**2) * x) * deviation[None, :, None, None]
    return np.einsum("a,b,ijab->ij", w, w, function(u) * function(v))


SMOOTH = {
    Erf: lambda _: (erf, lambda u: 2 / np.sqrt(np.pi) * np.exp(-(u**2))),
    Sine: lambda a: (
        lambda u: np.sin(a.frequency * u + a.phase),
        lambda u: a.frequency * np.cos(a.frequency * u + a.phase),
    ),
    Gaussian: lambda a: (
        lambda u: np.exp(-a.rate * u**2),
        lambda u: -2 * a.rate * u * np.exp(-a.rate * u**2),
    ),
}


def activate(layer, K: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``E f(u) f(v)`` and ``E f'(u) f'(v)``."""
    if type(layer) in SMOOTH:
        function, derivative = SMOOTH[type(layer)](layer)
        return quadrature(K, function), quadrature(K, derivative)
    slope = {ReLU: 0.0, Abs: -1.0}.get(type(layer), getattr(layer, "slope", None))
    scale, theta = angles(K)
    # slope x + (1 - slope) max(x, 0), whose mixed terms are K / 2 and 1 / 2.
    relu = scale * (np.sin(theta) + (np.pi - theta) * np.cos(theta)) / (2 * np.pi)
    step = (np.pi - theta) / (2 * np.pi)
    rest = 1 - slope
    mixed = slope**2 + slope * rest
    return mixed * K + rest**2 * relu, mixed + rest**2 * step


def by_hand(chain, K, T, shape, channels, standard) -> tuple:
    """NNGP and NTK of a chain; the shape and the channels of its image."""
    for layer in chain:
        if isinstance(layer, Conv):
            maps = shifts(layer, shape)

            def mean(M, maps=maps):
                return sum(S @ M @ S.T for S in maps) / len(maps)

            fan_in = channels * layer.kernel_size ** len(shape)
            weights, bias = mean(K), layer.bias_variance
            share = fan_in * weights if standard else layer.gain * weights
            T = layer.gain * mean(T) + share + (float(bias > 0) if standard else bias)
            K = layer.gain * weights + bias
            shape = tuple(-(-n // layer.stride) for n in shape)
            channels = layer.channels
        elif isinstance(layer, (Upsample, AveragePool)):
            R = resampling(layer, shape)
            K, T = R @ K @ R.T, R @ T @ R.T
            change = layer.factor if isinstance(layer, Upsample) else 1 / layer.size
            shape = tuple(round(n * change) for n in shape)
        elif isinstance(layer, LayerNorm):
            variance = np.diag(K) + layer.epsilon
            scale = np.sqrt(np.outer(variance, variance))
            K, T = K / scale, T / scale
        elif isinstance(layer, Residual):
            one = by_hand(layer.body, K, T, shape, channels, standard)
            two = by_hand(layer.shortcut, K, T, shape, channels, standard)
            K, T, shape, channels = one[0] + two[0], one[1] + two[1], *one[2:]
        else:
            K, derivative = activate(layer, K)
            T = T * derivative
    return K, T, shape, channels


CHAINS = {
    "one hidden layer": (Conv(4, 3), ReLU(), Conv(1, gain=2.0)),
    "circular": (Conv(4, 3, padding="circular"), ReLU(), Conv(2, 2, 2.0, "circular")),
    "stride": (Conv(4, 3, stride=2), ReLU(), Conv(1, 2, 2.0, "circular", stride=2)),
    "bias": (Conv(4, 3, bias_variance=0.3), ReLU(), Conv(1, 2, 2.0, bias_variance=0.1)),
    "leaky": (Conv(4, 3), LeakyReLU(0.2), Conv(5, 3), Abs(), Conv(1)),
    "erf": (Conv(4, 3), Erf(), Conv(1)),
    "sine": (Conv(4, 3), Sine(1.3, 0.4), Conv(1)),
    "gaussian": (Conv(4, 3), Gaussian(0.3), Conv(1)),
    "half-pixel": (Conv(4), Upsample(), ReLU(), Conv(4, 3), Upsample(), ReLU(), Conv(1, 3)),
    "nearest": (Conv(4, 3), Upsample("nearest", 3), ReLU(), Conv(1, 3)),
    "pooling": (Conv(4, 3), ReLU(), AveragePool(2), Conv(1, 3, padding="circular")),
    "layer normalisation": (Conv(4, 3), LayerNorm(0.1), ReLU(), Conv(1, 3)),
    "residual": (
        Residual((Conv(4, 3),), (Conv(4),)),
        Residual((ReLU(), Conv(4, 3, 2.0), ReLU(), Conv(4, 3, 2.0))),
        Residual((ReLU(), Conv(4, 2, stride=2)), (AveragePool(2), LayerNorm())),
        Residual((Upsample(), Conv(3)), (Conv(3), Upsample("nearest"))),
        ReLU(),
        Conv(1, 3),
    ),
}


CASES = [(name, (4, 6), "ntk") for name in CHAINS] + [(name, (8,), "standard") for name in CHAINS]
CASES += [(name, (4, 6), "standard") for name in ("bias", "half-pixel")]


@needs_peer
@pytest.mark.parametrize(("name", "shape", "parameterisation"), CASES)
def test_kernels_are_those_computed_by_hand(name: str, shape: tuple, parameterisation: str) -> None:
    net = Architecture(name, CHAINS[name], parameterisation)
    z = np.random.default_rng(0).standard_normal((*shape, 3))
    K = z.reshape(-1, 3) @ z.reshape(-1, 3).T / 3
    standard = parameterisation == "standard"
    K, T, image, channels = by_hand(net.layers, K, np.zeros_like(K), shape, 3, standard)
    assert (image, channels) == (net.image_space(z).shape, 1 + net.complex_image)
    found = stax_pixel_kernels(to_neural_tangents(net, len(shape))[2], z)
    # On the diagonal neural-tangents takes the root of what is left of 1 - 1: 4e-8, not 1e-16.
    np.testing.assert_allclose(found.nngp, K, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.ntk, T, rtol=1e-6, atol=1e-9)


# --- finite networks -------------------------------------------------------------------------


@needs_peer
@pytest.mark.parametrize(
    ("name", "parameterisation"),
    [(name, "ntk") for name in CHAINS if name != "residual"] + [("bias", "standard")],
)
def test_finite_networks_are_ours_at_the_same_weights(name: str, parameterisation: str) -> None:
    net = Architecture(name, CHAINS[name], parameterisation)
    z = jax.random.normal(jax.random.key(1), (4, 6, 3))
    init_fn, apply_fn, _ = to_neural_tangents(net)
    shape, params = init_fn(jax.random.key(0), (1, *z.shape))
    ours = net.module(z, rngs=nnx.Rngs(0))
    for layer, weights in zip(ours.layers, params, strict=True):
        if isinstance(layer, networks.Convolution):
            layer.conv.kernel[...] = weights[0]
            if layer.bias is not None:
                layer.bias[...] = weights[1].reshape(-1)
    image = jax.jit(apply_fn)(params, z[None])
    assert image.shape == tuple(map(int, shape)) == (1, *net.image_space(z).shape, image.shape[-1])
    np.testing.assert_allclose(image[0], nnx.jit(ours)(z), rtol=1e-5, atol=1e-5)


@needs_peer
@pytest.mark.parametrize("parameterisation", ["ntk", "standard"])
def test_kernels_are_means_over_finite_networks(parameterisation: str) -> None:
    """With one hidden layer the mean over draws is the limit at any width."""
    chain = (Conv(3, 3, 1.5, "circular", bias_variance=0.2), ReLU(), Conv(2, 2, 2.0))
    net = Architecture("one hidden layer", chain, parameterisation)
    z = jax.random.normal(jax.random.key(1), (3, 2, 2))
    init_fn, apply_fn, kernel_fn = to_neural_tangents(net)

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        params = init_fn(key, (1, *z.shape))[1]
        image, pull = jax.vjp(lambda p: apply_fn(p, z[None]).reshape(-1), params)
        (rows,) = jax.vmap(pull)(jnp.eye(image.size))
        J = jnp.concatenate([row.reshape(image.size, -1) for row in jax.tree.leaves(rows)], 1)
        return image[:, None] * image[None], J @ J.T

    samples = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 4000))
    for drawn, limit in zip(samples, stax_pixel_kernels(kernel_fn, z), strict=True):
        # Channels are last and fastest: the same kernel for both, and none between them.
        expected = np.kron(limit, np.eye(2))
        sample = np.asarray(drawn, np.float64)
        error = sample.std(0) / np.sqrt(len(sample))
        assert (np.abs(sample.mean(0) - expected) <= 5 * error + 1e-6 * limit.max()).all()


@needs_peer
def test_the_triple_is_a_layer_of_stax() -> None:
    net = networks.wide_cnn(4, 2)
    stax = loader.neural_tangents().stax
    z = np.random.default_rng(0).standard_normal((4, 6, 2))
    triple = to_neural_tangents(net)
    pooled = stax.serial(triple, stax.GlobalAvgPool())[2]
    pixels = stax_pixel_kernels(triple[2], z)
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        batch = jnp.asarray(np.stack([z, -z]), jnp.float32)
        found = jax.jit(lambda batch: pooled(batch, None, "ntk", diagonal_spatial=False))(batch)
    np.testing.assert_allclose(found[0, 0], pixels.ntk.mean(), rtol=1e-4)
    single = stax_pixel_kernels(triple[2], z, dtype=np.float32)
    assert single.nngp.dtype == single.ntk.dtype == np.float32
    np.testing.assert_allclose(single.nngp, pixels.nngp, rtol=1e-4, atol=1e-4)


# --- refusals --------------------------------------------------------------------------------

REFUSED = {
    "reflecting": ((Conv(4, 3, padding="reflect"),), "padding='reflect'"),
    "not trained": ((Conv(4, trained=False),), "trained=False"),
    "circular upsampling": ((Conv(4), Upsample("circular")), "convention='circular'"),
    "corners": ((Conv(4), Upsample("align_corners")), "convention='align_corners'"),
    "maximum": ((Conv(4), MaxPool()), "MaxPool"),
    "channel normalisation": ((Conv(4), ChannelNorm()), "ChannelNorm"),
    "inside a residual": ((Conv(4), Residual((MaxPool(), Conv(4)))), "MaxPool"),
    "activation of the input": ((ReLU(),), "ReLU"),
    "two activations": ((Conv(4), ReLU(), Abs()), "Abs"),
    "normalised activation": ((Conv(4), ReLU(), LayerNorm()), "LayerNorm"),
    "sum with an activation": ((Conv(4), ReLU(), Residual((Conv(4),))), "Residual"),
    "sum with itself": ((Conv(4), Residual(())), "Residual"),
    "sum with a sum": ((Conv(4), Residual((Residual((ReLU(), Conv(4))),))), "Residual"),
}


@pytest.mark.parametrize(("chain", "named"), REFUSED.values(), ids=REFUSED)
def test_what_stax_cannot_follow_is_refused_by_name(chain: tuple, named: str) -> None:
    with pytest.raises(ValueError, match=re.escape(named)):
        to_neural_tangents(Architecture("refused", (*chain, Conv(1))))


def test_dimensions_are_one_or_two() -> None:
    with pytest.raises(ValueError, match="spatial_dims is 1 or 2; got 3"):
        to_neural_tangents(networks.wide_cnn(4, 2), 3)


@needs_peer
def test_images_that_do_not_fit_are_refused() -> None:
    net = Architecture("pooling", CHAINS["pooling"])
    init_fn, apply_fn, kernel_fn = to_neural_tangents(net)
    _, params = init_fn(jax.random.key(0), (1, 4, 6, 3))
    odd = jnp.ones((1, 5, 6, 3))
    for call in (
        lambda: init_fn(jax.random.key(0), odd.shape),
        lambda: apply_fn(params, odd),
        lambda: kernel_fn(odd),
        lambda: stax_pixel_kernels(kernel_fn, odd[0]),
    ):
        with pytest.raises(ValueError, match=r"multiples of 2; it meets \(5, 6\)"):
            call()
    with pytest.raises(ValueError, match=r"\(batch, rows, columns, channels\); got \(4, 6, 3\)"):
        kernel_fn(jnp.ones((4, 6, 3)))
