"""Upsampling by 2 for training on CPUs, and the convolution after it from the smaller image.

`double` adds shifted images where `jax.image.resize` multiplies by a matrix.  A convolution
after it sees, at each of the 2x2 pixels that come of one, a 3x3 neighbourhood of the smaller
image, so it is one of that image, to four times the channels: as many multiplications, but of
a quarter of the pixels to read, transform and keep.  For reverse mode, as
`ntkdip.networks.convolution`.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from ntkdip.networks.convolution import LEAST_CHANNELS, conv_general_dilated, convolve

LEAST_PIXELS = 128**2
"""Of the smaller image, for `convolve_joined` to be faster than what it replaces."""


@jax.custom_vjp
def double(x: Float[Array, "*pixels c"]) -> Float[Array, "*doubled c"]:
    """Twice as many pixels an axis, linear, half-pixel convention, edges held.

    `jax.image.resize` by 2 to rounding, in a few additions a pixel.  Reverse mode only.
    Source: ours.
    """
    for axis in range(x.ndim - 1):
        before, after = _shifted(x, x, axis)
        pair = jnp.stack([0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after], axis + 1)
        x = pair.reshape(*x.shape[:axis], -1, *x.shape[axis + 1 :])
    return x


def _shifted(first: Array, last: Array, axis: int) -> tuple[Array, Array]:
    """``last`` one pixel later, beginning as ``first`` does, and ``first`` one pixel earlier,
    ending as ``last`` does."""
    n = first.shape[axis]
    cut = functools.partial(lax.slice_in_dim, axis=axis)
    before = jnp.concatenate([cut(first, 0, 1), cut(last, 0, n - 1)], axis)
    return before, jnp.concatenate([cut(first, 1, n), cut(last, n - 1, n)], axis)


def _double_back(_: None, g: Array) -> tuple[Array]:
    for axis in reversed(range(g.ndim - 1)):
        even, odd = (lax.slice_in_dim(g, i, g.shape[axis], 2, axis) for i in range(2))
        before, after = _shifted(even, odd, axis)
        g = 0.75 * (even + odd) + 0.25 * (before + after)
    return (g,)


double.defvjp(lambda x: (double(x), None), _double_back)


def convolve_joined(
    beside: Float[Array, "*larger a"], x: Float[Array, "*pixels b"], conv: nnx.Conv
) -> Float[Array, "*out cout"]:
    """A convolution of an image beside another one doubled.

    ``conv(jnp.concatenate([beside, double(x)], -1))`` to rounding.  On a CPU, where 3x3 pixels
    are convolved with zeros around and ``x`` has at least `LEAST_PIXELS`, neither the doubled
    image nor the joined one is formed: a step of a U-Net on 256² took 11 % less time.

    Source: the polyphase form of an upsampling filter; the edges are ours.
    """
    if not _suits(beside, x, conv):
        return conv(jnp.concatenate([beside, double(x)], axis=-1))
    kernel, channels = conv.kernel[...], beside.shape[-1]
    y = convolve(beside, kernel[:, :, :channels], "zero")
    y = y + convolve_doubled(x, kernel[:, :, channels:])
    return y if conv.bias is None else y + conv.bias[None, None]


def _suits(beside: Array, x: Array, conv: nnx.Conv) -> bool:
    """Whether both parts go through `convolve`, and nothing of ``conv`` would be passed over."""
    channels = (beside.shape[-1], x.shape[-1])
    return (
        conv.conv_general_dilated is conv_general_dilated
        and jax.default_backend() == "cpu"
        and x.ndim == 3
        and math.prod(x.shape[:-1]) >= LEAST_PIXELS
        and min(*channels, conv.out_features) >= LEAST_CHANNELS
        and conv.kernel.shape == (3, 3, sum(channels), conv.out_features)
        and conv.padding == ((1, 1), (1, 1))
        and all(
            steps in (1, (1, 1))
            for steps in (conv.strides, conv.input_dilation, conv.kernel_dilation)
        )
        and beside.dtype == x.dtype == conv.kernel.dtype
        and conv.dtype in (None, x.dtype)
        and conv.mask is None
        and conv.precision is None
        and conv.preferred_element_type is None
    )


def convolve_doubled(
    x: Float[Array, "r c cin"], kernel: Float[Array, "3 3 cin cout"]
) -> Float[Array, "rows columns cout"]:
    """Convolution of ``double(x)`` with zeros around it.

    What the smaller image gives has its own edges around the doubled one instead of zeros;
    their share in the outermost lines is subtracted.
    """
    rows, columns, _ = x.shape
    weights = jnp.asarray(_phases(), x.dtype)
    larger = jnp.einsum("pda,qeb,abio->deipqo", weights, weights, kernel, precision="highest")
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge")[None]
    flat = larger.reshape(3, 3, x.shape[-1], -1)
    numbers = lax.conv_dimension_numbers(padded.shape, flat.shape, ("NHWC", "HWIO", "NHWC"))
    y = conv_general_dilated(padded, flat, (1, 1), ((0, 0), (0, 0)), dimension_numbers=numbers)
    y = y.reshape(rows, columns, 2, 2, -1).transpose(0, 2, 1, 3, 4)
    y = y.reshape(2 * rows, 2 * columns, -1)
    for last in (False, True):
        at, tap = (-1, 2) if last else (0, 0)
        edge = double(x[at])
        row = _line(jnp.concatenate([edge[:1], edge, edge[-1:]]), kernel[tap])
        column = _line(jnp.pad(double(x[:, at]), ((1, 1), (0, 0))), kernel[:, tap])
        y = (
            y
            - _placed(row[None], 0, y.shape[0], last)
            - _placed(column[:, None], 1, y.shape[1], last)
        )
    return y


@functools.cache
def _phases() -> np.ndarray:
    """``(2, 3, 3)``: pixel ``p`` of two sees tap ``a`` at smaller pixel ``d - 1`` so much."""
    weights = np.zeros((2, 3, 3))
    for phase in range(2):
        for tap in range(3):
            pixel, odd = divmod(phase + tap - 1, 2)
            weights[phase, pixel + 1, tap] += 0.75
            weights[phase, pixel + (2 if odd else 0), tap] += 0.25
    return weights


def _line(x: Array, kernel: Array) -> Array:
    """A line's convolution, without padding."""
    numbers = lax.conv_dimension_numbers(x[None].shape, kernel.shape, ("NWC", "WIO", "NWC"))
    return lax.conv_general_dilated(x[None], kernel, (1,), "VALID", dimension_numbers=numbers)[0]


def _placed(line: Array, axis: int, count: int, last: bool) -> Array:
    """The first or last of ``count`` lines, the others 0."""
    around = [(0, 0)] * line.ndim
    around[axis] = (count - 1, 0) if last else (0, count - 1)
    return jnp.pad(line, around)
