"""Leading eigenspaces against images, and against those of another kernel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from ntkdip.plotting.style import colours
from ntkdip.spectrum import Alignment, PrincipalAngles


def alignment_curve(ax: Axes, alignments: Mapping[str, Alignment]) -> Axes:
    """Share of an image in the leading eigenspaces, one line a kernel, dots at their ends."""
    palette = colours(alignments)
    for name, found in alignments.items():
        ax.semilogx(found.dimension, 100 * found.share, color=palette[name], label=name,
                    drawstyle="steps-post", marker="o", markersize=2.5)  # fmt: skip
    ax.set(
        xlabel="dimensions of the leading eigenspaces",
        ylabel=r"$\Vert P x \Vert^2 / \Vert x \Vert^2$ (%)",
        title="Alignment of the image",
    )
    ax.set_ylim(0, 102)
    ax.grid(True)
    ax.legend()
    return ax


def angle_curve(ax: Axes, angles: Mapping[str, PrincipalAngles]) -> Axes:
    """Principal angles between leading eigenspaces, in degrees, one line a pair of kernels."""
    palette = colours(angles)
    for name, found in angles.items():
        index = np.arange(1, found.angles.size + 1)
        ax.plot(index, np.degrees(found.angles), color=palette[name], marker="o", markersize=3,
                label=f"{name}: overlap {found.overlap:.1%}")  # fmt: skip
    ax.set(
        xlabel="index of the angle", ylabel="principal angle (degrees)", title="Leading eigenspaces"
    )
    ax.set_ylim(-2, 92)
    ax.set_yticks(range(0, 91, 15))
    ax.grid(True)
    ax.legend()
    return ax
