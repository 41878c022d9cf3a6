"""Masked Fourier sampling: single-coil Cartesian MRI."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import ImageOperator, LinearOperator
from ntkdip.operators.masks import checked_mask
from ntkdip.operators.pointwise import Circulant, scattered
from ntkdip.spaces import Space


def centred_fft(x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
    """Orthonormal FFT over all axes; image centre and zero frequency at index ``n // 2``."""
    return jnp.fft.fftshift(jnp.fft.fftn(jnp.fft.ifftshift(jnp.asarray(x)), norm="ortho"))


def centred_ifft(k: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
    """Inverse (and adjoint) of `centred_fft`."""
    return jnp.fft.fftshift(jnp.fft.ifftn(jnp.fft.ifftshift(jnp.asarray(k)), norm="ortho"))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MaskedFourier(ImageOperator):
    """``A x = M F x``: the sampled entries of the centred orthonormal Fourier transform.

    Build it with `masked_fourier`, which checks the mask.  Attributes: ``indices``,
    the flat C-order positions of the samples (int32); ``shape`` of the image; whether
    images are ``complex_image``.
    """

    indices: Array
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        return Space((self.indices.shape[0],), True)

    @property
    def acceleration(self) -> float:
        """Pixels of the image over samples of k-space."""
        return self.domain.size / self.range.size

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        return centred_fft(x).reshape(-1)[self.indices]

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = jnp.asarray(y)
        kspace = jnp.zeros(self.domain.size, y.dtype).at[self.indices].set(y)
        image = centred_ifft(kspace.reshape(self.shape))
        return image if self.complex_image else image.real

    def _gram(self) -> LinearOperator:
        seen = Circulant(scattered(self.indices, self.shape), True)
        return seen if self.complex_image else seen.on_real_images()


def masked_fourier(
    mask: np.ndarray, *, shape: tuple[int, ...] | None = None, complex_image: bool = True
) -> MaskedFourier:
    """Masked orthonormal Fourier operator ``A x = M F x`` (design page, section 1).

    Parameters
    ----------
    mask
        Boolean (or 0/1) array, 1D or 2D, ``True`` where k-space is sampled, with the
        zero frequency at index ``n // 2`` of each axis.
    shape
        The image's shape, when it should be checked against the mask's.
    complex_image
        Complex images (the default), or real ones, whose adjoint is ``Re(A^H y)``.

    Returns
    -------
    Operator from images ``mask.shape`` to complex data ``(number of samples,)``; a
    call costs one FFT, O(q log q).

    Raises
    ------
    ValueError
        If the mask is empty, neither 1D nor 2D, holds anything but 0 and 1, or does not
        fit ``shape``.
    """
    mask = checked_mask(mask, shape, "sampling mask", "k-space sample")
    indices = jnp.asarray(np.flatnonzero(mask), dtype=jnp.int32)
    return MaskedFourier(indices, mask.shape, complex_image)
