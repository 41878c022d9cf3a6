"""What studies measure of an image whose truth they know."""

from __future__ import annotations

import numpy as np
from jaxtyping import Inexact

from ntkdip.operators import LinearOperator, host_float64


def measured(A: LinearOperator, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Noise-free data ``A x`` and the zero-filled image ``A* A x``, in double precision."""
    with host_float64():
        y = np.asarray(A(truth))
        return y, np.asarray(A.adjoint(y))


def with_noise(
    y: Inexact[np.ndarray, "..."], sigma: float, rng: np.random.Generator
) -> Inexact[np.ndarray, "..."]:
    """Complex data with white noise, ``E|n_i|^2 = sigma^2`` a sample."""
    noise = rng.standard_normal((2, *y.shape)) * (sigma / np.sqrt(2))
    return y + noise[0] + 1j * noise[1]
