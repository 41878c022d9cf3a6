"""The type of all masks, and the check that operators make."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Bool


class Mask(np.ndarray):
    """A boolean array that knows its acceleration.

    A NumPy array in every respect: it indexes, pickles, and goes into JAX as any other.
    Slices, copies and boolean results (``~mask``, ``mask & other``) are masks again, with
    their own acceleration; reductions and numbers computed from a mask are plain NumPy.
    Source: ours.

    Parameters
    ----------
    values
        Booleans or 0 and 1, of any shape; copied.

    Raises
    ------
    ValueError
        If ``values`` hold anything else.
    """

    def __new__(cls, values: Any) -> Mask:
        return np.array(_booleans(np.asarray(values), "mask")).view(cls)

    @property
    def acceleration(self) -> float:
        """Entries over measured (``True``) entries; infinite where nothing is measured.

        Counted at each call, O(entries), so that it follows changes in place.
        """
        measured = int(np.count_nonzero(self))
        return self.size / measured if measured else math.inf

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """`numpy.ndarray.astype`, as a plain array: numbers are no mask."""
        return np.asarray(self).astype(*args, **kwargs)

    def __array_wrap__(
        self, array: Any, context: Any = None, return_scalar: bool = False, /
    ) -> Any:
        if return_scalar:
            return array[()]
        return array.view(type(self)) if array.dtype == bool else np.asarray(array)


def checked_mask(
    mask: np.ndarray, shape: tuple[int, ...] | None, kind: str, entry: str
) -> Bool[np.ndarray, "..."]:
    """A mask as plain booleans, refused unless operators can use it.

    Parameters
    ----------
    mask
        Boolean or 0/1 array, 1D or 2D, ``True`` for what is measured.
    shape
        The image's shape, if it should be checked against the mask's.
    kind, entry
        What errors call the mask, and one of its entries.

    Raises
    ------
    ValueError
        If the mask is empty, neither 1D nor 2D, holds anything but 0 and 1, or does not
        fit ``shape``.
    """
    mask = np.asarray(mask)
    if shape is not None and mask.shape != tuple(shape):
        raise ValueError(
            f"the mask's shape {mask.shape} does not fit the image's shape {tuple(shape)}; "
            "build the mask for the image"
        )
    if mask.ndim not in (1, 2):
        raise ValueError(f"a {kind} is 1D or 2D; got shape {mask.shape}")
    mask = _booleans(mask, kind)
    if not mask.any():
        raise ValueError(
            f"the mask of shape {mask.shape} measures nothing (every entry is False); "
            f"at least one {entry} is needed"
        )
    return mask


def _booleans(values: np.ndarray, kind: str) -> np.ndarray:
    if values.dtype == bool:
        return values
    if not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"a {kind} holds booleans or 0 and 1; got {values.dtype} values "
            f"between {values.min()} and {values.max()}"
        )
    return values.astype(bool)
