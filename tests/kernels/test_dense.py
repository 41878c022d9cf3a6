from __future__ import annotations

import numpy as np
import pytest

from ntkdip.kernels import DenseKernel, Kernel
from ntkdip.spaces import Space


def _psd(n: int) -> np.ndarray:
    G = np.random.default_rng(0).standard_normal((n, n))
    return G @ G.T


def test_answers_the_kernel_interface() -> None:
    W = _psd(6)
    kernel = DenseKernel(W, Space((3,), True))
    assert isinstance(kernel, Kernel)
    v = np.arange(6.0)
    np.testing.assert_allclose(kernel @ v, W @ v)
    np.testing.assert_allclose(kernel @ np.stack([v, v], 1), W @ np.stack([v, v], 1))
    np.testing.assert_array_equal(kernel.dense(), W)


def test_eigenpairs_fall_and_are_eigenpairs() -> None:
    W = _psd(6)
    values, vectors = DenseKernel(W, Space((6,), False)).eigh(4)
    assert values.shape == (4,)
    assert (np.diff(values) <= 0).all()
    np.testing.assert_allclose(W @ vectors, vectors * values, atol=1e-12)
    np.testing.assert_allclose(values, np.linalg.svd(W, compute_uv=False)[:4])


def test_wrong_matrices_are_refused() -> None:
    space = Space((4,), False)
    with pytest.raises(ValueError, match=r"\(4, 4\) matrix.*got shape \(3, 3\)"):
        DenseKernel(_psd(3), space)
    with pytest.raises(ValueError, match=r"is float64.*got float32"):
        DenseKernel(_psd(4).astype(np.float32), space)
    skew = _psd(4)
    skew[0, 1] += 1
    with pytest.raises(ValueError, match="differs from its transpose by 1"):
        DenseKernel(skew, space)
    skew[0, 1] = np.nan
    with pytest.raises(ValueError, match="kernel: 1 of 16"):
        DenseKernel(skew, space)
