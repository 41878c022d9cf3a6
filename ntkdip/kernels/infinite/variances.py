"""Variances of all pixels at every layer, and the diagonal of a kernel, without the kernel.

A convolution makes variances of variances.  A resampling also needs covariances of
neighbours: those pairs of pixels on which the result depends are walked backwards from it
(`ntkdip.kernels.infinite.reach`) and computed, exactly, and no others.  Ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from ntkdip.kernels.infinite.diagonals import Kind
from ntkdip.kernels.infinite.reach import Pairs, Shape, Step, Walked, mixes, walk
from ntkdip.kernels.infinite.recursion import Pointwise, State, run_chain, total
from ntkdip.networks import layers

CHUNK = 2**16
"""Covariances of input pixels that are computed at a time."""


class Program(NamedTuple):
    """What is compiled: the layers, channels and spatial axes of the input, what is asked."""

    chain: tuple[layers.Layer, ...]
    channels: int
    ntk: bool
    axes: int
    kind: Kind

    def run(self, state: State) -> Array:
        """The kernel asked for, from a state that has its layout and covariances."""
        state.T, state.channels = None, self.channels
        state.ntk, state.axes = self.ntk, self.axes
        end = run_chain(self.chain, state)
        if self.kind == "nngp":
            return end.K
        return jnp.zeros_like(end.K) if end.T is None else end.T


class _Meetings(NamedTuple):
    """Where in a set of pairs either pixel meets itself (P,), and where every pixel does (q,)."""

    first: Int[Array, " P"]
    second: Int[Array, " P"]
    diagonal: Int[Array, " q"]


class _Mixing(NamedTuple):
    """A `Step` on the device, and the meetings after it."""

    positions: Int[Array, "T P"]
    weights: Float[Array, "T P"]
    meetings: _Meetings


AnyPairs = TypeVar("AnyPairs", bound="_Pairs")


class _Pairs(State):
    """Arrays ``(P,)``: pairs of pixels; ``steps`` are still to come, ``found`` the variances."""

    meetings: _Meetings
    steps: Iterator[_Mixing]
    found: list[Array]

    def averaged(self: AnyPairs, layer: layers.Conv) -> AnyPairs:
        return self._mixed(layer, layer.kernel_size**self.axes)

    def resampled(self: AnyPairs, layer: layers.Resampling) -> AnyPairs:
        return self._mixed(layer, 1)

    def _mixed(self: AnyPairs, layer: layers.Layer, divisor: int) -> AnyPairs:
        if not mixes(layer):
            return self
        positions, weights, meetings = next(self.steps)

        def mixed(K: Array) -> Array:
            taken = K.at[positions].get(mode="promise_in_bounds")
            return jnp.sum(taken * weights, 0) / divisor

        T = None if self.T is None else mixed(self.T)
        return self.replace(K=mixed(self.K), T=T, meetings=meetings)

    def scaled(self: AnyPairs, gain: float, shift: float) -> AnyPairs:
        T = None if self.T is None else gain * self.T
        return self.replace(K=gain * self.K + shift, T=T)

    def pointwise(self: AnyPairs, function: Pointwise) -> AnyPairs:
        first, second, diagonal = self.meetings
        self.found.append(self.K[diagonal])
        K, slope = function(self.K, self.K[first], self.K[second])
        return self.replace(K=K, T=None if self.T is None else self.T * slope)

    def plus(self: AnyPairs, other: AnyPairs) -> AnyPairs:
        (one, two), _, meetings = next(self.steps)
        T = total(*(T if T is None else T[at] for T, at in ((self.T, one), (other.T, two))))
        return self.replace(K=self.K[one] + other.K[two], T=T, meetings=meetings)


def diagonal_pairs(chain: tuple[layers.Layer, ...], shape: Shape) -> Walked:
    """Pairs of pixels on which the kernel of every output pixel with itself depends."""
    q = math.prod(layers.output_shape(chain, shape))
    return walk(chain, shape, np.arange(q) * (q + 1), Pairs())


def pairs_bytes(pairs: Walked, itemsize: int) -> int:
    """Bytes that `all_variances` takes for them."""
    entries = pairs.start.size + sum(step.positions.size for step in pairs.steps)
    return (2 * itemsize + 12) * entries


def all_variances(
    program: Program, z: Float[Array, "*pixels c"], pairs: Walked
) -> tuple[list[Array], Float64[np.ndarray, " q"]]:
    """Variances of every pixel wherever the chain asks for them, in its order, flat and on
    the device; and the kernel's diagonal."""
    values = np.asarray(z).reshape(-1, z.shape[-1])
    first, second = divmod(pairs.start, len(values))
    K = np.empty(first.size, values.dtype)
    for a in range(0, first.size, CHUNK):
        ours, theirs = values[first[a : a + CHUNK]], values[second[a : a + CHUNK]]
        K[a : a + CHUNK] = np.einsum("pc,pc->p", ours, theirs) / z.shape[-1]
    start = _meetings(pairs.start, z.shape[:-1])
    steps = [_mixing(step, z.dtype) for step in pairs.steps]
    found, diagonal = _run(program, jnp.asarray(K), start, steps)
    return found, np.asarray(diagonal).astype(np.float64)


@functools.partial(jax.jit, static_argnums=0)
def _run(
    program: Program, K: Array, start: _Meetings, steps: list[_Mixing]
) -> tuple[list[Array], Array]:
    state = _Pairs()
    state.K, state.meetings, state.steps, state.found = K, start, iter(steps), []
    result = program.run(state)
    last = steps[-1].meetings if steps else start
    return state.found, result[last.diagonal]


def _mixing(step: Step, dtype: np.dtype) -> _Mixing:
    positions = jnp.asarray(step.positions.astype(np.int32))
    return _Mixing(
        positions, jnp.asarray(step.weights.astype(dtype)), _meetings(step.codes, step.shape)
    )


def _meetings(codes: np.ndarray, shape: Shape) -> _Meetings:
    q = math.prod(shape)
    diagonal = np.searchsorted(codes, np.arange(q) * (q + 1))
    places = (*(diagonal[pixel] for pixel in divmod(codes, q)), diagonal)
    return _Meetings(*(jnp.asarray(v.astype(np.int32)) for v in places))
