"""Numbers that sum up a spectrum: fitted power laws and effective dimensions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ntkdip.plotting.style import colours
from ntkdip.spectrum import Bounds, PowerLaw


def power_law(ax: Axes, fit: PowerLaw, name: str, *, largest: float) -> Axes:
    """A fitted power law over its ranks, black and broken, on the axes of `eigenvalue_decay`.

    ``largest`` is the eigenvalue that the axes divide by, ``values[0]``.  The legend gives
    exponent and standard error (at least 0.0001).
    """
    ranks = np.geomspace(fit.first, fit.last, 50)
    error = max(fit.standard_error, 1e-4)
    digits = max(2, int(np.ceil(-np.log10(error))))
    label = (
        rf"{name}: $i^{{-\alpha}}$, $\alpha$ = {fit.exponent:.{digits}f} $\pm$ {error:.{digits}f}"
        f" (ranks {fit.first} to {fit.last})"
    )
    earlier = sum(line.get_color() == "black" for line in ax.lines)
    ax.loglog(ranks, fit(ranks) / largest, color="black", linewidth=1.0, label=label,
              linestyle=("--", ":", "-.")[earlier % 3])  # fmt: skip
    ax.legend(loc="lower left")
    return ax


def effective_dimension_curve(
    ax: Axes, mu: Float[np.ndarray, " m"], dimensions: Mapping[str, Bounds]
) -> Axes:
    """Effective dimension against penalty; a band where only bounds are known.

    ``mu`` (m,) is in the units of the eigenvalues; every `Bounds` holds ``m`` values.
    """
    palette = colours(dimensions)
    for name, bounds in dimensions.items():
        exact = np.array_equal(bounds.lower, bounds.upper)
        ax.loglog(mu, bounds.upper, color=palette[name],
                  label=name if exact else f"{name} (between bounds)")  # fmt: skip
        if not exact:
            ax.loglog(mu, bounds.lower, color=palette[name], linewidth=0.8)
            ax.fill_between(mu, bounds.lower, bounds.upper, color=palette[name], alpha=0.2, lw=0)
    ax.set(
        xlabel=r"penalty $\mu$ (units of $\lambda$)",
        ylabel=r"$\sum_i \lambda_i / (\lambda_i + \mu)$ (real dimensions)",
        title="Effective dimension",
    )
    ax.grid(True, which="major")
    ax.legend()
    return ax
