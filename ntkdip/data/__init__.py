"""Images, k-space, coil sensitivities and noise: files of yours and samples.

Knows nothing of networks.
"""

from ntkdip.data.coils import biot_savart_sensitivities, ring_sensitivities
from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from ntkdip.data.mri import SAMPLE_SIZE, brain_slice, mri_slice
from ntkdip.data.noise import add_noise, noise_covariance, noise_level, prewhiten
from ntkdip.data.records import Image, KSpace, Origin
from ntkdip.data.samples import mri_kspace, photograph, shepp_logan
from ntkdip.data.sensitivities import calibration_region, estimate_sensitivities
from ntkdip.data.signals import square_signal

__all__ = [
    "SAMPLE_SIZE",
    "DataError",
    "Image",
    "KSpace",
    "Origin",
    "add_noise",
    "biot_savart_sensitivities",
    "brain_slice",
    "calibration_region",
    "estimate_sensitivities",
    "load",
    "mri_kspace",
    "mri_slice",
    "noise_covariance",
    "noise_level",
    "photograph",
    "prewhiten",
    "ring_sensitivities",
    "shepp_logan",
    "square_signal",
]
