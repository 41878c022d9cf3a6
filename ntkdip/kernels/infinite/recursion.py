"""Infinite-width NTK and NNGP between all pixels, layer by layer, on whole arrays.

The plain form of the recursion (design page, section 1): jittable, differentiable in the
input, for every layer with a closed form.  `ntkdip.kernels.analytic` computes the same with
less memory and time where it can.
"""

from __future__ import annotations

import abc
import copy
import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkdip.kernels.infinite.activations import dual
from ntkdip.kernels.infinite.closed_form import require_closed_form
from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.networks import Architecture, layers
from ntkdip.networks.architecture import require_input


class PixelKernels(NamedTuple):
    """Kernels between all pixels of two images of one channel, ``(q1, q2)`` each.

    ``nngp``: covariance of the outputs of infinitely wide networks at initialisation.
    ``ntk``: neural tangent kernel.
    """

    nngp: Float[Array, "q1 q2"]
    ntk: Float[Array, "q1 q2"]


def pixel_kernels(net: Architecture, z: Any, z2: Any = None) -> PixelKernels:
    """NNGP and NTK of an infinitely wide network between all pixels of its output.

    Parameters
    ----------
    net
        The architecture.  Its widths matter in the standard parameterisation only, where one
        learning rate gives every layer a share that grows with its fan-in.
    z
        Its input ``(*pixels, channels)``, or a complex image, whose real and imaginary
        part are two channels.
    z2
        A second input with as many channels; the same as ``z`` if None.

    Returns
    -------
    `PixelKernels` of one output channel, in the precision of ``z``.  A second channel (the
    imaginary part of a complex image) has the same kernel and no cross term.

    Raises
    ------
    NoClosedFormError
        If a layer has none.
    ValueError
        If an input does not fit.

    Notes
    -----
    Cost: ``O(q1 q2)`` a layer; about six arrays of ``q1 q2`` entries at its peak, and the
    kernels of either input with itself where there are two.  Pure: use it under `jax.jit`
    (``net`` static), `jax.grad` or `jax.vmap`.  Source: design page, section 1.
    """
    require_closed_form(net)
    z = channels_last(z)
    other = z if z2 is None else channels_last(z2)
    for x in (z, other):
        require_input(x)
        layers.output_shape(net.layers, x.shape[:-1])
    if z.shape[-1] != other.shape[-1] or z.ndim != other.ndim:
        raise ValueError(
            f"two inputs of one network have as many axes and channels; got {z.shape} and "
            f"{other.shape}"
        )
    pair = covariances(z, other)
    selves = None if z2 is None else (covariances(z, z), covariances(other, other))
    start = Whole(pair, selves, z.shape[-1], net.parameterisation == "ntk")
    state = run_chain(net.layers, start)
    ntk = jnp.zeros_like(state.K) if state.T is None else state.T
    axes = z.ndim - 1
    q1, q2 = math.prod(state.K.shape[:axes]), math.prod(state.K.shape[axes:])
    return PixelKernels(state.K.reshape(q1, q2), ntk.reshape(q1, q2))


def channels_last(z: Any, dtype: Any = None) -> Float[Array, "*pixels channels"]:
    """A network input, float32 or float64; a complex image becomes two channels."""
    if jnp.iscomplexobj(z):
        z = jnp.stack([jnp.real(z), jnp.imag(z)], axis=-1)
    z = jnp.asarray(z, dtype)
    if z.dtype.name not in ("float32", "float64"):
        raise ValueError(
            f"a network input is float32 or float64, or a complex image; got {z.dtype}. Convert "
            "it first"
        )
    return z


def covariances(z: Array, other: Array) -> Array:
    """``K^0 = z z^T / c``, shape ``(*pixels, *other pixels)``."""
    return jnp.tensordot(z, other, (-1, -1), precision="highest") / z.shape[-1]


AnyState = TypeVar("AnyState", bound="State")


class State(abc.ABC):
    """Kernels after some layers, in some layout of the pixel pairs.

    ``K`` is the covariance, ``T`` the NTK (None while nothing trained has been met).
    ``channels`` is the number of channels, ``ntk`` the parameterisation, ``axes`` the number
    of spatial axes.
    """

    K: Array
    T: Array | None
    channels: int
    ntk: bool
    axes: int

    @abc.abstractmethod
    def averaged(self: AnyState, layer: layers.Conv) -> AnyState:
        """Every kernel's mean along the pair diagonal, over the offsets of a convolution."""

    @abc.abstractmethod
    def resampled(self: AnyState, layer: layers.Resampling) -> AnyState:
        """Every kernel with pixels mixed by a layer without parameters."""

    @abc.abstractmethod
    def pointwise(self: AnyState, function: Pointwise) -> AnyState:
        """Every entry changed by ``(K, d1, d2) -> (new K, factor of T)``."""

    @abc.abstractmethod
    def scaled(self: AnyState, gain: float, shift: float) -> AnyState:
        """Every covariance times ``gain`` plus ``shift``, and the NTK times ``gain``."""

    @abc.abstractmethod
    def plus(self: AnyState, other: AnyState) -> AnyState:
        """Sum of two uncorrelated branches."""

    def convolved(self: AnyState, layer: layers.Conv, weights: float, biases: float) -> AnyState:
        """After a convolution whose training adds ``weights`` times the averaged covariance,
        and ``biases``, to the NTK."""
        averaged = self.averaged(layer)
        result = averaged.scaled(layer.gain, layer.bias_variance)
        if not layer.trained:
            return result
        return result.replace(T=total(result.T, weights * averaged.K + biases))

    def replace(self: AnyState, **changes: Any) -> AnyState:
        """A copy with some fields changed."""
        changed = copy.copy(self)
        vars(changed).update(changes)
        return changed


Pointwise = Callable[[Array, Array, Array], tuple[Array, Array]]


AnyWhole = TypeVar("AnyWhole", bound="Whole")


class Whole(State):
    """Whole arrays, shape ``(*pixels, *other pixels)``.

    ``selves`` are the covariances of either input with itself; None where there is one
    input, and ``K`` is both.
    """

    def __init__(
        self, K: Array, selves: tuple[Array, Array] | None, channels: int, ntk: bool
    ) -> None:
        self.K, self.T, self.selves = K, None, selves
        self.channels, self.ntk, self.axes = channels, ntk, K.ndim // 2

    def averaged(self: AnyWhole, layer: layers.Conv) -> AnyWhole:
        return self._mapped(functools.partial(_average, layer))

    def resampled(self: AnyWhole, layer: layers.Resampling) -> AnyWhole:
        return self._mapped(functools.partial(_resample, layer))

    def scaled(self: AnyWhole, gain: float, shift: float) -> AnyWhole:
        scaled = self._mapped(lambda K: gain * K + shift)
        return scaled.replace(T=None if self.T is None else gain * self.T)

    def _mapped(self: AnyWhole, function: Callable[[Array], Array]) -> AnyWhole:
        T = None if self.T is None else function(self.T)
        selves = self.selves and (function(self.selves[0]), function(self.selves[1]))
        return self.replace(K=function(self.K), T=T, selves=selves)

    def pointwise(self: AnyWhole, function: Pointwise) -> AnyWhole:
        first, second = self.selves or (self.K, self.K)
        K, slope = function(self.K, _rows(first), _columns(second))
        T = None if self.T is None else self.T * slope
        selves = self.selves
        if selves is not None:
            one, two = (function(S, _rows(S), _columns(S))[0] for S in selves)
            selves = one, two
        return self.replace(K=K, T=T, selves=selves)

    def plus(self: AnyWhole, other: AnyWhole) -> AnyWhole:
        selves = self.selves
        if selves is not None and other.selves is not None:
            selves = selves[0] + other.selves[0], selves[1] + other.selves[1]
        return self.replace(K=self.K + other.K, T=total(self.T, other.T), selves=selves)


def _rows(K: Array) -> Array:
    """Variances of a covariance of an image with itself, to broadcast from the left."""
    axes = K.ndim // 2
    return _diagonal(K).reshape(*K.shape[:axes], *(1,) * axes)


def _columns(K: Array) -> Array:
    """The same from the right."""
    axes = K.ndim // 2
    return _diagonal(K).reshape(*(1,) * axes, *K.shape[:axes])


def _diagonal(K: Array) -> Array:
    q = math.prod(K.shape[: K.ndim // 2])
    return jnp.diagonal(K.reshape(q, q))


def run_chain(chain: tuple[layers.Layer, ...], state: AnyState) -> AnyState:
    """Apply one layer after the other."""
    for layer in chain:
        state = _apply(layer, state)
    return state


def _apply(layer: layers.Layer, state: AnyState) -> AnyState:
    match layer:
        case layers.Conv():
            return _convolved(layer, state)
        case layers.Upsample() | layers.AveragePool():
            return state.resampled(layer)
        case layers.LayerNorm():
            return state.pointwise(Entrywise(layer))
        case layers.Residual():
            return run_chain(layer.body, state).plus(run_chain(layer.shortcut, state))
        case layers.ChannelNorm() | layers.MaxPool():
            raise TypeError(f"{layer} has no closed form")
    return state.pointwise(Entrywise(layer))


def _convolved(layer: layers.Conv, state: AnyState) -> AnyState:
    weights, biases = _shares(layer, state) if layer.trained else (0.0, 0.0)
    return state.convolved(layer, weights, biases).replace(channels=layer.channels)


def _shares(layer: layers.Conv, state: State) -> tuple[float, float]:
    """What a trained layer adds to the NTK: times the averaged covariance, and as it is.

    Under the standard parameterisation weights and biases are not scaled in the forward
    pass, so one learning rate moves the function by their number.
    """
    if state.ntk:
        return layer.gain, layer.bias_variance
    return float(state.channels * layer.kernel_size**state.axes), float(layer.bias_variance > 0)


def total(*parts: Array | None) -> Array | None:
    """Sum of those that are there."""
    there = [part for part in parts if part is not None]
    return functools.reduce(operator.add, there) if there else None


@dataclasses.dataclass(frozen=True)
class Entrywise:
    """``(K, d1, d2) -> (new K, factor of the NTK)`` of a layer, equal for equal layers."""

    layer: layers.Activation | layers.LayerNorm

    def __call__(self, K: Array, d1: Array, d2: Array) -> tuple[Array, Array]:
        if isinstance(self.layer, layers.LayerNorm):
            epsilon = self.layer.epsilon
            factor = 1 / jnp.sqrt((d1 + epsilon) * (d2 + epsilon))
            return K * factor, factor
        return dual(self.layer, K, d1, d2)


def _average(layer: layers.Conv, K: Array) -> Array:
    axes = K.ndim // 2
    for axis in range(axes):
        K = _sum_along(layer, K, axis, axis + axes)
    return K / layer.kernel_size**axes


def _sum_along(layer: layers.Conv, K: Array, axis: int, other: int) -> Array:
    size, stride = layer.kernel_size, layer.stride
    pads = [(0, 0)] * K.ndim
    for a in (axis, other):
        pads[a] = layers.same_padding(K.shape[a], size, stride)
    made = {a: -(-K.shape[a] // stride) for a in (axis, other)}
    mode = {"zero": "constant", "circular": "wrap", "reflect": "reflect"}[layer.padding]
    padded = jnp.pad(K, pads, mode=mode)

    def shifted(offset: int) -> Array:
        index = [slice(None)] * K.ndim
        for a, n in made.items():
            index[a] = slice(offset, offset + stride * (n - 1) + 1, stride)
        return padded[tuple(index)]

    return functools.reduce(operator.add, map(shifted, range(size)))


def _resample(layer: layers.Resampling, K: Array) -> Array:
    for axis in range(K.ndim):
        matrix = jnp.asarray(resampling_matrix(layer, K.shape[axis]), K.dtype)
        mixed = jnp.tensordot(matrix, K, (1, axis), precision="highest")
        K = jnp.moveaxis(mixed, 0, axis)
    return K
