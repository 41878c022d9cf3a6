"""A real MRI slice that needs no download."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex128

SAMPLE = "s1045.ima.gz"
SAMPLE_SIZE = 256


def mri_slice(size: int = 128) -> Complex128[np.ndarray, "size size"]:
    """A real T1-weighted head slice with a smooth synthetic phase, as a complex image.

    The magnitude is ``s1045.ima.gz`` (256 x 256, 16 bit) from matplotlib's sample data,
    reduced by cropping its centred k-space and scaled to a maximum of 1.  The phase is
    ``0.8 v + 0.5 u^2`` rad, with ``u`` the column and ``v`` the row coordinate, both
    from -1 to 1 (ours: the sample stores magnitudes only).

    Parameters
    ----------
    size
        Side of the square image, 2 to 256 pixels.

    Returns
    -------
    ``(size, size)`` complex128, maximum magnitude 1.

    Raises
    ------
    ValueError
        If the size is out of range.
    """
    import matplotlib.cbook

    if not 2 <= size <= SAMPLE_SIZE:
        raise ValueError(f"the sample slice has {SAMPLE_SIZE} pixels a side; got size {size}")
    with matplotlib.cbook.get_sample_data(SAMPLE) as file:  # type: ignore[union-attr]
        raw = np.frombuffer(file.read(), dtype="<u2")
    full = raw.reshape(SAMPLE_SIZE, SAMPLE_SIZE).astype(np.float64)
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(full)))
    first = SAMPLE_SIZE // 2 - size // 2
    kept = kspace[first : first + size, first : first + size]
    magnitude = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kept))))
    coordinate = np.linspace(-1.0, 1.0, size)
    u, v = coordinate[None, :], coordinate[:, None]
    return magnitude / magnitude.max() * np.exp(1j * (0.8 * v + 0.5 * u**2))
