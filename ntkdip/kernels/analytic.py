"""Infinite-width kernels in closed form, dense.

What mixes offsets between image rows (resampling, strides, reflection) is run on whole
arrays; what comes after the last such layer, which is all of a WCNN, is run by diagonals.
"""

from __future__ import annotations

import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkdip.kernels import diagonals
from ntkdip.kernels.both_parts import BothParts
from ntkdip.kernels.closed_form import require_closed_form
from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.kernels.recursion import Whole, channels_last, covariances, run_chain
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
    ``8 q^2`` bytes for the result and a few megabytes beside; each such layer otherwise is
    run on about six arrays of all pairs of its pixels.  `pixel_kernels` is the same as a
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
        head = _head(net.layers)
        _require_fitting(net, x.shape[:-1], len(head), space, dtype, limit)
        _require_range(x, precision)
        W = np.empty((space.size, space.size))
        _fill(net, x, len(head), kind, W)
    kernel = DenseKernel.symmetric(W, Space(space.shape, False))
    return BothParts(kernel) if space.is_complex else kernel


def _head(chain: tuple[layers.Layer, ...]) -> tuple[layers.Layer, ...]:
    """The layers up to the last one that mixes offsets between image rows."""
    mixing = [i for i, layer in enumerate(chain) if not diagonals.is_local(layer)]
    return chain[: mixing[-1] + 1] if mixing else ()


def _fill(net: Architecture, z: Array, split: int, kind: diagonals.Kind, out: np.ndarray) -> None:
    """Compute the kernel into ``out``; the first ``split`` layers on whole arrays."""
    head, tail = net.layers[:split], net.layers[split:]
    axes = z.ndim - 1
    shape = layers.output_shape(head, z.shape[:-1])
    rows, columns = (*shape, 1)[:2]
    if head:
        with ticking(f"{net.name}: {len(head)} layers"):
            K, T = _whole(head, z, net.parameterisation == "ntk")
            pairs = (rows, columns, rows, columns)
            whole = (
                np.asarray(K).reshape(pairs),
                None if T is None else np.asarray(T).reshape(pairs),
            )
        source = diagonals.whole_source(*whole)
    else:
        source = diagonals.input_source(z.reshape(rows, columns, -1))
    channels = layers.output_channels(head, z.shape[-1])
    ntk = net.parameterisation == "ntk"
    program = diagonals.Program(tail, (rows, columns), channels, ntk, axes, kind)
    diagonals.by_diagonals(program, source, out, net.name)


@functools.partial(jax.jit, static_argnums=(0, 2))
def _whole(chain: tuple[layers.Layer, ...], z: Array, ntk: bool) -> tuple[Array, Array | None]:
    state = run_chain(chain, Whole(covariances(z, z), None, z.shape[-1], ntk))
    return state.K, state.T


def _require_fitting(
    net: Architecture,
    shape: tuple[int, ...],
    split: int,
    space: Space,
    dtype: np.dtype,
    limit: int,
) -> None:
    largest = 0
    for end in range(split + 1):
        pixels = math.prod(layers.output_shape(net.layers[:end], shape))
        largest = max(largest, pixels if split else 0)
    rows, columns = (*space.shape, 1)[:2]
    step = diagonals.step_bytes((rows, columns), dtype.itemsize)
    needed = 8 * space.size**2 + max(WHOLE_ARRAYS * dtype.itemsize * largest**2, step)
    require_memory(
        needed,
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
