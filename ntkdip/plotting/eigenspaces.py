"""Eigenspaces and kernel rows as images, and where eigenspaces live in k-space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from ntkdip.plotting.style import DIVERGING, HEAT, OTHERS
from ntkdip.spaces import Space
from ntkdip.spectrum import Eigenspace, EigenspaceContent, KernelRow, eigenspace_image


def eigenspace_fourier(ax: Axes, content: EigenspaceContent, name: str) -> Axes:
    """Energy of eigenspaces over frequency radii; a column is as wide as its dimension."""
    edges = np.r_[0, np.cumsum(content.dimension)] + 0.5
    rows = np.arange(content.radius.size + 1) - 0.5
    image = ax.pcolormesh(edges, rows, content.energy, cmap=HEAT, vmin=0, vmax=1, rasterized=True)
    spread = content.spread @ content.dimension / content.dimension.sum()
    ax.set(
        title=f"{name}: mean spread {spread:.1f} cycles",
        xlabel=f"{content.mean.size} eigenspaces, {content.dimension.sum()} dimensions, "
        "by mean frequency",
        ylabel="$|k|$ (cycles / field of view)",
    )
    ax.figure.colorbar(image, ax=ax, label="energy (a column sums to 1)")
    return ax


def eigenvector_gallery(
    axes: Sequence[Axes], spaces: Sequence[Eigenspace], space: Space, *, first_rank: int = 1
) -> Sequence[Axes]:
    """One panel an eigenspace, falling: `eigenspace_image`, over its largest magnitude.

    A single eigenvector is shown as it is; a degenerate eigenspace by what it makes of its
    most prominent pixel, which does not depend on the solver.  Complex images show real and
    imaginary part side by side (in 1D: solid and dashed).

    Parameters
    ----------
    axes
        As many as there are eigenspaces, or more; those left over are hidden.
    spaces
        Consecutive eigenspaces, as from `leading_eigenspaces`.
    space
        Space of images, 1D or 2D.
    first_rank
        Rank of the first eigenvector shown.

    Raises
    ------
    ValueError
        If there are fewer axes than eigenspaces, or images are neither 1D nor 2D.
    """
    if len(axes) < len(spaces):
        raise ValueError(f"{len(spaces)} eigenspaces need as many axes; got {len(axes)}")
    if len(space.shape) > 2:
        raise ValueError(f"a gallery shows images of one or two dimensions; got {space}")
    rank, shown = first_rank, None
    for ax, eigenspace in zip(axes, spaces, strict=False):
        image = eigenspace_image(eigenspace, space)
        parts = [image.real, image.imag] if space.is_complex else [image]
        largest = max(np.abs(part).max() for part in parts)
        shown = _signed(ax, [part / largest for part in parts])
        last = rank + eigenspace.dimension - 1
        ranks = f"{rank}" if last == rank else f"{rank} to {last}"
        cut = "" if eigenspace.complete else ", cut"
        ax.set_title(rf"$i$ = {ranks}{cut}, $\lambda$ = {eigenspace.value:.3g}")
        rank = last + 1
    for ax in axes[len(spaces) :]:
        ax.set_visible(False)
    if shown is None and spaces and space.is_complex:
        axes[0].legend(loc="lower right")
    elif shown is not None:
        axes[0].figure.colorbar(
            shown, ax=list(axes), ticks=[-1, 0, 1], shrink=0.6, label="over its largest magnitude"
        )
    return axes


def kernel_filter(ax: Axes, row: KernelRow, name: str, *, block: tuple[int, int] = (0, 0)) -> Axes:
    """A kernel row as a filter, over its largest magnitude, in pixels from its pixel.

    ``block`` picks (answer, input): 0 is the real part, 1 the imaginary one.  Images are
    1D (a line) or 2D.
    """
    values = row.blocks[block]
    values = values / max(np.abs(row.blocks).max(), np.finfo(np.float64).tiny)
    edges = [(-p - 0.5, n - p - 0.5) for p, n in zip(row.position, values.shape, strict=True)]
    ax.set_title(f"{name}: row of pixel {', '.join(map(str, row.pixel))}")
    if values.ndim == 1:
        ax.plot(np.arange(values.size) - row.position[0], values, color=OTHERS[0])
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(xlabel="offset (pixels)", ylabel="$W e_p$ over its largest magnitude")
        return ax
    (top, bottom), (left, right) = edges
    image = ax.imshow(
        values,
        cmap=DIVERGING,
        vmin=-1,
        vmax=1,
        interpolation="nearest",
        extent=(left, right, bottom, top),
    )
    ax.set(xlabel="offset (pixels)", ylabel="offset (pixels)")
    ax.figure.colorbar(image, ax=ax, ticks=[-1, 0, 1], label="$W e_p$ over its largest magnitude")
    return ax


def _signed(ax: Axes, parts: list[np.ndarray]) -> AxesImage | None:
    """Values from -1 to 1: two parts as two lines in 1D, side by side in 2D."""
    if parts[0].ndim == 1:
        for part, line, label in zip(parts, ("-", "--"), ("real", "imaginary"), strict=False):
            ax.plot(part, line, color=OTHERS[0], linewidth=1.2, label=label)
        ax.axhline(0, color="black", linewidth=0.6)
        ax.set(ylim=(-1.1, 1.1), xlabel="pixel")
        return None
    shown = ax.imshow(
        np.concatenate(parts, axis=1), cmap=DIVERGING, vmin=-1, vmax=1, interpolation="nearest"
    )
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)
    if len(parts) == 2:
        width = parts[0].shape[1]
        ax.axvline(width - 0.5, color="black", linewidth=0.8)
        ax.set_xticks([(width - 1) / 2, 1.5 * width - 0.5], ["real", "imaginary"], fontsize=7)
        ax.tick_params(axis="x", length=0)
    return shown
