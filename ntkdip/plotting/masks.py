"""Sampling masks over k-space."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes

from ntkdip.operators.masks import Mask, checked_mask
from ntkdip.plotting.style import GREY


def kspace_extent(shape: tuple[int, ...]) -> tuple[float, float, float, float]:
    """Edges of 2D k-space in cycles a field of view, row 0 on top, as ``imshow`` takes them."""
    (top, bottom), (left, right) = ((-(n // 2) - 0.5, n - n // 2 - 0.5) for n in shape)
    return left, right, bottom, top


def sampling_mask(ax: Axes, mask: Bool[np.ndarray, "..."], title: str) -> Axes:
    """What is sampled, white on black, over centred k-space.

    Parameters
    ----------
    mask
        1D (a strip) or 2D, ``True`` where k-space is sampled, the zero frequency at index
        ``n // 2`` of each axis.
    title
        Of the axes; the acceleration is put behind it, to one decimal.

    Raises
    ------
    ValueError
        If the mask samples nothing, or is neither 1D nor 2D.
    """
    shown = np.atleast_2d(checked_mask(mask, None, "sampling mask", "k-space sample"))
    ax.imshow(
        shown,
        cmap=GREY,
        vmin=0,
        vmax=1,
        extent=kspace_extent(shown.shape),
        aspect="equal" if mask.ndim == 2 else "auto",
        interpolation="nearest",
    )
    ax.set_title(f"{title}: {Mask(shown).acceleration:.1f}x")
    ax.set_xlabel("$k_x$ (cycles / field of view)")
    if mask.ndim == 2:
        ax.set_ylabel("$k_y$ (cycles / field of view)")
    else:
        ax.set_yticks([])
    return ax
