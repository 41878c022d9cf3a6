"""Kernel self-guidance, over its iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ntkdip import metrics
from ntkdip.plotting.style import OTHERS, colour
from ntkdip.theory.self_guidance import SelfGuidanceRun

SMALLEST = 1e-16
"""Values below this are drawn there: zero has no place on a logarithmic axis."""


def guidance_curves(
    quality: Axes,
    monitors: Axes,
    run: SelfGuidanceRun,
    truth: np.ndarray | None = None,
    *,
    name: str = "WCNN",
    measure: Literal["psnr", "rmse"] = "psnr",
) -> tuple[Axes, Axes]:
    """How a run went: image quality on one axes, what needs no truth on the other.

    ``quality`` shows PSNR or RMSE of every iterate where the true image is given, and
    otherwise the evidence of every kernel at the iterate that it makes.  ``monitors`` shows,
    on a logarithmic axis, the data residual, the range distance and the ridge; the last two
    at the iterate from which their kernel is made.  A dotted line marks the chosen iterate.
    """
    steps = np.arange(len(run.iterates))
    if truth is None:
        quality.plot(steps[1:], run.log_evidence, "o-", color=colour(name), markersize=4)
        quality.set_ylabel("log evidence a dimension (nats)")
    elif measure == "psnr":
        curve = [metrics.psnr(image, truth) for image in run.iterates]
        quality.plot(steps, curve, "o-", color=colour(name), markersize=4)
        quality.set_ylabel("PSNR (dB)")
    else:
        curve = [metrics.rmse(image, truth) for image in run.iterates]
        quality.semilogy(steps, np.maximum(curve, SMALLEST), "o-", color=colour(name), markersize=4)
        quality.set_ylabel("RMSE a pixel")
    quality.set_title(f"{name}: kernel self-guidance")
    series = (
        (r"data residual $|A z_k - y| / |y|$", steps, run.residuals),
        (r"distance of $z_k$ from $R(W A^*)$", steps[:-1], run.range_distances),
        (r"$\lambda$ / mean eigenvalue of $W$", steps[:-1], run.ridges),
    )
    for (label, k, values), line in zip(series, OTHERS[2:5], strict=True):
        monitors.semilogy(k, np.maximum(values, SMALLEST), "o-", color=line, markersize=4,
                          label=label)  # fmt: skip
    monitors.set(ylabel="relative", title="What needs no truth")
    monitors.legend()
    for ax in (quality, monitors):
        ax.axvline(run.chosen, color="black", linestyle=":", linewidth=1.0)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_xlabel("iteration $k$")
        ax.grid(True)
    return quality, monitors


def chosen_iterates(
    ax: Axes, curves: Mapping[str, tuple[Sequence[float], int]], title: str = ""
) -> Axes:
    """PSNR in dB of every iterate, one line a run; a dot at the iterate that was chosen.

    ``curves`` holds PSNRs, the start's first, and the index of the chosen one, by name.
    """
    for (name, (psnr, chosen)), line in zip(curves.items(), cycle(OTHERS), strict=False):
        ax.plot(np.arange(len(psnr)), psnr, color=line, label=name)
        ax.plot(chosen, psnr[chosen], "o", color=line, markersize=6)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.plot([], [], "o", color="black", markersize=6, label="chosen without the truth")
    ax.set(xlabel="iteration $k$", ylabel="PSNR (dB)", title=title)
    ax.grid(True)
    ax.legend()
    return ax
