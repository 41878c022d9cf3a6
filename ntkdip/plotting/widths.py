"""Where theory and training part: against width, and against the movement of the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes

from ntkdip.plotting.style import colours, decimal_ticks

VIRIDIS = colormaps["viridis"]
"""For what has an order, from dark to light."""


def width_scaling(
    ax: Axes,
    values: Mapping[str, Mapping[int, Sequence[float]]],
    fits: Mapping[str, tuple[float, float | None, float]],
    *,
    quantity: str,
) -> Axes:
    """A quantity against width on logarithmic axes, with power laws and theory's slope.

    Parameters
    ----------
    ax
        Where to draw.
    values
        For each method and width the quantity over seeds: dots, and their geometric means.
    fits
        For each method exponent, its standard error (None where there is none) and factor: a
        line, ``factor * width**exponent``.
    quantity
        Label of the vertical axis.

    Returns
    -------
    The axes; a dotted grey line through the first method's first mean falls as
    ``width**(-1/2)``.
    """
    palette = colours(values)
    for method, by_width in values.items():
        widths = np.array(sorted(by_width))
        means = np.array([np.exp(np.mean(np.log(by_width[int(w)]))) for w in widths])
        for width in widths:
            seeds = by_width[int(width)]
            ax.loglog([width] * len(seeds), seeds, ".", color=palette[method], alpha=0.4)
        exponent, error, factor = fits[method]
        label = f"{method}: exponent {exponent:.2f}"
        label += "" if error is None else rf" $\pm$ {error:.2f}"
        ax.loglog(widths, means, "o", color=palette[method], markerfacecolor="white")
        ax.loglog(widths, factor * widths**exponent, color=palette[method], label=label)
    first = next(iter(values.values()))
    widths = np.array(sorted(first))
    start = np.exp(np.mean(np.log(first[int(widths[0])])))
    ax.loglog(widths, start * (widths / widths[0]) ** -0.5, ":", color="#666666",
              label=r"theory: slope $-1/2$")  # fmt: skip
    ax.set_xticks(widths, labels=[str(w) for w in widths])
    ax.set_xticks([], minor=True)
    ax.set(xlabel="width (channels)", ylabel=quantity)
    ax.grid(True, which="major")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def movement_curves(
    ax: Axes,
    curves: Mapping[str, tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]],
    *,
    first_order: Mapping[str, float] | None = None,
    threshold: float | None = None,
    quantity: str,
) -> Axes:
    """A distance against how far the input has moved, both relative, on logarithmic axes.

    Parameters
    ----------
    ax
        Where to draw.
    curves
        Movement and distance (T,) of each run; points where either is zero are left out.
    first_order
        For each run the factor of the line ``distance = factor * movement``, dotted.
    threshold
        Where the agreement is said to end: a horizontal line.
    quantity
        Label of the vertical axis.
    """
    palette = colours(curves)
    for name, (movement, distance) in curves.items():
        seen = (movement > 0) & (distance > 0)
        ax.loglog(movement[seen], distance[seen], "o-", color=palette[name], markersize=3,
                  label=name)  # fmt: skip
        factor = (first_order or {}).get(name)
        if factor is not None and seen.any():
            ends = np.array([movement[seen].min(), movement[seen].max()])
            # A line far above its data would squeeze them.
            ends[1] = min(ends[1], max(distance[seen].max() / factor, 2 * ends[0]))
            ax.loglog(ends, factor * ends, ":", color=palette[name], linewidth=1.0)
    if threshold is not None:
        ax.axhline(threshold, color="#666666", linestyle="--", linewidth=1.0,
                   label=f"{threshold:.0%}")  # fmt: skip
    ax.set(xlabel=r"movement of the input $\|z_t - z_0\| / \|z_0\|$ (relative)", ylabel=quantity)
    ax.grid(True, which="major")
    ax.legend()
    return ax


def runs_by_width(
    ax: Axes,
    runs: Mapping[int, Sequence[tuple[Float[np.ndarray, " T"], Float[np.ndarray, " T"]]]],
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
) -> Axes:
    """Runs of several widths on logarithmic axes: thin lines are seeds, thick ones their mean.

    Parameters
    ----------
    ax
        Where to draw.
    runs
        For each width ``(x, y)`` of every seed, positive and as long for all; means are
        geometric, in both directions.
    xlabel, ylabel, title
        With the units, and what is shown.

    Returns
    -------
    The axes; an open circle is where the mean begins.
    """
    palette = dict(zip(sorted(runs), VIRIDIS(np.linspace(0, 0.85, len(runs))), strict=True))
    for width, seeds in sorted(runs.items()):
        for x, y in seeds:
            ax.loglog(x, y, color=palette[width], linewidth=0.6, alpha=0.4)
        x, y = np.exp(np.mean(np.log(np.array(seeds)), axis=0))
        ax.loglog(x, y, "o-", color=palette[width], markersize=3, label=f"{width}")
        ax.plot(x[0], y[0], "o", color=palette[width], markersize=6, markerfacecolor="white")
    decimal_ticks(ax.xaxis, ax.yaxis)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.grid(True, which="major")
    return ax
