"""The prior ``x ~ N(0, W)`` of a kernel on images: its variances, and draws from it."""

from __future__ import annotations

import jax
import numpy as np
import scipy.fft
from jaxtyping import Array, Float64

from ntkdip.kernels import BothParts, Factored, Kernel, StationaryKernel
from ntkdip.operators import host_float64
from ntkdip.spaces import Space
from ntkdip.theory.spectra import factor_images, powers


def prior_variance(W: Kernel, *, frequencies: bool = False) -> Float64[np.ndarray, "..."]:
    """``E|x|^2`` of every pixel, or every Fourier coefficient, under ``x ~ N(0, W)``.

    Parameters
    ----------
    W
        Kernel; one that is known by its products only is formed.
    frequencies
        In k-space (orthonormal FFT, zero frequency at ``n // 2``) instead of the image.

    Returns
    -------
    ``W.space.shape``, float64; for complex images the variance of both parts together.

    Notes
    -----
    Cost for ``q`` pixels: O(q^2) of a dense kernel, an FFT a column of a factor, ``O(M q)`` and
    an FFT of a stationary kernel of ``M`` phases.  Source: the diagonal of ``F W F^H`` is the
    Fourier series of the sums along pair diagonals of ``W``; ours.
    """
    if isinstance(W, BothParts):
        return 2 * prior_variance(W.part, frequencies=frequencies)
    if isinstance(W, StationaryKernel):
        return _stationary(W, frequencies)
    factors = W.factors if isinstance(W, Factored) else None
    if factors is not None:
        return _factored(factors, W.space, frequencies)
    return _dense(W.dense(), W.space, frequencies)


def prior_draws(W: Kernel, key: Array, count: int) -> Float64[np.ndarray, "n count"]:
    """Draws of ``x ~ N(0, W)``, columns on the real embedding.

    Parameters
    ----------
    W
        Kernel.  Its eigenvalues below 0, of the size of rounding, count as 0.
    key
        PRNG key.
    count
        How many.

    Returns
    -------
    ``(n, count)``, float64.  Cost: all eigenpairs of a dense kernel, O(n^3); products with
    the root or the factor of the others.
    """
    if isinstance(W, BothParts):
        both = prior_draws(W.part, key, 2 * count)
        return np.concatenate([both[:, :count], both[:, count:]])
    if isinstance(W, StationaryKernel):
        return W.root() @ normals(key, (W.space.size, count))
    factors = W.factors if isinstance(W, Factored) else None
    if factors is None:
        values, vectors = W.eigh()
        return vectors @ (
            np.sqrt(np.maximum(values, 0))[:, None] * normals(key, (len(values), count))
        )
    noise = normals(key, (sum(F.shape[1] for F in factors), count))
    ends = np.cumsum([F.shape[1] for F in factors])[:-1]
    parts = np.split(noise, ends)
    return np.concatenate([F @ part for F, part in zip(factors, parts, strict=True)])


def normals(key: Array, shape: tuple[int, ...]) -> Float64[np.ndarray, "..."]:
    """Standard normal numbers in float64, whatever JAX is set to."""
    with host_float64():
        return np.asarray(jax.random.normal(key, shape, np.float64))


def _stationary(W: StationaryKernel, frequencies: bool) -> np.ndarray:
    shape, axes = W.space.shape, len(W.period)
    if frequencies:
        return _series(W.rows.mean(tuple(range(axes)))).real
    own = W.rows.reshape(*W.period, -1)[..., 0]
    return np.tile(own, [n // m for n, m in zip(shape, W.period, strict=True)])


def _series(sums: np.ndarray) -> np.ndarray:
    """``sum_d sums[d] exp(2 pi i k d / n)`` at centred frequencies ``k``."""
    return np.fft.fftshift(scipy.fft.ifftn(sums, norm="forward"))


def _factored(factors: tuple[np.ndarray, ...], space: Space, frequencies: bool) -> np.ndarray:
    total = np.zeros(space.size)
    for images in factor_images(factors, space.real_size):
        total += powers(images.T, space, frequencies).sum(0)
    return total.reshape(space.shape)


def _dense(W: np.ndarray, space: Space, frequencies: bool) -> np.ndarray:
    q, shape = space.size, space.shape
    parts = [slice(start, start + q) for start in range(0, space.real_size, q)]
    if not frequencies:
        return np.asarray(sum(W[part, part].diagonal() for part in parts)).reshape(shape)
    power = sum(_series(_pair_sums(W[part, part], shape)).real for part in parts) / q
    if space.is_complex:
        # E|F(a + ib)|^2 has the cross term 2 Re(-i (F W_ab F^H)_kk).
        power = power + 2 * _series(_pair_sums(W[parts[0], parts[1]], shape)).imag / q
    return np.asarray(power)


def _pair_sums(block: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``sum_p W[p, p + d]`` around the edges, for every offset ``d``."""
    axes, sums = tuple(range(len(shape))), np.zeros(shape)
    for row, pixel in zip(block, np.ndindex(*shape), strict=True):
        sums += np.roll(row.reshape(shape), [-p for p in pixel], axes)
    return sums
