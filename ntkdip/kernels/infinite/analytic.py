"""Infinite-width kernels in closed form, dense.

What mixes offsets between image rows (resampling, strides, reflection) is run on whole
arrays, before the last such layer if it resamples; what comes after it, which is all of a
WCNN, is run by diagonals.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkdip.kernels.both_parts import BothParts
from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.infinite import diagonals
from ntkdip.kernels.infinite.closed_form import require_closed_form
from ntkdip.kernels.infinite.recursion import Whole, channels_last, covariances, run_chain
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.networks import Architecture, layers
from ntkdip.networks.architecture import require_input
from ntkdip.progress import ticking
from ntkdip.spaces import Space, require_finite

Precision = Literal["float64", "float32"]

WHOLE_ARRAYS = 6
"""Arrays of all pixel pairs that the recursion on whole arrays holds at its peak."""

FLOAT32_RANGE = 1e-18, 1e18
"""Variances of an input whose squares fit float32."""


def analytic(
    net: Architecture,
    z: Any,
    *,
    kind: diagonals.Kind = "ntk",
    precision: Precision = "float64",
    memory_limit: int | None = None,
) -> DenseKernel | BothParts:
    """NTK (or NNGP) of an infinitely wide network, between all pixels of its image.

    Parameters
    ----------
    net
        The architecture.  Its widths matter in the standard parameterisation only (see
        `pixel_kernels`).
    z
        Its input ``(*pixels, channels)``, or a complex image, whose real and imaginary
        part are two channels.
    kind
        ``ntk``; or ``nngp``, the covariance of the network's output at initialisation.
    precision
        Of the recursion.  ``float32`` is about twice as fast, accurate to about 1e-6 of the
        largest entry, and leaves eigenvalues of that size of either sign: too little for
        `theory`, which divides by small eigenvalues.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.

    Returns
    -------
    Kernel on the network's images, held as float64: a `DenseKernel` for real images; for
    complex ones `BothParts` of it, because both parts have the same kernel and no cross
    term.

    Raises
    ------
    NoClosedFormError
        If a layer has none: which, and what to do.
    ValueError
        If the input does not fit, is not finite, or out of float32's range.
    MemoryError
        If the kernel does not fit: what it needs, and what to do.  Before anything is
        allocated.

    Notes
    -----
    Cost: ``O(q^2)`` a layer.  A network without resampling, strides and reflection takes
    ``8 q^2`` bytes for the result and a few megabytes beside; up to the last such layer about
    six arrays of all pairs of pixels are held otherwise, for a Deep Decoder those at half its
    size.  `pixel_kernels` is the same as a
    pure, differentiable function.  Source: design page, section 1; the way by diagonals is
    ours.
    """
    layers.require_one_of(diagonals.Kind, kind=kind)
    layers.require_one_of(Precision, precision=precision)
    require_closed_form(net)
    require_finite(z, "network input")
    dtype = np.dtype(precision)
    limit = allowed_bytes(memory_limit, jax.devices())
    with jax.enable_x64(precision == "float64"):
        x = channels_last(np.asarray(z), dtype)
        require_input(x)
        space = net.image_space(x)
        split = _split(net.layers)
        _require_fitting(net, x.shape[:-1], split, space, dtype, limit)
        _require_range(x, precision)
        W = np.empty((space.size, space.size))
        _fill(net, x, split, kind, W)
    kernel = DenseKernel.symmetric(W, Space(space.shape, False))
    return BothParts(kernel) if space.is_complex else kernel


class _Split(NamedTuple):
    """Layers that are run on whole arrays, a resampling after them, and what is local."""

    whole: tuple[layers.Layer, ...]
    resampling: layers.Resampling | None
    local: tuple[layers.Layer, ...]


def _split(chain: tuple[layers.Layer, ...]) -> _Split:
    mixing = [i for i, layer in enumerate(chain) if not diagonals.is_local(layer)]
    if not mixing:
        return _Split((), None, chain)
    last = mixing[-1]
    layer, after = chain[last], chain[last + 1 :]
    if isinstance(layer, layers.Upsample | layers.AveragePool):
        return _Split(chain[:last], layer, after)
    return _Split(chain[: last + 1], None, after)


def _fill(net: Architecture, z: Array, split: _Split, kind: diagonals.Kind, W: np.ndarray) -> None:
    """Compute the kernel into ``W``."""
    axes, ntk = z.ndim - 1, net.parameterisation == "ntk"
    before = _rows_columns(layers.output_shape(split.whole, z.shape[:-1]))
    if not split.whole and split.resampling is None:
        source = diagonals.input_source(z.reshape(*before, -1))
    else:
        with ticking(f"{net.name}: {len(split.whole)} layers"):
            K, T = _whole(split.whole, z, ntk)
            K, T = K.reshape(before + before), None if T is None else T.reshape(before + before)
        if split.resampling is None:
            source = diagonals.whole_source(K, T)
        else:
            source = diagonals.resampled_source(split.resampling, axes, K, T)
    channels = layers.output_channels(split.whole, z.shape[-1])
    shape = _rows_columns(net.image_space(z).shape)
    program = diagonals.Program(split.local, shape, channels, ntk, axes, kind)
    diagonals.by_diagonals(program, source, W, net.name)


def _rows_columns(shape: tuple[int, ...]) -> tuple[int, int]:
    """A 1D image is a column."""
    return shape[0], shape[1] if len(shape) == 2 else 1


@functools.partial(jax.jit, static_argnums=(0, 2))
def _whole(chain: tuple[layers.Layer, ...], z: Array, ntk: bool) -> tuple[Array, Array | None]:
    state = run_chain(chain, Whole(covariances(z, z), None, z.shape[-1], ntk))
    return state.K, state.T


def _require_fitting(
    net: Architecture,
    shape: tuple[int, ...],
    split: _Split,
    space: Space,
    dtype: np.dtype,
    limit: int,
) -> None:
    largest = 0
    if split.whole or split.resampling is not None:
        ends = range(len(split.whole) + 1)
        largest = max(math.prod(layers.output_shape(split.whole[:end], shape)) for end in ends)
    step = diagonals.step_bytes(_rows_columns(space.shape), dtype.itemsize)
    require_memory(
        8 * space.size**2 + WHOLE_ARRAYS * dtype.itemsize * largest**2 + step,
        f"the analytic kernel of {net.name} on {space}",
        limit,
        "use ntkdip.kernels.low_rank (any input), ntkdip.kernels.stationary (white or constant "
        "input, wrapping around), or a smaller image",
    )


def _require_range(z: Array, precision: str) -> None:
    largest = float(jnp.max(jnp.mean(z * z, axis=-1)))
    least, most = FLOAT32_RANGE
    if precision == "float32" and largest > 0 and not least < largest < most:
        raise ValueError(
            f"the input's largest mean square is {largest:.3g}, and its square leaves float32; "
            "scale the input, or use precision='float64'"
        )
