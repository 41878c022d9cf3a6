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

from ntkdip.kernels.infinite.reach import axis_sources
from ntkdip.kernels.infinite.recursion import Pointwise, State, run_chain, total
from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.networks import layers
from ntkdip.progress import track

Kind = Literal["ntk", "nngp"]

ENTRIES = 2**15
"""Entries of the arrays that are worked on at a time: a dozen fit a second-level cache."""

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
    together = max(1, ENTRIES // (h * w * w))
    offsets = np.arange(h // 2 + 1, dtype=np.int32)
    chunks = [offsets[i : i + together] for i in range(0, len(offsets), together)]
    variances: list[Array] | None = None
    square = out.reshape(h, w, h, w)

    def results() -> Iterator[tuple[np.ndarray, Array]]:
        nonlocal variances
        for chunk in chunks:
            # One size for all chunks, so that one program is compiled.
            padded = jnp.asarray(np.resize(chunk, together))
            K, T = source(padded)
            blocks, variances = _run(program, K, T, padded, variances)
            yield chunk, blocks

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


def whole_source(K: Float[Array, "h w h w"], T: Float[Array, "h w h w"] | None) -> Source:
    """Blocks of kernels that are there as a whole."""
    K, T = _by_rows(K), None if T is None else _by_rows(T)
    return lambda offsets: (_pairs(K, offsets), None if T is None else _pairs(T, offsets))


def resampled_source(
    layer: layers.Resampling,
    axes: int,
    K: Float[Array, "h w h w"],
    T: Float[Array, "h w h w"] | None,
) -> Source:
    """Blocks of kernels after a resampling, from those before it as a whole."""
    h, w = K.shape[:2]
    pixels, shares = (M.T for M in axis_sources(layer, h))
    along_columns = resampling_matrix(layer, w) if axes == 2 else np.eye(w)
    constants = jnp.asarray(pixels), *(jnp.asarray(M, K.dtype) for M in (shares, along_columns))
    K, T = _by_rows(K), None if T is None else _by_rows(T)

    def pairs(offsets: Array) -> tuple[Array, Array | None]:
        made = None if T is None else _resampled_pairs(T, offsets, *constants)
        return _resampled_pairs(K, offsets, *constants), made

    return pairs


def _by_rows(M: Float[Array, "h w h w"]) -> Float[Array, "h h w w"]:
    """A block of pairs of columns for every pair of rows."""
    return M.transpose(0, 2, 1, 3)


@jax.jit
def _pairs(M: Float[Array, "h h w w"], offsets: Int[Array, " B"]) -> Float[Array, "B h w w"]:
    h = M.shape[0]
    return M[jnp.arange(h, dtype=offsets.dtype)[None], _others(h, offsets)]


@jax.jit
def _resampled_pairs(
    M: Float[Array, "h h w w"],
    offsets: Int[Array, " B"],
    pixels: Int[Array, "H m"],
    shares: Float[Array, "H m"],
    along_columns: Float[Array, "W w"],
) -> Float[Array, "B H W W"]:
    others = _others(len(pixels), offsets)
    # Few: one or two rows make a row of an upsampled image.
    terms = [
        (shares[:, a][None] * shares[others, b])[:, :, None, None]
        * M[pixels[:, a][None], pixels[others, b]]
        for a in range(pixels.shape[1])
        for b in range(pixels.shape[1])
    ]
    blocks = functools.reduce(operator.add, terms)
    return jnp.einsum("Ww,bhwv,Vv->bhWV", along_columns, blocks, along_columns, precision="highest")


def _run(
    program: Program,
    K: Array,
    T: Array | None,
    offsets: Int[Array, " B"],
    variances: list[Array] | None,
) -> tuple[Float[Array, "B h w w"], list[Array]]:
    """Kernel of some offsets, and the variances ``(h, w)`` that the chain asked for.

    They are found with the first offset, which must then be 0: pixels meet themselves.
    """
    state = _Diagonals()
    state.K, state.T, state.pending = K, None, None
    if program.kind == "ntk":
        # Zeros cost less than one more program for the layers before there is an NTK.
        state.T = jnp.zeros_like(K) if T is None else T
    state.walk = _Walk(offsets, None if variances is None else iter(variances), [])
    state.channels, state.ntk, state.axes = program.channels, program.ntk, program.axes
    state.tangent = program.kind == "ntk"
    state = run_chain(program.chain, state).settled()
    if program.kind == "nngp":
        return state.K, state.walk.used
    return jnp.zeros_like(state.K) if state.T is None else state.T, state.walk.used


@dataclasses.dataclass
class _Walk:
    """One run through the chain: its offsets, and the variances known before and used."""

    offsets: Array
    known: Iterator[Array] | None
    used: list[Array]


def _others(h: int, offsets: Int[Array, " B"]) -> Int[Array, "B h"]:
    """Row ``y + dy mod h`` for every offset and row."""
    return (jnp.arange(h, dtype=offsets.dtype)[None] + offsets[:, None]) % h


AnyDiagonals = TypeVar("AnyDiagonals", bound="_Diagonals")


class _Diagonals(State):
    """Arrays ``(B, h, w, w)``: pixels ``(y, x)`` and ``(y + dy mod h, x')`` for ``B`` offsets.

    A convolution waits for what follows it, so that both are one program, compiled once and
    used wherever the chain has them.  A program of the whole chain is no faster and takes
    seconds to compile.
    """

    walk: _Walk
    pending: tuple[_Form, list[Array]] | None
    tangent: bool

    def convolved(
        self: AnyDiagonals, layer: layers.Conv, weights: float, biases: float
    ) -> AnyDiagonals:
        state = self.settled()
        factors = (layer.gain, layer.bias_variance, weights, biases)
        scalars = [jnp.asarray(f, state.K.dtype) for f in factors]
        trained = layer.trained and self.tangent
        form = _Form(layer.kernel_size, layer.padding == "zero", self.axes, trained)
        return state.replace(pending=(form, scalars))

    def pointwise(self: AnyDiagonals, function: Pointwise) -> AnyDiagonals:
        walk = self.walk
        known = None if walk.known is None else next(walk.known)
        state, d = self._stepped(function, known)
        walk.used.append(d)
        return state

    def settled(self: AnyDiagonals) -> AnyDiagonals:
        """The same with nothing waiting."""
        return self if self.pending is None else self._stepped(None, None)[0]

    def _stepped(
        self: AnyDiagonals, function: Pointwise | None, known: Array | None
    ) -> tuple[AnyDiagonals, Array]:
        form, scalars = self.pending or (None, [])
        first = jnp.asarray(known is None)
        if known is None:
            known = jnp.zeros(self.K.shape[1:3], self.K.dtype)
        K, T, d = _step(form, function, self.K, self.T, self.walk.offsets, scalars, known, first)
        return self.replace(K=K, T=T, pending=None), d

    def plus(self: AnyDiagonals, other: AnyDiagonals) -> AnyDiagonals:
        one, two = self.settled(), other.settled()
        return one.replace(K=one.K + two.K, T=total(one.T, two.T))

    def averaged(self: AnyDiagonals, layer: layers.Conv) -> AnyDiagonals:
        raise TypeError("averaged and scaled at once: see convolved")

    def scaled(self: AnyDiagonals, gain: float, shift: float) -> AnyDiagonals:
        raise TypeError("averaged and scaled at once: see convolved")

    def resampled(self: AnyDiagonals, layer: layers.Resampling) -> AnyDiagonals:
        raise TypeError(f"{layer} mixes offsets")


class _Form(NamedTuple):
    """What of a convolution decides the program: the rest are its arguments."""

    size: int
    zero: bool
    axes: int
    trained: bool


@functools.partial(jax.jit, static_argnums=(0, 1))
def _step(
    form: _Form | None,
    function: Pointwise | None,
    K: Array,
    T: Array | None,
    offsets: Int[Array, " B"],
    scalars: list[Array],
    known: Float[Array, "h w"],
    first: Array,
) -> tuple[Array, Array | None, Array]:
    """A convolution, what follows it entry by entry, or both; and the variances between.

    They are those ``known``, except the ``first`` time.
    """
    if form is not None:
        gain, shift, weights, biases = scalars
        K = _average(form, offsets, K)
        T = None if T is None else gain * _average(form, offsets, T)
        if form.trained:
            T = total(T, weights * K + biases)
        K = gain * K + shift
    if function is None:
        return K, T, known
    d = jnp.where(first, jnp.diagonal(K[0], axis1=1, axis2=2), known)
    others = d[_others(d.shape[0], offsets)]
    K, slope = function(K, d[None, :, :, None], others[:, :, None, :])
    return K, None if T is None else T * slope, d


materialised = jax.lax.optimization_barrier
"""Computed once: XLA would fuse it with its uses, and do the work anew for each of them."""


def _average(
    form: _Form, offsets: Int[Array, " B"], K: Float[Array, "B h w w"]
) -> Float[Array, "B h w w"]:
    """Mean along the pair diagonal over the kernel's offsets, rows first.

    Zero padding is wrapping around, times 0 where that left the image: XLA's own padding,
    fused with an activation, becomes a branch for every entry on CPU, five times slower.
    """
    size = form.size
    if size == 1:
        return K
    _, h, w, _ = K.shape
    before, after = layers.same_padding(h, size, 1)
    steps = range(-before, after + 1)
    y = jnp.arange(h, dtype=offsets.dtype)[None]
    K = _sum(
        [jnp.roll(K, -step, axis=1) for step in steps],
        [_inside(y, _others(h, offsets), step, K.dtype)[:, :, None, None] for step in steps],
        form.zero,
    )
    if form.axes == 2:
        pads = [(0, 0), (0, 0), (before, after), (before, after)]
        padded = materialised(jnp.pad(K, pads, mode="wrap"))
        x = jnp.arange(w)
        K = _sum(
            [padded[:, :, i : i + w, i : i + w] for i in range(size)],
            [_inside(x[:, None], x[None], step, K.dtype)[None, None] for step in steps],
            form.zero,
        )
    return materialised(K / size**form.axes)


def _sum(moved: list[Array], inside: list[Array], zero: bool) -> Array:
    terms = [m * i for m, i in zip(moved, inside, strict=True)] if zero else moved
    return functools.reduce(operator.add, terms)


def _inside(here: Array, there: Array, step: int, dtype: Any) -> Array:
    """1 where both pixels of a pair, moved by ``step``, are in the image; else 0."""
    n = max(here.shape)
    least, most = jnp.minimum(here, there) + step, jnp.maximum(here, there) + step
    return materialised(((least >= 0) & (most < n)).astype(dtype))
