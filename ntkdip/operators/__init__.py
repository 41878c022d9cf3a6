"""Forward operators ``A``: what the scanner measures.  Knows nothing of networks."""

from ntkdip.operators import masks
from ntkdip.operators.algebra import stack
from ntkdip.operators.base import LinearOperator
from ntkdip.operators.blurs import blur
from ntkdip.operators.coils import MultiCoilFourier, multi_coil_fourier
from ntkdip.operators.fourier import MaskedFourier, centred_fft, centred_ifft, masked_fourier
from ntkdip.operators.host import apply_to_rows, dot_test, host_float64
from ntkdip.operators.matrix import MatrixOperator, from_matrix
from ntkdip.operators.pixels import Identity, PixelMask, downsample, identity, pixel_mask
from ntkdip.operators.pointwise import Circulant, Diagonal, circulant, diagonal

__all__ = [
    "Circulant",
    "Diagonal",
    "Identity",
    "LinearOperator",
    "MaskedFourier",
    "MatrixOperator",
    "MultiCoilFourier",
    "PixelMask",
    "apply_to_rows",
    "blur",
    "centred_fft",
    "centred_ifft",
    "circulant",
    "diagonal",
    "dot_test",
    "downsample",
    "from_matrix",
    "host_float64",
    "identity",
    "masked_fourier",
    "masks",
    "multi_coil_fourier",
    "pixel_mask",
    "stack",
]
