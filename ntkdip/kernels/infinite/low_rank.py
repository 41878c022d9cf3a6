"""Analytic kernels of low rank, with a bound on what they leave out: for large images."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float, Float64, Int

from ntkdip.kernels.both_parts import BothParts
from ntkdip.kernels.infinite.analytic import Precision
from ntkdip.kernels.infinite.closed_form import require_closed_form
from ntkdip.kernels.infinite.diagonals import Kind
from ntkdip.kernels.infinite.recursion import channels_last
from ntkdip.kernels.infinite.rows import kernel_rows
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.memory import available_bytes
from ntkdip.networks import Architecture, layers
from ntkdip.networks.architecture import require_input
from ntkdip.progress import counting, ticking
from ntkdip.spaces import Space, require_finite

FLOOR = {"float64": 1e-13, "float32": 1e-5}
"""Residual variances below this share of the kernel's largest entry are its rounding."""


@dataclasses.dataclass(frozen=True, eq=False)
class LowRankKernel:
    """``W_r = L L^T``, a part of a kernel ``W``: ``0 <= W_r <= W`` as quadratic forms.

    Parameters
    ----------
    factor
        ``L``, ``(n, r)`` float64.
    space
        Space of images, ``n = space.real_size``.
    pivots
        ``(r,)``: the pixels whose rows of ``W_r`` are those of ``W``.
    residual
        ``(n,)``: diagonal of ``W - W_r``, not negative.

    Raises
    ------
    ValueError
        If the shapes do not fit, or entries are NaN or infinite.

    Notes
    -----
    What is left out, ``R = W - W_r``, is positive semidefinite.  So its trace, the sum of
    ``residual``, is its nuclear norm, and bounds its Frobenius and spectral norm; entries
    are bounded by ``|R_ij| <= sqrt(R_ii R_jj)``.  The trace counts every small eigenvalue: on
    WCNN kernels of a 64 x 64 MRI slice the largest eigenvalue of ``R`` is 40 (rank 64) to 240
    times (rank 1024) smaller.

    What this means for `theory`.  ``A W_r A* <= A W A*``, so no eigenvalue of the data's
    kernel is too large, and fits are slower than with ``W``.  Let ``z_t`` and ``w_t`` be
    gradient descent under ``W`` and ``W_r`` from one start, with one step size ``eta``
    stable for ``W``: ``eta <= 2 / (lambda_max(A W_r A*) + |A|^2 error_bound)`` will do.  Then

        |z_t - w_t|_i <= sqrt(W_ii error_bound) eta |A| sum_{s < t} |y - A w_s|

    for every pixel ``i``.  The limit ``t = inf`` has no such bound: there the smallest
    eigenvalues decide, and ``W_r`` has none of them.  Proof: the difference is ``eta sum_s
    (I - eta W A*A)^{t-1-s} R A* r_s`` with ``r_s = y - A w_s``; with ``B = W^{1/2} A*A
    W^{1/2}`` a term is ``W^{1/2} (I - eta B)^k (W^{1/2})^+ R A* r_s``, and ``R W^+ R <= R``
    because ``R <= W``.  Ours.
    """

    factor: Float64[np.ndarray, "n r"]
    space: Space
    pivots: Int[np.ndarray, " r"]
    residual: Float64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        n, r = self.space.real_size, self.pivots.size
        if self.factor.shape != (n, r) or self.residual.shape != (n,):
            raise ValueError(
                f"a kernel of rank {r} on {self.space} has a factor of shape ({n}, {r}) and a "
                f"residual of shape ({n},); got {self.factor.shape} and {self.residual.shape}"
            )
        for start in range(0, n, 4096):
            require_finite(self.factor[start : start + 4096], "factor of a kernel")
        require_finite(self.residual, "residual of a kernel")

    @property
    def rank(self) -> int:
        """Columns of the factor."""
        return self.pivots.size

    @property
    def factors(self) -> tuple[Float64[np.ndarray, "n r"], ...]:
        """The factor, for `ntkdip.kernels.Factored`."""
        return (self.factor,)

    @property
    def residual_trace(self) -> float:
        """Trace of what is left out: its nuclear norm."""
        return float(self.residual.sum())

    @property
    def trace(self) -> float:
        """Trace of the whole kernel ``W``."""
        return float(np.vdot(self.factor, self.factor)) + self.residual_trace

    @property
    def relative_trace(self) -> float:
        """Share of the whole kernel's trace that is left out."""
        return self.residual_trace / self.trace if self.residual_trace else 0.0

    @property
    def error_bound(self) -> float:
        """Bound on the largest eigenvalue of ``W - W_r``: its trace."""
        return self.residual_trace

    @property
    def relative_error_bound(self) -> float:
        """Bound on the error in the spectral norm, relative to that of ``W``.

        The norm of ``W_r`` is taken, which is the smaller.
        """
        largest = self._largest
        return self.error_bound / largest if largest else float(self.error_bound > 0)

    @cached_property
    def _largest(self) -> float:
        return float(np.linalg.norm(self.factor.T @ self.factor, 2)) if self.rank else 0.0

    def __matmul__(self, v: Float[np.ndarray, "n *m"]) -> Float64[np.ndarray, "n *m"]:
        """``W_r v`` for ``(n,)`` or ``(n, m)``: O(n r) a column."""
        return self.factor @ (self.factor.T @ v)

    def dense(self) -> Float64[np.ndarray, "n n"]:
        """The matrix ``W_r``, ``8 n^2`` bytes; raises `MemoryError` if they are not there."""
        n = self.space.real_size
        require_memory(
            8 * n**2,
            f"the dense matrix of a kernel on {self.space}",
            available_bytes(),
            "multiply with it, or use its factor",
        )
        return self.factor @ self.factor.T

    @cached_property
    def _eigenpairs(self) -> tuple[np.ndarray, np.ndarray]:
        with ticking(f"singular values of {self.space.real_size} x {self.rank}"):
            vectors, values, _ = scipy.linalg.svd(
                self.factor, full_matrices=False, check_finite=False
            )
        return values**2, vectors

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Largest eigenvalues, falling, and eigenvectors as columns.

        Parameters
        ----------
        k
            How many; None: all ``r`` that are not zero by construction.  They are computed
            once and kept: O(n r^2) time, about ``24 n r`` bytes.

        Returns
        -------
        ``(k,)`` and ``(n, k)``, float64.

        Raises
        ------
        ValueError
            If there are fewer.
        """
        if k is not None and k > self.rank:
            raise ValueError(
                f"a kernel of rank {self.rank} has so many eigenpairs that are not zero by "
                f"construction; got k={k}. Ask for no more, or for a kernel of higher rank"
            )
        values, vectors = self._eigenpairs
        return values[:k], vectors[:, :k]


def low_rank(
    net: Architecture,
    z: Any,
    rank: int,
    *,
    kind: Kind = "ntk",
    tolerance: float = 0.0,
    block: int = 16,
    precision: Precision = "float64",
    memory_limit: int | None = None,
    key: Array | None = None,
) -> LowRankKernel | BothParts:
    """Analytic NTK (or NNGP) of low rank by randomly pivoted Cholesky, with an error bound.

    For images of which no dense kernel fits: only rows of ``rank`` pixels are computed.

    Parameters
    ----------
    net, z, kind
        As for `ntkdip.kernels.analytic`.
    rank
        Columns of the factor, 1 to the number ``q`` of pixels.
    tolerance
        Stop as soon as the trace of what is left out is no more than this share of the
        kernel's; 0: at ``rank``, or where only rounding is left.
    block
        Pivots chosen at a time.
    precision
        Of the rows; the factorisation is float64.  ``float32`` takes a third of the time; its
        entries, and so what is said of the error, are good to about 1e-6 of the largest.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.
    key
        PRNG key for the choice of pivots; ``jax.random.key(0)`` if None.

    Returns
    -------
    `LowRankKernel` for real images, `BothParts` of it for complex ones.  Its rank may be
    smaller than ``rank``: see ``tolerance``.

    Raises
    ------
    NoClosedFormError
        If a layer has none: which, and what to do.
    ValueError
        If the rank, the tolerance, the block or the input does not fit, or the input is not
        finite.
    MemoryError
        If the factor does not fit.

    Notes
    -----
    Pivots are drawn in proportion to the residual diagonal.  Measured on WCNN kernels of a
    32 x 32 MRI slice that is less left out than with the largest residual as pivot: 8.2
    against 8.8 to 9.2 % of the trace at rank 128 (5.2 % with the best matrix of that rank),
    and blocks of 64 cost nothing, where the largest residuals are neighbours (11.4 %).
    Pivots that the others of a block make superfluous are dropped.  Negative residuals are
    rounding, and set to 0.

    Cost: ``rank`` rows (`ntkdip.kernels.infinite.rows`) and O(q rank^2); ``8 q (rank + 4 block)``
    bytes and what rows take.  Source: Chen, Epperly, Tropp and Webber, "Randomly pivoted
    Cholesky" (2023), algorithms 1 and 2; the rows are ours.
    """
    layers.require_one_of(Kind, kind=kind)
    layers.require_one_of(Precision, precision=precision)
    layers.require_at_least(1, rank=rank, block=block)
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance is a share of the trace, from 0 to below 1; got {tolerance}")
    require_closed_form(net)
    require_finite(z, "network input")
    limit = allowed_bytes(memory_limit, jax.devices())
    with jax.enable_x64(precision == "float64"):
        x = channels_last(np.asarray(z), np.dtype(precision))
    require_input(x)
    space = net.image_space(x)
    if rank > space.size:
        raise ValueError(
            f"a kernel on {space.size} pixels has no more than that many pivots; got rank={rank}"
        )
    factor = 8 * space.size * (rank + 4 * block)
    require_memory(
        factor,
        f"a factor of rank {rank} of the kernel of {net.name} on {space}",
        limit,
        "use a lower rank",
    )
    rest = max(limit - factor, 1)
    rows = kernel_rows(net, z, kind=kind, precision=precision, together=block, memory_limit=rest)
    key = jax.random.key(0) if key is None else key
    rng = np.random.default_rng(np.asarray(jax.random.bits(key, (2,))))
    with counting(f"{net.name}: pivots", total=rank) as step:
        found = pivoted_cholesky(
            rows, rows.diagonal, rank, tolerance, block, FLOOR[precision], rng, step
        )
    kernel = LowRankKernel(found.factor.T, Space(space.shape, False), found.pivots, found.residual)
    return BothParts(kernel) if space.is_complex else kernel


class Cholesky(NamedTuple):
    """``factor`` ``L^T`` (r, n), ``pivots`` (r,), ``residual`` (n,) diagonal of ``W - L L^T``."""

    factor: Float64[np.ndarray, "r n"]
    pivots: Int[np.ndarray, " r"]
    residual: Float64[np.ndarray, " n"]


def pivoted_cholesky(
    rows: Callable[[np.ndarray], np.ndarray],
    diagonal: Float64[np.ndarray, " n"],
    rank: int,
    tolerance: float,
    block: int,
    floor: float,
    rng: np.random.Generator,
    step: Callable[[int], object],
) -> Cholesky:
    """Randomly pivoted partial Cholesky factorisation of a PSD matrix that gives rows.

    ``rows`` of pivots ``(b,)`` are ``(b, n)``; ``floor`` is the share of the largest entry
    below which a residual is rounding; ``step`` is told how many pivots are new.
    """
    n = diagonal.size
    L, pivots = np.empty((rank, n)), np.empty(0, np.int64)
    residual = np.maximum(diagonal, 0)
    least, enough = floor * residual.max(), tolerance * residual.sum()
    open_ = residual > least
    while pivots.size < rank and residual.sum() > enough and open_.any():
        done = pivots.size
        candidates = _drawn(np.where(open_, residual, 0), min(block, rank - done), rng)
        left = rows(candidates)
        left -= L[:done, candidates].T @ L[:done]
        core = left[:, candidates]
        triangle, order, count, _ = scipy.linalg.lapack.dpstrf((core + core.T) / 2, least, lower=1)
        taken = order[:count] - 1
        new = L[done : done + count]
        new[:] = scipy.linalg.solve_triangular(triangle[:count, :count], left[taken], lower=True)
        residual = np.maximum(residual - np.einsum("rn,rn->n", new, new), 0)
        pivots = np.append(pivots, candidates[taken])
        residual[candidates[taken]] = 0
        # What was dropped depends on the others to rounding, and is not tried again.
        open_[candidates] = False
        open_ &= residual > least
        step(int(count))
    return Cholesky(L[: pivots.size], pivots, residual)


def _drawn(
    weights: Float64[np.ndarray, " n"], count: int, rng: np.random.Generator
) -> Int[np.ndarray, " b"]:
    """Different indices, one after the other in proportion to their weights; zeros never."""
    possible = np.flatnonzero(weights)
    # The first arrivals of independent Poisson processes.
    arrivals = rng.exponential(size=possible.size) / weights[possible]
    count = min(count, possible.size)
    return possible[np.argpartition(arrivals, count - 1)[:count]]
