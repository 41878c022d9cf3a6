"""Kernel rows as filters: what a kernel does around one pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from ntkdip.kernels import Kernel


class KernelRow(NamedTuple):
    """``W e_p`` as images: how gradient descent spreads a residual at pixel ``p``.

    ``blocks`` (parts, parts, *shape): ``blocks[r, c]`` is the answer in part ``r`` (0 real,
    1 imaginary) to a unit in part ``c``; real images have one part.
    ``pixel``: ``p``, counted from 0.
    ``position``: where ``p`` lies in the blocks; the centre, ``shape // 2``, if centred.
    """

    blocks: Float64[np.ndarray, "parts parts *shape"]
    pixel: tuple[int, ...]
    position: tuple[int, ...]


def kernel_row(W: Kernel, pixel: tuple[int, ...], *, centred: bool = True) -> KernelRow:
    """The row (and column) of a symmetric kernel that belongs to one pixel.

    Parameters
    ----------
    W
        Kernel, dense or matrix-free.
    pixel
        Index of the pixel along each axis; negative ones count from the end.
    centred
        Roll the images so that the pixel comes to their centre, ``shape // 2``.  Rolling is
        circular: turn it off to see what zero padding does at the border.

    Returns
    -------
    `KernelRow`.  For a kernel that is invariant under circular shifts every pixel gives the
    same centred row, its convolution filter.  Cost: one product with ``W`` of one vector,
    of two for complex images.  Source: ours.

    Raises
    ------
    ValueError
        If the pixel lies outside the image or has not one index an axis.
    """
    space, shape = W.space, W.space.shape
    inside = len(pixel) == len(shape) and all(
        -n <= p < n for p, n in zip(pixel, shape, strict=True)
    )
    if not inside:
        raise ValueError(f"pixel {pixel} does not lie in an image of shape {shape}")
    index = tuple(p % n for p, n in zip(pixel, shape, strict=True))
    parts = space.real_size // space.size
    unit = np.eye(1, space.size, int(np.ravel_multi_index(index, shape))).T
    columns = W @ np.kron(np.eye(parts), unit)
    blocks = np.moveaxis(columns.reshape(parts, *shape, parts), -1, 1)
    if not centred:
        return KernelRow(blocks, index, index)
    centre = tuple(n // 2 for n in shape)
    shift = tuple(c - p for c, p in zip(centre, index, strict=True))
    axes = tuple(range(2, blocks.ndim))
    return KernelRow(np.roll(blocks, shift, axis=axes), index, centre)
