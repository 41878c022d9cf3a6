"""Low-rank kernels: what they leave out, their bound, and their interface."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from ntkdip import networks
from ntkdip.kernels import BothParts, DenseKernel, Kernel, NoClosedFormError, analytic
from ntkdip.kernels.dense import Factored
from ntkdip.kernels.infinite.low_rank import FLOOR, LowRankKernel, low_rank, pivoted_cholesky
from ntkdip.spaces import Space

SHAPE = (8, 7)
NET = networks.wide_cnn(8, 2, complex_image=False)
KEYS = jax.random.split(jax.random.key(2), 3)
Z = np.random.default_rng(1).standard_normal((*SHAPE, 2))


@functools.cache
def _whole() -> np.ndarray:
    return analytic(NET, Z).dense()


@functools.cache
def _of_rank(rank: int) -> LowRankKernel:
    W = low_rank(NET, Z, rank, block=4)
    assert isinstance(W, LowRankKernel)
    return W


def _cholesky(W: np.ndarray, rank: int, **options):
    defaults = {"tolerance": 0.0, "block": 5, "floor": FLOOR["float64"]}
    rng, step = np.random.default_rng(0), lambda _: None
    options = {**defaults, "rng": rng, "step": step, **options}
    return pivoted_cholesky(lambda pixels: W[pixels], np.diagonal(W), rank, **options)


@pytest.mark.parametrize("rank", [1, 10, 30])
def test_what_is_left_out_is_psd_and_its_trace_is_known(rank: int) -> None:
    W, found = _whole(), _of_rank(rank)
    left = W - found.dense()
    scale = np.trace(W)
    assert found.rank == rank
    assert np.linalg.eigvalsh(left)[0] >= -1e-13 * scale
    np.testing.assert_allclose(np.diagonal(left), found.residual, rtol=0, atol=1e-13 * scale)
    assert found.residual_trace == pytest.approx(np.trace(left), rel=1e-10)
    assert found.trace == pytest.approx(scale)
    assert found.relative_trace == pytest.approx(np.trace(left) / scale, rel=1e-10)
    # A pivot's row is the kernel's own.
    np.testing.assert_allclose(found.dense()[found.pivots], W[found.pivots], atol=1e-12 * scale)


@pytest.mark.parametrize("rank", [1, 10, 30])
def test_the_bound_bounds(rank: int) -> None:
    W, found = _whole(), _of_rank(rank)
    left = W - found.dense()
    assert np.linalg.norm(left, 2) < found.error_bound
    relative = np.linalg.norm(left, 2) / np.linalg.norm(W, 2)
    assert relative < found.relative_error_bound < 200 * relative
    entries = np.sqrt(np.outer(found.residual, found.residual))
    assert (np.abs(left) <= entries + 1e-13 * W.max()).all()


def test_full_rank_is_the_kernel() -> None:
    W, found = _whole(), _of_rank(56)
    assert found.rank == 56
    np.testing.assert_allclose(found.dense(), W, atol=1e-13 * W.max())
    assert 0 <= found.residual_trace <= 1e-13 * np.trace(W)


def test_kernel_interface() -> None:
    found = _of_rank(10)
    assert isinstance(found, Kernel)
    assert isinstance(found, Factored)
    assert found.space == Space(SHAPE, False)
    v = np.random.default_rng(0).standard_normal((56, 3))
    np.testing.assert_allclose(found @ v, found.dense() @ v, rtol=1e-12)
    np.testing.assert_allclose(found @ v[:, 0], (found @ v)[:, 0], rtol=1e-12)
    exact = np.linalg.eigvalsh(found.dense())[::-1]
    for k in (3, 10, None):
        values, vectors = found.eigh(k)
        assert vectors.shape == (56, k or 10)
        np.testing.assert_allclose(values, exact[: k or 10], rtol=1e-10)
        np.testing.assert_allclose(found @ vectors, vectors * values, atol=1e-12 * exact[0])
    with pytest.raises(ValueError, match=r"a kernel of rank 10 has so many eigenpairs.*got k=11"):
        found.eigh(11)


def test_complex_images_have_the_same_kernel_for_both_parts() -> None:
    net = networks.wide_cnn(8, 2)
    W = low_rank(net, Z, 10, block=4)
    assert isinstance(W, BothParts)
    assert W.space == Space(SHAPE, True)
    np.testing.assert_array_equal(W.part.factor, _of_rank(10).factor)
    first, second = W.factors
    assert first is second is W.part.factor
    assert BothParts(DenseKernel(np.eye(56), Space(SHAPE, False))).factors is None
    assert W.eigh(7)[1].shape == (112, 7)


def test_the_same_key_gives_the_same_and_another_key_other_pivots() -> None:
    key = jax.random.key(5)
    first, again = (low_rank(NET, Z, 10, key=key) for _ in range(2))
    other = low_rank(NET, Z, 10, key=jax.random.key(6))
    np.testing.assert_array_equal(first.factor, again.factor)
    assert set(first.pivots) != set(other.pivots)


def test_single_precision_rows() -> None:
    found = low_rank(NET, Z, 10, block=4, precision="float32")
    np.testing.assert_array_equal(found.pivots, _of_rank(10).pivots)
    assert found.factor.dtype == np.float64
    np.testing.assert_allclose(found.dense(), _of_rank(10).dense(), atol=1e-5 * _whole().max())


def test_it_stops_where_enough_is_done() -> None:
    found = low_rank(NET, Z, 56, block=4, tolerance=0.2)
    assert found.relative_trace <= 0.2
    assert found.rank < 56
    assert _of_rank(found.rank - 4).relative_trace > 0.2


@pytest.mark.parametrize("block", [1, 7, 60])
def test_pivots_that_depend_on_others_are_dropped(block: int) -> None:
    """Every pixel is there six times, so that most blocks hold copies."""
    G = np.random.default_rng(0).standard_normal((10, 12))
    W = np.tile(G @ G.T, (6, 6))
    found = _cholesky(W, 60, block=block)
    assert found.pivots.size == 10
    assert set(found.pivots % 10) == set(range(10))
    np.testing.assert_allclose(found.factor.T @ found.factor, W, atol=1e-11 * W.max())
    assert (found.residual >= 0).all()


def test_ill_conditioned_kernels_end_at_rounding() -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((80, 80)))[0]
    W = (Q * 10.0 ** -np.linspace(0, 30, 80)) @ Q.T
    found = _cholesky((W + W.T) / 2, 80)
    assert found.pivots.size < 60
    assert np.linalg.norm(W - found.factor.T @ found.factor, 2) <= 1e-11
    assert (found.residual >= 0).all()


def test_little_more_is_left_than_by_the_best_matrix_of_that_rank() -> None:
    W = _whole()
    left = np.mean([low_rank(NET, Z, 20, key=key).residual_trace for key in KEYS])
    assert left <= 2 * np.linalg.eigvalsh(W)[:-20].sum()


def test_a_kernel_of_zeros_has_rank_zero() -> None:
    found = _cholesky(np.zeros((9, 9)), 5)
    assert found.factor.shape == (0, 9)
    assert found.residual.sum() == 0


def test_bad_requests_are_refused_before_work() -> None:
    for rank, message in ((0, "rank must be at least 1"), (57, "56 pixels has no more.*rank=57")):
        with pytest.raises(ValueError, match=message):
            low_rank(NET, Z, rank)
    for tolerance in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match=f"share of the trace.*got {tolerance}"):
            low_rank(NET, Z, 5, tolerance=tolerance)
    with pytest.raises(ValueError, match="block must be at least 1"):
        low_rank(NET, Z, 5, block=0)
    with pytest.raises(ValueError, match="1 of 112 entries are NaN"):
        low_rank(NET, np.where(np.arange(112).reshape(Z.shape) == 9, np.nan, Z), 5)
    with pytest.raises(NoClosedFormError, match="ChannelNorm"):
        low_rank(networks.deep_decoder(8, 2), Z, 5)
    with pytest.raises(MemoryError, match=r"a factor of rank 50 of the kernel of WCNN on R\^8x7"):
        low_rank(NET, Z, 50, memory_limit=20_000)
    with pytest.raises(ValueError, match=r"factor of shape \(56, 1\).*got \(3, 1\)"):
        LowRankKernel(np.ones((3, 1)), Space(SHAPE, False), np.zeros(1, int), np.zeros(3))
    with pytest.raises(ValueError, match="residual of a kernel: 56 of 56"):
        LowRankKernel(np.ones((56, 1)), Space(SHAPE, False), np.zeros(1, int), np.full(56, np.inf))
