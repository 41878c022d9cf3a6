"""Coupling between frequencies, from products with a kernel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from ntkdip.plotting.style import OTHERS, colours
from ntkdip.spectrum import KernelColumns, OffDiagonalEstimate

SMALLEST = 1e-8
"""Relative answers below this are not drawn."""


def coupling_columns(ax: Axes, columns: KernelColumns, name: str) -> Axes:
    """Answer of a kernel to single Fourier modes, over frequency radii (root energy of a ring).

    Each line is relative to its largest value; a dot marks the mode's own radius.
    """
    rings = np.rint(columns.radius).astype(int)
    for index, (frequency, share) in enumerate(
        zip(columns.frequency, columns.off_diagonal, strict=True)
    ):
        answer = np.sqrt(np.bincount(rings, weights=columns.magnitude[:, index] ** 2))
        answer = np.maximum(answer / max(answer.max(), np.finfo(np.float64).tiny), SMALLEST)
        colour, own = OTHERS[index % len(OTHERS)], int(np.rint(np.linalg.norm(frequency)))
        label = f"$k$ = {', '.join(map(str, frequency))}: {share:.1%} off diagonal"
        ax.semilogy(answer, color=colour, label=label)
        ax.semilogy(own, answer[own], "o", color=colour, markersize=5)
    ax.set(
        title=f"{name}: answer to single frequencies",
        xlabel="$|k'|$ (cycles / field of view)",
        ylabel="root energy of a ring, relative",
    )
    ax.set_ylim(top=3)
    ax.grid(True)
    ax.legend()
    return ax


def off_diagonal_shares(ax: Axes, shares: Mapping[str, OffDiagonalEstimate | float]) -> Axes:
    """Energy that couples different frequencies: one dot a kernel, bars of two standard errors.

    A number is an exact share, as in `KernelContent.off_diagonal`: a filled dot, no bar.
    """
    palette = colours(shares)
    for place, (name, found) in enumerate(shares.items()):
        if isinstance(found, OffDiagonalEstimate):
            share, bar, face = found.share, 200 * found.standard_error, "white"
        else:
            share, bar, face = found, None, palette[name]
        ax.errorbar(100 * share, place, xerr=bar, fmt="o", color=palette[name], capsize=3,
                    markerfacecolor=face, clip_on=False, zorder=3)  # fmt: skip
    ax.set_yticks(range(len(shares)), list(shares))
    ax.invert_yaxis()
    ax.margins(y=0.3)
    ax.set_xlim(left=0)
    ax.set(
        xlabel="energy of $F W F^H$ off the diagonal (%)\n"
        r"filled: exact; open: estimated $\pm$ 2 standard errors",
        title="Coupling between frequencies",
    )
    ax.grid(True, axis="x")
    return ax
