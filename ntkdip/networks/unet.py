"""A U-Net: the network that deep image prior is mostly run with."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from ntkdip.networks.blocks import ConvolutionBlock, Downsampling, Size, Style
from ntkdip.networks.description import FlaxNetwork, constructible
from ntkdip.networks.layers import (
    AveragePool,
    MaxPool,
    Padding,
    Upsample,
    Upsampling,
    require_one_of,
)
from ntkdip.networks.modules import Pooling
from ntkdip.networks.modules import Upsampling as UpsamplingModule


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
        shift (batch normalisation of one image); without it the convolutions have biases.
    downsampling
        ``average`` or ``max``: over 2 pixels an axis.  ``strided``: a 2x2 convolution with
        bias and stride 2.
    upsampling
        ``half_pixel``, ``nearest``, ``align_corners`` or ``circular``: see `layers.Upsample`.
    padding
        ``zero``, ``circular`` or ``reflect``, of the 3x3 convolutions.
    slope
        Of the activation where negative; 0 is ReLU.
    narrow_early
        On the way up the second block of a level already ends in the channels of the next
        finer level (there is less to upsample); without, in those of its own.
    initial_deviation
        Standard deviation of the normal distribution of all convolution weights; None: He's
        (3x3) and LeCun's (head, strided) by the fan-in.
    rngs
        Source of the parameters (stream ``params``); the same key draws the same.

    Raises
    ------
    ValueError
        If a size is below 1, ``spatial_dims`` is not 1 or 2, a choice is unknown,
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
        upsampling: Upsampling = "half_pixel",
        padding: Padding = "zero",
        slope: float = 0.0,
        narrow_early: bool = False,
        initial_deviation: float | None = None,
        rngs: nnx.Rngs,
    ):
        _require_levels(channels, in_channels)
        style = Style(spatial_dims, normalisation, padding, slope, deviation=initial_deviation)
        require_one_of(Downsampling, downsampling=downsampling)
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.factor = 2 ** (len(channels) - 1)
        draw = dataclasses.replace(style, gain=1.0).initialiser()

        def blocks(*widths: int) -> nnx.List:
            pairs = itertools.pairwise(widths)
            return nnx.List(ConvolutionBlock(a, b, style=style, rngs=rngs) for a, b in pairs)

        def halve(width: int) -> nnx.Module:
            if downsampling != "strided":
                return Pooling(AveragePool(2) if downsampling == "average" else MaxPool(2))
            size = (2,) * spatial_dims
            return nnx.Conv(
                width, width, kernel_size=size, strides=size, kernel_init=draw, rngs=rngs
            )

        pairs = list(itertools.pairwise(channels))
        self.down = nnx.List(blocks(a, b, b) for a, b in [(in_channels, channels[0]), *pairs])
        self.halve = nnx.List(halve(a) for a, _ in pairs)
        self.double = UpsamplingModule(Upsample(upsampling))
        self.up = nnx.List(blocks(*widths) for widths in _ways_up(channels, narrow_early))
        self.head = nnx.Conv(
            channels[0],
            2 if complex_image else 1,
            kernel_size=(1,) * spatial_dims,
            kernel_init=draw,
            rngs=rngs,
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
            first, *others = blocks
            x = first.activate(self.double.joined(skips.pop(), x, first.conv))
            for block in others:
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


def _require_levels(channels: tuple[int, ...], in_channels: int = 1) -> None:
    if not channels or min(in_channels, *channels) < 1:
        raise ValueError(
            "a U-Net has at least one level and one channel everywhere; got channels "
            f"{tuple(channels)} and {in_channels} input channels"
        )


def _ways_up(channels: tuple[int, ...], narrow_early: bool) -> list[tuple[int, int, int]]:
    """Channels before, between and after the two blocks of each level up, coarsest first."""
    found = []
    below = channels[-1]
    for level in reversed(range(len(channels) - 1)):
        after = channels[max(level - 1, 0)] if narrow_early else channels[level]
        found.append((below + channels[level], channels[level], after))
        below = after
    return found


def unet(
    channels: tuple[int, ...] = (32, 64, 128, 128),
    *,
    complex_image: bool = True,
    normalisation: bool = True,
    downsampling: Downsampling = "average",
    upsampling: Upsampling = "half_pixel",
    padding: Padding = "zero",
    slope: float = 0.0,
    narrow_early: bool = False,
    initial_deviation: float | None = None,
) -> FlaxNetwork:
    """Describe a `UNet`; `unet_preset` has some by name.

    Parameters
    ----------
    channels, complex_image, normalisation, downsampling, upsampling, padding, slope
        See `UNet`.
    narrow_early, initial_deviation
        See `UNet`.

    Returns
    -------
    `FlaxNetwork` for inputs ``(*pixels, any number of channels)``, 1D or 2D, whose sides are
    multiples of ``2**(len(channels) - 1)``.

    Raises
    ------
    ValueError
        If ``channels`` is empty or holds a number below 1, or a choice is unknown.
    """
    _require_levels(channels)
    options: dict[str, Any] = {
        "channels": tuple(channels),
        "normalisation": normalisation,
        "downsampling": downsampling,
        "upsampling": upsampling,
        "padding": padding,
        "slope": slope,
        "narrow_early": narrow_early,
        "initial_deviation": initial_deviation,
    }
    factor = 2 ** (len(channels) - 1)
    return constructible(FlaxNetwork("U-Net", UNet, tuple(options.items()), complex_image, factor))


UNET_PRESETS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "small": {"channels": (32, 64, 128, 128)},
        "medium": {"channels": (64, 128, 256, 256)},
        "paper": {
            "channels": (64, 128, 256, 512, 1024, 1024),
            "downsampling": "max",
            "narrow_early": True,
            "initial_deviation": 0.02,
        },
    }
)
"""Options of `unet` by the name of a preset."""


def unet_preset(size: Size, **changes: Any) -> FlaxNetwork:
    """A U-Net by name, with any option of `unet` changed.

    Parameters
    ----------
    size
        ``small`` (32-64-128-128 channels, 1.2 M parameters), ``medium`` (64-128-256-256,
        4.9 M) or ``paper``: that of self-guided deep image prior (design page, section 1),
        64-128-256-512-1024-1024 channels, 69 M parameters, weights N(0, 0.02^2).
    **changes
        Options of `unet` that replace the preset's.

    Raises
    ------
    ValueError
        If the name is unknown, or as `unet`.

    Notes
    -----
    The page gives the channels of ``paper`` and its size.  Two blocks a level that end in the
    level's channels come to 78.6 M; ``narrow_early`` gives the 69.2 M.  How it halves is not
    on the page: by the largest value, as the U-Net of 2015 does, which costs no parameters.
    """
    require_one_of(Size, size=size)
    return unet(**(UNET_PRESETS[size] | changes))
