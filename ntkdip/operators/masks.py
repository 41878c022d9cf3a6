"""Sampling masks: boolean arrays with the zero frequency at index ``n // 2``.

Masks are drawn by `numpy.random.default_rng` from an explicit seed, on the host.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool


def random_lines(
    shape: tuple[int, ...],
    acceleration: float = 4.0,
    *,
    centre_fraction: float = 0.08,
    axis: int = -1,
    seed: int = 0,
) -> Bool[np.ndarray, "..."]:
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
        Share of all lines that form the sampled centre, in [0, 1].
    axis
        Axis along which lines are counted (the phase-encoding direction).
    seed
        Seed of the draw.

    Returns
    -------
    Boolean mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the acceleration leaves no line, or fewer than the centre needs.
    """
    if not 0 <= centre_fraction <= 1:
        raise ValueError(f"centre_fraction is a share, 0 to 1; got {centre_fraction}")
    n = shape[axis]
    kept, centre = int(n / acceleration) if acceleration >= 1 else 0, int(centre_fraction * n)
    if kept < max(centre, 1):
        raise ValueError(
            f"acceleration {acceleration} keeps {kept} of {n} lines, but the centre alone "
            f"has {centre}; use an acceleration of at least 1 and at most "
            f"{n / max(centre, 1):.3g}"
        )
    start = n // 2 - centre // 2
    line = np.zeros(n, dtype=bool)
    line[start : start + centre] = True
    below, above = np.arange(start), np.arange(start + centre, n)
    from_below = min((kept - centre) // 2, below.size)
    from_above = min(kept - centre - from_below, above.size)
    from_below = kept - centre - from_above
    rng = np.random.default_rng(seed)
    line[rng.choice(below, from_below, replace=False)] = True
    line[rng.choice(above, from_above, replace=False)] = True
    lines = np.expand_dims(line, [i for i in range(len(shape)) if i != axis % len(shape)])
    return np.broadcast_to(lines, shape).copy()


def random_conjugate_pairs(
    size: int, *, cutoff: int = 20, keep: float = 0.5, seed: int = 0
) -> Bool[np.ndarray, " size"]:
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
        Highest frequency that is always sampled.
    keep
        Probability of a pair above the cutoff.
    seed
        Seed of the draw.

    Returns
    -------
    Boolean mask ``(size,)``.
    """
    frequencies = np.arange(size) - size // 2
    mask = np.abs(frequencies) <= cutoff
    rng = np.random.default_rng(seed)
    for k in range(cutoff + 1, (size + 1) // 2):
        if rng.random() < keep:
            mask[np.abs(frequencies) == k] = True
    return mask


def checked_mask(
    mask: np.ndarray, shape: tuple[int, ...] | None, kind: str, entry: str
) -> Bool[np.ndarray, "..."]:
    """A mask as booleans, refused unless operators can use it.

    Parameters
    ----------
    mask
        Boolean or 0/1 array, 1D or 2D, ``True`` for what is measured.
    shape
        The image's shape, if it should be checked against the mask's.
    kind, entry
        What errors call the mask, and one of its entries.

    Raises
    ------
    ValueError
        If the mask is empty, neither 1D nor 2D, holds anything but 0 and 1, or does not
        fit ``shape``.
    """
    mask = np.asarray(mask)
    if shape is not None and mask.shape != tuple(shape):
        raise ValueError(
            f"the mask's shape {mask.shape} does not fit the image's shape {tuple(shape)}; "
            "build the mask for the image"
        )
    if mask.ndim not in (1, 2):
        raise ValueError(f"a {kind} is 1D or 2D; got shape {mask.shape}")
    if mask.dtype != bool:
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(
                f"a {kind} holds booleans or 0 and 1; got {mask.dtype} values "
                f"between {mask.min()} and {mask.max()}"
            )
        mask = mask.astype(bool)
    if not mask.any():
        raise ValueError(
            f"the mask of shape {mask.shape} measures nothing (every entry is False); "
            f"at least one {entry} is needed"
        )
    return mask
