"""What all makers share: their checks, and the grid of frequencies."""

from __future__ import annotations

import math
import operator

import numpy as np

ROUNDING = 1e-9
"""Relative difference below which two numbers of entries are one."""


def checked_grid(shape: tuple[int, ...], ndim: int | None = None) -> tuple[int, ...]:
    """``shape`` as Python integers, refused unless it holds an entry (and has ``ndim`` axes)."""
    sizes = tuple(operator.index(n) for n in shape)
    if not sizes or min(sizes) < 1 or ndim not in (None, len(sizes)):
        axes = "at least one axis" if ndim is None else f"{ndim} axes"
        raise ValueError(f"this mask has {axes}, each of at least one entry; got shape {sizes}")
    return sizes


def checked_axis(shape: tuple[int, ...], axis: int) -> int:
    """``axis`` counted from the first."""
    if not -len(shape) <= axis < len(shape):
        raise ValueError(f"axis {axis} is none of shape {shape}; use 0 to {len(shape) - 1}")
    return axis % len(shape)


def require_acceleration(acceleration: float) -> None:
    """Entries over measured entries cannot fall below 1."""
    if not 1 <= acceleration < math.inf:
        raise ValueError(
            f"acceleration is entries over measured entries, finite and at least 1; "
            f"got {acceleration}"
        )


def require_positive(**values: float) -> None:
    """Refuse a named value unless it is finite and above 0."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be finite and above 0; got {value}")


def require_share(**values: float) -> None:
    """Refuse a named value unless it lies in [0, 1]."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is a share, 0 to 1; got {value}")


def centre(n: int, count: int) -> slice:
    """``count`` of ``n`` indices around the zero frequency, which is one of them."""
    start = n // 2 - count // 2
    return slice(start, start + count)


def require_centre_fits(acceleration: float, entries: int, sampled: int, unit: str) -> None:
    """Refuse an acceleration that leaves fewer than the ``sampled`` centre, or nothing."""
    require_acceleration(acceleration)
    # An acceleration computed as entries over the centre may miss it by rounding.
    if entries / acceleration < sampled * (1 - ROUNDING) or round(entries / acceleration) < 1:
        raise ValueError(
            f"acceleration {acceleration} keeps {entries / acceleration:.3g} of {entries} {unit}, "
            f"but the centre alone has {sampled}, and no mask is empty; use an acceleration of "
            f"at most {entries / max(sampled, 1):.3g}, or a smaller centre_fraction"
        )


def frequencies(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Frequency along each axis in cycles a pixel, -1/2 to 1/2, as an open grid (float64)."""
    return list(np.ix_(*((np.arange(n) - n // 2) / n for n in shape)))


def heaviest(log_weight: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` indices drawn one after the other in proportion to their weight, no two alike.

    In logarithms, so that weights that are 0 to rounding still come last.  O(n log n).
    Source: Gumbel noise and the largest keys (Yellott, J. Math. Psychol. 15, 1977).
    """
    keys = log_weight + rng.gumbel(size=log_weight.size)
    return np.argsort(keys)[log_weight.size - count :]
