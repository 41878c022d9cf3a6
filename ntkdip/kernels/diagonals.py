"""Analytic kernels by diagonals: what the recursion never mixes is computed apart.

Layers that act on every pixel alike (convolutions of stride 1 with zero or circular padding,
activations, layer normalisation, sums of such) never mix pairs of image rows ``(y, y + dy)``
with different offsets ``dy``.  So the whole network is run for a few ``dy`` at a time, on
arrays that stay in the processor's cache, and of every ``W`` only the result is ever in
memory.  ``dy`` and ``-dy`` are each other's transpose: one of them is computed.  Ours.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ntkdip.kernels.recursion import Pointwise, State, run_chain, total
from ntkdip.networks import layers
from ntkdip.progress import track

Kind = Literal["ntk", "nngp"]

ENTRIES = 2**18
"""Entries of the arrays that are worked on at a time: a few of them fit a second-level cache."""

TEMPORARIES = 12
"""Such arrays that a step may hold at once."""


def is_local(layer: layers.Layer) -> bool:
    """Whether a layer leaves offsets between image rows as they are."""
    match layer:
        case layers.Conv():
            return layer.stride == 1 and layer.padding != "reflect"
        case layers.Residual():
            return all(map(is_local, (*layer.body, *layer.shortcut)))
        case layers.Upsample() | layers.AveragePool():
            return False
    return True


class Program(NamedTuple):
    """What runs: the layers, what they start from, and the shape of the image.

    ``shape`` is ``(rows, columns)``; a 1D image is a column.  ``axes``: spatial axes.
    """

    chain: tuple[layers.Layer, ...]
    shape: tuple[int, int]
    channels: int
    ntk: bool
    axes: int
    kind: Kind


Source = Callable[[Array], tuple[Array, Array | None]]
"""From offsets ``(B,)`` to covariance and NTK ``(B, h, w, w)`` of pixels ``(y, x)`` and
``(y + dy mod h, x')``."""


def by_diagonals(program: Program, source: Source, out: np.ndarray, name: str) -> None:
    """Fill ``out`` (q, q) with the kernel, exactly symmetric."""
    h, w = program.shape
    start = source(jnp.zeros(1, jnp.int32))
    variances = _variances(program, *start)
    together = max(1, ENTRIES // (h * w * w))
    offsets = np.arange(h // 2 + 1, dtype=np.int32)
    chunks = [offsets[i : i + together] for i in range(0, len(offsets), together)]
    square = out.reshape(h, w, h, w)

    def results() -> Iterator[tuple[np.ndarray, Array]]:
        for chunk in chunks:
            # One size for all chunks, so that one program is compiled.
            padded = jnp.asarray(np.resize(chunk, together))
            yield chunk, _run(program, *source(padded), padded, variances)

    # One step ahead, so that the device computes while the host copies.
    ahead = itertools.chain(results(), [None])
    last = next(ahead)
    for following in track(ahead, f"{name}: kernel", total=len(chunks)):
        assert last is not None
        _place(square, *last)
        last = following


def _place(square: np.ndarray, offsets: np.ndarray, blocks: Array) -> None:
    """Copy blocks to where they belong, and their transposes."""
    h = square.shape[0]
    for dy, block in zip(offsets, np.asarray(blocks), strict=False):
        # Half way round, the second half of the rows meets the same pairs again.
        rows = np.arange(h // 2 if 2 * dy == h else h)
        others = (rows + dy) % h
        part = block[rows]
        if dy == 0:
            part = (part + part.transpose(0, 2, 1)) / 2
        square[rows, :, others, :] = part
        square[others, :, rows, :] = part.transpose(0, 2, 1)


def step_bytes(shape: tuple[int, int], itemsize: int) -> int:
    """Bytes of one step."""
    h, w = shape
    return TEMPORARIES * itemsize * max(ENTRIES, h * w * w)


def input_source(z: Float[Array, "h w c"]) -> Source:
    """Covariances of the input, ``K^0 = z z^T / c``."""
    return functools.partial(_input_pairs, z)


@jax.jit
def _input_pairs(z: Float[Array, "h w c"], offsets: Int[Array, " B"]) -> tuple[Array, None]:
    h, _, c = z.shape
    others = z[_others(h, offsets)]
    K = jnp.einsum("hwc,bhvc->bhwv", z, others, precision="highest") / c
    return K, None


def whole_source(K: np.ndarray, T: np.ndarray | None) -> Source:
    """Blocks of kernels that are there as a whole, ``(h, w, h, w)``."""

    def pairs(offsets: Array) -> tuple[Array, Array | None]:
        rows = np.arange(K.shape[0])[None]
        others = (rows + np.asarray(offsets)[:, None]) % K.shape[0]
        blocks = [None if M is None else jnp.asarray(M[rows, :, others, :]) for M in (K, T)]
        return blocks[0], blocks[1]  # type: ignore[return-value]

    return pairs


def _variances(program: Program, K: Array, T: Array | None) -> list[Array]:
    """Variance ``(h, w)`` of every pixel wherever the chain asks for it, in its order."""
    walk = _Walk(jnp.zeros(1, jnp.int32), None, [])
    run_chain(program.chain, _start(program, walk, K, T))
    return walk.found


def _run(
    program: Program, K: Array, T: Array | None, offsets: Int[Array, " B"], variances: list[Array]
) -> Float[Array, "B h w w"]:
    walk = _Walk(offsets, iter(variances), [])
    state = run_chain(program.chain, _start(program, walk, K, T))
    if program.kind == "nngp":
        return state.K
    return jnp.zeros_like(state.K) if state.T is None else state.T


@dataclasses.dataclass
class _Walk:
    """One trace through the chain: offsets, and variances, known before or being found."""

    offsets: Array
    known: Iterator[Array] | None
    found: list[Array]

    def variances(self, K: Float[Array, "B h w w"]) -> tuple[Array, Array]:
        """Of both pixels of every pair, to broadcast against ``K``."""
        if self.known is None:
            # The one offset is 0: pixels meet themselves.
            self.found.append(jnp.diagonal(K[0], axis1=1, axis2=2))
        d = self.found[-1] if self.known is None else next(self.known)
        return _both_sides(d, self.offsets)


@jax.jit
def _both_sides(d: Float[Array, "h w"], offsets: Int[Array, " B"]) -> tuple[Array, Array]:
    return d[None, :, :, None], d[_others(d.shape[0], offsets)][:, :, None, :]


def _others(h: int, offsets: Int[Array, " B"]) -> Int[Array, "B h"]:
    """Row ``y + dy mod h`` for every offset and row."""
    return (jnp.arange(h, dtype=offsets.dtype)[None] + offsets[:, None]) % h


AnyDiagonals = TypeVar("AnyDiagonals", bound="_Diagonals")


class _Diagonals(State):
    """Arrays ``(B, h, w, w)``: pixels ``(y, x)`` and ``(y + dy mod h, x')`` for ``B`` offsets.

    One compiled program a kind of layer, used wherever the chain has it: a program of the
    whole chain takes seconds to compile, and XLA fuses across layers in ways that do work
    anew for every use of an entry.
    """

    walk: _Walk

    def convolved(
        self: AnyDiagonals, layer: layers.Conv, weights: float, biases: float
    ) -> AnyDiagonals:
        factors = (layer.gain, layer.bias_variance, weights, biases)
        scalars = [jnp.asarray(f, self.K.dtype) for f in factors]
        form = layer.kernel_size, layer.padding == "zero", self.axes, layer.trained
        K, T = _convolve(form, self.K, self.T, self.walk.offsets, scalars)
        return self.replace(K=K, T=T)

    def averaged(self: AnyDiagonals, layer: layers.Conv) -> AnyDiagonals:
        raise TypeError("averaged and scaled at once: see convolved")

    def scaled(self: AnyDiagonals, gain: float, shift: float) -> AnyDiagonals:
        raise TypeError("averaged and scaled at once: see convolved")

    def resampled(self: AnyDiagonals, layer: layers.Resampling) -> AnyDiagonals:
        raise TypeError(f"{layer} mixes offsets")

    def pointwise(self: AnyDiagonals, function: Pointwise) -> AnyDiagonals:
        K, T = _pointwise(function, self.K, self.T, *self.walk.variances(self.K))
        return self.replace(K=K, T=T)

    def plus(self: AnyDiagonals, other: AnyDiagonals) -> AnyDiagonals:
        return self.replace(K=self.K + other.K, T=total(self.T, other.T))


@functools.partial(jax.jit, static_argnums=0)
def _pointwise(
    function: Pointwise, K: Array, T: Array | None, d1: Array, d2: Array
) -> tuple[Array, Array | None]:
    K, slope = function(K, d1, d2)
    return K, None if T is None else T * slope


@functools.partial(jax.jit, static_argnums=0)
def _convolve(
    form: tuple[int, bool, int, bool],
    K: Array,
    T: Array | None,
    offsets: Int[Array, " B"],
    scalars: list[Array],
) -> tuple[Array, Array | None]:
    size, zero, axes, trained = form
    gain, shift, weights, biases = scalars
    K = _average(size, zero, axes, offsets, K)
    if T is not None:
        T = gain * _average(size, zero, axes, offsets, T)
    if trained:
        T = total(T, weights * K + biases)
    return gain * K + shift, T


def _start(program: Program, walk: _Walk, K: Array, T: Array | None) -> _Diagonals:
    state = _Diagonals()
    state.K, state.T, state.walk = K, T, walk
    state.channels, state.ntk, state.axes = program.channels, program.ntk, program.axes
    return state


materialised = jax.lax.optimization_barrier
"""Computed once: XLA would fuse it with its uses, and do the work anew for each of them."""


def _average(
    size: int, zero: bool, axes: int, offsets: Int[Array, " B"], K: Float[Array, "B h w w"]
) -> Float[Array, "B h w w"]:
    """Mean along the pair diagonal over the kernel's offsets, rows first.

    Zero padding is wrapping around, times 0 where that left the image: XLA's own padding,
    fused with an activation, becomes a branch for every entry on CPU, five times slower.
    """
    if size == 1:
        return K
    _, h, w, _ = K.shape
    before, after = layers.same_padding(h, size, 1)
    steps = range(-before, after + 1)
    y = jnp.arange(h, dtype=offsets.dtype)[None]
    K = _sum(
        [jnp.roll(K, -step, axis=1) for step in steps],
        [_inside(y, _others(h, offsets), step, K.dtype)[:, :, None, None] for step in steps],
        zero,
    )
    if axes == 2:
        pads = [(0, 0), (0, 0), (before, after), (before, after)]
        padded = materialised(jnp.pad(K, pads, mode="wrap"))
        x = jnp.arange(w)
        K = _sum(
            [padded[:, :, i : i + w, i : i + w] for i in range(size)],
            [_inside(x[:, None], x[None], step, K.dtype)[None, None] for step in steps],
            zero,
        )
    return materialised(K / size**axes)


def _sum(moved: list[Array], inside: list[Array], zero: bool) -> Array:
    terms = [m * i for m, i in zip(moved, inside, strict=True)] if zero else moved
    return functools.reduce(operator.add, terms)


def _inside(here: Array, there: Array, step: int, dtype: Any) -> Array:
    """1 where both pixels of a pair, moved by ``step``, are in the image; else 0."""
    n = max(here.shape)
    least, most = jnp.minimum(here, there) + step, jnp.maximum(here, there) + step
    return materialised(((least >= 0) & (most < n)).astype(dtype))
