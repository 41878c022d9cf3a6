"""What is recovered: frequencies, their sources, and how sure the posterior is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.image import AxesImage
from matplotlib.patches import Patch

from ntkdip.plotting.images import error_map
from ntkdip.plotting.masks import kspace_extent
from ntkdip.plotting.style import COLOURS, HEAT, OTHERS, colours
from ntkdip.theory import BandDeviation, Coverage, Sources

SAMPLED = OTHERS[4]
"""Colour of what is measured, in every map over k-space."""

NOTHING = "#BBBBBB"
"""Colour of places that have no value."""

WEIGHT_RANGE = 1e-4
"""Smallest relative weight that a map of sources tells apart."""


def recovery_map(
    ax: Axes,
    share: Float[np.ndarray, "..."],
    name: str,
    *,
    sampled: Bool[np.ndarray, "..."] | None = None,
) -> Axes:
    """Share of the prior variance that data explain, over k-space (`theory.explained`).

    Parameters
    ----------
    share
        Centred k-space, 1D or 2D, 0 to 1; NaN (no prior variance) is grey.
    name
        Of the kernel.
    sampled
        Mask of the same shape: its places are drawn in a colour of their own, so that the
        scale is left to what is filled in.  The title gives the mean over the others.

    Raises
    ------
    ValueError
        If the maps have other shapes.
    """
    _require_kspace(share, sampled)
    rest = np.ones(share.shape, bool) if sampled is None else ~sampled
    known = rest & np.isfinite(share)
    mean = f": mean {share[known].mean():.1%}" if known.any() else ""
    ax.set_title(f"{name}{mean if sampled is None else mean + ' where unsampled'}")
    label = "explained share of the prior variance"
    if share.ndim == 1:
        _line(ax, share, sampled, label)
        return ax
    shown = _kspace(ax, share, Normalize(0, 1))
    ax.figure.colorbar(shown, ax=ax, label=label)
    if sampled is not None:
        _sampled(ax, sampled)
    return ax


def sources_map(
    ax: Axes, sources: Sources, name: str, *, sampled: Bool[np.ndarray, "..."], index: int = 0
) -> Axes:
    """Weights of the samples in one frequency's reconstruction, relative, logarithmic.

    Parameters
    ----------
    sources
        From `theory.sources`, on 2D images.
    name
        Of the kernel.
    sampled
        The mask, centred; places that are not sampled are grey.
    index
        Which of the frequencies.  A cross marks it; the title gives its largest weight.

    Raises
    ------
    ValueError
        If the mask has another shape, or images are not 2D.
    """
    weights = sources.magnitude[index]
    _require_kspace(weights, sampled)
    if weights.ndim != 2:
        raise ValueError(f"a map of sources shows 2D images; got shape {weights.shape}")
    largest = weights.max()
    relative = np.maximum(weights / (largest or 1.0), WEIGHT_RANGE)
    shown = _kspace(ax, np.where(sampled, relative, np.nan), LogNorm(WEIGHT_RANGE, 1))
    y, x = sources.frequency[index]
    ax.plot(
        x,
        y,
        "x",
        color=OTHERS[2],
        markersize=8,
        markeredgewidth=2,
        label="frequency that is filled in",
    )
    _legend_below(ax)
    ax.set_title(f"{name}: $k$ = ({y}, {x}), largest weight {largest:.2g}")
    ax.figure.colorbar(shown, ax=ax, label="weight of a sample, relative")
    return ax


def deviation_and_error(
    axes: Sequence[Axes],
    deviation: Float[np.ndarray, "..."],
    image: Any,
    truth: Any,
    name: str,
    *,
    shared: bool = True,
) -> Sequence[Axes]:
    """Posterior deviation beside the error ``|image - truth|`` that was made.

    Parameters
    ----------
    axes
        Two.
    deviation
        `GaussianProcess.deviation`, 2D.
    image, truth
        Posterior mean and true image.
    name
        Of the kernel.
    shared
        One scale for both; else each has its own, which shows where they differ in shape.

    Raises
    ------
    ValueError
        If there are not two axes, or the shapes differ.
    """
    image, truth = np.asarray(image), np.asarray(truth)
    if len(axes) != 2 or not image.shape == truth.shape == deviation.shape:
        raise ValueError(
            "deviation and error are two axes and maps of one shape; got "
            f"{len(axes)} axes, shapes {deviation.shape}, {image.shape} and {truth.shape}"
        )
    error = np.abs(image - truth)
    peaks = [float(deviation.max()), float(error.max())]
    if shared:
        peaks = [max(peaks)] * 2
    rms = [np.sqrt(np.mean(values**2)) for values in (deviation, error)]
    titles = (f"{name}: deviation, RMS {rms[0]:.2g}", f"error, RMS {rms[1]:.2g}")
    panels = [
        error_map(ax, values, np.zeros_like(values), title, peak=peak)
        for ax, values, title, peak in zip(axes, (deviation, error), titles, peaks, strict=True)
    ]
    figure = axes[1].figure
    for panel, place in ((panels[1], list(axes)),) if shared else zip(panels, axes, strict=True):
        figure.colorbar(panel, ax=place, label="unit of the image")
    return axes


def calibration_curve(ax: Axes, coverages: Mapping[str, Coverage]) -> Axes:
    """Observed against promised coverage; bars of two standard errors where there are any."""
    palette = colours(coverages)
    ax.plot([0, 100], [0, 100], color=COLOURS["truth"], linewidth=0.8, linestyle="--",
            label="calibrated")  # fmt: skip
    for name, found in coverages.items():
        bars = None if np.isnan(found.standard_error).any() else 200 * found.standard_error
        ax.errorbar(100 * found.nominal, 100 * found.observed, yerr=bars, color=palette[name],
                    marker="o", markersize=4, capsize=2, label=name)  # fmt: skip
    ax.set(
        xlabel="probability of the interval (%)",
        ylabel="true values inside (%)",
        title="Calibration (above the line: too careful)",
        xlim=(0, 101),
        ylim=(0, 101),
        aspect="equal",
    )
    ax.grid(True)
    ax.legend(loc="lower right")
    return ax


def band_curve(ax: Axes, bands: Mapping[str, BandDeviation]) -> Axes:
    """Deviation of Fourier coefficients by radius: posterior as lines, prior dotted."""
    palette = colours(bands)
    for name, found in bands.items():
        for values, line in ((found.posterior, "-"), (found.prior, ":")):
            kind = "posterior" if line == "-" else "prior"
            ax.stairs(values, found.edges, baseline=None, color=palette[name], linestyle=line,
                      linewidth=1.6, label=f"{name}, {kind}")  # fmt: skip
    ax.set_yscale("log")
    ax.set(
        xlabel="$|k|$ (cycles / field of view)",
        ylabel="root mean variance of a coefficient",
        title="Deviation by frequency",
    )
    ax.grid(True)
    ax.legend()
    return ax


def _require_kspace(values: np.ndarray, sampled: np.ndarray | None) -> None:
    if values.ndim not in (1, 2) or (sampled is not None and sampled.shape != values.shape):
        mask = "" if sampled is None else f" and {sampled.shape}"
        raise ValueError(
            f"k-space and its mask are 1D or 2D and of one shape; got {values.shape}{mask}"
        )


def _colormap() -> Colormap:
    return mpl.colormaps[HEAT].with_extremes(bad=NOTHING)


def _kspace(ax: Axes, values: np.ndarray, scale: Normalize) -> AxesImage:
    shown = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=_colormap(),
        norm=scale,
        extent=kspace_extent(values.shape),
        interpolation="nearest",
    )
    ax.set(xlabel="$k_x$ (cycles / field of view)", ylabel="$k_y$ (cycles / field of view)")
    return shown


def _sampled(ax: Axes, sampled: np.ndarray) -> None:
    layer = np.zeros((*sampled.shape, 4))
    layer[sampled] = mpl.colors.to_rgba(SAMPLED)
    ax.imshow(layer, extent=kspace_extent(sampled.shape), interpolation="nearest")
    _legend_below(ax, handles=[Patch(color=SAMPLED, label="sampled")])


def _legend_below(ax: Axes, **options: Any) -> None:
    """A legend that covers no frequency."""
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), **options)


def _line(ax: Axes, share: np.ndarray, sampled: np.ndarray | None, label: str) -> None:
    n = len(share)
    k = np.arange(n) - n // 2
    ax.plot(k, share, color=OTHERS[0], marker="o", markersize=2, linewidth=0.8)
    if sampled is not None:
        ax.plot(k[sampled], share[sampled], "o", color=SAMPLED, markersize=4, label="sampled")
        ax.legend()
    ax.set(xlabel="$k$ (cycles / field of view)", ylabel=label, ylim=(-0.03, 1.05))
    ax.grid(True)
