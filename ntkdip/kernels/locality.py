"""Which pre-activations an output pixel depends on, and which outputs can share a backward pass.

An output pixel of a convolutional network sees a window of every layer.  Pixels whose
windows meet in no layer are backpropagated together, and their signals read off window
by window: a 3x3 network of depth 4 on 40x40 pixels needs 144 backward passes a channel
instead of 1,600.  Windows are boxes, so all of this is done axis by axis.  Ours.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from ntkdip.networks import Architecture, Convolution, Network
from ntkdip.networks.layers import ChannelNorm, Conv, Upsample


@dataclasses.dataclass(frozen=True)
class Window:
    """The pixels of one layer that each output pixel depends on.

    ``index`` (q, w) holds flat positions in the layer, ``mask`` (q, w) is 1 for an entry
    and 0 for padding.
    """

    index: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True)
class Locality:
    """How the backward passes of an architecture are shared.

    ``groups`` (passes, g): output pixels that share a pass, padded with -1.
    ``windows``: one a convolution; None where an output depends on every pixel.
    """

    groups: np.ndarray
    windows: tuple[Window | None, ...]


@functools.lru_cache(maxsize=32)
def locality(net: Architecture, input_shape: tuple[int, ...]) -> Locality:
    """Windows of every convolution and groups of output pixels for one input shape.

    With a channel normalisation every output depends on every pixel, so nothing is shared.
    """
    shape = [n * net.upsampling_factor for n in input_shape[:-1]]
    pixels = np.arange(np.prod(shape)).reshape(shape)
    if any(isinstance(layer, ChannelNorm) for layer in net.layers):
        convolutions = sum(isinstance(layer, Conv) for layer in net.layers)
        return Locality(pixels.reshape(-1, 1), (None,) * convolutions)
    supports = [_axis_supports(net, n) for n in input_shape[:-1]]
    windows = tuple(_window(axes) for axes in zip(*supports, strict=True))
    colourings = [_colouring(axis) for axis in supports]
    groups = [
        pixels[np.ix_(*(np.flatnonzero(c == k) for c, k in zip(colourings, ks, strict=True)))]
        for ks in itertools.product(*(range(c.max() + 1) for c in colourings))
    ]
    largest = max(group.size for group in groups)
    padded = [np.pad(g.ravel(), (0, largest - g.size), constant_values=-1) for g in groups]
    return Locality(np.stack(padded), windows)


def _axis_supports(net: Architecture, size: int) -> list[np.ndarray]:
    """Along one axis, for each convolution: does output ``i`` depend on pixel ``p``? (n, n_l).

    Read off a linear one-channel network of the same geometry whose weights are all 1, so
    that no dependence cancels.
    """
    chain = tuple(
        dataclasses.replace(layer, channels=1) if isinstance(layer, Conv) else layer
        for layer in net.layers
        if isinstance(layer, Conv | Upsample)
    )
    module = Network(
        chain, ntk=False, spatial_dims=1, channels=1, rngs=nnx.Rngs(params=jax.random.key(0))
    )
    nnx.update(module, jax.tree.map(jnp.ones_like, nnx.state(module)))
    z = jnp.ones((size, 1))
    sizes: list[int] = []

    def record(layer: Convolution, x: Array, y: Array) -> Array:
        sizes.append(y.shape[0])
        return y

    outputs = module(z, record).shape[0]

    def forward(deltas: list[Array]) -> Array:
        pending = iter(deltas)
        return module(z, lambda layer, x, y: y + next(pending))[:, 0]

    _, pullback = jax.vjp(forward, [jnp.zeros((n, 1)) for n in sizes])
    (signals,) = jax.vmap(pullback)(jnp.eye(outputs))
    return [np.asarray(signal[..., 0]) > 0 for signal in signals]


def _window(axes: tuple[np.ndarray, ...]) -> Window | None:
    """The box of two axes' supports (or the interval of one), padded to the widest."""
    if all(axis.all() for axis in axes):
        return None
    index, mask = np.zeros((1, 1), int), np.ones((1, 1), bool)
    for axis in axes:
        width = int(axis.sum(1).max())
        order = np.argsort(~axis, axis=1, kind="stable")[:, :width]
        inside = np.take_along_axis(axis, order, axis=1)
        index = index[:, None, :, None] * axis.shape[1] + order[None, :, None, :]
        mask = mask[:, None, :, None] & inside[None, :, None, :]
        index, mask = (a.reshape(a.shape[0] * a.shape[1], -1) for a in (index, mask))
    return Window(index.astype(np.int32), mask.astype(np.float32))


def _colouring(supports: list[np.ndarray]) -> np.ndarray:
    """Greedy colours of the pixels along an axis: one colour, no window in common."""
    overlap = sum(s.astype(np.float32) @ s.T.astype(np.float32) for s in supports)
    conflict = np.asarray(overlap) > 0
    colours = np.full(conflict.shape[0], -1)
    for i in range(colours.size):
        taken = set(colours[:i][conflict[i, :i]])
        colours[i] = next(c for c in itertools.count() if c not in taken)
    return colours
