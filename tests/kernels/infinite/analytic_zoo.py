"""Architectures of every kind that has a kernel in closed form, with inputs that are hard."""

from __future__ import annotations

import numpy as np

from ntkdip import networks
from ntkdip.networks import Architecture
from ntkdip.networks.layers import (
    Abs,
    AveragePool,
    Conv,
    Erf,
    Gaussian,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Residual,
    Sine,
    Upsample,
)

WIDTH = 8


def _wcnn(depth=3, size=3, padding="zero", parameterisation="ntk"):
    return networks.wide_cnn(
        WIDTH, depth, size, complex_image=False, padding=padding, parameterisation=parameterisation
    )


def _decoder(upsampling, blocks=2):
    return networks.deep_decoder(
        WIDTH, blocks, complex_image=False, normalisation=False, upsampling=upsampling
    )


def _chain(*chain, parameterisation="ntk"):
    return Architecture("chain", chain, parameterisation)


def _pointwise(layer, **conv):
    return _chain(Conv(WIDTH, 3, 1.3, bias_variance=0.2), layer, Conv(1, 3, 0.9, **conv))


# Both this package and neural-tangents know these.
SHARED = {
    "wcnn-zero": (_wcnn(), (6, 8), 2),
    "wcnn-circular": (_wcnn(padding="circular"), (6, 8), 1),
    "wcnn-deep": (_wcnn(5), (7, 5), 3),
    "wcnn-even-kernel": (_wcnn(3, 4), (6, 9), 2),
    "wcnn-even-kernel-circular": (_wcnn(3, 2, "circular"), (5, 8), 2),
    "wcnn-large-kernel": (_wcnn(3, 5, "circular"), (8, 6), 2),
    "wcnn-1d": (_wcnn(), (16,), 1),
    "wcnn-1d-circular": (_wcnn(4, 5, "circular"), (13,), 2),
    "wcnn-1d-even": (_wcnn(3, 4), (12,), 3),
    "wcnn-standard": (_wcnn(parameterisation="standard"), (6, 8), 2),
    "pointwise-convolutions": (_wcnn(3, 1), (6, 8), 2),
    "parallel-pixels": (_wcnn(3, 1), (6, 8), 1),
    "bias": (_chain(Conv(WIDTH, 3, 1.0, bias_variance=0.3), ReLU(), Conv(1, 3, 2.0)), (6, 8), 2),
    "bias-everywhere": (_pointwise(ReLU(), bias_variance=0.5), (6, 8), 1),
    "leaky-relu": (_pointwise(LeakyReLU(0.2)), (6, 8), 2),
    "abs": (_pointwise(Abs()), (6, 8), 2),
    "erf": (_pointwise(Erf()), (6, 8), 2),
    "sine": (_pointwise(Sine(1.3)), (6, 8), 2),
    "sine-phase": (_pointwise(Sine(0.7, 0.4)), (6, 8), 3),
    "gaussian": (_pointwise(Gaussian(0.6)), (6, 8), 2),
    "stride": (_chain(Conv(WIDTH, 3, stride=2), ReLU(), Conv(1, 3, 2.0)), (8, 6), 2),
    "stride-circular": (
        _chain(Conv(WIDTH, 3, stride=2, padding="circular"), ReLU(), Conv(1, 3, 2.0)), (8, 6), 2,
    ),
    "stride-1d-odd": (_chain(Conv(WIDTH, 3, stride=2), ReLU(), Conv(1, 3, 2.0)), (13,), 2),
    "average-pool": (_chain(Conv(WIDTH, 3), ReLU(), AveragePool(2), Conv(1, 3, 2.0)), (8, 6), 2),
    "nearest": (_decoder("nearest"), (3, 2), 4),
    "nearest-3": (_chain(Conv(WIDTH), Upsample("nearest", 3), ReLU(), Conv(1, 3)), (2, 3), 2),
    "residual": (
        _chain(Conv(WIDTH, 3), Residual((ReLU(), Conv(WIDTH, 3, 2.0))), ReLU(), Conv(1, 1, 2.0)),
        (6, 8), 2,
    ),
    "residual-projected": (
        _chain(
            Conv(WIDTH, 3), ReLU(),
            Residual((Conv(WIDTH, 3, 2.0), ReLU(), Conv(4, 3)), (Conv(4),)), Conv(1, 3),
        ),
        (6, 8), 2,
    ),
    "layer-norm": (_chain(Conv(WIDTH, 3), LayerNorm(1e-12), ReLU(), Conv(1, 3, 2.0)), (6, 8), 2),
    "linear": (_chain(Conv(WIDTH, 3), Conv(WIDTH, 3), Conv(1, 3)), (6, 8), 2),
    "single-hidden-layer": (
        networks.single_hidden_layer_cnn(WIDTH, 5, complex_image=False), (9, 8), 1,
    ),
}  # fmt: skip

# Only this package knows these.
OWN = {
    "reflect": (_wcnn(3, 3, "reflect"), (6, 8), 2),
    "reflect-even": (_wcnn(3, 4, "reflect"), (6, 8), 2),
    "decoder-circular": (_decoder("circular"), (3, 2), 4),
    "decoder-half-pixel": (_decoder("half_pixel"), (3, 2), 4),
    "decoder-align-corners": (_decoder("align_corners"), (3, 2), 4),
    "decoder-1d": (_decoder("circular", 3), (4,), 4),
    "autoencoder": (networks.autoencoder(WIDTH, 2, complex_image=False), (8, 12), 2),
    "generator": (networks.two_layer_generator(WIDTH, 5), (6, 8), 5),
    "residual-in-the-middle": (
        _chain(
            Conv(WIDTH, 3, 1.3, "circular", 2, 0.2),
            Residual((Conv(WIDTH, 2, 0.7), LayerNorm(), Sine(), Conv(WIDTH, 3, 2.0))),
            Upsample("half_pixel"), Erf(), Conv(5, 3, padding="circular"), AveragePool(),
            Residual((Conv(5, 2, 0.7), LayerNorm(), Gaussian(), Conv(5, 3, 2.0))), Conv(1, 3),
        ),
        (6, 8), 2,
    ),
    "standard-with-biases": (
        _chain(
            Conv(WIDTH, 3, bias_variance=0.4), ReLU(), Conv(1, 3, 2.0, bias_variance=0.1),
            parameterisation="standard",
        ),
        (6, 8), 2,
    ),
}  # fmt: skip

EVERY = SHARED | OWN


def hard_input(shape, channels, seed=0):
    """Repeated patches, exact copies of opposite sign, pixels that are zero; float64."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=(*shape, channels)), 2)
    flat = z.reshape(-1, channels)
    flat[: len(flat) // 3] = 0
    flat[-2] = flat[-1]
    flat[-3] = -flat[-1]
    return z
