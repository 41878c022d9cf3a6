"""The kernel regime of kernels that know a factor, against the one of their matrices."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from ntkdip import operators
from ntkdip.kernels import BothParts, DenseKernel, Kernel
from ntkdip.kernels.infinite.low_rank import LowRankKernel
from ntkdip.spaces import Space
from ntkdip.theory import KernelRegime, spectra

SHAPE = (6, 5)
REAL = Space(SHAPE, False)
TIMES = [0, 1, 3, 50, 1e6, np.inf]


def _part(rank: int, decay: float = 0.0, seed: int = 0) -> LowRankKernel:
    """A kernel of rank ``rank`` whose columns get smaller."""
    G = np.random.default_rng(seed).standard_normal((30, rank))
    factor = G * 10.0 ** -np.linspace(0, decay, rank)
    return LowRankKernel(factor, REAL, np.arange(rank), np.zeros(30))


def _operator(field: bool, share: float = 0.5) -> operators.LinearOperator:
    mask = np.random.default_rng(2).random(SHAPE) < share
    return operators.masked_fourier(mask, complex_image=field)


def _kernel(field: bool, rank: int, decay: float = 0.0) -> Kernel:
    part = _part(rank, decay)
    return BothParts(part) if field else part


@dataclasses.dataclass(frozen=True)
class Opaque:
    """The same kernel without its factor."""

    part: Kernel

    @property
    def space(self) -> Space:
        return self.part.space

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return self.part @ v

    def dense(self) -> np.ndarray:
        return self.part.dense()

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.part.eigh(k)


@pytest.mark.parametrize(
    ("field", "rank", "decay", "share"),
    [
        *itertools.product([True, False], [1, 4], [0.0], [0.5]),
        (True, 28, 0.0, 0.2),
        (False, 29, 0.0, 0.2),
        (True, 8, 4.0, 0.5),
    ],
    ids=str,
)
def test_it_is_that_of_the_matrix(field: bool, rank: int, decay: float, share: float) -> None:
    """Also where the factor has more columns than there are data."""
    A, W = _operator(field, share), _kernel(field, rank, decay)
    dense = KernelRegime(DenseKernel(W.dense(), A.domain), A)
    found = KernelRegime(W, A)
    values = dense.data_eigenvalues()
    atol = 1e-13 * values[0]
    np.testing.assert_allclose(found.data_eigenvalues(), values, rtol=1e-9, atol=atol)
    rng = np.random.default_rng(1)
    x, start, y = (
        space.unembed(rng.standard_normal(space.real_size))
        for space in (A.domain,) * 2 + (A.range,)
    )
    step = dense.step_size
    dense, found = (KernelRegime(kernel, A, step_size=step, z0=start) for kernel in (Opaque(W), W))
    data, expected = (r.trajectory(y, TIMES) for r in (found, dense))
    np.testing.assert_allclose(data, expected, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(found.limit(y), data[-1], rtol=1e-12)
    for mine, theirs in zip(found.mse(x, 0.3, TIMES), dense.mse(x, 0.3, TIMES), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-7)


def test_many_rounds_are_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    A, W = _operator(True), _kernel(True, 5)
    expected = KernelRegime(W, A).data_eigenvalues()
    monkeypatch.setattr(spectra, "IMAGES_BYTES", 1000)
    np.testing.assert_allclose(KernelRegime(W, A).data_eigenvalues(), expected, rtol=1e-12)


def test_small_eigenvalues_keep_their_digits() -> None:
    """Down to 1e-10 of the largest, of which a Gram matrix of ``A F`` would leave six."""
    A, W = _operator(False, 0.9), _part(6, 5.0)
    S = np.linalg.svd(A.real().dense() @ W.factor, compute_uv=False) ** 2
    assert S[-1] < 1e-10 * S[0]
    np.testing.assert_allclose(KernelRegime(W, A).data_eigenvalues(), S, rtol=1e-9)


def test_no_kernel_is_refused() -> None:
    A = _operator(True)
    for part in (
        LowRankKernel(np.zeros((30, 2)), REAL, np.arange(2), np.zeros(30)),
        LowRankKernel(np.zeros((30, 0)), REAL, np.arange(0), np.zeros(30)),
    ):
        with pytest.raises(ValueError, match="not zero"):
            KernelRegime(BothParts(part), A)
    with pytest.raises(ValueError, match="the kernel acts on images in R"):
        KernelRegime(_part(3), A)


@pytest.mark.parametrize("t", [1, 2, 5, 30])
def test_what_a_low_rank_kernel_leaves_out_bounds_the_predictions(t: int) -> None:
    """The bound in `LowRankKernel`'s docstring, for what ``W_r`` leaves out of ``W``."""
    A, W = _operator(False), _part(12, 1.0)
    cut = dataclasses.replace(
        W, factor=W.factor[:, :9], pivots=np.arange(9), residual=np.sum(W.factor[:, 9:] ** 2, 1)
    )
    y = A.range.unembed(np.random.default_rng(1).standard_normal(A.range.real_size))
    whole, part = KernelRegime(W, A), KernelRegime(cut, A)
    step = 2 / (part.data_eigenvalues()[0] + cut.error_bound)
    assert step < whole.step_size_bound()
    whole, part = (KernelRegime(kernel, A, step_size=step) for kernel in (W, cut))
    errors = np.abs(whole.trajectory(y, [t])[0] - part.trajectory(y, [t])[0]).ravel()
    misfits = [np.linalg.norm(y - A(w)) for w in part.trajectory(y, range(t))]
    variances = np.sum(W.factor**2, axis=1)
    bound = np.sqrt(variances * cut.error_bound) * step * np.sum(misfits)
    assert errors.max() > 0
    assert (errors <= bound).all()
