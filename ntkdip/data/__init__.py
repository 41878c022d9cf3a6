"""Images and noise.  Knows nothing of networks."""

from ntkdip.data.mri import SAMPLE_SIZE, mri_slice
from ntkdip.data.signals import square_signal

__all__ = ["SAMPLE_SIZE", "mri_slice", "square_signal"]
