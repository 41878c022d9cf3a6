"""2D masks of points whose density falls with frequency."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from ntkdip.operators.masks.grid import (
    centre,
    checked_grid,
    frequencies,
    heaviest,
    require_centre_fits,
    require_positive,
    require_share,
)
from ntkdip.operators.masks.mask import Mask

SCALE_STEP = 1.002
"""Ratio to which bisection settles the distances of `poisson_disc`."""


def variable_density(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    width: float = 0.2,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Random points of Gaussian density with a fully sampled centre (2D).

    ``round(q / acceleration)`` of ``q`` entries are kept: a central rectangle of
    ``round(centre_fraction * n)`` entries along each axis, the others drawn one after the
    other without replacement, in proportion to ``exp(-(|f| / width)^2 / 2)`` at frequency
    ``f``.  O(q log q).
    Source: the idea is Lustig, Donoho and Pauly's (Magn. Reson. Med. 58, 2007).

    Parameters
    ----------
    shape
        Shape of the image, 2D.
    acceleration
        Entries over kept entries, at least 1.
    centre_fraction
        Share of each axis that the sampled centre takes, in [0, 1].
    width
        Standard deviation of the density in cycles a pixel; the band ends at 0.5.
    seed
        Seed of the draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is not 2D, the acceleration is below 1 or leaves no entry, or fewer
        than the centre needs, or ``width`` is not positive.
    """
    shape = checked_grid(shape, 2)
    require_positive(width=width)
    mask, others = _central(shape, acceleration, centre_fraction)
    outer = np.flatnonzero(~mask)
    fy, fx = frequencies(shape)
    log_density = (-(fy**2 + fx**2) / (2 * width**2)).ravel()[outer]
    mask.flat[outer[heaviest(log_density, others, np.random.default_rng(seed))]] = True
    return Mask(mask)


def poisson_disc(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    growth: float = 1.0,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Random points that keep a distance which grows with frequency (2D).

    ``round(q / acceleration)`` of ``q`` entries are kept: a central rectangle of
    ``round(centre_fraction * n)`` entries along each axis, and around it points ``a`` and
    ``b`` no closer than ``min(r(a), r(b))``, with ``r(a) = r0 (1 + growth |f| / 0.5)`` at
    frequency ``f`` in cycles a pixel.  Entries are visited in random order and kept unless
    an earlier one forbids it, until there are enough; ``r0`` is the largest distance, to
    0.2 %, under which there are.  On the grid distances come in steps (1, 1.41, 2, ...):
    where ``r`` is at most one cell every entry is kept, and under a ``growth`` near 0 all
    discs jump at once, which leaves gaps where the last points would have gone.

    About a dozen passes over the image in Python, with O(q / acceleration) discs each.
    Source: dart throwing with discs (Cook, ACM Trans. Graph. 5, 1986); for k-space
    Vasanawala et al., ISBI 2011.

    Parameters
    ----------
    shape
        Shape of the image, 2D.
    acceleration
        Entries over kept entries, at least 1; met exactly, up to rounding to whole entries.
    centre_fraction
        Share of each axis that the sampled centre takes, in [0, 1].
    growth
        How much larger the distance is at the end of the band than at its centre,
        relative, at least 0.
    seed
        Seed of the order.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is not 2D, the acceleration is below 1 or leaves no entry, or fewer
        than the centre needs, or ``growth`` is negative.
    """
    return _poisson_disc(shape, acceleration, centre_fraction, growth, seed)[0]


def _poisson_disc(
    shape: tuple[int, ...], acceleration: float, centre_fraction: float, growth: float, seed: int
) -> tuple[Mask, float]:
    """`poisson_disc`, and the distance ``r0`` it settled on, in cells."""
    shape = checked_grid(shape, 2)
    if not 0 <= growth < math.inf:
        raise ValueError(f"growth must be finite and at least 0; got {growth}")
    mask, others = _central(shape, acceleration, centre_fraction)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~mask))
    fy, fx = frequencies(shape)
    relative = (1 + growth * np.sqrt(fy**2 + fx**2) / 0.5).ravel()[order]
    # Distances of at most one cell forbid nothing.
    low = high = 1 / (1 + growth * math.sqrt(2))
    darts = order[:others]
    while (thrown := throw(order, relative * (high := 2 * high), shape, others)) is not None:
        low, darts = high, thrown
        if high > math.hypot(*shape):
            break
    while high > SCALE_STEP * low:
        middle = math.sqrt(low * high)
        thrown = throw(order, relative * middle, shape, others)
        if thrown is None:
            high = middle
        else:
            low, darts = middle, thrown
    mask.flat[darts] = True
    return Mask(mask), low


def throw(
    order: np.ndarray, radius: np.ndarray, shape: tuple[int, ...], count: int
) -> np.ndarray | None:
    """The first ``count`` entries that respect the ones before them; None if there are fewer.

    ``order`` holds flat indices, ``radius`` the distance (in cells) within which each of
    them, once kept, forbids the later ones.  Those that forbid nothing come first.
    """
    if count == 0:
        return order[:0]
    # Cells at a squared distance below r^2, a whole number, are those up to ceil(r^2) - 1.
    limits = np.ceil(radius**2).astype(int) - 1
    # First what forbids nothing, so that the last places, which stay empty, lie outside.
    visit = np.argsort(limits > 0, kind="stable")
    order, limits = order[visit], limits[visit]
    margin = math.isqrt(int(limits.max()))
    # With a margin as wide as the largest disc none has to be clipped.
    padded = [n + 2 * margin for n in shape]
    cells = bytearray(math.prod(padded))
    forbidden = np.frombuffer(cells, np.uint8).reshape(padded)
    rows, columns = (index + margin for index in np.divmod(order, shape[1]))
    places = rows * padded[1] + columns
    discs: dict[int, tuple[int, np.ndarray]] = {}
    kept: list[int] = []
    visits = zip(*(a.tolist() for a in (places, rows, columns, limits)), strict=True)
    for i, (place, row, column, limit) in enumerate(visits):
        if cells[place]:
            continue
        kept.append(i)
        if len(kept) == count:
            return order[kept]
        if limit not in discs:
            discs[limit] = _disc(limit)
        size, disc = discs[limit]
        forbidden[row - size : row + size + 1, column - size : column + size + 1] |= disc
    return None


def _disc(limit: int) -> tuple[int, np.ndarray]:
    """Cells up to a squared distance, around the middle of the smallest square array."""
    size = math.isqrt(limit)
    offset = np.arange(-size, size + 1) ** 2
    return size, (offset[:, None] + offset[None, :] <= limit).astype(np.uint8)


def _central(
    shape: tuple[int, ...], acceleration: float, centre_fraction: float
) -> tuple[np.ndarray, int]:
    """The sampled centre, refused unless it fits, and how many entries are yet to be kept."""
    require_share(centre_fraction=centre_fraction)
    sizes = [round(centre_fraction * n) for n in shape]
    sampled, entries = math.prod(sizes), math.prod(shape)
    require_centre_fits(acceleration, entries, sampled, "entries")
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(centre(n, size) for n, size in zip(shape, sizes, strict=True))] = True
    return mask, round(entries / acceleration) - sampled
