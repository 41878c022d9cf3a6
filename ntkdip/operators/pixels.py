"""Operators that measure pixels: all of them (denoising) or some of them (inpainting)."""

from __future__ import annotations

import dataclasses
import math
import operator
from collections.abc import Sequence
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import ImageOperator, LinearOperator, as_element
from ntkdip.operators.masks import checked_mask
from ntkdip.operators.pointwise import Diagonal, scattered
from ntkdip.spaces import Space


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Identity(ImageOperator):
    """``A x = x``: every pixel is measured.  Build it with `identity`.

    Attributes: ``shape`` of the image; whether images are ``complex_image``.
    """

    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        return self.domain

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        return as_element(x, self.complex_image)

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        return as_element(y, self.complex_image)

    def _gram(self) -> LinearOperator:
        return self


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PixelMask(ImageOperator):
    """``A x = M x``: the kept pixels, in C order.

    Build it with `pixel_mask` or `downsample`, which check their arguments.  Attributes:
    ``indices``, the flat C-order positions of the kept pixels (int32), no two the same;
    ``shape`` of the image; whether images are ``complex_image``; ``data_shape``.
    """

    indices: Array
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    complex_image: bool = dataclasses.field(metadata={"static": True})
    data_shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        return Space(self.data_shape, self.complex_image)

    @property
    def acceleration(self) -> float:
        """Pixels of the image over pixels kept."""
        return self.domain.size / self.range.size

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        kept = as_element(x, self.complex_image).reshape(-1)[self.indices]
        return kept.reshape(self.data_shape)

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.complex_image)
        image = jnp.zeros(self.domain.size, y.dtype).at[self.indices].set(y.reshape(-1))
        return image.reshape(self.shape)

    def _gram(self) -> LinearOperator:
        return Diagonal(scattered(self.indices, self.shape), self.complex_image)


def identity(shape: tuple[int, ...], complex_image: bool = True) -> Identity:
    """Identity operator ``A x = x``: denoising, every pixel measured once.

    Source: design page, section 1.

    Parameters
    ----------
    shape
        Shape of the image, at least one axis, every axis at least 1.
    complex_image
        Complex images (the default) or real ones; data are of the same field.

    Returns
    -------
    Operator from images ``shape`` to data ``shape``; a call costs nothing.

    Raises
    ------
    ValueError
        If the shape has no axis or an axis shorter than 1.
    """
    return Identity(checked_shape(shape), complex_image)


def pixel_mask(
    mask: np.ndarray, *, shape: tuple[int, ...] | None = None, complex_image: bool = False
) -> PixelMask:
    """Pixel mask ``A x = M x``: inpainting, data are the kept pixels.

    Source: design page, section 1.  ``A A*`` is the identity and ``A* A`` a projector.

    Parameters
    ----------
    mask
        Boolean (or 0/1) array, 1D or 2D, ``True`` where a pixel is kept.
    shape
        The image's shape, when it should be checked against the mask's.
    complex_image
        Real images (the default) or complex ones; data are of the same field.

    Returns
    -------
    Operator from images ``mask.shape`` to data ``(number of kept pixels,)``, ordered as
    ``x[mask]``; a call costs O(q).

    Raises
    ------
    ValueError
        If the mask is empty, neither 1D nor 2D, holds anything but 0 and 1, or does not
        fit ``shape``.
    """
    mask = checked_mask(mask, shape, "pixel mask", "pixel")
    indices = jnp.asarray(np.flatnonzero(mask), dtype=jnp.int32)
    return PixelMask(indices, mask.shape, complex_image, indices.shape)


def downsample(
    shape: tuple[int, ...], factor: int | np.integer | Sequence[int], *, complex_image: bool = False
) -> PixelMask:
    """Every ``s``-th pixel along each axis, from pixel 0 on.

    Source: ours.  ``A A*`` is the identity and ``A* A`` a projector.  What is finer than the
    coarse grid is aliased, not averaged away: compose with `blur` for super-resolution.

    Parameters
    ----------
    shape
        Shape of the image.
    factor
        ``s``, an integer from 1 to the axis' length; one for all axes, or one each.
    complex_image
        Real images (the default) or complex ones; data are of the same field.

    Returns
    -------
    Operator from images ``shape`` to data with ``ceil(n / s)`` pixels along each axis; a call
    costs O(q).

    Raises
    ------
    ValueError
        If the shape holds no pixel, or the factors are not integers from 1 to the axis'
        length, as many as there are axes.
    """
    shape = checked_shape(shape)
    factors = tuple(np.atleast_1d(np.asarray(factor)).tolist())
    factors = factors * len(shape) if np.ndim(factor) == 0 else factors
    whole = len(factors) == len(shape) and all(type(s) is int for s in factors)
    if not whole or any(not 1 <= s <= n for s, n in zip(factors, shape, strict=True)):
        raise ValueError(
            f"factor for images of shape {shape}: expected an integer from 1 to the length of "
            f"each axis, or {len(shape)} of them; got {factor}"
        )
    places = np.arange(math.prod(shape)).reshape(shape)[
        tuple(slice(None, None, s) for s in factors)
    ]
    indices = jnp.asarray(places.ravel(), dtype=jnp.int32)
    return PixelMask(indices, shape, complex_image, places.shape)


def checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` as a tuple of Python integers, refused unless it holds a pixel."""
    sizes = tuple(operator.index(n) for n in shape)
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"an image has at least one axis, and at least one pixel along each; got shape {sizes}"
        )
    return sizes
