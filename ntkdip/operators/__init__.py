"""Forward operators ``A``: what the scanner measures.  Knows nothing of networks."""

from ntkdip.operators import masks
from ntkdip.operators.base import (
    LinearOperator,
    apply_to_rows,
    dot_test,
    host_float64,
    real_matrix,
)
from ntkdip.operators.coils import MultiCoilFourier, multi_coil_fourier, ring_sensitivities
from ntkdip.operators.fourier import MaskedFourier, centred_fft, centred_ifft, masked_fourier
from ntkdip.operators.matrix import MatrixOperator, from_matrix
from ntkdip.operators.pixels import Identity, PixelMask, identity, pixel_mask

__all__ = [
    "Identity",
    "LinearOperator",
    "MaskedFourier",
    "MatrixOperator",
    "MultiCoilFourier",
    "PixelMask",
    "apply_to_rows",
    "centred_fft",
    "centred_ifft",
    "dot_test",
    "from_matrix",
    "host_float64",
    "identity",
    "masked_fourier",
    "masks",
    "multi_coil_fourier",
    "pixel_mask",
    "real_matrix",
    "ring_sensitivities",
]
