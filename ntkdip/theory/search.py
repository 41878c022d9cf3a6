"""Global search for the best iteration: the curves of theory may have several minima."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.optimize
from jaxtyping import Float64

Curve = Callable[[np.ndarray], Float64[np.ndarray, " T"]]
"""A number for every iteration ``t``, ``inf`` included."""

EVERY = 64
"""All iterations up to this one are looked at, at least."""

PER_DECADE = 40
"""Iterations a decade after that, each with its successor (momentum and large steps swing)."""

BRACKETS = 8
"""Local minima that are refined."""

LAST = 2.0**52
"""Doubles tell whole numbers apart up to here."""


class Best(NamedTuple):
    """The iteration ``t`` with the smallest ``value``; ``inf`` is an answer."""

    t: float
    value: float


def smallest(curve: Curve, horizon: float, every: int = EVERY) -> Best:
    """Where a curve over iterations is smallest, on a grid and then around its best minima.

    Parameters
    ----------
    curve
        Vectorised; called with rising whole numbers and ``inf``.
    horizon
        After this iteration nothing changes but to rounding.
    every
        Up to this one the curve may swing, and all iterations are looked at.

    Returns
    -------
    `Best`.  ``inf`` where no finite ``t`` is better than the limit by more than rounding.

    Notes
    -----
    Cost: ``every`` and some thousand evaluations.  A minimum narrower than the grid (6 % of
    ``t``) may be missed.
    """
    horizon = min(max(horizon, 1.0), LAST)
    every = max(every, EVERY)
    decades = max(np.log10(horizon / every), 0.0)
    later = np.geomspace(every, max(horizon, every), int(decades * PER_DECADE) + 2)
    whole = np.round(later)
    t = np.unique(np.concatenate([np.arange(every + 1.0), whole, whole + 1]))
    values = curve(t)
    padded = np.concatenate([[np.inf], values, [np.inf]])
    minima = np.flatnonzero((values <= padded[:-2]) & (values <= padded[2:]))
    limit = float(curve(np.array([np.inf]))[0])
    best = Best(float(t[np.argmin(values)]), float(values.min()))
    for i in minima[np.argsort(values[minima])][:BRACKETS]:
        # Two neighbours to each side: the next one may be a swing of the same minimum.
        low, high = t[max(i - 2, 0)], t[min(i + 2, len(t) - 1)]
        best = min(best, _refined(curve, low, high), key=lambda found: found.value)
    rounding = 1e-12 * abs(limit) + 1e-15 * float(np.abs(values).max())
    return best if best.value < limit - rounding else Best(np.inf, limit)


def first_below(curve: Curve, level: float, horizon: float) -> float:
    """The first iteration at which a falling curve is at most ``level``; ``inf`` if none is."""
    if curve(np.array([0.0]))[0] <= level:
        return 0.0
    low, high = 0.0, 1.0
    while curve(np.array([high]))[0] > level:
        low, high = high, 2 * high
        if high > min(horizon, LAST):
            return np.inf
    while high - low > 1:
        middle = np.floor((low + high) / 2)
        low, high = (low, middle) if curve(np.array([middle]))[0] <= level else (middle, high)
    return float(high)


def positive_minimiser(
    function: Callable[[float], float], low: float, high: float, points: int
) -> float:
    """Where a function of a positive number is smallest: a logarithmic grid, then refined.

    Parameters
    ----------
    function
        May have several minima, wider than the grid.
    low, high
        Between which to look.
    points
        Of the grid, both ends included.
    """
    grid = np.linspace(np.log(low), np.log(high), points)
    best = int(np.argmin([function(float(np.exp(v))) for v in grid]))
    cell = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]
    found = scipy.optimize.minimize_scalar(
        lambda v: function(float(np.exp(v))), bounds=cell, method="bounded",
        options={"xatol": 1e-9},
    )  # fmt: skip
    return float(np.exp(found.x))


def _refined(curve: Curve, low: float, high: float) -> Best:
    """Grids that narrow around the smallest value, down to single iterations."""
    while True:
        t = np.unique(np.round(np.linspace(low, high, 65)))
        t = np.unique(np.concatenate([t, np.minimum(t + 1, high)]))
        values = curve(t)
        i = int(np.argmin(values))
        if high - low <= 64:
            return Best(float(t[i]), float(values[i]))
        low, high = t[max(i - 2, 0)], t[min(i + 2, len(t) - 1)]
