"""Convolution with a kernel, around the edges or inside them."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkdip.operators.base import LinearOperator
from ntkdip.operators.pixels import PixelMask, checked_shape
from ntkdip.operators.pointwise import Circulant, checked_numbers, hermitian

BOUNDARIES = ("circular", "valid")


def blur(
    kernel: Array | np.ndarray,
    shape: tuple[int, ...],
    *,
    boundary: str = "circular",
    complex_image: bool = False,
) -> LinearOperator:
    """Convolution ``(k * x)[i] = sum_j k[j] x[i - (j - c)]`` with ``c = n // 2`` of the kernel.

    Source: ours, and any textbook.  With `downsample`, super-resolution:
    ``downsample(shape, 2) @ blur(kernel, shape)``.

    Parameters
    ----------
    kernel
        Real array, 1D or 2D, no axis longer than the image's.  It is turned over, as a
        convolution does; a symmetric kernel does not show it.
    shape
        Shape of the image, with as many axes.
    boundary
        ``"circular"``, around the edges; or ``"valid"``, only those pixels whose whole
        neighbourhood lies inside the image, as in `numpy.convolve`.
    complex_image
        Real images (the default) or complex ones; data are of the same field.

    Returns
    -------
    Operator from images ``shape`` to data ``shape``, or ``n - k + 1`` pixels along each axis;
    two FFTs a call, O(q log q).

    Raises
    ------
    ValueError
        If the kernel is not real, numeric and finite, is 0 everywhere, does not have the
        image's axes, one or two, or does not fit inside; or for any other boundary.
    """
    shape, k = checked_shape(shape), checked_numbers(kernel, "kernel")
    if np.iscomplexobj(k):
        raise ValueError(
            "kernel: expected real values; for a complex one, circulant takes its transfer function"
        )
    if len(shape) > 2 or k.ndim != len(shape):
        raise ValueError(
            "a kernel has the axes of the image, one or two; got a kernel of shape "
            f"{k.shape} for images of shape {shape}"
        )
    if any(a > n for a, n in zip(k.shape, shape, strict=True)):
        raise ValueError(
            f"the kernel's shape {k.shape} does not fit inside the image's {shape}; crop the kernel"
        )
    if not k.any():
        raise ValueError("kernel: every entry is 0, so that nothing is measured")
    if boundary not in BOUNDARIES:
        raise ValueError(f"boundary is one of {', '.join(BOUNDARIES)}; got {boundary!r}")
    around = Circulant(hermitian(_transfer(k, shape)), complex_image)
    if boundary == "circular":
        return around
    inside = tuple(slice(a - 1 - a // 2, n - a // 2) for a, n in zip(k.shape, shape, strict=True))
    places = np.arange(np.prod(shape)).reshape(shape)[inside]
    indices = jnp.asarray(places.ravel(), dtype=jnp.int32)
    return PixelMask(indices, shape, complex_image, places.shape) @ around


def _transfer(kernel: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Centred Fourier transform of the kernel with its centre at pixel 0."""
    padded = np.zeros(shape)
    padded[tuple(slice(n) for n in kernel.shape)] = kernel
    axes = tuple(range(kernel.ndim))
    return np.fft.fftshift(np.fft.fftn(np.roll(padded, [-(n // 2) for n in kernel.shape], axes)))
