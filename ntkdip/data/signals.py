"""One-dimensional test signals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def square_signal(size: int = 256) -> Float64[np.ndarray, " size"]:
    """The 1D reference signal: 1 where ``0.3 size < j < 0.62 size``, else 0 (float64).

    Source: design page, section 1.
    """
    j = np.arange(size)
    return ((0.3 * size < j) & (j < 0.62 * size)).astype(np.float64)
