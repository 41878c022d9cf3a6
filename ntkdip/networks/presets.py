"""Networks of the field, as descriptions."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkdip.networks.architecture import Architecture, Parameterisation
from ntkdip.networks.description import ImageNetwork
from ntkdip.networks.drawing import uniform
from ntkdip.networks.layers import (
    ChannelNorm,
    Conv,
    Layer,
    Padding,
    ReLU,
    Upsample,
    Upsampling,
    require_at_least,
)


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
        ``half_pixel`` (as image libraries resize), ``circular`` (wraps around),
        ``align_corners`` or ``nearest``: see `layers.Upsample`.
    parameterisation
        ``ntk`` or ``standard``: see `Architecture`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``.

    Source: Heckel and Hand, "Deep Decoder" (ICLR 2019), without its final sigmoid.
    """
    require_at_least(1, width=width, blocks=blocks)
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
        ``circular``, ``zero`` or ``reflect``.
    parameterisation
        ``ntk`` or ``standard``: see `Architecture`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``.
    """
    require_at_least(1, width=width, kernel_size=kernel_size)
    require_at_least(2, depth=depth)
    chain: list[Layer] = [Conv(width, kernel_size, 1.0, padding), ReLU()]
    for _ in range(depth - 2):
        chain += [Conv(width, kernel_size, 2.0, padding), ReLU()]
    chain.append(Conv(2 if complex_image else 1, kernel_size, 2.0, padding))
    return Architecture("WCNN", tuple(chain), parameterisation)


def two_layer_generator(
    width: int = 512, channels: int = 64, *, complex_image: bool = False
) -> Architecture:
    """The generator ``ReLU(U C) v``: ``C`` is trained, ``v`` is fixed.

    Its input holds the rows of ``U`` as channels: pixel ``i`` is ``u_i``, so that no input
    needs a network of its own: ``z = U.reshape(*pixels, channels)``.  The kernel tends to
    ``Sigma(U)_ij = (1 - arccos(rho_ij) / pi) <u_i, u_j> / 2``.

    Parameters
    ----------
    width
        Columns of ``C``, entries N(0, 1); ``v`` has entries N(0, 1) / sqrt(width), where the
        paper takes signs: the kernel's limit is the same.
    channels
        Columns of ``U``: channels of the input.
    complex_image
        Two output channels, with a ``v`` each, instead of one.

    Returns
    -------
    Architecture for inputs ``(*pixels, channels)``.

    Source: Heckel and Soltanolkotabi, "Compressive sensing with un-trained neural networks"
    (ICML 2020).
    """
    require_at_least(1, width=width, channels=channels)
    # The NTK parameterisation divides by the channels of the input; the gain undoes that.
    chain = (Conv(width, gain=float(channels)), ReLU(), Conv(1 + complex_image, trained=False))
    return Architecture("two-layer generator", chain)


def single_hidden_layer_cnn(
    width: int = 512,
    kernel_size: int = 11,
    *,
    complex_image: bool = True,
    padding: Padding = "circular",
    parameterisation: Parameterisation = "ntk",
) -> Architecture:
    """One hidden layer: a convolution, ReLU, and a 1x1 convolution to the image.

    With the image itself as input, its NTK is a non-local filter over patches of
    ``kernel_size`` pixels a side.

    Parameters
    ----------
    width
        Channels of the hidden layer.
    kernel_size
        Size of the patches.
    complex_image, padding, parameterisation
        As for `wide_cnn`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``.

    Source: Tachella, Tang and Davies, "The neural tangent link between CNN denoisers and
    non-local filters" (CVPR 2021).
    """
    require_at_least(1, width=width, kernel_size=kernel_size)
    chain = (
        Conv(width, kernel_size, 1.0, padding), ReLU(), Conv(1 + complex_image, gain=2.0)
    )  # fmt: skip
    return Architecture("single-hidden-layer CNN", chain, parameterisation)


def autoencoder(
    width: int = 64,
    levels: int = 2,
    kernel_size: int = 3,
    *,
    complex_image: bool = True,
    padding: Padding = "circular",
    upsampling: Upsampling = "circular",
    parameterisation: Parameterisation = "ntk",
) -> Architecture:
    """Autoencoder without skips: ``levels`` strided convolutions down, as many upsamplings up.

    Parameters
    ----------
    width
        Channels of every level.
    levels
        Number of halvings.
    kernel_size
        Size of every convolution but the last, which is 1x1.
    upsampling
        As for `deep_decoder`.
    complex_image, padding, parameterisation
        As for `wide_cnn`.

    Returns
    -------
    Architecture for inputs ``(*pixels, any number of channels)``, whose sides must be
    multiples of ``2**levels`` to come back as they were.
    """
    require_at_least(1, width=width, levels=levels, kernel_size=kernel_size)
    chain: list[Layer] = []
    for level in range(levels):
        chain += [Conv(width, kernel_size, 2.0 if level else 1.0, padding, stride=2), ReLU()]
    for _ in range(levels):
        chain += [Upsample(upsampling), Conv(width, kernel_size, 2.0, padding), ReLU()]
    chain.append(Conv(2 if complex_image else 1, gain=2.0))
    return Architecture("autoencoder", tuple(chain), parameterisation)


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
    return random_input(net, shape, channels, key=key)


def random_input(
    net: ImageNetwork,
    shape: tuple[int, ...],
    channels: int = 32,
    *,
    key: Array,
    interval: tuple[float, float] | None = None,
) -> Float[Array, "*pixels channels"]:
    """Fixed random input from which a network makes images of one shape.

    Parameters
    ----------
    net
        Any description of a network.
    shape
        Shape of the image to be made.
    channels
        Number of input channels.
    key
        PRNG key.
    interval
        Ends of the uniform distribution; None: ``net.input_interval``, which is [0, 0.1) for
        Flax modules (`unet`, `skip_network`), and of mean 0 and variance 1 for an `Architecture`.

    Returns
    -------
    float32 array, ``(*net.input_shape(shape), channels)``: for a Deep Decoder fewer pixels
    than the image.

    Raises
    ------
    ValueError
        If the network makes no images of this shape, or the interval is empty.

    Source: Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior" (CVPR 2018): 32 channels.
    """
    require_at_least(1, channels=channels)
    low, high = net.input_interval if interval is None else interval
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"interval must rise between finite ends; got {low, high}")
    size = (*net.input_shape(shape), channels)
    made = net.image_space(jax.ShapeDtypeStruct(size, jnp.float32)).shape
    if made != tuple(shape):
        raise ValueError(
            f"{net.name} makes an image of {made}, not {tuple(shape)}, of an input of {size}; "
            "draw its input yourself"
        )
    return uniform(key, size, jnp.float32, low, high)


def input_shape(net: ImageNetwork, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Pixels of the input from which ``net`` makes images of ``shape``.

    Raises
    ------
    ValueError
        If there are none; the message names a size near that there is.
    """
    return net.input_shape(shape)
