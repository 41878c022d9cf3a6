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
from typing import Literal, NamedTuple, Self

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
    others = z[(jnp.arange(h)[None] + offsets[:, None]) % h]
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


@functools.partial(jax.jit, static_argnums=0)
def _variances(program: Program, K: Array, T: Array | None) -> list[Array]:
    """Variance ``(h, w)`` of every pixel wherever the chain asks for it, in its order."""
    walk = _Walk(jnp.zeros(1, jnp.int32), None, [])
    run_chain(program.chain, _start(program, walk, K, T))
    return walk.found


@functools.partial(jax.jit, static_argnums=0)
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
            d = self.found[-1]
        else:
            d = next(self.known)
        h = d.shape[0]
        others = d[(jnp.arange(h)[None] + self.offsets[:, None]) % h]
        return d[None, :, :, None], others[:, :, None, :]


class _Diagonals(State):
    """Arrays ``(B, h, w, w)``: pixels ``(y, x)`` and ``(y + dy mod h, x')`` for ``B`` offsets."""

    walk: _Walk

    def averaged(self, layer: layers.Conv) -> Self:
        average = functools.partial(_average, layer, self.axes, self.walk.offsets)
        return self.replace(K=average(self.K), T=None if self.T is None else average(self.T))

    def resampled(self, layer: layers.Resampling) -> Self:
        raise TypeError(f"{layer} mixes offsets")

    def scaled(self, gain: float, shift: float) -> Self:
        T = None if self.T is None else gain * self.T
        return self.replace(K=gain * self.K + shift, T=T)

    def pointwise(self, function: Pointwise) -> Self:
        K, slope = function(self.K, *self.walk.variances(self.K))
        return self.replace(K=K, T=None if self.T is None else self.T * slope)

    def plus(self, other: Self) -> Self:
        return self.replace(K=self.K + other.K, T=total(self.T, other.T))


def _start(program: Program, walk: _Walk, K: Array, T: Array | None) -> _Diagonals:
    state = _Diagonals()
    state.K, state.T, state.walk = K, T, walk
    state.channels, state.ntk, state.axes = program.channels, program.ntk, program.axes
    return state


def _average(
    layer: layers.Conv, axes: int, offsets: Int[Array, " B"], K: Float[Array, "B h w w"]
) -> Float[Array, "B h w w"]:
    """Mean along the pair diagonal over the kernel's offsets, rows first."""
    size = layer.kernel_size
    if size == 1:
        return K
    before = layers.same_padding(K.shape[1], size, 1)[0]
    steps = range(-before, size - before)
    K = functools.reduce(operator.add, [_rows_moved(layer, K, offsets, step) for step in steps])
    if axes == 2:
        # Materialised: fused with what follows, every entry would be padded nine times.
        pads = [(0, 0), (0, 0), *[layers.same_padding(K.shape[2], size, 1)] * 2]
        mode = {"zero": "constant", "circular": "wrap"}[layer.padding]
        padded = jax.lax.optimization_barrier(jnp.pad(K, pads, mode=mode))
        w = K.shape[2]
        moved = [padded[:, :, i : i + w, i : i + w] for i in range(size)]
        K = functools.reduce(operator.add, moved)
    return jax.lax.optimization_barrier(K / size**axes)


def _rows_moved(layer: layers.Conv, K: Array, offsets: Array, step: int) -> Array:
    """``K`` of the rows ``(y + step, y' + step)``; with zero padding nothing from outside."""
    if step == 0:
        return K
    moved = jnp.roll(K, -step, axis=1)
    if layer.padding == "circular":
        return moved
    h = K.shape[1]
    y = jnp.arange(h)[None]
    other = (y + offsets[:, None]) % h
    inside = (y + step >= 0) & (y + step < h) & (other + step >= 0) & (other + step < h)
    return jnp.where(inside[:, :, None, None], moved, 0)
