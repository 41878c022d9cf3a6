"""The finite Flax NNX networks that a chain of layer descriptions becomes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import layers as describe
from ntkdip.networks.drawing import initialiser


class Fixed(nnx.Variable[Array]):
    """A weight that is drawn and never trained."""


class Convolution(nnx.Module):
    """`flax.nnx.Conv`, in NTK or standard parameterisation.

    ``scale`` multiplies the output of ``conv``: sqrt(gain / fan_in) for weights
    N(0, 1) (NTK), 1 for weights N(0, gain / fan_in) (standard).  A ``bias`` (None without
    one) is scaled likewise.
    """

    def __init__(
        self, layer: describe.Conv, in_channels: int, spatial_dims: int, ntk: bool, rngs: nnx.Rngs
    ):
        std = math.sqrt(layer.gain / (in_channels * layer.kernel_size**spatial_dims))
        self.layer = layer
        self.scale = std if ntk else 1.0
        self.conv = nnx.Conv(
            in_channels,
            layer.channels,
            kernel_size=(layer.kernel_size,) * spatial_dims,
            strides=(layer.stride,) * spatial_dims,
            padding="SAME" if layer.padding == "zero" else "VALID",
            use_bias=False,
            kernel_init=initialiser(nnx.initializers.normal, 1.0 if ntk else std),
            rngs=rngs,
        )
        if not layer.trained:
            self.conv.kernel = Fixed(self.conv.kernel[...])  # type: ignore[assignment]
        deviation = math.sqrt(layer.bias_variance)
        self.bias_scale = deviation if ntk else 1.0
        kind = nnx.Param if layer.trained else Fixed
        draw = initialiser(nnx.initializers.normal, 1.0 if ntk else deviation)
        biased = layer.bias_variance > 0
        self.bias = kind(draw(rngs.params(), (layer.channels,), jnp.float32)) if biased else None

    def __call__(self, x: Float[Array, "*pixels cin"]) -> Float[Array, "*strided cout"]:
        if self.layer.padding != "zero":
            sides = (*x.shape[:-1],)
            pads = [
                describe.same_padding(n, self.layer.kernel_size, self.layer.stride) for n in sides
            ]
            mode = {"circular": "wrap", "reflect": "reflect"}[self.layer.padding]
            x = jnp.pad(x, [*pads, (0, 0)], mode=mode)
        y = self.scale * self.conv(x)
        if self.bias is None:
            return y
        return y + (self.bias_scale * self.bias[...]).reshape((1,) * (y.ndim - 1) + (-1,))


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


class LayerNormalisation(nnx.Module):
    """Each pixel to mean 0 and variance 1 over its channels."""

    def __init__(self, layer: describe.LayerNorm):
        self.epsilon = layer.epsilon

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*pixels c"]:
        x = x - x.mean(-1, keepdims=True)
        return x / jnp.sqrt((x**2).mean(-1, keepdims=True) + self.epsilon)


class Upsampling(nnx.Module):
    """Upsampling along every spatial axis.

    ``interpolate`` replaces `jax.image.resize` in the ``half_pixel`` convention, ``convolve``
    the convolution of a joined image (`ntkdip.networks.acceleration.accelerated` sets them).
    """

    def __init__(self, layer: describe.Upsample):
        self.convention, self.factor = layer.convention, layer.factor
        self.interpolate: Callable[[Array], Array] | None = None
        self.convolve: Callable[[Array, Array, nnx.Conv], Array] | None = None

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*upsampled c"]:
        f = self.factor
        if self.convention == "half_pixel":
            if self.interpolate is not None:
                return self.interpolate(x)
            larger = (*(f * n for n in x.shape[:-1]), x.shape[-1])
            return jax.image.resize(x, larger, "linear")
        for axis in range(x.ndim - 1):
            if self.convention == "nearest":
                x = jnp.repeat(x, f, axis)
            elif self.convention == "circular":
                after = jnp.roll(x, -1, axis)
                parts = jnp.stack([((f - r) * x + r * after) / f for r in range(f)], axis + 1)
                x = parts.reshape(*x.shape[:axis], f * x.shape[axis], *x.shape[axis + 1 :])
            else:
                x = _between_corners(x, f, axis)
        return x

    def joined(
        self, beside: Float[Array, "*upsampled a"], x: Float[Array, "*pixels b"], conv: nnx.Conv
    ) -> Float[Array, "*upsampled cout"]:
        """A convolution of an image, such as a skip, beside ``x`` upsampled."""
        if self.convolve is not None:
            return self.convolve(beside, x, conv)
        return conv(jnp.concatenate([beside, self(x)], axis=-1))


def _between_corners(x: Array, factor: int, axis: int) -> Array:
    """Linear interpolation at equidistant points from the first pixel to the last."""
    n = x.shape[axis]
    places = np.arange(factor * n) * ((n - 1) / max(factor * n - 1, 1))
    left = np.minimum(places.astype(int), max(n - 2, 0))
    shape = [1] * x.ndim
    shape[axis] = -1
    share = jnp.asarray((places - left).reshape(shape), x.dtype)
    right = np.minimum(left + 1, n - 1)
    return (1 - share) * jnp.take(x, left, axis) + share * jnp.take(x, right, axis)


class Pooling(nnx.Module):
    """Mean or largest value of blocks of pixels."""

    def __init__(self, layer: describe.AveragePool | describe.MaxPool):
        self.size = layer.size
        self.average = isinstance(layer, describe.AveragePool)

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*pooled c"]:
        for axis in range(x.ndim - 1):
            shape = (*x.shape[:axis], -1, self.size, *x.shape[axis + 1 :])
            blocks = x.reshape(shape)
            x = blocks.mean(axis + 1) if self.average else blocks.max(axis + 1)
        return x


class Pointwise(nnx.Module):
    """An activation, pixel by pixel and channel by channel."""

    def __init__(self, layer: describe.Activation):
        self.layer = layer

    def __call__(self, x: Float[Array, "*pixels c"]) -> Float[Array, "*pixels c"]:
        match self.layer:
            case describe.ReLU():
                return nnx.relu(x)
            case describe.LeakyReLU(slope):
                return jnp.where(x > 0, x, slope * x)
            case describe.Abs():
                return jnp.abs(x)
            case describe.Erf():
                return jax.scipy.special.erf(x)
            case describe.Sine(frequency, phase):
                return jnp.sin(frequency * x + phase)
            case describe.Gaussian(rate):
                return jnp.exp(-rate * x**2)


class Sum(nnx.Module):
    """Two chains side by side, added."""

    def __init__(
        self, layer: describe.Residual, channels: int, spatial_dims: int, ntk: bool, rngs: nnx.Rngs
    ):
        ends = [describe.output_channels(c, channels) for c in (layer.body, layer.shortcut)]
        if ends[0] != ends[1]:
            raise ValueError(
                f"the branches of a residual block end in {ends[0]} and {ends[1]} channels; a "
                "sum needs the same (use a 1x1 convolution as shortcut)"
            )
        self.body = nnx.List(build(layer.body, channels, spatial_dims, ntk, rngs))
        self.shortcut = nnx.List(build(layer.shortcut, channels, spatial_dims, ntk, rngs))

    def __call__(self, x: Float[Array, "*pixels cin"]) -> Float[Array, "*made cout"]:
        return run(self.body, x) + run(self.shortcut, x)


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
        self.layers = nnx.List(build(chain, channels, spatial_dims, ntk, rngs))

    def __call__(self, z: Float[Array, "*pixels channels"]) -> Float[Array, "*made out"]:
        return run(self.layers, z)


def run(layers: Iterable[Any], x: Array) -> Array:
    """Apply one layer after the other."""
    for layer in layers:
        x = layer(x)
    return x


def build(
    chain: tuple[describe.Layer, ...], channels: int, spatial_dims: int, ntk: bool, rngs: nnx.Rngs
) -> list[nnx.Module]:
    """The modules of a chain whose input has so many channels."""
    built: list[nnx.Module] = []
    for layer in chain:
        match layer:
            case describe.Conv():
                built.append(Convolution(layer, channels, spatial_dims, ntk, rngs))
            case describe.ChannelNorm():
                built.append(ChannelNormalisation(layer, channels))
            case describe.LayerNorm():
                built.append(LayerNormalisation(layer))
            case describe.Upsample():
                built.append(Upsampling(layer))
            case describe.AveragePool() | describe.MaxPool():
                built.append(Pooling(layer))
            case describe.Residual():
                built.append(Sum(layer, channels, spatial_dims, ntk, rngs))
            case _:
                built.append(Pointwise(layer))
        channels = describe.output_channels((layer,), channels)
    return built


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
