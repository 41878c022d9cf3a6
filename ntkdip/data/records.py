"""What a file holds, once it is understood: k-space of one slice, or one image."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Complex, Float, Inexact

from ntkdip.data.transforms import centre_crop, to_images, to_kspace

# ITU-R BT.601, as most denoising papers turn CBSD68 to grey.
LUMA = np.array([0.299, 0.587, 0.114])


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a record comes from, and how its file was read.

    Attributes: ``path``; ``format``, for instance ``"fastMRI HDF5"``; ``index`` of the slice
    or image in its file or folder, which holds ``count``; ``understood`` and ``ignored``, a
    few words each for what was used and what was left aside.
    """

    path: Path
    format: str
    index: int = 0
    count: int = 1
    understood: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class KSpace:
    """Measured k-space of one 2D slice.

    Attributes
    ----------
    samples
        ``(coils, ny, nx)`` complex64, in the file's unit: the centred orthonormal Fourier
        transform of what each coil sees, zero frequency at index ``n // 2``, 0 where nothing
        was measured.
    mask
        ``(ny, nx)``, ``True`` where k-space was measured, the same for all coils.
    origin
        The file.
    reference
        ``(h, w)`` float32 or None: the file's own reconstruction (magnitude), in its unit.
    image_shape
        ``(h, w)`` or None: what the header wants images cropped to, about their centre.
    noise_scan
        ``(coils, n)`` complex64 or None: samples without signal, in the same unit.
    """

    samples: Complex[np.ndarray, "coils ny nx"]
    mask: Bool[np.ndarray, "ny nx"]
    origin: Origin
    reference: Float[np.ndarray, "h w"] | None = None
    image_shape: tuple[int, int] | None = None
    noise_scan: Complex[np.ndarray, "coils n"] | None = None

    @property
    def coils(self) -> int:
        """Number of receiver coils."""
        return int(self.samples.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``: of k-space, and of the images that it gives."""
        return int(self.samples.shape[1]), int(self.samples.shape[2])

    @property
    def acceleration(self) -> float:
        """Entries of k-space over measured ones."""
        return float(self.mask.size / np.count_nonzero(self.mask))

    def data(self) -> Complex[np.ndarray, "coils samples"]:
        """The measured samples as ``multi_coil_fourier(k.mask, S)`` orders them: the ``y``."""
        return self.samples[:, self.mask]

    def coil_images(self) -> Complex[np.ndarray, "coils ny nx"]:
        """What each coil sees, zero-filled (complex64, not cropped)."""
        return to_images(self.samples)

    def magnitude(self) -> Float[np.ndarray, "h w"]:
        """Root-sum-of-squares of the zero-filled coil images, cropped to ``image_shape``."""
        energy = np.zeros(self.shape, np.float32)
        for coil in self.samples:
            energy += np.abs(to_images(coil)) ** 2
        return centre_crop(np.sqrt(energy), self.image_shape or self.shape)

    def crop_readout(self, size: int | None = None, *, axis: int = 0) -> KSpace:
        """K-space of the central ``size`` pixels along the readout, which is oversampled.

        Along the readout a line is measured whole or not at all, so that images can be
        cropped there without loss: transform, crop, transform back.

        Parameters
        ----------
        size
            Pixels to keep; by default what ``image_shape`` says.
        axis
            The readout: 0 (as in fastMRI's files) or 1.

        Raises
        ------
        ValueError
            If the size is unknown or larger than what there is, or if a line along ``axis``
            is measured in part.
        """
        if axis not in (0, 1):
            raise ValueError(f"the readout is axis 0 or 1; got axis={axis}")
        n = self.shape[axis]
        if size is None:
            if self.image_shape is None:
                raise ValueError("the file names no size to crop to; give crop_readout(size)")
            size = min(self.image_shape[axis], n)
        if not 1 <= size <= n:
            raise ValueError(f"crop_readout keeps 1 to {n} pixels of axis {axis}; got {size}")
        lines = self.mask.any(axis=axis, keepdims=True)
        if not (self.mask == lines).all():
            raise ValueError(
                f"lines along axis {axis} are measured in part, so that it is no readout and "
                f"cannot be cropped; try axis={1 - axis}, or leave k-space as it is"
            )
        shape = (size, self.shape[1]) if axis == 0 else (self.shape[0], size)
        samples = np.empty((self.coils, *shape), np.complex64)
        for coil, cropped in zip(self.samples, samples, strict=True):
            cropped[:] = to_kspace(centre_crop(to_images(coil, (axis,)), shape), (axis,))
        return dataclasses.replace(self, samples=samples, mask=np.broadcast_to(lines, shape).copy())


@dataclasses.dataclass(frozen=True, eq=False)
class Image:
    """One image: a photograph, a slice of a volume, or an array.

    Attributes
    ----------
    pixels
        ``(h, w)``, or ``(h, w, 3)`` for red, green and blue; float64 or complex128.  Integer
        formats are scaled by their largest value, so that 255 (or 65,535) is 1; floating-point
        ones are taken as they are.
    origin
        The file.
    """

    pixels: Inexact[np.ndarray, "h w *colours"]
    origin: Origin

    @property
    def shape(self) -> tuple[int, int]:
        """``(h, w)``."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @property
    def colours(self) -> int:
        """1 or 3."""
        return 1 if self.pixels.ndim == 2 else int(self.pixels.shape[2])

    def grey(self) -> Inexact[np.ndarray, "h w"]:
        """Luminance (ITU-R BT.601) of a colour image; a grey one as it is."""
        return self.pixels if self.pixels.ndim == 2 else self.pixels @ LUMA
