"""The kernel regime: what gradient descent does when the kernel stays constant.

``z_{t+1} = z_t + eta W A*(y - A z_t)`` has the closed form (design page, section 1)

    z_t = z_0 + W A* U phi_t(L) U^T (y - A z_0),    S = A W A* = U L U^T,
    phi_t(l) = (1 - (1 - eta l)^t) / l,

valid for every PSD ``W`` and every ``t``, on real embeddings.  One eigenproblem of the
size of the data; everything after it is a spectral filter.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float64, Inexact

from ntkdip.kernels import Factored, Kernel
from ntkdip.operators import LinearOperator, apply_to_rows
from ntkdip.progress import ticking
from ntkdip.spaces import require_finite

RANK_TOLERANCE = 1e-12
"""Eigenvalues of ``A W A*`` below this share of the largest count as zero."""

PRODUCT_ROWS = 4096
"""Rows of a product with a factor that are made at a time."""

IMAGES_BYTES = 32 * 2**20
"""Bytes of the images of a factor to which the operator is applied at a time."""


class MeanSquaredError(NamedTuple):
    """Theorem 2 at given iterations: ``total = bias + variance``, sums over pixels.

    ``bias`` is the squared norm of the noise-free error; each field is float64 ``(T,)``.
    """

    total: Float64[np.ndarray, " T"]
    bias: Float64[np.ndarray, " T"]
    variance: Float64[np.ndarray, " T"]


@dataclasses.dataclass(frozen=True, eq=False)
class _Spectrum:
    """``S = U L U^T`` without its null space, and ``G = W A* U`` (n x r)."""

    values: np.ndarray
    vectors: np.ndarray
    images: np.ndarray | _FactoredImages

    @cached_property
    def energies(self) -> np.ndarray:
        """``|W A* u_i|^2``, ``(r,)``."""
        if isinstance(self.images, _FactoredImages):
            return self.images.energies()
        return np.sum(self.images**2, axis=0)


@dataclasses.dataclass(frozen=True, eq=False)
class _FactoredImages:
    """``G = F C`` with ``F = diag(factors)``, as a product: ``G`` is larger than ``F``."""

    factors: tuple[np.ndarray, ...]
    coefficients: np.ndarray

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return np.concatenate([F @ part for F, part in self._blocks(self.coefficients @ v)])

    def energies(self) -> np.ndarray:
        total = np.zeros(self.coefficients.shape[1])
        for F, part in self._blocks(self.coefficients):
            # 13 times faster here than the norms of R_F C, from a QR factorisation of F.
            for start in range(0, len(F), PRODUCT_ROWS):
                total += np.sum((F[start : start + PRODUCT_ROWS] @ part) ** 2, axis=0)
        return total

    def _blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        ends = np.cumsum([F.shape[1] for F in self.factors])[:-1]
        return zip(self.factors, np.split(rows, ends), strict=True)


class KernelRegime:
    """Dynamics of gradient descent under a constant kernel ``W`` and an operator ``A``.

    Parameters
    ----------
    W
        Kernel on the images of ``A``, symmetric PSD.  Only what the dynamics see of it,
        ``A W A*``, is tested for that.
    A
        Forward operator.
    step_size
        ``eta``, in ``0 < eta < 2 / lambda_max(A W A*)``; ``1 / lambda_max`` if None.
    z0
        Start ``z_0``, an image; zero if None (a centred network).

    Raises
    ------
    ValueError
        If ``W`` and ``A`` act on different spaces, ``A W A*`` is not PSD beyond rounding
        (its smallest eigenvalue is named), ``W`` is zero on the data, the step size is
        not stable (the bound is named), or the start is not finite.

    Notes
    -----
    Construction costs ``p`` products with ``W`` and one dense eigenproblem of size
    ``p = A.range.real_size``: O(n^2 p + p^3) time, about ``40 (n p + p^2)`` bytes at its peak.
    Of a kernel that knows a factor of ``r`` columns (`ntkdip.kernels.Factored`; twice as
    many for complex images) the SVD of ``A F`` takes its place: O(p r^2) and ``r``
    applications of ``A``, about ``32 p r`` bytes; nothing of ``n x n`` or ``p x p`` is made.
    Source: design page, section 1.
    """

    def __init__(
        self,
        W: Kernel,
        A: LinearOperator,
        *,
        step_size: float | None = None,
        z0: Inexact[Any, "..."] | None = None,
    ):
        if W.space != A.domain:
            raise ValueError(
                f"the kernel acts on images in {W.space}, the operator on images in {A.domain}; "
                "build both for the same shape and field (real or complex)"
            )
        self.W, self.A = W, A
        if z0 is None:
            self._z0 = np.zeros(W.space.real_size)
        else:
            require_finite(z0, "start z0")
            self._z0 = W.space.embed(np.asarray(z0)).astype(np.float64)
        self._spectrum = _data_spectrum(W, A)
        self.step_size = self._checked_step(step_size)

    def step_size_bound(self) -> float:
        """``2 / lambda_max(A W A*)``: smaller positive step sizes are stable, no others."""
        return 2.0 / float(self._spectrum.values[0])

    def data_eigenvalues(self) -> Float64[np.ndarray, " r"]:
        """Nonzero eigenvalues of ``A W A*``, falling."""
        return self._spectrum.values

    def limit(self, y: Inexact[Any, "..."]) -> Inexact[np.ndarray, "..."]:
        """``z_inf = z_0 + W A* (A W A*)^+ (y - A z_0)``: Theorem 1's reconstruction.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.

        Returns
        -------
        Image of shape ``A.domain.shape``, float64 or complex128.
        """
        return self.trajectory(y, [np.inf])[0]

    def trajectory(
        self, y: Inexact[Any, "..."], t: Sequence[float] | np.ndarray
    ) -> Inexact[np.ndarray, "T ..."]:
        """Reconstructions ``z_t``; any ``t`` costs the same.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.
        t
            Iterations, non-negative integers or ``inf``.

        Returns
        -------
        Images ``(T, *A.domain.shape)``, float64 or complex128.
        """
        self.A.range.check(y, "data")
        require_finite(y, "data")
        residual = self._embedded_data(y) - self._forward(self._z0)
        moved = self._spectrum.images @ (self._filter(t) * self._coefficients(residual)).T
        return np.stack([self.W.space.unembed(self._z0 + column) for column in moved.T])

    def mse(
        self, x: Inexact[Any, "..."], sigma: float, t: Sequence[float] | np.ndarray
    ) -> MeanSquaredError:
        """Theorem 2: expected squared error at iterations ``t``, bias and variance apart.

        Parameters
        ----------
        x
            The true image, shape ``A.domain.shape``.
        sigma
            Noise level: ``E|n_i|^2 = sigma^2`` a sample, real or complex (so ``sigma^2``
            or ``sigma^2 / 2`` a real dimension).
        t
            Iterations, non-negative integers or ``inf``.

        Returns
        -------
        `MeanSquaredError`: ``E ||z_t - x||^2`` (a sum over pixels) and its parts.
        """
        self.A.domain.check(x, "true image")
        require_finite(x, "true image")
        if not 0 <= sigma < np.inf:
            raise ValueError(f"sigma is a noise level, finite and at least 0; got {sigma}")
        spectrum, phi = self._spectrum, self._filter(t)
        error = self._z0 - self.W.space.embed(np.asarray(x)).astype(np.float64)
        seen = self._coefficients(self._forward(error))
        bias = np.sum((error[:, None] - spectrum.images @ (phi * seen).T) ** 2, axis=0)
        s2 = sigma**2 / 2 if self.A.range.is_complex else sigma**2
        variance = s2 * (phi**2 @ spectrum.energies)
        return MeanSquaredError(bias + variance, bias, variance)

    def _checked_step(self, step_size: float | None) -> float:
        bound = self.step_size_bound()
        if step_size is None:
            return bound / 2
        if not 0 < step_size < bound:
            raise ValueError(
                f"step size {step_size:.6g} is not stable: gradient descent needs "
                f"0 < eta < 2 / lambda_max(A W A*) = {bound:.6g}"
            )
        return float(step_size)

    def _filter(self, t: Sequence[float] | np.ndarray) -> np.ndarray:
        """``phi_t`` on the eigenvalues, ``(T, r)``."""
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))[:, None]
        finite = np.isfinite(t)
        if (t < 0).any() or np.isnan(t).any() or (t[finite] % 1).any():
            raise ValueError(f"iterations are non-negative integers or inf; got {t.ravel()}")
        return gradient_descent_filter(self._spectrum.values, self.step_size, t)

    def _coefficients(self, data: np.ndarray) -> np.ndarray:
        return self._spectrum.vectors.T @ data

    def _forward(self, v: np.ndarray) -> np.ndarray:
        return apply_to_rows(self.A, v[None])[0]

    def _embedded_data(self, y: Any) -> np.ndarray:
        return self.A.range.embed(np.asarray(y)).astype(np.float64)


def gradient_descent_filter(
    values: Float64[np.ndarray, " r"], step_size: float, t: Float[np.ndarray, "T 1"]
) -> Float64[np.ndarray, "T r"]:
    """``phi_t(l) = (1 - (1 - eta l)^t) / l`` for ``l > 0``, without cancellation."""
    decay = step_size * values
    slow = decay < 0.5
    rate = np.log1p(-np.where(slow, decay, 0.5))
    contraction = 1.0 - decay
    odd = np.where(np.isfinite(t), t, 0) % 2 == 1
    power = np.abs(contraction) ** t * np.where(odd, np.sign(contraction), 1.0)
    reached = np.where(slow, -np.expm1(t * rate), 1.0 - power)
    return reached / values


def _data_spectrum(W: Kernel, A: LinearOperator) -> _Spectrum:
    """Eigenproblem of ``S = A W A*`` on the real embedding of the data."""
    factors = W.factors if isinstance(W, Factored) else None
    if factors is not None:
        return _factored_spectrum(factors, A)
    adjoint_basis = apply_to_rows(A, np.eye(A.range.real_size), adjoint=True)
    WA = W @ adjoint_basis.T
    S = apply_to_rows(A, np.ascontiguousarray(WA.T))
    with ticking(f"eigenproblem of size {len(S)}"):
        values, vectors = scipy.linalg.eigh((S + S.T) / 2, driver="evd")
    largest = values[-1]
    _require_positive(values[0], largest)
    kept = values > RANK_TOLERANCE * largest
    values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
    return _Spectrum(values, vectors, WA @ vectors)


def _factored_spectrum(factors: tuple[np.ndarray, ...], A: LinearOperator) -> _Spectrum:
    """The same from ``A F = U s V^T`` for ``W = F F^T``, ``F = diag(factors)``.

    ``S = U s^2 U^T`` and ``W A* U = F V s``.  The eigenproblem of ``(A F)^T A F`` would be
    smaller, but squares the condition number: `RANK_TOLERANCE` keeps ``s`` down to 1e-6 of
    the largest, and of their squares four digits would be left.
    """
    ranks = [F.shape[1] for F in factors]
    rows = np.empty((sum(ranks), A.range.real_size))
    many = max(1, IMAGES_BYTES // (8 * A.domain.real_size))
    start, first = 0, 0
    for F in factors:
        for column in range(0, F.shape[1], many):
            columns = F[:, column : column + many].T
            images = np.zeros((len(columns), A.domain.real_size))
            images[:, start : start + len(F)] = columns
            rows[first : first + len(columns)] = apply_to_rows(A, images)
            first += len(columns)
        start += len(F)
    with ticking(f"singular values of {rows.shape[1]} x {rows.shape[0]}"):
        vectors, s, mixed = scipy.linalg.svd(
            rows.T, full_matrices=False, overwrite_a=True, check_finite=False
        )
    largest = s[0] if s.size else 0.0
    _require_positive(0.0, largest**2)
    kept = s**2 > RANK_TOLERANCE * largest**2
    product = _FactoredImages(factors, mixed[kept].T * s[kept])
    return _Spectrum(s[kept] ** 2, vectors[:, kept], product)


def _require_positive(smallest: float, largest: float) -> None:
    if smallest < -1e-10 * abs(largest) or not largest > 0:
        raise ValueError(
            "A W A* must be positive semidefinite and not zero; its eigenvalues run from "
            f"{smallest:.3g} to {largest:.3g}. W is not a kernel, or measures nothing through A"
        )
