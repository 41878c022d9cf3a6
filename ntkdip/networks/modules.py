"""The finite Flax NNX networks that a chain of layer descriptions becomes."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import layers as describe


class Convolution(nnx.Module):
    """`flax.nnx.Conv` without bias, in NTK or standard parameterisation.

    ``scale`` multiplies the output of ``conv``: sqrt(gain / fan_in) for weights
    N(0, 1) (NTK), 1 for weights N(0, gain / fan_in) (standard).
    """

    def __init__(
        self, layer: describe.Conv, in_channels: int, spatial_dims: int, ntk: bool, rngs: nnx.Rngs
    ):
        std = math.sqrt(layer.gain / (in_channels * layer.kernel_size**spatial_dims))
        self.scale = std if ntk else 1.0
        self.conv = nnx.Conv(
            in_channels,
            layer.channels,
            kernel_size=(layer.kernel_size,) * spatial_dims,
            padding={"zero": "SAME", "circular": "CIRCULAR"}[layer.padding],
            use_bias=False,
            kernel_init=nnx.initializers.normal(1.0 if ntk else std),
            rngs=rngs,
        )

    def __call__(self, x: Float[Array, "*pixels cin"]) -> Float[Array, "*pixels cout"]:
        return self.scale * self.conv(x)


class ChannelNormalisation(nnx.Module):
    """Each channel to mean 0 and variance 1 over its pixels, then a trained scale and shift."""

    def __init__(self, layer: describe.ChannelNorm, channels: int):
        self.epsilon = layer.epsilon
        self.scale = nnx.Param(jnp.ones((channels,)))
        self.shift = nnx.Param(jnp.zeros((channels,)))

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*pixels c"]:
        flat = x.reshape(-1, x.shape[-1])
        flat = flat - flat.mean(0, keepdims=True)
        flat = flat / jnp.sqrt((flat**2).mean(0, keepdims=True) + self.epsilon)
        flat = flat * self.scale[...][None] + self.shift[...][None]
        return flat.reshape(x.shape)


class Upsampling(nnx.Module):
    """(Bi)linear upsampling by 2 along every spatial axis."""

    def __init__(self, layer: describe.Upsample):
        self.convention = layer.convention

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*doubled c"]:
        if self.convention == "half_pixel":
            doubled = (*(2 * n for n in x.shape[:-1]), x.shape[-1])
            return jax.image.resize(x, doubled, "linear")
        for axis in range(x.ndim - 1):
            between = (x + jnp.roll(x, -1, axis)) / 2
            pairs = jnp.stack([x, between], axis + 1)
            x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
        return x


class Rectifier(nnx.Module):
    """``max(x, 0)``."""

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*pixels c"]:
        return nnx.relu(x)


class Network(nnx.Module):
    """A chain of layers; maps ``(*pixels, channels)`` to ``(*pixels', 1 or 2)``."""

    def __init__(
        self,
        chain: tuple[describe.Layer, ...],
        *,
        ntk: bool,
        spatial_dims: int,
        channels: int,
        rngs: nnx.Rngs,
    ):
        built: list[nnx.Module] = []
        for layer in chain:
            if isinstance(layer, describe.Conv):
                built.append(Convolution(layer, channels, spatial_dims, ntk, rngs))
                channels = layer.channels
            elif isinstance(layer, describe.ChannelNorm):
                built.append(ChannelNormalisation(layer, channels))
            elif isinstance(layer, describe.Upsample):
                built.append(Upsampling(layer))
            else:
                built.append(Rectifier())
        self.layers = nnx.List(built)

    def __call__(self, z: Float[Array, "*pixels channels"]) -> Float[Array, "*doubled out"]:
        x = z
        for layer in self.layers:
            x = layer(x)
        return x


def to_image(output: Float[Array, "*pixels c"]) -> Inexact[Array, "*pixels"]:
    """One channel becomes a real image, two become real and imaginary part."""
    if output.shape[-1] == 1:
        return output[..., 0]
    return jax.lax.complex(output[..., 0], output[..., 1])


def as_input(image: Inexact[Any, "*pixels"]) -> Float[Array, "*pixels c"]:
    """Turn an image into a network input: channels last, 1 if real, 2 if complex, float32."""
    image = np.asarray(image)
    parts = [image.real, image.imag] if np.iscomplexobj(image) else [image]
    return jnp.asarray(np.stack(parts, axis=-1), dtype=jnp.float32)
