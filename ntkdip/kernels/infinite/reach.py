"""Which pixels a few pixels of an image depend on, layer by layer, walked backwards.

Every linear layer acts on a kernel as ``K' = sum_j w_j S_j K S_j^T`` with sparse ``S_j``:
a convolution by shifts, a resampling by one matrix of a few entries a row.  So an entry of
``K'`` needs a few entries of ``K``, and where sets of pixels, image rows or pixel pairs are
wanted after a chain, the sets wanted before every layer follow.  NumPy, on the host.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from typing import NamedTuple, TypeGuard

import numpy as np

from ntkdip.kernels.infinite.resampling import resampling_matrix
from ntkdip.networks import layers

Shape = tuple[int, ...]
Mixing = layers.Conv | layers.Resampling


class Step(NamedTuple):
    """What one layer that mixes pixels takes from the members of the set before it.

    ``codes`` ``(n,)``: the members after it, rising.  ``positions`` ``(T, n)``: for each of
    them ``T`` places in the set before.  ``weights`` ``(T, n)``: 0 where a place counts
    for nothing.  Where branches meet, ``T`` is 2: places in the set that either ends with.
    ``shape``: of the image after it.
    """

    shape: Shape
    codes: np.ndarray
    positions: np.ndarray
    weights: np.ndarray


class Walked(NamedTuple):
    """The set that a chain starts from, and its steps in the order in which it runs."""

    start: np.ndarray
    steps: list[Step]

    @property
    def sizes(self) -> list[int]:
        """Members of every set."""
        return [self.start.size, *(step.codes.size for step in self.steps)]


@functools.lru_cache(maxsize=256)
def axis_sources(layer: Mixing, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that a layer takes along one axis of ``n``, and their weights: ``(T, m)`` each.

    A convolution takes one at every offset, with weight 1, or 0 outside the image.
    """
    if isinstance(layer, layers.Conv):
        before = layers.same_padding(n, layer.kernel_size, layer.stride)[0]
        first = layer.stride * np.arange(-(-n // layer.stride)) - before
        places = first + np.arange(layer.kernel_size)[:, None]
        inside = np.ones_like(places, dtype=np.float64)
        if layer.padding == "circular":
            places = places % n
        elif layer.padding == "reflect":
            places = np.abs(places)
            places = np.minimum(places, 2 * (n - 1) - places)
        else:
            inside = ((places >= 0) & (places < n)).astype(np.float64)
            places = np.clip(places, 0, n - 1)
        return places, inside
    matrix = resampling_matrix(layer, n)
    count = int((matrix != 0).sum(axis=1).max())
    places = np.argsort(matrix == 0, axis=1, kind="stable")[:, :count]
    return places.T, np.take_along_axis(matrix, places, axis=1).T


class Field(abc.ABC):
    """A kind of thing of which sets are walked, each with a code, an integer."""

    @abc.abstractmethod
    def sources(
        self, layer: Mixing, shape: Shape, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Codes and weights ``(T, n)`` that a layer takes from an image of ``shape``."""

    def closed(self, shape: Shape, codes: np.ndarray) -> np.ndarray:
        """The set with what must always be in it, rising."""
        return codes


class Pixels(Field):
    """Pixels, by their flat index."""

    def sources(
        self, layer: Mixing, shape: Shape, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        made = layers.output_shape((layer,), shape)
        found, weights = np.zeros((1, codes.size), np.int64), np.ones((1, codes.size))
        for n, at in zip(shape, np.unravel_index(codes, made), strict=True):
            places, shares = axis_sources(layer, n)
            found = (n * found[:, None] + places[:, at]).reshape(-1, codes.size)
            weights = (weights[:, None] * shares[:, at]).reshape(-1, codes.size)
        return found, weights


@dataclasses.dataclass(frozen=True)
class Lines(Field):
    """Coordinates along one axis, of several owners: ``n owner + coordinate``.

    ``axis`` None: an axis of one coordinate that no layer knows of.
    """

    axis: int | None

    def sources(
        self, layer: Mixing, shape: Shape, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if self.axis is None:
            return codes[None], np.ones((1, codes.size))
        n, made = shape[self.axis], layers.output_shape((layer,), shape)[self.axis]
        places, shares = axis_sources(layer, n)
        return codes // made * n + places[:, codes % made], shares[:, codes % made]


class Pairs(Field):
    """Unordered pairs of pixels ``i <= j``, by ``q i + j``; every pixel meets itself."""

    def sources(
        self, layer: Mixing, shape: Shape, codes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        q, made = math.prod(shape), math.prod(layers.output_shape((layer,), shape))
        (i, u), (j, v) = (Pixels().sources(layer, shape, p) for p in divmod(codes, made))
        if isinstance(layer, layers.Conv):
            weights = u * v
        else:
            i, j = (a.reshape(-1, codes.size) for a in np.broadcast_arrays(i[:, None], j))
            weights = (u[:, None] * v).reshape(-1, codes.size)
        return np.minimum(i, j) * q + np.maximum(i, j), weights

    def closed(self, shape: Shape, codes: np.ndarray) -> np.ndarray:
        q = math.prod(shape)
        return np.union1d(codes, np.arange(q) * (q + 1))


def walk(chain: tuple[layers.Layer, ...], shape: Shape, wanted: np.ndarray, field: Field) -> Walked:
    """From the set ``wanted`` after a chain to the one before it, and how to come back.

    ``shape`` is that of the image before the chain; ``wanted`` rises.  The order of the steps
    is that of `recursion.run_chain`: the body of a residual block, its shortcut, their sum.
    """
    plan, start = _backwards(chain, shape, wanted, field)
    return Walked(start, _forwards(plan, start, field)[0])


def extents(chain: tuple[layers.Layer, ...], shape: Shape) -> list[int]:
    """Pixels that one output pixel depends on at most: the start's, and after every step."""
    found = np.ones(1, np.int64)
    for axis, n in enumerate(layers.output_shape(chain, shape)):
        walked = walk(chain, shape, np.arange(n) * (n + 1), Lines(axis))
        ns = [shape[axis], *(step.shape[axis] for step in walked.steps)]
        sets = [walked.start, *(step.codes for step in walked.steps)]
        most = [np.bincount(codes // n).max() for codes, n in zip(sets, ns, strict=True)]
        found = found * np.array(most)
    return [int(count) for count in found]


class Chunks(NamedTuple):
    """How rows are computed: ``together`` at a time, with ``strips`` of image rows.

    ``sizes``: of the sets of pixels that they depend on, at most.  ``entries``: of the
    largest array, sets of pixels times strip.
    """

    together: int
    sizes: list[int]
    strips: list[Walked]
    entries: int


def chunks(
    chain: tuple[layers.Layer, ...], shape: Shape, together: int, most: int, skipped: int = 0
) -> Chunks:
    """As many rows, up to ``together``, as fit ``most`` entries; failing that, strips.

    ``skipped``: sets from the start on of which no array is made.
    """
    reached, made = extents(chain, shape), layers.output_shape(chain, shape)
    lines, axis = (made[0], 0) if len(made) == 2 else (1, None)

    def choice(rows: int, height: int) -> Chunks:
        ranges = [np.arange(a, min(a + height, lines)) for a in range(0, lines, height)]
        strips = [walk(chain, shape, wanted, Lines(axis)) for wanted in ranges]
        shapes = [shape, *(step.shape for step in strips[0].steps)]
        sizes = [min(math.prod(s), rows * n) for s, n in zip(shapes, reached, strict=True)]
        heights = [max(found) for found in zip(*(s.sizes for s in strips), strict=True)]
        arrays = [m * h * s[-1] for m, h, s in zip(sizes, heights, shapes, strict=True)]
        return Chunks(rows, sizes, strips, max(arrays[min(skipped, len(arrays) - 1) :]))

    found = choice(1, lines)
    while found.entries > most and len(found.strips) < lines:
        found = choice(1, -(-lines // (2 * len(found.strips))))
    while found.together < together and len(found.strips) == 1:
        more = choice(min(2 * found.together, together), lines)
        if more.entries > most:
            break
        found = more
    return found


class _Stop(NamedTuple):
    """A layer, the image it meets, the set wanted after it, and its branches' stops."""

    layer: layers.Layer
    shape: Shape
    wanted: np.ndarray
    branches: tuple[list[_Stop], ...]


def _backwards(
    chain: tuple[layers.Layer, ...], shape: Shape, wanted: np.ndarray, field: Field
) -> tuple[list[_Stop], np.ndarray]:
    plan: list[_Stop] = []
    for end in range(len(chain) - 1, -1, -1):
        layer, met = chain[end], layers.output_shape(chain[:end], shape)
        before = wanted
        branches: tuple[list[_Stop], ...] = ()
        if isinstance(layer, layers.Residual):
            walks = [_backwards(c, met, wanted, field) for c in (layer.body, layer.shortcut)]
            branches = tuple(plan for plan, _ in walks)
            before = np.union1d(walks[0][1], walks[1][1])
        elif mixes(layer):
            sources, weights = field.sources(layer, met, wanted)
            before = field.closed(met, np.unique(sources[weights != 0]))
        plan.append(_Stop(layer, met, wanted, branches))
        wanted = before
    return plan[::-1], wanted


def _forwards(plan: list[_Stop], held: np.ndarray, field: Field) -> tuple[list[Step], np.ndarray]:
    steps: list[Step] = []
    for layer, shape, wanted, branches in plan:
        made = layers.output_shape((layer,), shape)
        if branches:
            ends = []
            for branch in branches:
                inside, end = _forwards(branch, held, field)
                steps += inside
                ends.append(np.searchsorted(end, wanted))
            steps.append(Step(made, wanted, np.stack(ends), np.ones((2, wanted.size))))
            held = wanted
        elif mixes(layer):
            sources, weights = field.sources(layer, shape, wanted)
            # What counts for nothing need not be in the set before.
            positions = np.minimum(np.searchsorted(held, sources), held.size - 1)
            steps.append(Step(made, wanted, positions, weights))
            held = wanted
    return steps, held


def mixes(layer: layers.Layer) -> TypeGuard[Mixing]:
    """Whether a layer, other than a residual block, takes more than a pixel's own values."""
    if isinstance(layer, layers.Conv):
        return layer.kernel_size > 1 or layer.stride > 1
    return isinstance(layer, layers.Upsample | layers.AveragePool)
