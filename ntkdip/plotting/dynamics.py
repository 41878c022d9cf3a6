"""Prediction against training, over iterations."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from ntkdip.plotting.style import colour


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
