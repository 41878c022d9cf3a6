"""The encoder-decoder with thin skip branches: the network deep image prior began with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
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
    require_at_least,
    require_one_of,
)
from ntkdip.networks.modules import Pooling, run
from ntkdip.networks.modules import Upsampling as UpsamplingModule


class Level(nnx.Module):
    """One halving: a skip branch, the way down from this level and the way up to it."""

    def __init__(
        self,
        channels: int,
        down: int,
        skip: int,
        below: int,
        up: int,
        *,
        kernels: tuple[int, int, int],
        downsampling: Downsampling,
        pointwise: bool,
        style: Style,
        rngs: nnx.Rngs,
    ):
        def block(before: int, after: int, size: int, stride: int = 1) -> ConvolutionBlock:
            return ConvolutionBlock(before, after, size, stride=stride, style=style, rngs=rngs)

        down_size, up_size, skip_size = kernels
        strided = downsampling == "strided"
        first: list[nnx.Module] = [block(channels, down, down_size, 2 if strided else 1)]
        if not strided:
            first.append(Pooling(AveragePool(2) if downsampling == "average" else MaxPool(2)))
        self.skip = block(channels, skip, skip_size) if skip else None
        self.down = nnx.List([*first, block(down, down, down_size)])
        self.norm = style.norm(skip + below)
        last = [block(up, up, 1)] if pointwise else []
        self.up = nnx.List([block(skip + below, up, up_size), *last])

    def ascend(
        self, branch: Float[Array, "*pixels s"] | None, x: Float[Array, "*more c"]
    ) -> Float[Array, "*pixels u"]:
        """Join the skip branch and what comes from below, already upsampled."""
        if branch is not None:
            x = jnp.concatenate([branch, x], axis=-1)
        return run(self.up, x if self.norm is None else self.norm(x))


class SkipNetwork(nnx.Module):
    """Skip network for one image: maps ``(*pixels, in_channels)`` to ``(*pixels, 1 or 2)``.

    Every level halves the image: a strided convolution and another on the way down, and on
    the way up upsampling, concatenation with the skip branch (a convolution to few channels
    of what the level was given), channel normalisation, a convolution and a 1x1 convolution.
    Each convolution is followed by channel normalisation and a leaky ReLU; a 1x1 convolution
    with bias makes the image.  Deterministic: no running statistics.  Standard
    parameterisation.

    Sides of any length: a level of odd side ``n`` becomes one of ``(n + 1) / 2``, and on the
    way up the last pixel beyond ``n`` is cut off, as in the original.

    Parameters
    ----------
    widths
        Channels on the way down, finest level first; ``len(widths)`` halvings.
    in_channels
        Channels of the input.
    complex_image
        Two output channels (real and imaginary part) instead of one.
    spatial_dims
        1 or 2.
    widths_up
        Channels on the way up, finest level first; None: ``widths``.
    skip_widths
        Channels of the skip branches, one number or one a level; 0: no branch.
    kernel_down, kernel_up, kernel_skip
        Sizes of the convolutions.
    normalisation
        Batch normalisation of one image: each channel to mean 0 and variance 1 over its
        pixels, then a trained scale and shift; without it the convolutions have biases.
    downsampling
        ``strided``: by the convolution itself.  ``average`` or ``max``: after it, over 2 pixels
        an axis; the sides must then be multiples of ``2**len(widths)``.
    upsampling
        ``half_pixel`` (bilinear), ``nearest``, ``align_corners`` or ``circular``: see
        `layers.Upsample`.
    padding
        ``reflect``, ``zero`` or ``circular``.
    slope
        Of the activation where negative.
    pointwise
        The 1x1 convolution after the convolution on the way up.
    bounded
        A sigmoid at the end, for real images with values in (0, 1).
    gain, initial_deviation
        Weights have variance ``gain / fan_in``, or this standard deviation (normal).
    rngs
        Source of the parameters (stream ``params``); the same key draws the same.

    Raises
    ------
    ValueError
        If sizes do not fit each other or are too small, a choice is unknown, a complex image
        is to be bounded, or (when called) the input does not fit.

    Notes
    -----
    Where the padding is not zero, the shift of a level's first normalisation on the way up
    changes nothing: the next one removes it.  It is kept, as in the original.

    Source: Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior" (CVPR 2018; IJCV 2020) and its
    supplement, from the description.  Deviates: no sigmoid unless asked for; no biases that
    a normalisation would remove; weights are drawn from (truncated) normal distributions.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (128,) * 5,
        *,
        in_channels: int,
        complex_image: bool = True,
        spatial_dims: int = 2,
        widths_up: tuple[int, ...] | None = None,
        skip_widths: int | tuple[int, ...] = 4,
        kernel_down: int = 3,
        kernel_up: int = 3,
        kernel_skip: int = 1,
        normalisation: bool = True,
        downsampling: Downsampling = "strided",
        upsampling: Upsampling = "half_pixel",
        padding: Padding = "reflect",
        slope: float = 0.2,
        pointwise: bool = True,
        bounded: bool = False,
        gain: float = 2.0,
        initial_deviation: float | None = None,
        rngs: nnx.Rngs,
    ):
        ups, skips = _checked(widths, widths_up, skip_widths, bounded and complex_image)
        require_at_least(1, in_channels=in_channels)
        require_at_least(1, kernel_down=kernel_down, kernel_up=kernel_up, kernel_skip=kernel_skip)
        require_one_of(Downsampling, downsampling=downsampling)
        style = Style(spatial_dims, normalisation, padding, slope, gain, initial_deviation)
        self.in_channels = in_channels
        self.spatial_dims = spatial_dims
        self.factor = 1 if downsampling == "strided" else 2 ** len(widths)
        # Reflected pixels: on the way down at the coarsest level, up at the one above it.
        self.reflected = (kernel_down // 2, kernel_up // 2) if padding == "reflect" else (0, 0)
        self.bounded = bounded
        ins, below = (in_channels, *widths[:-1]), (*ups[1:], widths[-1])
        self.levels = nnx.List(
            Level(
                *sizes,
                kernels=(kernel_down, kernel_up, kernel_skip),
                downsampling=downsampling,
                pointwise=pointwise,
                style=style,
                rngs=rngs,
            )
            for sizes in zip(ins, widths, skips, below, ups, strict=True)
        )
        self.double = UpsamplingModule(Upsample(upsampling))
        self.head = style.convolution(ups[0], 2 if complex_image else 1, 1, bias=True, rngs=rngs)

    def __call__(self, z: Float[Array, "*pixels channels"]) -> Float[Array, "*pixels out"]:
        self._check(z)
        x, met = z, []
        for level in self.levels:
            met.append((level, level.skip(x) if level.skip else None, x.shape[:-1]))
            x = run(level.down, x)
        for level, branch, sides in reversed(met):
            x = self.double(x)[tuple(slice(n) for n in sides)]
            x = level.ascend(branch, x)
        image = self.head(x)
        return jax.nn.sigmoid(image) if self.bounded else image

    def _check(self, z: Array) -> None:
        if z.ndim != self.spatial_dims + 1 or z.shape[-1] != self.in_channels:
            pixels = "(rows, columns, " if self.spatial_dims == 2 else "(pixels, "
            raise ValueError(
                f"this skip network takes an input of shape {pixels}{self.in_channels}); got "
                f"{z.shape}. For an image use ntkdip.networks.as_input(image)"
            )
        if any(n % self.factor for n in z.shape[:-1]):
            raise ValueError(
                f"a skip network of {len(self.levels)} levels that pools takes sides that are "
                f"multiples of {self.factor}; got {z.shape[:-1]}. Crop or pad the input, use fewer "
                "levels, or downsampling='strided'"
            )
        # ceil(n / 2**levels) pixels are left at the coarsest level, more than are reflected.
        coarsest = 2 ** len(self.levels)
        down, up = self.reflected
        least = max(down * coarsest, up * coarsest // 2) + 1
        if min(z.shape[:-1]) < least:
            raise ValueError(
                f"a skip network of {len(self.levels)} levels that reflects takes sides of at "
                f"least {least}; got {z.shape[:-1]}. Use fewer levels, or padding='zero'"
            )


def _checked(
    widths: tuple[int, ...],
    widths_up: tuple[int, ...] | None,
    skip_widths: int | tuple[int, ...],
    bounded_complex: bool,
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Channels up and of the skips, a number for every level."""
    ups = widths if widths_up is None else widths_up
    skips = (skip_widths,) * len(widths) if isinstance(skip_widths, int) else skip_widths
    if not widths or not len(widths) == len(ups) == len(skips):
        raise ValueError(
            "a skip network has at least one level, and widths down, up and of the skips for "
            f"each; got {widths}, {ups} and {skips}"
        )
    require_at_least(1, widths=min(widths), widths_up=min(ups))
    require_at_least(0, skip_widths=min(skips))
    if bounded_complex:
        raise ValueError("a sigmoid bounds real images; use bounded=False for complex ones")
    return tuple(ups), tuple(skips)


def skip_network(
    widths: tuple[int, ...] = (128,) * 5,
    *,
    complex_image: bool = True,
    downsampling: Downsampling = "strided",
    **options: Any,
) -> FlaxNetwork:
    """Describe a `SkipNetwork`; `skip_preset` has some by name.

    Parameters
    ----------
    widths, complex_image, downsampling
        See `SkipNetwork`.
    **options
        Its other options: ``widths_up``, ``skip_widths``, ``kernel_down``, ``kernel_up``,
        ``kernel_skip``, ``normalisation``, ``upsampling``, ``padding``, ``slope``,
        ``pointwise``, ``bounded``, ``gain``, ``initial_deviation``.

    Returns
    -------
    `FlaxNetwork` for inputs ``(*pixels, any number of channels)``, 1D or 2D, of any sides
    (multiples of ``2**len(widths)`` where it pools).  32 channels of `random_input` are usual.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        As `SkipNetwork`.
    """
    net = FlaxNetwork(
        "skip network",
        SkipNetwork,
        (("widths", tuple(widths)), ("downsampling", downsampling), *options.items()),
        complex_image,
        1 if downsampling == "strided" else 2 ** len(widths),
    )
    return constructible(net)


SKIP_PRESETS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "small": {"widths": (32,) * 4},
        "medium": {"widths": (64,) * 5},
        "paper": {"widths": (128,) * 5, "gain": 1 / 3},
    }
)
"""Options of `skip_network` by the name of a preset."""


def skip_preset(size: Size, **changes: Any) -> FlaxNetwork:
    """A skip network by name, with any option of `skip_network` changed.

    Parameters
    ----------
    size
        ``small`` (4 levels of 32 channels, 0.1 M parameters), ``medium`` (5 of 64, 0.6 M) or
        ``paper`` (5 of 128, 2.2 M): the default network of Ulyanov, Vedaldi and Lempitsky for
        inputs of 32 channels, with weights of variance ``1 / (3 fan_in)`` as their framework
        draws them.  All have skips of 4 channels.
    **changes
        Options of `skip_network` that replace the preset's.

    Raises
    ------
    TypeError
        If an option is unknown.
    ValueError
        If the name is unknown, or as `skip_network`.
    """
    require_one_of(Size, size=size)
    return skip_network(**(SKIP_PRESETS[size] | changes))
