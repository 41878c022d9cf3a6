"""Forward operators ``A``: what the scanner measures.  Knows nothing of networks."""

from ntkdip.operators import masks
from ntkdip.operators.base import (
    LinearOperator,
    apply_to_rows,
    dot_test,
    host_float64,
    real_matrix,
)
from ntkdip.operators.fourier import MaskedFourier, centred_fft, centred_ifft, masked_fourier

__all__ = [
    "LinearOperator",
    "MaskedFourier",
    "apply_to_rows",
    "centred_fft",
    "centred_ifft",
    "dot_test",
    "host_float64",
    "masked_fourier",
    "masks",
    "real_matrix",
]
