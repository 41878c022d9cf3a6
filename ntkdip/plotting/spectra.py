"""Spectra of kernels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from ntkdip.plotting.style import HEAT, colour
from ntkdip.spectrum import EigenvectorContent, KernelContent

FLOOR = 1e-12


def eigenvalue_decay(ax: Axes, eigenvalues: Mapping[str, np.ndarray]) -> Axes:
    """Eigenvalues over the largest, against their rank, one line a kernel.

    Values below 1e-12 of the largest (float64 rounding) are left out.
    """
    for name, values in eigenvalues.items():
        relative = values / values[0]
        shown = relative > FLOOR
        ranks = np.arange(1, values.size + 1)
        ax.loglog(ranks[shown], relative[shown], color=colour(name), label=name)
    ax.set(xlabel="rank $i$", ylabel=r"$\lambda_i / \lambda_1$", title="Eigenvalue decay")
    ax.grid(True, which="major")
    ax.legend()
    return ax


def eigenvector_fourier(ax: Axes, content: EigenvectorContent, name: str) -> Axes:
    """``|F V|``: one column an eigenvector, sorted by mean frequency; rows are radii."""
    peak = np.quantile(content.magnitude, 0.999)
    image = ax.imshow(
        content.magnitude,
        cmap=HEAT,
        vmin=0,
        vmax=peak,
        aspect="auto",
        origin="lower",
        extent=(0.5, content.mean.size + 0.5, content.radius[0] - 0.5, content.radius[-1] + 0.5),
    )
    ax.set(
        title=f"{name}: $|F V|$, mean spread {content.spread.mean():.1f} cycles",
        xlabel="eigenvector, by mean frequency",
        ylabel="$|k|$ (cycles / field of view)",
    )
    ax.figure.colorbar(image, ax=ax, label="magnitude")
    return ax


def kernel_fourier(ax: Axes, content: KernelContent, name: str) -> Axes:
    """``|F W F^H|`` over its largest entry, logarithmic; rows and columns sorted by ``|k|``."""
    relative = np.maximum(content.magnitude / content.magnitude.max(), 1e-5)
    image = ax.imshow(relative, cmap=HEAT, norm=LogNorm(1e-5, 1), interpolation="antialiased")
    wanted = np.arange(0, content.radius[-1] + 1, 5)
    places = np.searchsorted(content.radius, wanted)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(places, [f"{w:.0f}" for w in wanted])
    ax.set(
        title=f"{name}: $|F W F^H|$, {content.off_diagonal:.1%} off diagonal",
        xlabel="$|k|$ (cycles / field of view)",
        ylabel="$|k'|$ (cycles / field of view)",
    )
    ax.figure.colorbar(image, ax=ax, label="relative magnitude")
    return ax
