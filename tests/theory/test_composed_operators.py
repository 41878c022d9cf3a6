"""Theory takes operators made of others: the limit against the pseudo-inverse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ntkdip import operators, theory
from ntkdip.kernels import DenseKernel
from ntkdip.operators import LinearOperator
from ntkdip.spaces import Space

SHAPE = (6, 5)
MASK = np.random.default_rng(3).random(SHAPE) < 0.4
KERNEL = np.outer([1, 2, 1], [1, 3, 1]) / 20

MADE: dict[str, Callable[[bool], LinearOperator]] = {
    "super-resolution": lambda c: (
        operators.downsample(SHAPE, 2, complex_image=c)
        @ operators.blur(KERNEL, SHAPE, complex_image=c)
    ),
    "valid blur": lambda c: operators.blur(KERNEL, SHAPE, boundary="valid", complex_image=c),
    "stack": lambda c: operators.stack(
        [
            0.5 * operators.masked_fourier(MASK, complex_image=c),
            operators.pixel_mask(MASK, complex_image=c),
        ]
    ),
    "sum": lambda c: operators.identity(SHAPE, c) - operators.blur(KERNEL, SHAPE, complex_image=c),
}


@pytest.mark.parametrize("complex_image", [False, True], ids=["real", "complex"])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE.keys())
def test_limit_and_mse_by_the_pseudo_inverse(make, complex_image: bool) -> None:
    A = make(complex_image)
    n = A.domain.real_size
    rng = np.random.default_rng(0)
    G = rng.standard_normal((n, 2 * n))
    W = G @ G.T / (2 * n)
    M = A.real().dense()
    filters = W @ M.T @ np.linalg.pinv(M @ W @ M.T, rcond=1e-12, hermitian=True)
    x = A.domain.unembed(rng.standard_normal(n))
    with operators.host_float64():
        y = np.asarray(A(x))
    regime = theory.KernelRegime(DenseKernel(W, Space(SHAPE, complex_image)), A)
    want = A.domain.unembed(filters @ A.range.embed(y))
    np.testing.assert_allclose(regime.limit(y), want, atol=1e-8 * np.abs(want).max())
    mse = regime.mse(x, sigma=0.3, t=[np.inf])
    s2 = 0.3**2 / (2 if A.range.is_complex else 1)
    error = filters @ M @ A.domain.embed(x) - A.domain.embed(x)
    assert float(mse.bias[0]) == pytest.approx(np.sum(error**2), rel=1e-8, abs=1e-10)
    assert float(mse.variance[0]) == pytest.approx(s2 * np.sum(filters**2), rel=1e-6)
