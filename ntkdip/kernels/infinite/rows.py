"""Rows of analytic kernels: between a few pixels and all, where no whole kernel fits.

The few pixels' side of every layer's kernel is a set of pixels, walked backwards from the
outputs (`ntkdip.kernels.infinite.reach`) and gathered; the other side is the whole image, in strips
of image rows.  Ours.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from ntkdip.kernels.infinite.analytic import Precision
from ntkdip.kernels.infinite.closed_form import require_closed_form
from ntkdip.kernels.infinite.diagonals import Kind
from ntkdip.kernels.infinite.reach import Pixels, Walked, chunks, mixes, walk
from ntkdip.kernels.infinite.recursion import Pointwise, State, channels_last, total
from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.kernels.infinite.variances import Program, all_variances, diagonal_pairs, pairs_bytes
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.networks import Architecture, layers
from ntkdip.networks.architecture import require_input
from ntkdip.spaces import require_finite

ENTRIES = 2**19
"""Entries of the largest array that is worked on at a time, if one image row fits it."""

TEMPORARIES = 12
"""Such arrays that a step may hold at once."""

PATCH = 64
"""Patches of the input of so many entries are multiplied; longer ones are averaged."""


class Members(NamedTuple):
    """A `Step` on the device: ``codes`` (n,), ``positions`` (T, n), ``weights`` (T, n)."""

    codes: Int[Array, " n"]
    positions: Int[Array, "T n"]
    weights: Float[Array, "T n"]


AnyRows = TypeVar("AnyRows", bound="_Rows")


class _Rows(State):
    """Arrays ``(m, y, x)``: pixels ``rows`` (m,) with the pixels of image rows ``lines`` (y,).

    ``steps`` are those of rows and lines for what is still to come, ``known`` the variances
    of every pixel wherever the chain asks for them, in its order.  ``inputs``: the input
    ``(h, w, c)``, as long as there is no ``K`` yet.
    """

    rows: Int[Array, " m"]
    lines: Int[Array, " y"]
    steps: Iterator[tuple[Members, Members]]
    known: Iterator[Float[Array, " q"]]
    inputs: Float[Array, "h w c"] | None

    def averaged(self: AnyRows, layer: layers.Conv) -> AnyRows:
        if self.inputs is not None:
            rows, lines = next(self.steps)
            K = _patches(layer, self.axes, self.inputs, self.rows, self.lines, rows, lines)
            return self.replace(K=K, rows=rows.codes, lines=lines.codes, inputs=None)
        return self._mixed(layer, functools.partial(_average, layer, self.axes))

    def resampled(self: AnyRows, layer: layers.Resampling) -> AnyRows:
        return self._mixed(layer, functools.partial(_resample, layer, self.axes))

    def _mixed(self: AnyRows, layer: layers.Layer, function: Callable[..., Array]) -> AnyRows:
        if not mixes(layer):
            return self
        rows, lines = next(self.steps)
        K = function(rows, lines, self.K)
        T = None if self.T is None else function(rows, lines, self.T)
        return self.replace(K=K, T=T, rows=rows.codes, lines=lines.codes)

    def scaled(self: AnyRows, gain: float, shift: float) -> AnyRows:
        T = None if self.T is None else gain * self.T
        return self.replace(K=gain * self.K + shift, T=T)

    def pointwise(self: AnyRows, function: Pointwise) -> AnyRows:
        d, width = next(self.known), self.K.shape[2]
        d1, d2 = d[self.rows][:, None, None], d.reshape(-1, width)[self.lines][None]
        pixels = self.lines[None, :, None] * width + jnp.arange(width, dtype=jnp.int32)[None, None]
        # Exactly a pixel's variance where it meets itself: near a correlation of 1 an angle
        # would magnify the last place to half the digits.
        K = jnp.where(self.rows[:, None, None] == pixels, d1, self.K)
        K, slope = function(K, d1, d2)
        return self.replace(K=K, T=None if self.T is None else self.T * slope)

    def plus(self: AnyRows, other: AnyRows) -> AnyRows:
        rows, lines = next(self.steps)
        ends = [
            [None if M is None else _taken(M, rows, lines, end, end) for M in (branch.K, branch.T)]
            for end, branch in enumerate((self, other))
        ]
        K, T = (total(one, two) for one, two in zip(*ends, strict=True))
        return self.replace(K=K, T=T, rows=rows.codes, lines=lines.codes)


def _taken(K: Array, rows: Members, lines: Members, t: int, u: int) -> Array:
    """What ``K`` holds at one of the places of every row and every line."""
    at = K.at[rows.positions[t][:, None], lines.positions[u][None]]
    return at.get(mode="promise_in_bounds")


def _average(layer: layers.Conv, axes: int, rows: Members, lines: Members, K: Array) -> Array:
    """Mean along the pair diagonal over the kernel's offsets."""
    padded, shifts = _padded(layer, K, 2)

    def shifted(t: int) -> Array:
        u, x = divmod(t, layer.kernel_size)
        moved = _taken(padded, rows, lines, t, u)[:, :, shifts[x]]
        if layer.padding != "zero":
            return moved
        return moved * (rows.weights[t][:, None] * lines.weights[u][None])[:, :, None]

    offsets = range(layer.kernel_size**axes)
    return functools.reduce(operator.add, map(shifted, offsets)) / len(offsets)


def _patches(
    layer: layers.Conv,
    axes: int,
    z: Array,
    ours: Array,
    theirs: Array,
    rows: Members,
    lines: Members,
) -> Array:
    """The same of the input's covariances, which are products: one of whole patches."""
    pixels = z.reshape(-1, z.shape[-1])[ours]
    padded, shifts = _padded(layer, z[theirs], 1)
    left, right = [], []
    for t in range(layer.kernel_size**axes):
        u, x = divmod(t, layer.kernel_size)
        left.append(pixels[rows.positions[t]] * rows.weights[t][:, None])
        right.append(padded[lines.positions[u]][:, shifts[x]] * lines.weights[u][:, None, None])
    one, two = jnp.concatenate(left, 1), jnp.concatenate(right, 2)
    return jnp.einsum("mc,yxc->myx", one, two, precision="highest") / one.shape[1]


def _padded(layer: layers.Conv, K: Array, axis: int) -> tuple[Array, list[slice]]:
    """``K`` with the image's columns padded, and what every offset takes of them."""
    size, stride, width = layer.kernel_size, layer.stride, K.shape[axis]
    pads = [(0, 0)] * K.ndim
    pads[axis] = layers.same_padding(width, size, stride)
    mode = {"zero": "constant", "circular": "wrap", "reflect": "reflect"}[layer.padding]
    # Materialised: fused with what follows, every entry would be made once an offset.
    padded = jax.lax.optimization_barrier(jnp.pad(K, pads, mode=mode))
    last = stride * (-(-width // stride) - 1) + 1
    return padded, [slice(x, x + last, stride) for x in range(size)]


def _resample(
    layer: layers.Resampling, axes: int, rows: Members, lines: Members, K: Array
) -> Array:
    K = jax.lax.optimization_barrier(K)
    pairs = zip(rows.positions, rows.weights, strict=True)
    K = functools.reduce(operator.add, [K[at] * share[:, None, None] for at, share in pairs])
    if axes == 2:
        K = jax.lax.optimization_barrier(K)
        pairs = zip(lines.positions, lines.weights, strict=True)
        terms = [K[:, at] * share[None, :, None] for at, share in pairs]
        K = functools.reduce(operator.add, terms)
    matrix = jnp.asarray(resampling_matrix(layer, K.shape[2]), K.dtype)
    return jnp.tensordot(K, matrix, (2, 1), precision="highest")


@functools.partial(jax.jit, static_argnums=0)
def _run(
    program: Program,
    z: Float[Array, "h w c"],
    start: Int[Array, " m0"],
    steps: list[Members],
    strips: tuple[Array, list[Members]],
    known: list[Array],
) -> Float[Array, "strips m y x"]:
    def strip(part: tuple[Array, list[Members]]) -> Array:
        state = _Rows()
        state.rows, (state.lines, lines) = start, part
        state.steps, state.known = zip(steps, lines, strict=True), iter(known)
        state.inputs = z
        if not _by_patches(program.chain, program.axes, z.shape[-1]):
            ours = z.reshape(-1, z.shape[-1])[start]
            K = jnp.einsum("mc,yxc->myx", ours, z[state.lines], precision="highest")
            state.K, state.inputs = K / z.shape[-1], None
        return program.run(state)

    # In one program, so that all strips use the same memory; no convolution is in it.
    return jax.lax.map(strip, strips)


def _by_patches(chain: tuple[layers.Layer, ...], axes: int, channels: int) -> bool:
    first = chain[0]
    if mixes(first) and isinstance(first, layers.Conv):
        return channels * first.kernel_size**axes <= PATCH
    return False


def kernel_rows(
    net: Architecture,
    z: Any,
    *,
    kind: Kind = "ntk",
    precision: Precision = "float64",
    together: int = 64,
    memory_limit: int | None = None,
) -> KernelRows:
    """The NTK (or NNGP) of an infinitely wide network, ready to be asked for rows.

    Parameters
    ----------
    net, z, kind, precision
        As for `ntkdip.kernels.analytic`.
    together
        Rows computed at once, at most; fewer where they would not fit a cache.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.

    Returns
    -------
    `KernelRows` of one output channel.

    Raises
    ------
    NoClosedFormError
        If a layer has none.
    ValueError
        If the input does not fit or is not finite.
    MemoryError
        If one row does not fit.

    Notes
    -----
    Cost: the variances of all pixels at every layer, exactly: O(q) a layer without
    resampling, which asks for covariances of neighbours too.
    """
    layers.require_one_of(Kind, kind=kind)
    layers.require_one_of(Precision, precision=precision)
    layers.require_at_least(1, together=together)
    require_closed_form(net)
    require_finite(z, "network input")
    limit = allowed_bytes(memory_limit, jax.devices())
    with jax.enable_x64(precision == "float64"):
        x = channels_last(np.asarray(z), np.dtype(precision))
        require_input(x)
        layers.output_shape(net.layers, x.shape[:-1])
        return KernelRows(net, x, kind, together, limit)


class KernelRows:
    """Rows of an analytic kernel, computed when they are asked for.

    Built by `kernel_rows`.  ``shape``: of the image; ``size``: its pixels ``q``;
    ``together``: rows that are computed at a time; ``diagonal`` ``(q,)``: the kernel of every
    pixel with itself, float64.
    """

    def __init__(self, net: Architecture, z: Array, kind: Kind, together: int, limit: int) -> None:
        self._inputs = z.shape[:-1]
        self.shape = layers.output_shape(net.layers, self._inputs)
        self.size = math.prod(self.shape)
        ntk = net.parameterisation == "ntk"
        self._program = Program(net.layers, z.shape[-1], ntk, z.ndim - 1, kind)
        self._z = z if z.ndim == 3 else z[None]
        itemsize = z.dtype.itemsize
        skipped = int(_by_patches(net.layers, z.ndim - 1, z.shape[-1]))
        most = min(ENTRIES, limit // (2 * TEMPORARIES * itemsize))
        plan = chunks(net.layers, self._inputs, together, most, skipped)
        pairs = diagonal_pairs(net.layers, self._inputs)
        self.together, self._sizes = plan.together, plan.sizes
        rows = TEMPORARIES * itemsize * plan.entries + 8 * self.together * self.size
        require_memory(
            rows + pairs_bytes(pairs, itemsize),
            f"{self.together} rows of the analytic kernel of {net.name} on {self.shape} pixels",
            limit,
        )
        sizes = [max(sizes) for sizes in zip(*(strip.sizes for strip in plan.strips), strict=True)]
        strips = [_on_device(strip, sizes, z.dtype) for strip in plan.strips]
        self._strips = jax.tree.map(lambda *parts: jnp.stack(parts), *strips)
        self._known, self.diagonal = all_variances(self._program, z, pairs)

    def __call__(self, pixels: Int[np.ndarray, " m"]) -> Float64[np.ndarray, "m q"]:
        """Rows of the kernel.

        Parameters
        ----------
        pixels
            Flat indices of output pixels, from 0 to ``size - 1``.

        Returns
        -------
        ``(m, size)``, float64.

        Raises
        ------
        ValueError
            If a pixel is none of the image's.

        Notes
        -----
        Cost: a layer at which an output pixel depends on ``m`` pixels takes ``O(m q)``.
        """
        if pixels.size and not 0 <= pixels.min() <= pixels.max() < self.size:
            raise ValueError(
                f"pixels are flat indices from 0 to {self.size - 1}; got {pixels.min()} to "
                f"{pixels.max()}"
            )
        found = np.empty((pixels.size, self.size))
        wanted, where = np.unique(pixels, return_inverse=True)
        for first in range(0, wanted.size, self.together):
            chunk = wanted[first : first + self.together]
            there = (where >= first) & (where < first + chunk.size)
            found[there] = self._rows(chunk)[where[there] - first]
        return found

    def _rows(self, pixels: np.ndarray) -> np.ndarray:
        """Rows of ``together`` pixels or fewer, rising."""
        with jax.enable_x64(self._z.dtype == np.float64):
            walked = walk(self._program.chain, self._inputs, pixels, Pixels())
            start, steps = _on_device(walked, self._sizes, self._z.dtype)
            strips = _run(self._program, self._z, start, steps, self._strips, self._known)
            rows = np.moveaxis(np.asarray(strips), 1, 0)
        # The last strip may be padded, at its end.
        return rows.reshape(len(rows), -1)[: pixels.size, : self.size]


def _on_device(walked: Walked, sizes: list[int], dtype: np.dtype) -> tuple[Array, list[Members]]:
    """The start's codes and the steps, padded to ``sizes`` by repeating the last member."""

    def padded(values: np.ndarray, size: int, dtype: Any = np.int32) -> Array:
        widths = [(0, 0)] * (values.ndim - 1) + [(0, size - values.shape[-1])]
        return jnp.asarray(np.pad(values, widths, mode="edge").astype(dtype))

    steps = [
        Members(padded(s.codes, size), padded(s.positions, size), padded(s.weights, size, dtype))
        for s, size in zip(walked.steps, sizes[1:], strict=True)
    ]
    return padded(walked.start, sizes[0]), steps
