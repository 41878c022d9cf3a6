"""2D masks of non-Cartesian trajectories: the grid's cells nearest to spokes and spirals.

Trajectories live in frequencies (cycles a pixel, the band ends at 0.5), so that a circle
of k-space is an ellipse of cells where the image is not square.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from ntkdip.operators.masks.grid import checked_grid, require_acceleration
from ntkdip.operators.masks.mask import Mask

GOLDEN_ANGLE = math.pi * (math.sqrt(5) - 1) / 2
"""About 111.25 degrees: ``pi`` over the golden ratio."""


def radial(
    shape: tuple[int, ...],
    acceleration: float | None = None,
    *,
    spokes: int | None = None,
    golden: bool = False,
    angle: float = 0.0,
) -> Bool[Mask, "..."]:
    """Spokes through the zero frequency, from edge to edge of k-space (2D).

    Spoke ``j`` has the direction ``angle + j pi / spokes``, or ``angle`` plus ``j`` golden
    angles.  Along the axis in which it advances faster it takes every index, across it the
    nearest cell: no gap, no step two cells thick.
    Source: the golden angle, Winkelmann et al., IEEE Trans. Med. Imaging 26, 2007; the
    cells ours.

    Parameters
    ----------
    shape
        Shape of the image, 2D.
    acceleration
        Entries over kept entries, at least 1: the number of spokes that comes closest to it,
        within about half a spoke.
    spokes
        Number of spokes instead, at least 1.
    golden
        Golden-angle spokes, of which any first few are a mask too, instead of equal angles.
    angle
        Direction of the first spoke in rad, from axis 1 towards axis 0.

    Returns
    -------
    Mask of shape ``shape``; O(spokes n) to make, with a search about 20 times that.

    Raises
    ------
    ValueError
        If the shape is not 2D, not exactly one of acceleration and spokes is given, either
        is below 1, a single spoke falls short of the acceleration, or the angle is not
        finite.
    """
    shape = checked_grid(shape, 2)
    _require_one(acceleration, spokes=spokes)
    if not math.isfinite(angle):
        raise ValueError(f"angle is finite, in rad; got {angle}")
    if acceleration is None:
        if spokes is None or spokes < 1:
            raise ValueError(f"a radial mask has at least 1 spoke; got {spokes}")
        return _spokes(shape, spokes, golden, angle)
    # So many equal angles reach every cell at the edge.
    most = 8 * max(shape) * math.ceil(max(shape) / min(shape))
    return _closest(
        lambda count: _spokes(shape, round(count), golden, angle),
        acceleration,
        few=1,
        many=most,
        whole=True,
    )


def spiral(
    shape: tuple[int, ...],
    acceleration: float | None = None,
    *,
    turns: float | None = None,
    interleaves: int = 1,
) -> Bool[Mask, "..."]:
    """Archimedean spirals from the zero frequency to the end of the band (2D).

    Arm ``j`` of ``J = interleaves`` visits ``|f| = 0.5 s`` at the angle
    ``2 pi (turns s + j / J)``, ``0 <= s <= 1``: the disc of radius 0.5, corners left out.
    Every cell that is nearest to some point of an arm is kept, points being taken at most
    half a cell apart.
    Source: the trajectory, Meyer et al., Magn. Reson. Med. 28, 1992; the cells ours.

    Parameters
    ----------
    shape
        Shape of the image, 2D.
    acceleration
        Entries over kept entries, at least about ``4 / pi`` (the disc): the number of turns,
        to 0.1 %, that comes closest to it.
    turns
        Turns of each arm instead, above 0.
    interleaves
        Number of arms, at least 1.

    Returns
    -------
    Mask of shape ``shape``; O(interleaves turns n) to make, with a search about 20 times
    that.

    Raises
    ------
    ValueError
        If the shape is not 2D, not exactly one of acceleration and turns is given, either
        is out of its range, there is no interleaf, or no number of turns reaches the
        acceleration.
    """
    shape = checked_grid(shape, 2)
    _require_one(acceleration, turns=turns)
    if interleaves < 1:
        raise ValueError(f"a spiral has at least 1 interleaf; got {interleaves}")
    if acceleration is None:
        if turns is None or not 0 < turns < math.inf:
            raise ValueError(f"turns must be finite and above 0; got {turns}")
        return _arms(shape, turns, interleaves)
    # Arms at most half a cell apart fill the disc.
    return _closest(
        lambda count: _arms(shape, count, interleaves),
        acceleration,
        few=0.01,
        many=max(1.0, max(shape) / interleaves),
        whole=False,
    )


def _spokes(shape: tuple[int, ...], spokes: int, golden: bool, angle: float) -> Mask:
    step = GOLDEN_ANGLE if golden else math.pi / spokes
    angles = angle + step * np.arange(spokes)[:, None]
    # Equal angles of frequency, hence a direction in cells that is stretched as the shape.
    y, x = shape[0] * np.sin(angles), shape[1] * np.cos(angles)
    fastest = np.maximum(np.abs(y), np.abs(x))
    steps = np.arange(-(max(shape) // 2), max(shape) // 2 + 1)
    return _nearest_cells(shape, steps * (y / fastest), steps * (x / fastest))


def _arms(shape: tuple[int, ...], turns: float, interleaves: int) -> Mask:
    # An arm is at most (1 + 2 pi turns) radii long, and nowhere faster than on average there.
    points = 1 + math.ceil(max(shape) * (1 + 2 * math.pi * turns))
    s = np.linspace(0, 1, points)
    angles = 2 * math.pi * (turns * s + np.arange(interleaves)[:, None] / interleaves)
    y, x = (n * 0.5 * s * wave(angles) for n, wave in zip(shape, (np.sin, np.cos), strict=True))
    return _nearest_cells(shape, y, x)


def _nearest_cells(shape: tuple[int, ...], y: np.ndarray, x: np.ndarray) -> Mask:
    """The cells nearest to points (in cells from the zero frequency); those outside left out."""
    row, column = (np.rint(k).astype(int) + n // 2 for k, n in zip((y, x), shape, strict=True))
    inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
    mask = np.zeros(shape, dtype=bool)
    mask[row[inside], column[inside]] = True
    return Mask(mask)


def _require_one(acceleration: float | None, **other: float | None) -> None:
    ((name, value),) = other.items()
    if (acceleration is None) == (value is None):
        raise ValueError(
            f"exactly one of acceleration and {name} says how much is sampled; "
            f"got acceleration={acceleration}, {name}={value}"
        )
    if acceleration is not None:
        require_acceleration(acceleration)


def _closest(
    make: Callable[[float], Mask], wanted: float, few: float, many: float, whole: bool
) -> Mask:
    """The mask of closest acceleration, by bisection over how much the trajectory holds."""
    sparse, dense = make(few), make(many)
    if not dense.acceleration <= wanted <= sparse.acceleration:
        raise ValueError(
            f"acceleration {wanted} is out of this trajectory's reach in an image of shape "
            f"{sparse.shape}: use {dense.acceleration:.4g} to {sparse.acceleration:.4g}"
        )
    while many - few > (1 if whole else 1e-3 * few):
        middle = (few + many) // 2 if whole else math.sqrt(few * many)
        found = make(middle)
        if found.acceleration < wanted:
            many, dense = middle, found
        else:
            few, sparse = middle, found
    return min(sparse, dense, key=lambda m: abs(math.log(m.acceleration / wanted)))
