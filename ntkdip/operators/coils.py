"""Masked Fourier sampling with several coils: parallel Cartesian MRI."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex128, Inexact

from ntkdip.operators.base import LinearOperator
from ntkdip.operators.fourier import MaskedFourier, masked_fourier
from ntkdip.operators.pixels import as_element, checked_shape
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

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        x = as_element(x, True)
        return jax.vmap(self.fourier)(self._sensitivities(x.dtype) * x[None])

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, True)
        coil_images = jax.vmap(self.fourier.adjoint)(y)
        image = jnp.sum(jnp.conj(self._sensitivities(y.dtype)) * coil_images, axis=0)
        return image if self.complex_image else image.real

    def _sensitivities(self, dtype: np.dtype) -> Array:
        return jnp.asarray(self.sensitivities.astype(dtype))


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
    root-sum-of-squares (`ring_sensitivities`) the norm of ``A`` is at most 1, and
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


def ring_sensitivities(
    shape: tuple[int, ...], coils: int = 8, distance: float = 1.05
) -> Complex128[np.ndarray, "coils ..."]:
    """Simulated sensitivities of small coils on a ring around the image.

    A simulation, and ours: no physics beyond a decay with distance.  With ``u`` the column
    and ``v`` the row coordinate, each from -1 to 1 (``v = 0`` for a 1D image), coil ``c``
    sits at ``(u, v) = distance (cos phi_c, sin phi_c)``, ``phi_c = 2 pi c / coils``, and
    ``S_c`` is proportional to ``exp(i phi_c) / d_c``, ``d_c`` the distance from the pixel to
    the coil.  At every pixel ``sum_c |S_c|^2 = 1``.

    Parameters
    ----------
    shape
        Shape of the image, 1D or 2D.
    coils
        Number of coils, at least 1.
    distance
        Radius of the ring in half fields of view, above 0.  Below ``sqrt(2)`` the ring passes
        through the corners of a square image, where the pixels next to a coil are seen by
        hardly any other.

    Returns
    -------
    ``(coils, *shape)`` complex128, dimensionless.

    Raises
    ------
    ValueError
        If the shape is neither 1D nor 2D or has no pixel, ``coils`` is below 1, ``distance``
        is not a positive number, or a coil lies on a pixel, where ``1 / d_c`` is infinite.
    """
    shape = checked_shape(shape)
    if len(shape) > 2:
        raise ValueError(f"an image inside a ring of coils is 1D or 2D; got shape {shape}")
    if coils < 1:
        raise ValueError(f"a ring has at least one coil; got coils={coils}")
    if not (np.isfinite(distance) and distance > 0):
        raise ValueError(
            f"distance is a positive number of half fields of view, 1.05 for instance; "
            f"got {distance}"
        )
    u = np.linspace(-1.0, 1.0, shape[-1])
    v = np.linspace(-1.0, 1.0, shape[0])[:, None] if len(shape) == 2 else np.zeros(())
    phi = (2 * np.pi * np.arange(coils) / coils).reshape(-1, *(1 for _ in shape))
    d = np.hypot(u - distance * np.cos(phi), v - distance * np.sin(phi))
    if d.min() < 1e-12:
        coil, *pixel = (int(i) for i in np.unravel_index(d.argmin(), d.shape))
        raise ValueError(
            f"coil {coil} of {coils} lies on pixel {tuple(pixel)} at distance {distance}, where "
            "its sensitivity is infinite; move the ring outwards, distance=1.5 for instance"
        )
    decay = 1 / d
    return np.exp(1j * phi) * decay / np.linalg.norm(decay, axis=0)
