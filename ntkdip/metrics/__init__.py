"""Image quality, on magnitudes where images are complex.  Knows nothing of the rest.

One image at a time, on the host in float64: `psnr`, `rmse`, `relative_distance`, `ssim`, `nmse`,
`hfen`, `band_errors`.  Many images inside a compiled step: `against`.
"""

from ntkdip.metrics.device import Against, against
from ntkdip.metrics.host import (
    SSIM_WINDOW,
    band_errors,
    hfen,
    nmse,
    psnr,
    relative_distance,
    rmse,
    ssim,
)

__all__ = [
    "SSIM_WINDOW",
    "Against",
    "against",
    "band_errors",
    "hfen",
    "nmse",
    "psnr",
    "relative_distance",
    "rmse",
    "ssim",
]
