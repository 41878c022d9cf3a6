"""Infinite-width kernels that are invariant under shifts, kept as one row a phase.

Where the input looks the same from every pixel and every layer wraps around, the kernel is
known from the rows of the first pixels: of one where nothing resamples, of one an offset to
the coarse grid otherwise.  The recursion is run on those alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkdip.kernels.both_parts import BothParts
from ntkdip.kernels.infinite.analytic import FLOAT32_RANGE, Precision
from ntkdip.kernels.infinite.bloch import StationaryKernel, mirrored
from ntkdip.kernels.infinite.closed_form import require_closed_form
from ntkdip.kernels.infinite.diagonals import Kind
from ntkdip.kernels.infinite.invariance import given_input, input_row, invariance
from ntkdip.kernels.infinite.recursion import Pointwise, State, run_chain, total
from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.networks import Architecture, layers
from ntkdip.progress import ticking

ARRAYS = 10
"""Arrays of all rows that the recursion, or what follows it, holds at its peak."""


def stationary(
    net: Architecture,
    shape: tuple[int, ...],
    z: Any = "white",
    *,
    kind: Kind = "ntk",
    precision: Precision = "float64",
    memory_limit: int | None = None,
) -> StationaryKernel | BothParts:
    """NTK (or NNGP) of an infinitely wide network that shifts leave as it is.

    Parameters
    ----------
    net
        The architecture.  Convolutions over more than one pixel wrap around, strides divide
        the sides, and upsampling is ``circular`` or ``nearest``.
    shape
        Shape of the image, 1D or 2D; the input's follows.
    z
        ``white``: infinitely many independent channels of unit mean square, so that the
        input's Gram matrix is the identity.  ``constant``: unit mean square, the same at
        every pixel.  Or an array ``(*pixels, channels)`` whose Gram matrix is invariant under
        circular shifts, which is tested.
    kind
        ``ntk``; or ``nngp``, the covariance of the network's output at initialisation.
    precision
        Of the recursion; what comes after it is float64.  ``float32`` is accurate to about
        1e-6 of the largest entry and leaves eigenvalues of that size of either sign.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.

    Returns
    -------
    `StationaryKernel` on real images; for complex ones `BothParts` of it.

    Raises
    ------
    NoClosedFormError
        If a layer has none: which, and what to do.
    ValueError
        If the kernel is not invariant under shifts: the layer or the input that is to blame.
        If the input does not fit, is not finite, or out of float32's range; or if its number
        of channels matters (standard parameterisation) and is not known.
    MemoryError
        If the rows do not fit, before anything is allocated.

    Notes
    -----
    With ``q`` pixels and period ``m`` along each of ``d`` axes: ``O(m^d q)`` time and memory
    a layer.  An array of ``c`` channels is tested at ``O(q c log q + min(q, c)^2 c)``, unless
    it is constant.  Source: design page, section 1 (recursion; Corollary 1); the layout is
    ours.
    """
    layers.require_one_of(Kind, kind=kind)
    layers.require_one_of(Precision, precision=precision)
    require_closed_form(net)
    shape, limit = tuple(shape), allowed_bytes(memory_limit, jax.devices())
    z = given_input(z)
    start, end = invariance(net, shape, z)
    if isinstance(z, str) and net.parameterisation == "standard":
        raise ValueError(
            "in the standard parameterisation the number of input channels matters, and "
            f"z={z!r} has none; give the input itself, such as numpy.ones((*pixels, channels))"
        )
    require_memory(
        8 * ARRAYS * end.entries,
        f"the rows of the stationary kernel of {net.name} on {shape}, of period {end.period},",
        limit,
        "use a smaller image, or fewer upsamplings",
    )
    row, channels = input_row(z, start.grid, limit)
    if precision == "float32":
        _require_range(float(row.max()))
    with jax.enable_x64(precision == "float64"), ticking(f"{net.name}: {len(net.layers)} layers"):
        K = jnp.asarray(row.reshape(*start.period, *start.grid), precision)
        ntk = net.parameterisation == "ntk"
        state = run_chain(net.layers, _Rows(K, channels, ntk))
        found = state.K if kind == "nngp" else state.T
        rows = np.asarray(jnp.zeros_like(state.K) if found is None else found).astype(np.float64)
    kernel = StationaryKernel((rows + mirrored(rows)) / 2)
    return BothParts(kernel) if net.complex_image else kernel


def _require_range(largest: float) -> None:
    least, most = FLOAT32_RANGE
    if largest > 0 and not least < largest < most:
        raise ValueError(
            f"the input's mean square is {largest:.3g}, and its square leaves float32; scale "
            "the input, or use precision='float64'"
        )


AnyRows = TypeVar("AnyRows", bound="_Rows")


class _Rows(State):
    """Arrays ``(*phases, *offsets)``: pixels ``p`` and ``p + offset``, around the edges.

    Every step is a program of its own: as one, XLA would compute what several operations read
    once for each of them.
    """

    def __init__(self, K: Array, channels: int, ntk: bool) -> None:
        self.K, self.T = K, None
        self.channels, self.ntk, self.axes = channels, ntk, K.ndim // 2

    def averaged(self: AnyRows, layer: layers.Conv) -> AnyRows:
        return self._mapped(functools.partial(_average, layer))

    def resampled(self: AnyRows, layer: layers.Resampling) -> AnyRows:
        state = self
        for axis in range(self.axes):
            state = state._mapped(functools.partial(_resample, layer, axis))
        return state

    def _mapped(self: AnyRows, function: Callable[[Array], Array]) -> AnyRows:
        return self.replace(K=function(self.K), T=None if self.T is None else function(self.T))

    def scaled(self: AnyRows, gain: float, shift: float) -> AnyRows:
        T = None if self.T is None else gain * self.T
        return self.replace(K=gain * self.K + shift, T=T)

    def pointwise(self: AnyRows, function: Pointwise) -> AnyRows:
        K, T = _pointwise(function, self.K, self.T)
        return self.replace(K=K, T=T)

    def plus(self: AnyRows, other: AnyRows) -> AnyRows:
        periods = zip(self.K.shape[: self.axes], other.K.shape, strict=False)
        common = [math.lcm(*pair) for pair in periods]
        one, two = (s._mapped(functools.partial(_repeated, common)) for s in (self, other))
        return self.replace(K=one.K + two.K, T=total(one.T, two.T))


@functools.partial(jax.jit, static_argnums=0)
def _pointwise(function: Pointwise, K: Array, T: Array | None) -> tuple[Array, Array | None]:
    K, slope = function(K, *_variances(K))
    return K, None if T is None else T * slope


def _repeated(period: list[int], K: Array) -> Array:
    """The same rows, written down for more phases."""
    repeats = [wanted // m for wanted, m in zip(period, K.shape, strict=False)]
    return jnp.tile(K, (*repeats, *(1,) * (K.ndim - len(period))))


def _variances(K: Array) -> tuple[Array, Array]:
    """Of both pixels of every pair, to broadcast against ``K``."""
    axes = K.ndim // 2
    d = K[(slice(None),) * axes + (0,) * axes]
    others = []
    for axis, (m, n) in enumerate(zip(K.shape[:axes], K.shape[axes:], strict=True)):
        sizes = [1] * K.ndim
        sizes[axis], sizes[axis + axes] = (m, n) if m > 1 else (1, 1)
        phase = (np.arange(m)[:, None] + np.arange(n)) % m if m > 1 else np.zeros(1)
        others.append(phase.reshape(sizes).astype(np.int32))
    second = d[tuple(others)]
    return d.reshape(*d.shape, *(1,) * axes), second


@functools.partial(jax.jit, static_argnums=0)
def _average(layer: layers.Conv, K: Array) -> Array:
    """Mean along the pair diagonal: both pixels move alike, so only their phase changes."""
    axes, size, stride = K.ndim // 2, layer.kernel_size, layer.stride
    divisor = 1
    for axis in range(axes):
        m, n = K.shape[axis], K.shape[axis + axes]
        K = jax.lax.slice_in_dim(K, 0, n, stride, axis + axes)
        before = layers.same_padding(n, size, stride)[0]
        made = np.arange(math.lcm(m, stride) // stride)
        if m > 1 and (size, stride) != (1, 1):
            phases = [(stride * made + step - before) % m for step in range(size)]
            K = functools.reduce(jnp.add, [jnp.take(K, phase, axis) for phase in phases])
            divisor *= size
    return K / divisor if divisor > 1 else K


@functools.partial(jax.jit, static_argnums=(0, 1))
def _resample(layer: layers.Resampling, axis: int, K: Array) -> Array:
    """``L K L^T`` along an axis, with ``L`` the same for every coarse pixel.

    Coarse pixel ``i`` of the result's pixels ``made i + r`` weighs the pixels ``met i + t``.
    """
    if isinstance(layer, layers.AveragePool):
        met, made = layer.size, 1
        weights = resampling_matrix(layer, layer.size)
    else:
        met, made = 1, layer.factor
        weights = resampling_matrix(layer, 2)[:made]
    axes = K.ndim // 2
    m, n = K.shape[axis], K.shape[axis + axes]
    phases = np.arange(math.lcm(m, met) // met * made)[:, None]
    others = (phases + np.arange(n // met * made)) % (n // met * made)
    moved = jnp.moveaxis(K, (axis, axis + axes), (0, 1))
    taps = np.flatnonzero(weights.any(0))
    parts = []
    for t in taps:
        for u in taps:
            first, second = phases // made * met + t, others // made * met + u
            share = weights[phases % made, t] * weights[others % made, u]
            pairs = moved[np.broadcast_to(first % m, others.shape), (second - first) % n]
            share = jnp.asarray(share.reshape(*share.shape, *(1,) * (K.ndim - 2)), K.dtype)
            parts.append(share * pairs)
    return jnp.moveaxis(functools.reduce(jnp.add, parts), (0, 1), (axis, axis + axes))
