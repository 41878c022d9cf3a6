"""A reconstruction as it ran, and what it made: curves, inputs, images beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Inexact, Int
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ntkdip import metrics
from ntkdip.plotting.images import error_map, magnitude
from ntkdip.plotting.style import colours

Curves = Sequence[tuple[np.ndarray, np.ndarray]]
"""One quantity of one run after the other: steps and values, each ``(t,)``."""

MARKS = ("v", "s", "D", "^", "o", "P")

CLIPPED = 0.995
"""Share of the errors that the scale of error maps spans; the rest is drawn as its end."""


def step_curves(
    ax: Axes,
    curves: Mapping[str, Curves],
    *,
    ylabel: str,
    title: str,
    picks: Mapping[str, Sequence[float] | np.ndarray] | None = None,
    logarithmic: bool = False,
    level: tuple[float, str] | None = None,
) -> Axes:
    """Quantities against steps, a line a run; picks of stopping rules as marks on the first.

    Parameters
    ----------
    ax
        Where to draw.
    curves
        Quantities by name, each of every run; runs may have different lengths.  Values that
        are not finite leave gaps.
    ylabel, title
        With the unit, and what is shown.
    picks
        Steps by the rule's name, one a run, NaN where there is none.
    logarithmic
        Scale of the vertical axis.
    level
        A height worth a dotted line, and what it is.
    """
    palette = colours(curves)
    for name, runs in curves.items():
        for i, (steps, values) in enumerate(runs):
            shown = np.where(np.isfinite(values), values, np.nan)
            ax.plot(steps, shown, color=palette[name], label=name if i == 0 else None,
                    linewidth=1.6 if len(runs) == 1 else 1.0)  # fmt: skip
    marked = next(iter(curves.values()), [])
    for mark, (name, chosen) in enumerate((picks or {}).items()):
        _mark(ax, marked, name, chosen, MARKS[mark % len(MARKS)])
    if level is not None:
        ax.axhline(level[0], color="black", linestyle=":", linewidth=1.2, label=level[1])
    if logarithmic:
        ax.set_yscale("log")
    ax.set(xlabel="step", ylabel=ylabel, title=title)
    ax.grid(True)
    ax.legend()
    return ax


def _mark(
    ax: Axes, runs: Curves, name: str, picks: Sequence[float] | np.ndarray, shape: str
) -> None:
    places = [
        (pick, np.interp(pick, steps, values))
        for (steps, values), pick in zip(runs, picks, strict=True)
        if np.isfinite(pick)
    ]
    if places:
        x, y = zip(*places, strict=True)
        name = f"{name}: {x[0]:,.0f}" if len(runs) == 1 else name
        ax.plot(x, y, shape, color="black", markerfacecolor="white", markersize=6, label=name,
                linestyle="none", zorder=3)  # fmt: skip


def input_evolution(
    axes: Sequence[Axes],
    steps: Int[np.ndarray, " k"],
    inputs: Float[np.ndarray, "k rows columns channels"],
) -> AxesImage:
    """The network's input at ``k`` steps, one a panel: its magnitude, all on one scale.

    Parameters
    ----------
    axes
        At least ``k``; what is left over is switched off.
    steps, inputs
        As in `ntkdip.training.Outcome`; two channels are real and imaginary part, of more the
        root of the sum of squares is shown.

    Raises
    ------
    ValueError
        If there are fewer axes than inputs.
    """
    if len(axes) < len(steps):
        raise ValueError(f"{len(steps)} inputs need as many axes; got {len(axes)}")
    shown = np.sqrt(np.sum(inputs.astype(np.float64) ** 2, axis=-1))
    peak = float(shown.max()) or 1.0
    for ax, step, image in zip(axes, steps, shown, strict=False):
        last = magnitude(ax, image, f"step {step:,}", peak=peak)
    for ax in axes[len(steps) :]:
        ax.set_axis_off()
    return last


def compared_images(
    above: Sequence[Axes],
    below: Sequence[Axes],
    images: Mapping[str, Inexact[np.ndarray, "rows columns"]],
    truth: Inexact[np.ndarray, "rows columns"],
) -> tuple[AxesImage, AxesImage]:
    """Images with their PSNR, the truth first, and below each its error; each row on one scale.

    Parameters
    ----------
    above, below
        One axes more than images in each; the first of ``below`` is switched off.
    images
        By name; errors include the phase where images and truth are complex.
    truth
        The true image.

    Returns
    -------
    What colour bars are made of: of the images and of the errors.
    """
    peak = float(np.abs(truth).max())
    grey = magnitude(above[0], truth, "truth\n", peak=peak)
    below[0].set_axis_off()
    errors = np.abs(np.stack(list(images.values())) - truth)
    worst = float(np.quantile(errors, CLIPPED)) or peak
    for ax, under, (name, image) in zip(above[1:], below[1:], images.items(), strict=True):
        magnitude(ax, image, f"{name}\n{metrics.psnr(image, truth):.2f} dB", peak=peak)
        heat = error_map(under, image, truth, "", peak=worst)
    return grey, heat
