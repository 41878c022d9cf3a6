"""Operators that weigh pixels (diagonal) or frequencies (circulant), each by itself."""

from __future__ import annotations

import abc
import dataclasses
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import ImageOperator, LinearOperator, as_element
from ntkdip.spaces import Space, require_finite

# Rounding of a transfer function that came out of a Fourier transform of real numbers.
SYMMETRY_TOLERANCE = 1e3


class Pointwise(ImageOperator):
    """Diagonal in an orthonormal basis: weights ``w`` of the image's shape, one an entry."""

    weights: Array | np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        return tuple(self.weights.shape)

    @abc.abstractmethod
    def _weighed(self, weights: Array | np.ndarray, x: Array) -> Array:
        """What ``weights`` make of an element of the domain."""

    @abc.abstractmethod
    def on_real_images(self) -> Pointwise:
        """``Re A x`` for real ``x``."""

    def with_weights(self, weights: Array | np.ndarray) -> Pointwise:
        """The same with other weights."""
        return dataclasses.replace(self, weights=weights)  # type: ignore[type-var]

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        return self._weighed(self.weights, as_element(x, self.range.is_complex))

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        w = self.weights.conj() if _is_complex(self.weights) else self.weights
        image = self._weighed(w, as_element(y, self.range.is_complex))
        return image if self.complex_image else image.real

    def _gram(self) -> LinearOperator:
        return self.with_weights(squared(self.weights))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Diagonal(Pointwise):
    """``A x = w x``, pixel by pixel.

    Build it with `diagonal`, which checks its argument.  Attributes: ``weights`` of the
    image's shape; whether images are ``complex_image``.
    """

    weights: Array | np.ndarray
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        return Space(self.shape, self.complex_image or _is_complex(self.weights))

    def _weighed(self, weights: Array | np.ndarray, x: Array) -> Array:
        return jnp.asarray(weights.astype(x.dtype)) * x

    def on_real_images(self) -> Diagonal:
        return Diagonal(self.weights.real, False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Circulant(Pointwise):
    """``A x = F* w F x``: a convolution around the edges, frequency by frequency.

    Build it with `circulant` or `ntkdip.operators.blur`, which check their arguments.
    Attributes: ``weights``, the transfer function, of the image's shape with the zero
    frequency at index ``n // 2``, Hermitian for real images; whether images are
    ``complex_image``.
    """

    weights: Array | np.ndarray
    complex_image: bool = dataclasses.field(metadata={"static": True})

    @property
    def range(self) -> Space:
        return self.domain

    def _weighed(self, weights: Array | np.ndarray, x: Array) -> Array:
        # Where the image is centred makes no difference: a shift commutes with a convolution.
        transfer = _namespace(weights).fft.ifftshift(weights)
        if not self.complex_image:
            transfer = transfer[..., : self.shape[-1] // 2 + 1]
        transfer = jnp.asarray(transfer.astype(np.result_type(x.dtype, np.complex64)))
        if self.complex_image:
            return jnp.fft.ifftn(transfer * jnp.fft.fftn(x))
        return jnp.fft.irfftn(transfer * jnp.fft.rfftn(x), s=self.shape)

    def on_real_images(self) -> Circulant:
        return Circulant(hermitian(self.weights), False)


def diagonal(weights: Array | np.ndarray, *, complex_image: bool = True) -> Diagonal:
    """Pixelwise weights ``A x = w x``.

    Source: ours; a sensitivity map, or noise of another size at every pixel.

    Parameters
    ----------
    weights
        Array of the image's shape, real or complex, at least one axis; 0 is a weight too.
    complex_image
        Complex images (the default) or real ones, whose adjoint is ``Re(conj(w) y)``.

    Returns
    -------
    Operator from images to data of the same shape, complex iff weights or images are.  It
    keeps a copy of the weights in float64 or complex128 on the host and computes in the
    precision of the argument; a call costs O(q).

    Raises
    ------
    ValueError
        If the weights have no axis or no entry, are not numeric, or hold NaN or infinity.
    """
    return Diagonal(checked_numbers(weights, "weights"), complex_image)


def circulant(transfer: Array | np.ndarray, *, complex_image: bool = True) -> Circulant:
    """Convolution around the edges by its transfer function: ``A x = F* h F x``.

    Source: ours, and any textbook; ``F`` is the centred Fourier transform of `centred_fft`.

    Parameters
    ----------
    transfer
        ``h``, of the image's shape, real or complex, the zero frequency at index ``n // 2``
        of each axis: ``fftshift(fftn(kernel))`` of a kernel with its centre at index 0.
    complex_image
        Complex images (the default), or real ones, which need ``h(-k) = conj(h(k))``.

    Returns
    -------
    Operator from images to images.  It keeps a copy of ``h`` in float64 or complex128 on the
    host and computes in the precision of the argument; a call costs two FFTs, real ones for
    real images.

    Raises
    ------
    ValueError
        If the transfer function has no axis or no entry, more than three axes, is not
        numeric, holds NaN or infinity, or is not Hermitian to rounding while images are real.
    """
    h = checked_numbers(transfer, "transfer function")
    if h.ndim > 3:
        raise ValueError(f"a transfer function has one to three axes; got shape {h.shape}")
    if complex_image:
        return Circulant(h, True)
    symmetric = hermitian(h)
    kind = np.asarray(transfer).dtype
    unit = float(jnp.finfo(kind if jnp.issubdtype(kind, jnp.inexact) else np.float64).eps)
    apart = np.abs(h - symmetric)
    if apart.max() > SYMMETRY_TOLERANCE * unit * np.abs(h).max():
        worst = np.unravel_index(int(apart.argmax()), h.shape)
        k = tuple(int(i) - n // 2 for i, n in zip(worst, h.shape, strict=True))
        raise ValueError(
            "real images need a transfer function with h(-k) = conj(h(k)); it is broken by "
            f"{2 * apart.max():.3g} at frequency {k}. Put the zero frequency at index n // 2 "
            "(fftshift), or take complex_image=True"
        )
    return Circulant(symmetric, False)


def hermitian(h: Array | np.ndarray) -> Array | np.ndarray:
    """``(h(k) + conj(h(-k))) / 2`` over centred frequencies: what ``h`` is to real images.

    For even ``n`` the frequency ``-n/2`` at index 0 is its own mirror image.
    """
    xp = _namespace(h)
    even = tuple(axis for axis, n in enumerate(h.shape) if n % 2 == 0)
    mirrored = xp.roll(xp.flip(h), (1,) * len(even), even)
    return (h + xp.conj(mirrored)) / 2


def scattered(indices: Array, shape: tuple[int, ...]) -> Array | np.ndarray:
    """1 at flat ``indices``, 0 elsewhere: a mask as weights."""
    size = int(np.prod(shape))
    if isinstance(indices, jax.core.Tracer):
        return jnp.zeros(size).at[indices].set(1.0).reshape(shape)
    mask = np.zeros(size)
    mask[np.asarray(indices)] = 1.0
    return mask.reshape(shape)


def squared(w: Array | np.ndarray) -> Array | np.ndarray:
    """``|w|^2``, real."""
    power = w.real * w.real + w.imag * w.imag if _is_complex(w) else w * w
    return _namespace(w).asarray(power)


def checked_numbers(given: Any, name: str) -> np.ndarray:
    """A copy in float64 or complex128, refused unless numeric, finite and not empty."""
    array = np.asarray(given)
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"{name}: expected at least one axis and one entry; got {array.shape}")
    if not np.can_cast(array.dtype, np.complex128, casting="same_kind"):
        raise ValueError(f"{name}: expected real or complex numbers, got {array.dtype} entries")
    array = np.array(array, np.complex128 if np.iscomplexobj(array) else np.float64)
    require_finite(array, name)
    return array


def _is_complex(w: Array | np.ndarray) -> bool:
    return bool(jnp.issubdtype(w.dtype, jnp.complexfloating))


def _namespace(w: Array | np.ndarray) -> Any:
    return w.__array_namespace__()
