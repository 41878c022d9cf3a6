"""Networks of every kind that kernels must take, and an independent route to their kernel."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from ntkdip import networks
from ntkdip.kernels.functional import functional

KEY = jax.random.key(0)


def _decoder(shape, **options):
    net = networks.deep_decoder(12, 2, **options)
    z = networks.decoder_input(net, shape, 12, key=KEY)
    return net, net.init(z, key=jax.random.key(1)), z


def _cnn(shape, channels, **options):
    net, z = networks.wide_cnn(**options), jax.random.normal(KEY, (*shape, channels))
    return net, net.init(z, key=jax.random.key(1)), z


class Strided(nnx.Module):
    """Strides, dilations, groups, biases, a transposed convolution, skips and pooling."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(2, 6, (3, 3), strides=2, padding="CIRCULAR", rngs=rngs)
        self.depthwise = nnx.Conv(6, 12, (3, 2), feature_group_count=6, rngs=rngs)
        self.dilated = nnx.Conv(
            12, 4, (3, 3), kernel_dilation=2, padding=((2, 2), (1, 3)), rngs=rngs
        )
        self.up = nnx.ConvTranspose(16, 5, (3, 3), strides=(2, 2), rngs=rngs)
        self.head = nnx.Linear(7, 2, rngs=rngs)

    def __call__(self, z):
        x = nnx.gelu(self.first(z))
        y = nnx.leaky_relu(self.depthwise(x))
        y = jnp.concatenate([y, jnp.tanh(self.dilated(y))], -1)
        pooled = jax.lax.reduce_window(z, 0.0, jax.lax.add, (3, 3, 1), (1, 1, 1), "SAME") / 9.0
        return self.head(jnp.concatenate([nnx.silu(self.up(y)), pooled], -1))


class Normalised(nnx.Module):
    """Batch, layer and group normalisation, running statistics, a batch axis."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(1, 6, (3,), use_bias=False, rngs=rngs)
        self.batch = nnx.BatchNorm(6, use_running_average=False, rngs=rngs)
        self.dense = nnx.Linear(6, 8, rngs=rngs)
        self.layer = nnx.LayerNorm(8, rngs=rngs)
        self.group = nnx.GroupNorm(8, num_groups=2, rngs=rngs)
        self.head = nnx.Conv(8, 1, (3,), padding="REFLECT", rngs=rngs)

    def __call__(self, z):
        x = nnx.relu(self.batch(self.conv(z[None])))
        return self.head(nnx.relu(self.group(self.layer(self.dense(x)))))


class DenseHead(nnx.Module):
    """A convolution, then a dense layer over all pixels."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.conv = nnx.Conv(1, 4, (3, 3), rngs=rngs)
        self.head = nnx.Linear(4 * 30, 30, rngs=rngs)

    def __call__(self, z):
        return self.head(nnx.relu(self.conv(z)).reshape(-1)).reshape(5, 6, 1)


class Attention(nnx.Module):
    """Products of two things that both depend on parameters, in one head."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.embed = nnx.Linear(2, 6, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 6, decode=False, rngs=rngs)
        self.head = nnx.Linear(6, 1, rngs=rngs)

    def __call__(self, z):
        return self.head(self.attention(self.embed(z)))


class Tied(nnx.Module):
    """One convolution used twice: no structure, plain rows."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = nnx.Conv(1, 3, (3,), rngs=rngs)
        self.twice = nnx.Conv(3, 3, (3,), rngs=rngs)
        self.head = nnx.Conv(3, 1, (1,), rngs=rngs)

    def __call__(self, z):
        return self.head(self.twice(nnx.relu(self.twice(nnx.relu(self.first(z))))))


def rescaled(params, z):
    """A plain function: weights rearranged and scaled before they enter, RGB output."""
    x = jnp.tanh(z @ (0.5 * params["a"]).T + params["gain"] * 3.0)
    x = jnp.einsum("hwc,cd->hwd", jax.checkpoint(jnp.sin)(x), params["b"] / 2)
    return x * params["map"][..., None] + params["offset"]


def _rescaled():
    shapes = {"a": (5, 2), "gain": (), "b": (5, 3), "map": (4, 6), "offset": (1, 6, 3)}
    keys = jax.random.split(KEY, len(shapes))
    params = {n: jax.random.normal(k, s) for (n, s), k in zip(shapes.items(), keys, strict=True)}
    return rescaled, params, jax.random.normal(KEY, (4, 6, 2))


def _module(kind, shape, seed=3):
    return kind(), None, jax.random.normal(jax.random.key(seed), shape)


class Zoo(Mapping):
    """Networks by name, each built (with its input) when it is first asked for."""

    def __init__(self, makers):
        self._makers = makers
        self._built = functools.cache(lambda name: makers[name]())

    def __getitem__(self, name):
        return self._built(name)

    def __iter__(self):
        return iter(self._makers)

    def __len__(self):
        return len(self._makers)


ZOO = Zoo(
    {
        "wcnn-1d-real": lambda: _cnn(
            (40,), 1, width=16, depth=4, kernel_size=9, complex_image=False
        ),
        "wcnn-1d-wide": lambda: _cnn((24,), 2, width=40, depth=3, kernel_size=5),
        "wcnn-2d-zero-even-kernel": lambda: _cnn(
            (9, 8), 2, width=8, depth=3, kernel_size=4, padding="zero"
        ),
        "wcnn-2d-large-windows": lambda: _cnn((6, 5), 1, width=6, depth=4, kernel_size=3),
        "wcnn-2d-standard": lambda: _cnn((8, 9), 2, width=8, depth=3, parameterisation="standard"),
        "decoder-1d": lambda: _decoder((32,), normalisation=False, complex_image=False),
        "decoder-2d-circular": lambda: _decoder(
            (12, 16), normalisation=False, upsampling="circular"
        ),
        "decoder-2d-half-pixel": lambda: _decoder((16, 8), normalisation=False),
        "decoder-2d-normalised": lambda: _decoder((12, 8), normalisation=True),
        "module-strided": lambda: _module(Strided, (12, 10, 2)),
        "module-normalised": lambda: _module(Normalised, (18, 1)),
        "module-dense-head": lambda: _module(DenseHead, (5, 6, 1)),
        "module-attention": lambda: _module(Attention, (9, 2)),
        "function-rescaled": _rescaled,
    }
)


def jacobians(net, params, z) -> list[np.ndarray]:
    """Independent route: the Jacobian of every leaf, then of the input, by `jax.jacrev`."""
    problem = functional(net, params, z)
    leaves = problem.leaves
    floats = [jnp.issubdtype(x.dtype, jnp.floating) for x in leaves]

    def forward(inexact):
        values = iter(inexact)
        pairs = zip(floats, leaves, strict=True)
        return problem.embedded([next(values) if f else x for f, x in pairs])

    inexact = [x for f, x in zip(floats, leaves, strict=True) if f]
    with jax.default_matmul_precision("highest"):
        found = iter(jax.jit(jax.jacrev(forward))(inexact))
    n = problem.space.real_size
    return [
        np.asarray(next(found), np.float64).reshape(n, -1) if f else np.zeros((n, 0))
        for f in floats
    ]


def ntk(net, params, z, rates=None, input_rate=0.0) -> np.ndarray:
    """The kernel from full Jacobians."""
    with_rates = functional(net, params, z, rates, input_rate).all_rates
    return sum(r * J @ J.T for r, J in zip(with_rates, jacobians(net, params, z), strict=True))


def distance(W: np.ndarray, oracle: np.ndarray) -> float:
    """Relative Frobenius distance."""
    return float(np.linalg.norm(W - oracle) / np.linalg.norm(oracle))
