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


def _panel(
    ax: Axes, values: np.ndarray, title: str, cmap: str, peak: float, *, low: float = 0.0
) -> AxesImage:
    shown = ax.imshow(values, cmap=cmap, vmin=low, vmax=peak, interpolation="nearest")
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    return shown
