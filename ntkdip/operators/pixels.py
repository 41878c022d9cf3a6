"""Operators that measure pixels: all of them (denoising) or some of them (inpainting)."""

from __future__ import annotations

import dataclasses
import operator
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import ImageOperator
from ntkdip.operators.masks import checked_mask
from ntkdip.spaces import Space


def as_element(x: Inexact[Array | np.ndarray, "..."], is_complex: bool) -> Inexact[Array, "..."]:
    """``x`` as a JAX array of its own precision, complex where the space is.

    A real array is an element of a complex space too (`Space.embed`); operators answer
    with a complex one all the same.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = x.astype(float)
    if is_complex and not jnp.iscomplexobj(x):
        x = x.astype(np.result_type(x.dtype, np.complex64))
    return x


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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PixelMask(ImageOperator):
    """``A x = M x``: the kept pixels, in C order.

    Build it with `pixel_mask`, which checks the mask.  Attributes: ``indices``, the flat
    C-order positions of the kept pixels (int32); ``shape`` of the image; whether images
    are ``complex_image``.
    """

    indices: Array
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        return Space((self.indices.shape[0],), self.complex_image)

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        return as_element(x, self.complex_image).reshape(-1)[self.indices]

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.complex_image)
        image = jnp.zeros(self.domain.size, y.dtype).at[self.indices].set(y)
        return image.reshape(self.shape)


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
    return PixelMask(indices, mask.shape, complex_image)


def checked_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """``shape`` as a tuple of Python integers, refused unless it holds a pixel."""
    sizes = tuple(operator.index(n) for n in shape)
    if not sizes or min(sizes) < 1:
        raise ValueError(
            f"an image has at least one axis, and at least one pixel along each; got shape {sizes}"
        )
    return sizes
