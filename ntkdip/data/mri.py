"""Real MRI slices that need no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Complex128, Float64

SAMPLE = "s1045.ima.gz"
SAMPLE_SIZE = 256

BRAIN = "example4d.nii.gz"
BRAIN_SIZE = 128
BRAIN_SLICES = range(3, 24)
"""Those of the volume that cut through the brain."""


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
    return _with_phase(_reduced(raw.reshape(SAMPLE_SIZE, SAMPLE_SIZE).astype(np.float64), size))


def brain_slice(index: int = 12, size: int = 128) -> Complex128[np.ndarray, "size size"]:
    """An axial slice of another head under another contrast, as a complex image.

    The magnitude is from ``example4d.nii.gz`` (128 x 96 x 24 echo-planar images) of nibabel's
    test data: its first volume, padded with zeros to a square, reduced by cropping its centred
    k-space and scaled to a maximum of 1.  The phase is that of `mri_slice`.

    Parameters
    ----------
    index
        3, near the base of the skull, to 23, near its top; neighbours are 2.2 mm apart.
    size
        Side of the square image, 2 to 128 pixels.

    Returns
    -------
    ``(size, size)`` complex128, maximum magnitude 1; the forehead is above.

    Raises
    ------
    ValueError
        If index or size are out of range.
    ImportError
        Without nibabel (``pip install "ntkdip[nifti]"``).
    """
    if index not in BRAIN_SLICES or not 2 <= size <= BRAIN_SIZE:
        raise ValueError(
            f"slices of the brain are {BRAIN_SLICES[0]} to {BRAIN_SLICES[-1]}, of 2 to "
            f"{BRAIN_SIZE} pixels a side; got slice {index}, size {size}"
        )
    try:
        import nibabel
    except ImportError as missing:
        raise ImportError('the brain comes with nibabel: pip install "ntkdip[nifti]"') from missing
    volume = nibabel.load(Path(nibabel.__file__).parent / "tests" / "data" / BRAIN)
    plane = np.asarray(volume.dataobj[:, :, index, 0], np.float64).T[::-1]  # type: ignore[attr-defined]
    missing_rows = BRAIN_SIZE - plane.shape[0]
    square = np.pad(plane, ((missing_rows // 2, missing_rows - missing_rows // 2), (0, 0)))
    return _with_phase(_reduced(square, size))


def _reduced(full: Float64[np.ndarray, "n n"], size: int) -> Float64[np.ndarray, "size size"]:
    """Magnitude with only the middle of k-space kept, maximum 1."""
    kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(full)))
    first = full.shape[0] // 2 - size // 2
    kept = kspace[first : first + size, first : first + size]
    magnitude = np.abs(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kept))))
    return magnitude / magnitude.max()


def _with_phase(magnitude: Float64[np.ndarray, "n n"]) -> Complex128[np.ndarray, "n n"]:
    coordinate = np.linspace(-1.0, 1.0, len(magnitude))
    u, v = coordinate[None, :], coordinate[:, None]
    return magnitude * np.exp(1j * (0.8 * v + 0.5 * u**2))
