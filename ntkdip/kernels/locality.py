"""Which pre-activations an output pixel depends on, and which outputs can share a backward pass.

An output pixel of a convolutional network sees a window of every layer.  Pixels whose
windows meet in no layer are backpropagated together, and their signals read off window
by window: a 3x3 network of depth 4 on 40x40 pixels needs 144 backward passes a channel
instead of 1,600.  Ours.

Dependence is asked along one output axis at a time: does anything in output row ``i``
depend on pixel ``p``?  A pixel ``(i, j)`` then depends at most on what row ``i`` and column
``j`` both depend on.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math

import numpy as np
from jax.extend.core import ClosedJaxpr

from ntkdip.kernels.dependence import axis_supports
from ntkdip.kernels.taps import Tap


@dataclasses.dataclass(frozen=True)
class Window:
    """The pixels of one tap that each output pixel depends on.

    ``index`` (q, w) holds flat positions in the tap, ``mask`` (q, w) is 1 for an entry
    and 0 for padding.
    """

    index: np.ndarray
    mask: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Locality:
    """How the backward passes of a network are shared.

    ``groups`` (passes, g): output pixels that share a pass, padded with -1.
    ``supports``: for each tap, on which pixels each position along each axis of the image
    depends, booleans (n_axis, p); None where everything depends on everything.
    """

    groups: np.ndarray
    supports: tuple[list[np.ndarray] | None, ...]

    @functools.cached_property
    def widths(self) -> tuple[int | None, ...]:
        """Pixels in the widest window of each tap; None where there are no windows."""
        return tuple(s if s is None else max(int(_counts(s).max()), 1) for s in self.supports)

    @functools.cached_property
    def windows(self) -> tuple[Window | None, ...]:
        """Window of each tap; None where an output depends on every pixel."""
        return tuple(
            s if s is None else _window(s, w or 1)
            for s, w in zip(self.supports, self.widths, strict=True)
        )


def locality(closed: ClosedJaxpr, taps: tuple[Tap, ...], shape: tuple[int, ...]) -> Locality:
    """Dependence on every tap, and groups of output pixels.

    ``shape``: of the image.  Time: one small compilation.
    """
    supports = axis_supports(closed, taps, shape)
    local = tuple(None if all(axis.all() for axis in tap) else tap for tap in supports)
    return Locality(shared_passes(list(local), shape), local)


def shared_passes(supports: list[list[np.ndarray] | None], shape: tuple[int, ...]) -> np.ndarray:
    """Groups of output pixels that have no pixel of these taps in common, (groups, members).

    ``supports`` as in `Locality`; groups are padded with -1.
    """
    pixels = np.arange(math.prod(shape)).reshape(shape)
    known = [tap for tap in supports if tap is not None]
    if len(known) < len(supports):
        return pixels.reshape(-1, 1)
    colours = [_colouring([tap[axis] for tap in known]) for axis in range(len(shape))]
    groups = [
        pixels[np.ix_(*(np.flatnonzero(c == k) for c, k in zip(colours, ks, strict=True)))]
        for ks in itertools.product(*(range(c.max() + 1) for c in colours))
    ]
    largest = max(group.size for group in groups)
    padded = [np.pad(g.ravel(), (0, largest - g.size), constant_values=-1) for g in groups]
    return np.stack(padded)


def no_locality(taps: tuple[Tap, ...], shape: tuple[int, ...]) -> Locality:
    """One backward pass for every output pixel."""
    return Locality(np.arange(math.prod(shape)).reshape(-1, 1), (None,) * len(taps))


def _columns(supports: list[np.ndarray]) -> np.ndarray:
    """What each position on all axes but the first depends on, (positions, p)."""
    inside = np.ones((1, supports[0].shape[1]), bool)
    for axis in supports[1:]:
        inside = (inside[:, None] & axis[None]).reshape(-1, axis.shape[1])
    return inside


def _counts(supports: list[np.ndarray]) -> np.ndarray:
    """Pixels in each output pixel's window, (n_0, positions on the other axes)."""
    return supports[0].astype(np.float32) @ _columns(supports).T.astype(np.float32)


def _window(supports: list[np.ndarray], width: int) -> Window:
    """The pixels that row, column, ... of an output pixel all depend on, padded to ``width``."""
    columns = _columns(supports)
    index = np.zeros((len(supports[0]), len(columns), width), np.int32)
    mask = np.arange(width) < _counts(supports)[..., None]
    for i, row in enumerate(supports[0]):
        index[i][mask[i]] = np.nonzero(row & columns)[1]
    return Window(index.reshape(-1, width), mask.reshape(-1, width).astype(np.float32))


def _colouring(supports: list[np.ndarray]) -> np.ndarray:
    """Colours along one output axis: one colour, no pixel of any tap in common.

    The better of first come, first served and of equal blocks numbered alike, which is the
    best there is where windows wrap around.
    """
    overlap = sum(s.astype(np.float32) @ s.T.astype(np.float32) for s in supports)
    conflict = np.asarray(overlap) > 0
    return min(_greedy(conflict), _blocks(conflict), key=lambda colours: colours.max())


def _greedy(conflict: np.ndarray) -> np.ndarray:
    colours = np.full(len(conflict), -1)
    for i in range(colours.size):
        taken = set(colours[:i][conflict[i, :i]])
        colours[i] = next(c for c in itertools.count() if c not in taken)
    return colours


def _blocks(conflict: np.ndarray) -> np.ndarray:
    n = len(conflict)
    most = n // max(int(conflict.sum(1).min() + 1) // 2, 1)
    for blocks in range(min(most, n), 1, -1):
        colours = np.concatenate([np.arange(len(b)) for b in np.array_split(np.arange(n), blocks)])
        same = colours[:, None] == colours[None]
        if not (conflict & same & ~np.eye(n, dtype=bool)).any():
            return colours
    return np.arange(n)
