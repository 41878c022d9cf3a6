"""A U-Net: the network that deep image prior is mostly run with."""

from __future__ import annotations

import itertools
from typing import Literal, get_args

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from ntkdip.networks.layers import AveragePool, ChannelNorm, Padding, ReLU, Upsample
from ntkdip.networks.modules import ChannelNormalisation, Pointwise, Pooling, Upsampling

Downsampling = Literal["average", "strided"]


class ConvolutionBlock(nnx.Module):
    """3x3 convolution, channel normalisation (or a bias instead) and ReLU.

    A normalisation removes each channel's mean, so a bias before it would change nothing.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        *,
        spatial_dims: int,
        normalisation: bool,
        padding: Padding,
        rngs: nnx.Rngs,
    ):
        self.conv = nnx.Conv(
            in_channels,
            channels,
            kernel_size=(3,) * spatial_dims,
            padding={"zero": "SAME", "circular": "CIRCULAR", "reflect": "REFLECT"}[padding],
            use_bias=not normalisation,
            kernel_init=nnx.initializers.he_normal(),
            rngs=rngs,
        )
        self.norm = ChannelNormalisation(ChannelNorm(), channels) if normalisation else None
        self.relu = Pointwise(ReLU())

    def __call__(self, x: Float[Array, "*pixels cin"]) -> Float[Array, "*pixels cout"]:
        y = self.conv(x)
        return self.relu(y if self.norm is None else self.norm(y))


class UNet(nnx.Module):
    """U-Net for one image: maps ``(*pixels, in_channels)`` to ``(*pixels, 1 or 2)``.

    Two 3x3 convolution blocks a level on the way down, (bi)linear upsampling (half-pixel
    convention), concatenation with the level's skip and two blocks on the way up, and a
    1x1 convolution with bias as head.  Deterministic: no dropout, no running statistics.
    Standard parameterisation (He).

    Parameters
    ----------
    channels
        Channels of the levels, finest first; ``len(channels) - 1`` halvings.
    in_channels
        Channels of the input.
    complex_image
        Two output channels (real and imaginary part) instead of one.
    spatial_dims
        1 or 2.
    normalisation
        Each channel to mean 0 and variance 1 over its pixels, then a trained scale and
        shift; without it the convolutions have biases.
    downsampling
        ``average``: mean over 2 pixels an axis.  ``strided``: a 2x2 convolution with
        bias and stride 2.
    padding
        ``zero``, ``circular`` or ``reflect``, of the 3x3 convolutions.
    rngs
        Source of the parameters (stream ``params``); the same key draws the same.

    Raises
    ------
    ValueError
        If a size is below 1, ``spatial_dims`` is not 1 or 2, ``downsampling`` is unknown,
        or (when called) the input does not fit: wrong axes or channels, or a side that is
        no multiple of ``2**(len(channels) - 1)``.

    Source: Ronneberger, Fischer and Brox, "U-Net" (MICCAI 2015), with padding, with
    upsampling instead of transposed convolution, and normalised as deep image prior does.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (16, 32, 64),
        *,
        in_channels: int,
        complex_image: bool = True,
        spatial_dims: int = 2,
        normalisation: bool = True,
        downsampling: Downsampling = "average",
        padding: Padding = "zero",
        rngs: nnx.Rngs,
    ):
        if not channels or min(in_channels, *channels) < 1:
            raise ValueError(
                "a U-Net has at least one level and one channel everywhere; got channels "
                f"{tuple(channels)} and {in_channels} input channels"
            )
        if spatial_dims not in (1, 2):
            raise ValueError(f"spatial_dims must be 1 or 2; got {spatial_dims}")
        if downsampling not in get_args(Downsampling):
            raise ValueError(
                f"downsampling is one of {', '.join(get_args(Downsampling))}; got {downsampling!r}"
            )
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.factor = 2 ** (len(channels) - 1)

        def blocks(before: int, after: int) -> nnx.List:
            return nnx.List(
                ConvolutionBlock(
                    width, after, spatial_dims=spatial_dims, normalisation=normalisation,
                    padding=padding, rngs=rngs,
                )
                for width in (before, after)
            )  # fmt: skip

        def halve(width: int) -> nnx.Module:
            if downsampling == "average":
                return Pooling(AveragePool(2))
            size = (2,) * spatial_dims
            return nnx.Conv(width, width, kernel_size=size, strides=size, rngs=rngs)

        pairs = list(itertools.pairwise(channels))
        self.down = nnx.List([blocks(in_channels, channels[0]), *(blocks(a, b) for a, b in pairs)])
        self.halve = nnx.List(halve(a) for a, _ in pairs)
        self.double = Upsampling(Upsample("half_pixel"))
        self.up = nnx.List(blocks(a + b, a) for a, b in reversed(pairs))
        self.head = nnx.Conv(
            channels[0], 2 if complex_image else 1, kernel_size=(1,) * spatial_dims, rngs=rngs
        )

    def __call__(self, z: Float[Array, "*pixels channels"]) -> Float[Array, "*pixels out"]:
        self._check(z)
        x, skips = z, []
        for level, blocks in enumerate(self.down):
            if level:
                skips.append(x)
                x = self.halve[level - 1](x)
            for block in blocks:
                x = block(x)
        for blocks in self.up:
            x = jnp.concatenate([skips.pop(), self.double(x)], axis=-1)
            for block in blocks:
                x = block(x)
        return self.head(x)

    def _check(self, z: Array) -> None:
        if z.ndim != self.spatial_dims + 1 or z.shape[-1] != self.in_channels:
            pixels = "(rows, columns, " if self.spatial_dims == 2 else "(pixels, "
            raise ValueError(
                f"this U-Net takes an input of shape {pixels}{self.in_channels}); got {z.shape}. "
                "For an image use ntkdip.networks.as_input(image)"
            )
        if any(n % self.factor for n in z.shape[:-1]):
            raise ValueError(
                f"a U-Net of {len(self.down)} levels takes sides that are multiples of "
                f"{self.factor}; got {z.shape[:-1]}. Crop or pad the input, or use fewer levels"
            )
