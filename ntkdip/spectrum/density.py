"""Spectral density of a kernel, from products with random probes.

Nodes and weights of the Lanczos quadrature (`ntkdip.spectrum.stochastic`), smoothed.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Float64

from ntkdip.kernels import Estimate, Products
from ntkdip.kernels.lanczos import Tridiagonal
from ntkdip.kernels.probing import standard_error
from ntkdip.spectrum.stochastic import krylov

Scale = Literal["linear", "log"]

GRID_POINTS = 200
WIDTHS_PER_GRID = 20
"""Smoothing of a density where none is asked for: the grid's span over this."""

LOG_RANGE = 1e-7
"""Lower end of a log grid relative to the largest eigenvalue: float32 noise lies below."""

NEIGHBOURHOOD = np.linspace(-3.0, 3.0, 13)
"""Where around a point, in widths, a truncation error is looked for."""


class SpectralDensity(NamedTuple):
    """Smoothed share of eigenvalues per unit of the axis.

    ``grid`` (g,): eigenvalues, rising.
    ``density`` (g,): per unit of ``lambda`` (linear) or of ``ln lambda`` (log); its integral
    over the whole axis is 1, less what a log axis cannot show.
    ``standard_error`` (g,): of the mean over the probes.
    ``truncation_error`` (g,): what the short iteration may have wrong, judged by the largest
    change nearby from three quarters of the order to all of it: cautious where Lanczos
    resolves the width, no bound where its nodes are many widths apart.
    ``width``: standard deviation of the Gaussian every eigenvalue is smoothed with, in
    units of the axis.
    ``below``: share of the eigenvalues below the grid's lower end, not smoothed.
    """

    grid: Float64[np.ndarray, " g"]
    density: Float64[np.ndarray, " g"]
    standard_error: Float64[np.ndarray, " g"]
    truncation_error: Float64[np.ndarray, " g"]
    width: float
    below: Estimate


def spectral_density(
    W: Products,
    *,
    key: Array,
    probes: int = 16,
    order: int = 60,
    grid: Float[np.ndarray, " g"] | None = None,
    scale: Scale = "log",
    width: float | None = None,
) -> SpectralDensity:
    """Smoothed density of a PSD kernel's eigenvalues.

    Parameters
    ----------
    W
        The kernel.
    key
        PRNG key of the probes.
    probes
        Number of probes, at least 2.
    order
        Products a probe, at least 2 and at most ``n``.
    grid
        Eigenvalues at which to give the density, rising (positive on a log scale).  If
        None, 200 points from 0 (linear) or 1e-7 of the largest eigenvalue (log) to a
        little above the largest.
    scale
        ``log``: density over ``ln lambda``, for kernels whose eigenvalues span decades.
        ``linear``: over ``lambda``.
    width
        Smoothing, in units of the axis; a twentieth of the grid's span if None.

    Returns
    -------
    `SpectralDensity`.

    Raises
    ------
    ValueError
        If ``grid``, ``scale``, ``width``, ``probes`` or ``order`` make no sense.

    Notes
    -----
    Cost: ``probes * order`` products.  Lanczos resolves both ends of the spectrum first;
    on a log scale the small eigenvalues come last, and the truncation error shows it.
    Source: Lin, Saad and Yang, SIAM Rev. 58 (2016), section 3.2.
    """
    _require_axis(grid, scale, width)
    tridiagonals, products = krylov(W, key, probes, order, "spectral density")
    largest = max(T.quadrature()[0][-1] for T in tridiagonals)
    points = _grid(largest, scale) if grid is None else np.asarray(grid, np.float64)
    axis = np.log(points) if scale == "log" else points
    sigma = float((axis[-1] - axis[0]) / WIDTHS_PER_GRID if width is None else width)
    densities = np.stack([_smoothed(T, axis, sigma, scale) for T in tridiagonals])
    return SpectralDensity(
        points,
        densities.mean(0),
        standard_error(densities),
        _truncation(tridiagonals, axis, sigma, scale, order),
        sigma,
        _share_below(tridiagonals, axis[0], sigma, scale, order, products),
    )


def _on_axis(T: Tridiagonal, scale: Scale) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights; a node that is not positive is infinitely far down a log axis."""
    nodes, weights = T.quadrature()
    if scale == "log":
        positive = nodes > 0
        nodes = np.where(positive, np.log(np.where(positive, nodes, 1.0)), -np.inf)
    return nodes, weights


def _bells(distance: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-0.5 * (distance / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def _smoothed(T: Tridiagonal, axis: np.ndarray, sigma: float, scale: Scale) -> np.ndarray:
    nodes, weights = _on_axis(T, scale)
    return _bells(axis[..., None] - nodes, sigma) @ weights


def _below(T: Tridiagonal, axis: np.ndarray, scale: Scale) -> np.ndarray:
    nodes, weights = _on_axis(T, scale)
    return (nodes < axis[..., None]) @ weights


def _shorter(tridiagonals: list[Tridiagonal], order: int) -> list[Tridiagonal]:
    return [T.leading(max(3 * order // 4, 1)) for T in tridiagonals]


def _ends(tridiagonals: list[Tridiagonal], scale: Scale) -> list[tuple[float, float]]:
    """Lowest node and its weight, for every probe whose iteration was cut short."""
    rules = [_on_axis(T, scale) for T in tridiagonals if T.offdiagonal[-1] > 0]
    return [(float(nodes[0]), float(weights[0])) for nodes, weights in rules]


def _truncation(
    tridiagonals: list[Tridiagonal], axis: np.ndarray, sigma: float, scale: Scale, order: int
) -> np.ndarray:
    """Change from a shorter iteration, the largest nearby; below all nodes, a bound.

    At a single point the change crosses zero.  Below the lowest node neither order knows
    anything, but no more than that node's weight can be there (Chebyshev, Markov and
    Stieltjes).
    """
    around = axis[:, None] + sigma * NEIGHBOURHOOD
    full = np.stack([_smoothed(T, around, sigma, scale) for T in tridiagonals])
    short = np.stack([_smoothed(T, around, sigma, scale) for T in _shorter(tridiagonals, order)])
    unseen = np.zeros(axis.size)
    for lowest, weight in _ends(tridiagonals, scale):
        unseen += weight * _bells(np.maximum(axis - lowest, 0.0), sigma)
    return np.maximum(np.abs((full - short).mean(0)).max(1), unseen / len(tridiagonals))


def _share_below(
    tridiagonals: list[Tridiagonal],
    bound: float,
    sigma: float,
    scale: Scale,
    order: int,
    products: int,
) -> Estimate:
    """The share at the bound; its truncation error is judged as the density's."""
    around = bound + sigma * np.append(0.0, NEIGHBOURHOOD)
    full = np.stack([_below(T, around, scale) for T in tridiagonals])
    short = np.stack([_below(T, around, scale) for T in _shorter(tridiagonals, order)])
    change = float(np.abs((full - short).mean(0)).max())
    ends = _ends(tridiagonals, scale)
    unseen = sum(weight for lowest, weight in ends if lowest > bound) / len(tridiagonals)
    shares = full[:, 0]
    return Estimate(
        float(shares.mean()), float(standard_error(shares)), max(change, unseen), products
    )


def _grid(largest: float, scale: Scale) -> Float64[np.ndarray, " g"]:
    if not largest > 0:
        raise ValueError("the kernel is zero: it has no spectrum to choose a grid from; pass grid=")
    if scale == "linear":
        return np.linspace(0.0, 1.1 * largest, GRID_POINTS)
    return np.geomspace(LOG_RANGE * largest, 2 * largest, GRID_POINTS)


def _require_axis(grid: np.ndarray | None, scale: str, width: float | None) -> None:
    if scale not in ("linear", "log"):
        raise ValueError(f"scale is 'linear' or 'log'; got {scale!r}")
    if width is not None and not 0 < width < math.inf:
        raise ValueError(f"width is a positive number in units of the axis; got {width}")
    if grid is None:
        return
    rising = grid.ndim == 1 and grid.size > 1 and bool((np.diff(grid) > 0).all())
    if not (rising and np.isfinite(grid).all()):
        raise ValueError(
            f"grid holds at least 2 eigenvalues, rising; got shape {grid.shape}, "
            "or values that do not rise, or are not finite"
        )
    if scale == "log" and grid[0] <= 0:
        raise ValueError(
            f"a log scale needs a positive grid; it starts at {grid[0]:.3g}. Start it higher, "
            "or use scale='linear'"
        )
