"""The two networks of the paper, as descriptions."""

from __future__ import annotations

import math

import jax
from jaxtyping import Array, Float

from ntkdip.networks.architecture import Architecture, Parameterisation
from ntkdip.networks.layers import ChannelNorm, Conv, Layer, Padding, ReLU, Upsample, Upsampling


def deep_decoder(
    width: int = 128,
    blocks: int = 4,
    *,
    complex_image: bool = True,
    normalisation: bool = True,
    upsampling: Upsampling = "half_pixel",
    parameterisation: Parameterisation = "ntk",
) -> Architecture:
    """Deep Decoder: 1x1 convolutions and (bi)linear upsampling; no convolution mixes pixels.

    ``blocks`` times [1x1 convolution to ``width`` channels, x2 upsampling, ReLU, channel
    normalisation], then a 1x1 convolution to the image.  Its input is fixed random
    noise of ``size / 2**blocks`` pixels: `decoder_input`.

    Parameters
    ----------
    width
        Channels of every block.
    blocks
        Number of x2 upsamplings.
    complex_image
        Two output channels (real and imaginary part) instead of one.
    normalisation
        Channel normalisation after each ReLU.  Switch it off to compare with analytic
        kernels, which have no closed form for it.
    upsampling
        ``half_pixel`` (as image libraries resize) or ``circular`` (wraps around).
    parameterisation
        ``ntk`` or ``standard``: see `Architecture`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``.

    Source: Heckel and Hand, "Deep Decoder" (ICLR 2019), without its final sigmoid.
    """
    _require_at_least(1, width=width, blocks=blocks)
    chain: list[Layer] = []
    for block in range(blocks):
        gain = 1.0 if block == 0 or normalisation else 2.0
        chain += [Conv(width, gain=gain), Upsample(upsampling), ReLU()]
        chain += [ChannelNorm()] if normalisation else []
    chain.append(Conv(2 if complex_image else 1, gain=1.0 if normalisation else 2.0))
    return Architecture("Deep Decoder", tuple(chain), parameterisation)


def wide_cnn(
    width: int = 64,
    depth: int = 4,
    kernel_size: int = 3,
    *,
    complex_image: bool = True,
    padding: Padding = "circular",
    parameterisation: Parameterisation = "ntk",
) -> Architecture:
    """WCNN: ``depth`` convolutions with ReLU between them, at one resolution.

    The paper (arXiv 2402.04097) is not quoted here; we read its "WCNN" as "wide CNN".
    The input is a choice: random channels, the zero-filled image, a reference image
    (`as_input` turns an image into channels).

    Parameters
    ----------
    width
        Channels between the first and the last convolution.
    depth
        Number of convolutions, at least 2.
    kernel_size
        Size of every convolution along each axis.
    complex_image
        Two output channels (real and imaginary part) instead of one.
    padding
        ``circular`` or ``zero``.
    parameterisation
        ``ntk`` or ``standard``: see `Architecture`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``.
    """
    _require_at_least(1, width=width, kernel_size=kernel_size)
    _require_at_least(2, depth=depth)
    chain: list[Layer] = [Conv(width, kernel_size, 1.0, padding), ReLU()]
    for _ in range(depth - 2):
        chain += [Conv(width, kernel_size, 2.0, padding), ReLU()]
    chain.append(Conv(2 if complex_image else 1, kernel_size, 2.0, padding))
    return Architecture("WCNN", tuple(chain), parameterisation)


def decoder_input(
    net: Architecture, shape: tuple[int, ...], channels: int, *, key: Array
) -> Float[Array, "*pixels channels"]:
    """Fixed random input of a Deep Decoder for images of one shape.

    Uniform on [-sqrt(3), sqrt(3)): mean 0 and variance 1, so that for many channels its
    Gram matrix nears the identity.  (Heckel and Hand draw from U[0, 0.1).)

    Parameters
    ----------
    net
        The architecture, for its upsampling factor.
    shape
        Shape of the image to be made.
    channels
        Number of input channels; the width of the network is usual.
    key
        PRNG key.

    Returns
    -------
    float32 array, ``(*(n / net.upsampling_factor for n in shape), channels)``.

    Raises
    ------
    ValueError
        If a side of the image is no multiple of the upsampling factor.
    """
    bound = math.sqrt(3.0)
    size = (*input_shape(net, shape), channels)
    return jax.random.uniform(key, size, minval=-bound, maxval=bound)


def input_shape(net: Architecture, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Pixels of the input from which ``net`` makes images of ``shape``.

    Raises
    ------
    ValueError
        If a side of the image is no multiple of the upsampling factor.
    """
    factor = net.upsampling_factor
    if any(n % factor for n in shape):
        nearest = " x ".join(str(max(round(n / factor), 1) * factor) for n in shape)
        raise ValueError(
            f"image shape {tuple(shape)} is no multiple of {factor}, the upsampling of "
            f"{net.name}; use {nearest}, or fewer blocks"
        )
    return tuple(n // factor for n in shape)


def _require_at_least(least: int, **values: int) -> None:
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")
