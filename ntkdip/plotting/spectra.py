"""Spectra of kernels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from ntkdip.plotting.style import HEAT, colours
from ntkdip.spectrum import EigenvectorContent, KernelContent, SpectralDensity

FLOOR = 1e-12
"""Relative eigenvalues below this are float64 rounding."""

Extend = Literal["neither", "max"]

DYNAMIC_RANGE = 1e-6
"""Smallest relative coupling that the logarithmic picture shows."""


def eigenvalue_decay(ax: Axes, eigenvalues: Mapping[str, np.ndarray]) -> Axes:
    """Eigenvalues over the largest, against their rank, one line a kernel.

    Values below `FLOOR` are left out.
    """
    palette = colours(eigenvalues)
    for name, values in eigenvalues.items():
        relative = values / values[0]
        shown = relative > FLOOR
        ranks = np.arange(1, values.size + 1)
        ax.loglog(ranks[shown], relative[shown], color=palette[name], label=name)
    ax.set(xlabel="rank $i$", ylabel=r"$\lambda_i / \lambda_1$", title="Eigenvalue decay")
    ax.grid(True, which="major")
    ax.legend(loc="lower left")
    return ax


def density_curve(ax: Axes, densities: Mapping[str, SpectralDensity]) -> Axes:
    """Spectral densities on a log axis; bands are two standard errors of the estimates.

    Densities are per unit of ``ln lambda`` (`ntkdip.spectrum.spectral_density`, ``log``).
    """
    palette = colours(densities)
    for name, density in densities.items():
        band = 2 * density.standard_error
        ax.semilogx(density.grid, density.density, color=palette[name], label=name)
        lower, upper = np.maximum(density.density - band, 0), density.density + band
        ax.fill_between(density.grid, lower, upper, color=palette[name], alpha=0.2, lw=0)
    ax.set(
        xlabel=r"eigenvalue $\lambda$",
        ylabel=r"share of eigenvalues per unit of $\ln \lambda$",
        title="Spectral density (band: 2 standard errors)",
    )
    ax.grid(True, which="major")
    ax.legend()
    return ax


def eigenvector_fourier(
    ax: Axes, content: EigenvectorContent, name: str, *, peak: float = 1.0
) -> Axes:
    """``|F V|``: one column an eigenvector, sorted by mean frequency; rows are radii.

    The scale ends at ``peak``, which larger values are drawn as.
    """
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
        title=f"{name}: mean spread {content.spread.mean():.1f} cycles",
        xlabel=f"leading {content.mean.size} eigenvectors, by mean frequency",
        ylabel="$|k|$ (cycles / field of view)",
    )
    extend: Extend = "max" if peak < 1 else "neither"
    ax.figure.colorbar(image, ax=ax, label="$|F V|$ (a column has norm 1)", extend=extend)
    return ax


def kernel_fourier(ax: Axes, content: KernelContent, name: str) -> Axes:
    """``|F W F^H|`` over its largest entry, logarithmic; rows and columns sorted by ``|k|``."""
    relative = np.maximum(content.magnitude / content.magnitude.max(), DYNAMIC_RANGE)
    title = f"{name}: {content.off_diagonal:.1%} of energy off diagonal"
    scale = LogNorm(DYNAMIC_RANGE, 1)
    return _by_radius(ax, relative, content.radius, scale, title, r"$|F W F^H|$, relative")


def kernel_coherence(ax: Axes, content: KernelContent, name: str) -> Axes:
    """`ntkdip.spectrum.KernelContent.coherence`: 1 on the diagonal, 0 where nothing couples.

    The scale ends at 0.5, because off the diagonal values are small.
    """
    title = f"{name}: coherence between frequencies"
    label = r"$|F W F^H|_{kk'} / \sqrt{|F W F^H|_{kk} |F W F^H|_{k'k'}}$"
    return _by_radius(ax, content.coherence, content.radius, Normalize(0, 0.5), title, label, "max")


def _by_radius(
    ax: Axes,
    values: np.ndarray,
    radius: np.ndarray,
    scale: Normalize,
    title: str,
    label: str,
    extend: Extend = "neither",
) -> Axes:
    image = ax.imshow(values, cmap=HEAT, norm=scale, interpolation="antialiased")
    wanted = np.r_[0, np.arange(10, radius[-1] + 1, 5)]
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_ticks(np.searchsorted(radius, wanted), [f"{w:.0f}" for w in wanted])
    ax.set(
        title=title,
        xlabel="$|k|$ (cycles / field of view)",
        ylabel="$|k'|$ (cycles / field of view)",
    )
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend)
    return ax
