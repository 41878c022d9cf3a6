"""Prediction against training, over iterations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ntkdip.plotting.style import colour, colours


def psnr_curves(
    ax: Axes,
    name: str,
    predicted: tuple[np.ndarray, np.ndarray],
    trained: tuple[np.ndarray, np.ndarray],
    limit: float,
) -> Axes:
    """PSNR against iteration: prediction as a line, training as dots, the limit dotted.

    ``predicted`` and ``trained`` are (iterations, PSNR in dB); iteration 0 is left out,
    because the axis is logarithmic.
    """
    later = predicted[0] > 0
    ax.semilogx(predicted[0][later], predicted[1][later], color=colour(name),
                label=f"{name}, predicted")  # fmt: skip
    later = trained[0] > 0
    ax.semilogx(trained[0][later], trained[1][later], "o", color=colour(name), markersize=4,
                markerfacecolor="white", label=f"{name}, trained")  # fmt: skip
    ax.axhline(limit, color=colour(name), linestyle=":", linewidth=1.2,
               label=f"{name}, limit {limit:.1f} dB")  # fmt: skip
    ax.set(xlabel="iteration", ylabel="PSNR (dB)", title="Prediction and training")
    ax.grid(True)
    return ax


def distance_curve(ax: Axes, name: str, steps: np.ndarray, distance: np.ndarray) -> Axes:
    """Relative distance between predicted and trained image, against iteration."""
    later = steps > 0
    ax.semilogx(steps[later], 100 * distance[later], color=colour(name), label=name)
    ax.set(
        xlabel="iteration",
        ylabel="distance / norm of the prediction (%)",
        title="Distance between trained and predicted image",
    )
    ax.set_ylim(bottom=0)
    ax.grid(True)
    return ax


def mse_curves(
    ax: Axes,
    t: Float[np.ndarray, " T"],
    bias: Float[np.ndarray, " T"],
    variance: Float[np.ndarray, " T"],
    *,
    stops: Mapping[str, float] | None = None,
) -> Axes:
    """Theorem 2 against iteration: squared error, its bias and its variance.

    Parameters
    ----------
    ax
        Where to draw.
    t
        Iterations; 0 and infinity are left out, because the axis is logarithmic.
    bias, variance
        As `ntkdip.theory.KernelRegime.mse` gives them, for one noise level.
    stops
        Picks of stopping rules, by name: vertical lines; infinity is written in the legend.
    """
    drawn = (t > 0) & np.isfinite(t)
    palette = colours(["error", "bias", "variance"])
    parts = {"error": bias + variance, "bias": bias, "variance": variance}
    for (name, values), line in zip(parts.items(), ("-", "--", "-."), strict=True):
        ax.loglog(t[drawn], values[drawn], line, color=palette[name], label=name)
    marks = ["v", "s", "D", "^", "o"]
    whole = (bias + variance)[drawn]
    for i, (name, stop) in enumerate((stops or {}).items()):
        if np.isfinite(stop):
            height = np.exp(np.interp(np.log(max(stop, 1)), np.log(t[drawn]), np.log(whole)))
            label = f"{name}: t = {stop:,.0f}"
            ax.plot(max(stop, 1), height, marks[i % len(marks)], color="black",
                    markerfacecolor="white", label=label, clip_on=False)  # fmt: skip
        else:
            ax.plot([], [], " ", label=rf"{name}: $t = \infty$")
    ax.set(xlabel="iteration", ylabel="squared error, summed over pixels",
           title="Bias and variance (Theorem 2)")  # fmt: skip
    ax.grid(True, which="major")
    ax.legend()
    return ax
