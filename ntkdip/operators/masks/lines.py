"""Masks of phase-encoding lines, and the symmetric one of the 1D reference problem."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from ntkdip.operators.masks.grid import (
    ROUNDING,
    centre,
    checked_axis,
    checked_grid,
    heaviest,
    require_centre_fits,
    require_positive,
    require_share,
)
from ntkdip.operators.masks.mask import Mask


def random_lines(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    axis: int = -1,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Random phase-encoding lines with a fully sampled centre.

    ``int(n / acceleration)`` lines of the ``n`` along ``axis`` are kept:
    ``int(centre_fraction * n)`` central ones, the others drawn uniformly without
    replacement, half on each side of the centre (an odd one falls above it).  This is
    how the authors of self-guided DIP draw their 4x mask (design page, section 1).

    Parameters
    ----------
    shape
        Shape of the image.
    acceleration
        Total lines over kept lines, at least 1.
    centre_fraction
        Share of all lines that form the sampled centre, in [0, 1].  The default belongs to
        4x and is kept for every acceleration; at 8x the field takes 0.04 (fastMRI, Zbontar
        et al., arXiv 1811.08839), since 0.08 would be 64 % of the kept lines.
    axis
        Axis along which lines are counted (the phase-encoding direction).
    seed
        Seed of the draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is empty or lacks the axis, or the acceleration leaves no line, or
        fewer than the centre needs.
    """
    shape = checked_grid(shape)
    require_share(centre_fraction=centre_fraction)
    n = shape[checked_axis(shape, axis)]
    kept, central = int(n / acceleration) if acceleration >= 1 else 0, int(centre_fraction * n)
    if kept < max(central, 1):
        raise ValueError(
            f"acceleration {acceleration} keeps {kept} of {n} lines, but the centre alone "
            f"has {central}; use an acceleration of at least 1 and at most "
            f"{n / max(central, 1):.3g}"
        )
    middle = centre(n, central)
    line = np.zeros(n, dtype=bool)
    line[middle] = True
    below, above = np.arange(middle.start), np.arange(middle.stop, n)
    from_below = min((kept - central) // 2, below.size)
    from_above = min(kept - central - from_below, above.size)
    from_below = kept - central - from_above
    rng = np.random.default_rng(seed)
    line[rng.choice(below, from_below, replace=False)] = True
    line[rng.choice(above, from_above, replace=False)] = True
    return _lines(line, shape, axis)


def equispaced_lines(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    axis: int = -1,
    offset: float | None = None,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Equally spaced phase-encoding lines with a fully sampled centre.

    ``c = round(centre_fraction * n)`` central lines of the ``n`` along ``axis``, and the
    lines ``floor(offset + j d)``, ``j = 0, 1, ...``.  The distance
    ``d = (n - c) / (n / acceleration - c)``, in general no integer, makes up for the
    centre: the total is ``n / acceleration`` on average over offsets, and always less than
    two lines away from it.
    Source: the fastMRI data set (Zbontar et al., arXiv 1811.08839), whose masks adjust the
    distance in this way, with integer offsets; the choice among offsets ours.

    Parameters
    ----------
    shape
        Shape of the image.
    acceleration
        Total lines over kept lines, at least 1.
    centre_fraction
        Share of all lines that form the sampled centre, in [0, 1]; 0.08 goes with 4x,
        0.04 with 8x.
    axis
        Axis along which lines are counted (the phase-encoding direction).
    offset
        Where the grid begins, in lines, at least 0 and below ``d``; None draws 64 uniformly
        and takes the first whose total is closest to ``n / acceleration``.
    seed
        Seed of that draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is empty or lacks the axis, the acceleration is below 1 or leaves
        fewer lines than the centre needs, or the offset is out of its range.
    """
    shape = checked_grid(shape)
    n = shape[checked_axis(shape, axis)]
    line = _central(n, acceleration, centre_fraction)
    central = np.count_nonzero(line)
    others = n / acceleration - central
    # The centre alone reaches the acceleration: the next line is infinitely far away.
    distance = max((n - central) / others, 1.0) if others > ROUNDING * n else np.inf
    if offset is not None and not 0 <= offset < distance:
        raise ValueError(
            f"offset is a position in the first of the distances, 0 to {distance:.4g} lines; "
            f"got {offset}"
        )
    if distance < np.inf:
        rng = np.random.default_rng(seed)
        offsets = rng.uniform(0, distance, 64) if offset is None else np.array([offset])
        grid = np.floor(offsets[:, None] + distance * np.arange(n)).astype(int)
        lines = np.stack([line | np.isin(np.arange(n), row) for row in grid])
        line = lines[np.argmin(np.abs(lines.sum(1) - n / acceleration))]
    return _lines(line, shape, axis)


def variable_density_lines(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    width: float = 0.2,
    axis: int = -1,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Phase-encoding lines of Gaussian density with a fully sampled centre.

    ``round(n / acceleration)`` of the ``n`` lines along ``axis`` are kept:
    ``round(centre_fraction * n)`` central ones, the others drawn one after the other
    without replacement, in proportion to ``exp(-(f / width)^2 / 2)`` at frequency ``f``.
    Source: the idea is Lustig, Donoho and Pauly's (Magn. Reson. Med. 58, 2007).

    Parameters
    ----------
    shape
        Shape of the image.
    acceleration
        Total lines over kept lines, at least 1.
    centre_fraction
        Share of all lines that form the sampled centre, in [0, 1].
    width
        Standard deviation of the density in cycles a pixel; the band ends at 0.5.
    axis
        Axis along which lines are counted (the phase-encoding direction).
    seed
        Seed of the draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is empty or lacks the axis, the acceleration is below 1 or leaves no
        line, or fewer than the centre needs, or ``width`` is not positive.
    """
    shape = checked_grid(shape)
    require_positive(width=width)
    n = shape[checked_axis(shape, axis)]
    line = _central(n, acceleration, centre_fraction)
    outer = np.flatnonzero(~line)
    others = round(n / acceleration) - int(np.count_nonzero(line))
    log_density = -(((outer - n // 2) / (n * width)) ** 2) / 2
    line[outer[heaviest(log_density, others, np.random.default_rng(seed))]] = True
    return _lines(line, shape, axis)


def random_conjugate_pairs(
    size: int, *, cutoff: int = 20, keep: float = 0.5, seed: int = 0
) -> Bool[Mask, " size"]:
    """1D mask symmetric under ``k -> -k``: low frequencies plus random pairs ``+-k``.

    All ``|k| <= cutoff`` are sampled; each pair above (an even size's lone ``-size / 2``
    is no pair, and left out) is kept with probability ``keep``, drawn in rising order.
    With the defaults this is the mask of the 1D reference problem (design page, section 1):
    137 samples of 256.

    Parameters
    ----------
    size
        Number of pixels.
    cutoff
        Highest frequency that is always sampled, at least 0.
    keep
        Probability of a pair above the cutoff, in [0, 1].
    seed
        Seed of the draw.

    Returns
    -------
    Mask ``(size,)``.

    Raises
    ------
    ValueError
        If the size is below 1, the cutoff negative, or ``keep`` no probability.
    """
    checked_grid((size,))
    require_share(keep=keep)
    if cutoff < 0:
        raise ValueError(f"cutoff is a frequency that is always sampled, at least 0; got {cutoff}")
    k = np.arange(size) - size // 2
    mask = np.abs(k) <= cutoff
    rng = np.random.default_rng(seed)
    for pair in range(cutoff + 1, (size + 1) // 2):
        if rng.random() < keep:
            mask[np.abs(k) == pair] = True
    return Mask(mask)


def _central(n: int, acceleration: float, centre_fraction: float) -> np.ndarray:
    """The sampled centre of ``n`` lines, refused unless the acceleration leaves as many."""
    require_share(centre_fraction=centre_fraction)
    central = round(centre_fraction * n)
    require_centre_fits(acceleration, n, central, "lines")
    line = np.zeros(n, dtype=bool)
    line[centre(n, central)] = True
    return line


def _lines(line: np.ndarray, shape: tuple[int, ...], axis: int) -> Mask:
    lines = np.expand_dims(line, [i for i in range(len(shape)) if i != axis % len(shape)])
    return Mask(np.broadcast_to(lines, shape))
