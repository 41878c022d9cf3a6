"""Images and error maps, each kind on one common scale."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ntkdip.plotting.style import CYCLIC, GREY, HEAT


def magnitude(ax: Axes, image: Any, title: str, *, peak: float = 1.0) -> AxesImage:
    """Magnitude of an image on a grey scale from 0 to ``peak``."""
    return _panel(ax, np.abs(np.asarray(image)), title, GREY, peak)


def error_map(ax: Axes, image: Any, truth: Any, title: str, *, peak: float) -> AxesImage:
    """``|image - truth|``, phase included, from 0 to ``peak``."""
    return _panel(ax, np.abs(np.asarray(image) - np.asarray(truth)), title, HEAT, peak)


def phase(ax: Axes, image: Any, title: str) -> AxesImage:
    """Phase of a complex image in rad, on a cyclic scale from -pi to pi."""
    return _panel(ax, np.angle(np.asarray(image)), title, CYCLIC, np.pi, low=-np.pi)


def photograph(ax: Axes, pixels: Any, title: str) -> AxesImage:
    """A colour photograph ``(h, w, 3)``; values outside 0 to 1 are clipped."""
    return _panel(ax, np.clip(np.asarray(pixels), 0, 1), title, None, 1.0)


def log_kspace(ax: Axes, samples: Any, title: str, *, decibels: float = 80.0) -> AxesImage:
    """Root-sum-of-squares of k-space ``(coils, ny, nx)`` in dB under its largest sample.

    From ``-decibels`` to 0; what is below, or was not measured, is black.
    """
    energy = np.sum(np.abs(np.asarray(samples, np.complex128)) ** 2, axis=0)
    floor = energy.max() * 10 ** (-decibels / 10)
    level = 10 * np.log10(np.maximum(energy, floor) / energy.max())
    return _panel(ax, level, f"{title} (0 to -{decibels:.0f} dB)", HEAT, 0.0, low=-decibels)


def _panel(
    ax: Axes, values: np.ndarray, title: str, cmap: str | None, peak: float, *, low: float = 0.0
) -> AxesImage:
    shown = ax.imshow(values, cmap=cmap, vmin=low, vmax=peak, interpolation="nearest")
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return shown
