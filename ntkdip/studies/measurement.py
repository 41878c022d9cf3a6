"""What studies measure of an image whose truth they know."""

from __future__ import annotations

import numpy as np

from ntkdip.operators import LinearOperator, host_float64


def measured(A: LinearOperator, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free data ``A x`` and the zero-filled image ``A* A x``, in double precision."""
    with host_float64():
        y = np.asarray(A(truth))
        return y, np.asarray(A.adjoint(y))
