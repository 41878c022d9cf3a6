"""The centred orthonormal Fourier transform on the host, along chosen axes.

`ntkdip.operators.centred_fft` is its twin on the device; files are read and cropped without one.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex, Inexact, Shaped


def to_images(
    kspace: Complex[np.ndarray, "..."], axes: tuple[int, ...] = (-2, -1)
) -> Complex[np.ndarray, "..."]:
    """Inverse transform along ``axes``, in the precision of the argument."""
    shifted = np.fft.ifftshift(kspace, axes)
    return np.fft.fftshift(np.fft.ifftn(shifted, axes=axes, norm="ortho"), axes)


def to_kspace(
    images: Inexact[np.ndarray, "..."], axes: tuple[int, ...] = (-2, -1)
) -> Complex[np.ndarray, "..."]:
    """Transform along ``axes``, in the precision of the argument."""
    shifted = np.fft.ifftshift(images, axes)
    return np.fft.fftshift(np.fft.fftn(shifted, axes=axes, norm="ortho"), axes)


def centre_crop(x: Shaped[np.ndarray, "..."], shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """The middle of the last ``len(shape)`` axes; index ``n // 2`` becomes ``m // 2``.

    Raises
    ------
    ValueError
        If a side of ``shape`` is below 1 or larger than the array's.
    """
    sides = x.shape[x.ndim - len(shape) :]
    if not all(1 <= m <= n for m, n in zip(shape, sides, strict=True)):
        raise ValueError(f"cannot crop {sides} to {shape}; every side must be 1 to its own length")
    starts = [n // 2 - m // 2 for m, n in zip(shape, sides, strict=True)]
    cut = tuple(slice(s, s + m) for s, m in zip(starts, shape, strict=True))
    return x[(slice(None),) * (x.ndim - len(shape)) + cut]
