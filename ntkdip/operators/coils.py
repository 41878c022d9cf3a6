"""Masked Fourier sampling with several coils: parallel Cartesian MRI."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import LinearOperator, as_element
from ntkdip.operators.fourier import MaskedFourier, masked_fourier
from ntkdip.operators.pointwise import Circulant, scattered
from ntkdip.spaces import Space, require_finite


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MultiCoilFourier(LinearOperator):
    """``y_c = M F S_c x``: what each coil ``c`` sees of the image, sampled alike.

    Build it with `multi_coil_fourier`, which checks its arguments.  Attributes:
    ``fourier``, the operator ``M F`` of one coil; ``sensitivities``
    ``(coils, *image shape)``, complex; whether images are ``complex_image``.
    """

    fourier: MaskedFourier
    sensitivities: Array | np.ndarray
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def domain(self) -> Space:
        return Space(self.fourier.shape, self.complex_image)

    @cached_property
    def range(self) -> Space:
        return Space((self.sensitivities.shape[0], *self.fourier.range.shape), True)

    @property
    def acceleration(self) -> float:
        """Pixels of the image over samples of k-space, as every coil takes them."""
        return self.fourier.acceleration

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        x = as_element(x, True)
        return jax.vmap(self.fourier)(_cast(self.sensitivities, x) * x[None])

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, True)
        coil_images = jax.vmap(self.fourier.adjoint)(y)
        image = jnp.sum(jnp.conj(_cast(self.sensitivities, y)) * coil_images, axis=0)
        return image if self.complex_image else image.real

    def _gram(self) -> LinearOperator:
        sampled = Circulant(scattered(self.fourier.indices, self.fourier.shape), True)
        return MultiCoilGram(sampled, self.sensitivities, self.complex_image)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MultiCoilGram(LinearOperator):
    """``A* A x = sum_c conj(S_c) F* M F S_c x``: k-space is multiplied, not gathered."""

    sampled: Circulant
    sensitivities: Array | np.ndarray
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def domain(self) -> Space:
        return Space(self.sampled.shape, self.complex_image)

    @property
    def range(self) -> Space:
        return self.domain

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        x = as_element(x, True)
        maps = _cast(self.sensitivities, x)
        image = jnp.sum(jnp.conj(maps) * jax.vmap(self.sampled)(maps * x[None]), axis=0)
        return image if self.complex_image else image.real

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        return self(y)


def _cast(sensitivities: Array | np.ndarray, x: Array) -> Array:
    return jnp.asarray(sensitivities.astype(x.dtype))


def multi_coil_fourier(
    mask: np.ndarray,
    sensitivities: Array | np.ndarray,
    *,
    shape: tuple[int, ...] | None = None,
    complex_image: bool = True,
) -> MultiCoilFourier:
    """Multi-coil masked Fourier operator ``y_c = M F S_c x``.

    ``F`` is the centred orthonormal Fourier transform of `masked_fourier`, ``S_c`` the
    pixelwise product with the sensitivity of coil ``c``.  With sensitivities of unit
    root-sum-of-squares (`ntkdip.data.ring_sensitivities`) the norm of ``A`` is at most 1, and
    ``A* A`` is the identity where the mask samples everything; under a partial mask
    ``A* A`` is no projector (design page, section 1, Corollary 1).
    Source: the signal model of SENSE (Pruessmann et al., Magn. Reson. Med. 42, 1999).

    Parameters
    ----------
    mask
        Boolean (or 0/1) array, 1D or 2D, ``True`` where k-space is sampled, with the
        zero frequency at index ``n // 2`` of each axis.
    sensitivities
        ``(coils, *mask.shape)``, complex (real ones are taken too), at least one coil.
    shape
        The image's shape, when it should be checked against the mask's.
    complex_image
        Complex images (the default), or real ones, whose adjoint is ``Re(A^H y)``.

    Returns
    -------
    Operator from images ``mask.shape`` to complex data ``(coils, number of samples)``.  It
    keeps a copy of the sensitivities in complex128 on the host, whatever JAX is set to, and
    computes in the precision of the argument; a call costs one FFT a coil.

    Raises
    ------
    ValueError
        If `masked_fourier` refuses the mask; if the sensitivities do not have the shape
        above, are not numeric, hold NaN or infinity, or are 0 everywhere.
    """
    fourier = masked_fourier(mask, shape=shape)
    maps = np.asarray(sensitivities)
    if maps.shape[1:] != fourier.shape or maps.shape[0] == 0:
        axes = ", ".join(map(str, ("coils", *fourier.shape)))
        raise ValueError(
            f"sensitivities: expected shape ({axes}) with at least one coil, after the mask's "
            f"shape {fourier.shape}; got {maps.shape}"
        )
    if not np.can_cast(maps.dtype, np.complex128, casting="same_kind"):
        raise ValueError(f"sensitivities: expected complex numbers, got {maps.dtype} entries")
    maps = np.array(maps, np.complex128)
    require_finite(maps, "sensitivities")
    if not maps.any():
        raise ValueError("sensitivities: every entry is 0, so that nothing is measured")
    return MultiCoilFourier(fourier, maps, complex_image)
