"""Coil sensitivities from the data themselves."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from jaxtyping import Complex64

from ntkdip.data.errors import DataError
from ntkdip.data.records import KSpace
from ntkdip.data.transforms import centre_crop, to_images

Method = Literal["espirit", "low-resolution", "root-sum-of-squares"]
KERNEL = 6
# The power iteration of ESPIRiT: more than this moves its maps by less than 1e-4.
ITERATIONS = 30


def estimate_sensitivities(
    k: KSpace, method: Method = "espirit", *, calibration: int = 24, crop: float = 0.95
) -> Complex64[np.ndarray, "coils ny nx"]:
    """Sensitivities of the coils, of unit root-sum-of-squares where there is signal.

    Parameters
    ----------
    k
        K-space; its centre must be fully sampled for all methods but the last.
    method
        ``"espirit"``: sigpy's ESPIRiT (Uecker et al., Magn. Reson. Med. 71, 2014), kernels of
        6 x 6, relative to the phase of the strongest coil; pixels whose eigenvalue is at most
        ``crop`` are taken as background and get 0.  Needs ``pip install "ntkdip[mri]"``.
        ``"low-resolution"``: images of the calibration region under a Hann window, over their
        root-sum-of-squares (McKenzie et al., Magn. Reson. Med. 47, 2002).
        ``"root-sum-of-squares"``: the zero-filled coil images over their root-sum-of-squares
        (Roemer et al., Magn. Reson. Med. 16, 1990): for full sampling, where the image is then
        the root-sum-of-squares itself.
    calibration
        Largest side of the calibration region in samples.
    crop
        ESPIRiT's threshold, in [0, 1].

    Returns
    -------
    ``(coils, ny, nx)`` complex64, dimensionless.  ESPIRiT costs O(coils^2) a pixel and keeps
    ``8 coils^2`` bytes a pixel: 10 s and 0.8 GB for 15 coils on 320 x 368.

    Raises
    ------
    DataError
        If the fully sampled centre is smaller than the method needs.
    ValueError
        If the method is unknown or a parameter out of range.
    ImportError
        If ESPIRiT is asked for and sigpy is missing.
    """
    if method not in get_args(Method):
        raise ValueError(f"methods are {', '.join(get_args(Method))}; got {method!r}")
    if method == "root-sum-of-squares":
        return _normalised(k.coil_images())
    if not 0 <= crop <= 1:
        raise ValueError(f"crop is a share, 0 to 1; got {crop}")
    ny, nx = calibration_region(k, calibration)
    if method == "espirit":
        return _espirit(k, min(ny, nx), crop)
    window = np.outer(_hann(ny), _hann(nx)).astype(np.float32)
    centre = np.zeros_like(k.samples)
    centre_crop(centre, (ny, nx))[:] = centre_crop(k.samples, (ny, nx)) * window
    return _normalised(to_images(centre))


def calibration_region(k: KSpace, largest: int = 24) -> tuple[int, int]:
    """Sides of the fully sampled rectangle about the centre of k-space.

    It grows along both axes in turn, to at most ``largest`` samples a side.

    Raises
    ------
    DataError
        If it has fewer than 4 samples along one of them.
    """
    sides = [1, 1]
    growing = [True, True]
    while any(growing):
        for axis in (0, 1):
            wider = tuple(n + (i == axis) for i, n in enumerate(sides))
            growing[axis] = wider[axis] <= min(largest, k.shape[axis]) and bool(
                centre_crop(k.mask, wider).all()
            )
            sides[axis] += growing[axis]
    if min(sides) < 4 or not k.mask[k.shape[0] // 2, k.shape[1] // 2]:
        raise DataError(
            k.origin.path, "mask",
            f"the fully sampled centre of k-space is {sides[0]} x {sides[1]}, and estimating "
            "sensitivities needs 4 samples along each axis at least (24 are better); give "
            "sensitivities of your own, or a mask with more lines in its centre",
        )  # fmt: skip
    return sides[0], sides[1]


def _espirit(k: KSpace, width: int, crop: float) -> Complex64[np.ndarray, "coils ny nx"]:
    if width < KERNEL + 2:
        raise DataError(
            k.origin.path, "mask",
            f"ESPIRiT's kernels of {KERNEL} x {KERNEL} need a fully sampled centre of "
            f"{KERNEL + 2} samples a side; here it has {width}. Use method='low-resolution'",
        )  # fmt: skip
    try:
        from sigpy.mri.app import EspiritCalib
    except ImportError as fault:
        raise ImportError(
            "ESPIRiT is sigpy's: pip install 'ntkdip[mri]', or use method='low-resolution'"
        ) from fault
    # sigpy divides by the phase of the first coil, which had better see something.
    energy = np.sum(np.abs(k.samples) ** 2, axis=(1, 2))
    order = np.argsort(-energy, kind="stable")
    scale = np.abs(k.samples).max()
    with np.errstate(divide="ignore", invalid="ignore"):
        ordered = EspiritCalib(
            k.samples[order] / scale, calib_width=width, kernel_width=KERNEL, crop=crop,
            max_iter=ITERATIONS, show_pbar=False,
        ).run()  # fmt: skip
    maps = np.empty_like(ordered)
    maps[order] = np.nan_to_num(ordered, nan=0.0, posinf=0.0, neginf=0.0)
    return maps


def _hann(n: int) -> np.ndarray:
    """The window over ``n`` samples about index ``n // 2``, not 0 at its ends."""
    return 0.5 + 0.5 * np.cos(2 * np.pi * (np.arange(n) - n // 2) / (n + 1))


def _normalised(images: np.ndarray) -> Complex64[np.ndarray, "coils ny nx"]:
    total = np.sqrt(np.sum(np.abs(images) ** 2, axis=0))
    floor = 1e-6 * total.max()
    safe = np.where(total > floor, total, 1)
    return np.where(total > floor, images / safe, 0).astype(np.complex64)
