"""What the dynamics see of ``W`` and ``A``: the eigenpairs of ``S = A W A*``, exactly.

Everything that theory says is a filter of these (`ntkdip.theory.filters`).  With
``S = U L U^T`` and ``G = W A* U``, data ``r`` move the image by ``G phi(L) U^T r``; noise of
variance ``s^2`` a real dimension moves it by ``s^2 |G phi(L)|^2`` in the mean.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.linalg
from jaxtyping import Bool, Float64, Inexact

from ntkdip.kernels import Factored, Kernel
from ntkdip.operators import Identity, LinearOperator, apply_to_rows
from ntkdip.progress import ticking
from ntkdip.spaces import Space

PSD_TOLERANCE = 1e-10
"""Eigenvalues of ``A W A*`` may be negative by this share of the largest: rounding."""

ASYMMETRY_TOLERANCE = 1e-8
"""``A W A*`` may miss symmetry by this share of its largest entry."""

DOT_TOLERANCE = 1e-5
"""``<A u, v>`` and ``<u, A* v>`` may differ by this share of ``|A u| |v|``: A may be float32."""

PRODUCT_ROWS = 4096
"""Rows of a product with a factor that are made at a time."""

IMAGES_BYTES = 32 * 2**20
"""Bytes of images that are worked on at a time."""

Filter = Callable[[np.ndarray], np.ndarray]
"""``phi`` at eigenvalues ``(r,)``: ``(T, r)``, one row an iteration."""


class Estimated(NamedTuple):
    """Values ``(..., T)`` and how far they may be off ``(T,)``: 0 where they are exact."""

    values: Float64[np.ndarray, "... T"]
    error: Float64[np.ndarray, " T"]


class Spectrum(abc.ABC):
    """The interface of everything that can tell the dynamics, exact or not."""

    largest: float
    """Largest eigenvalue of ``S``."""

    rank_tolerance: float = 1e-12
    """Eigenvalues below this share of the largest count as zero in the limit."""

    @abc.abstractmethod
    def moved(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Estimated:
        """``W A* phi(S) data``, embedded images ``(n, T)``; errors relative to their norms."""

    @abc.abstractmethod
    def misfit(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Float64[np.ndarray, " T"]:
        """``|data - S phi(S) data|^2``."""

    @abc.abstractmethod
    def noise(self, phi: Filter) -> Estimated:
        """``|W A* phi(S)|_F^2``, ``(T,)``; absolute standard errors."""

    @abc.abstractmethod
    def noise_map(self, phi: Filter, frequencies: bool) -> Float64[np.ndarray, "T ..."]:
        """What each pixel, or each Fourier coefficient (centred), has of `noise`."""

    @abc.abstractmethod
    def freedom(self, phi: Filter) -> Float64[np.ndarray, " T"]:
        """``tr(S phi(S))``: effective degrees of freedom in the data."""


class ExactSpectrum(Spectrum):
    """All eigenpairs.  A coordinate may stand for several real ones that are alike."""

    values: Float64[np.ndarray, " r"]
    """Eigenvalues, rounding below 0 cut off."""

    carries: Bool[np.ndarray, " r"]
    """Whether data can have a coordinate; others are there for the layout, and 0."""

    multiplicity: int
    """Real dimensions of the data that each coordinate stands for."""

    @property
    def largest(self) -> float:  # type: ignore[override]
        return float(self.values.max())

    @abc.abstractmethod
    def coefficients(self, data: Float64[np.ndarray, " m"]) -> Inexact[np.ndarray, " r"]:
        """``U^T data``."""

    @abc.abstractmethod
    def images(self, c: Inexact[np.ndarray, "r T"]) -> Float64[np.ndarray, "n T"]:
        """``G c``."""

    @property
    @abc.abstractmethod
    def energies(self) -> Float64[np.ndarray, " r"]:
        """``|W A* u_i|^2``, over all real dimensions of the coordinate."""

    @abc.abstractmethod
    def data(self, c: Inexact[np.ndarray, " r"]) -> Float64[np.ndarray, " m"]:
        """``U c``."""

    @abc.abstractmethod
    def backprojected(self, data: Float64[np.ndarray, " m"], phi: Filter) -> np.ndarray:
        """``|A^+ (data - S phi(S) data)|^2``, ``(T,)``."""

    @abc.abstractmethod
    def backprojected_freedom(self, phi: Filter) -> tuple[np.ndarray, float]:
        """``tr((A A*)^+ S phi(S))``, ``(T,)``, and ``tr((A A*)^+)``."""

    def unreached(self, data: Float64[np.ndarray, " m"]) -> float:
        """``|(I - U U^T) data|^2``."""
        return float(np.sum((data - self.data(self.coefficients(data))) ** 2))

    def moved(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Estimated:
        filtered = phi(self.values)
        images = self.images((filtered * self.coefficients(data)).T)
        return Estimated(images, np.zeros(len(filtered)))

    def misfit(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Float64[np.ndarray, " T"]:
        energy = np.abs(self.coefficients(data)) ** 2
        return self.unreached(data) + (1 - self.values * phi(self.values)) ** 2 @ energy

    def noise(self, phi: Filter) -> Estimated:
        total = phi(self.values) ** 2 @ self.energies
        return Estimated(total, np.zeros(len(total)))

    def freedom(self, phi: Filter) -> Float64[np.ndarray, " T"]:
        return self.multiplicity * (phi(self.values) @ self.values)


@dataclasses.dataclass(frozen=True, eq=False)
class DenseSpectrum(ExactSpectrum):
    """From one dense eigenproblem of the size of the data.

    ``vectors`` (m, r) is ``U``, ``product`` what makes ``G c`` of ``c``.
    """

    A: LinearOperator
    values: Float64[np.ndarray, " r"]
    vectors: Float64[np.ndarray, "m r"]
    product: np.ndarray | FactoredImages
    multiplicity: int = 1

    @property
    def carries(self) -> Bool[np.ndarray, " r"]:  # type: ignore[override]
        return np.ones(len(self.values), bool)

    def coefficients(self, data: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " r"]:
        return self.vectors.T @ data

    def images(self, c: Float64[np.ndarray, "r T"]) -> Float64[np.ndarray, "n T"]:
        return self.product @ c

    @cached_property
    def energies(self) -> Float64[np.ndarray, " r"]:
        if isinstance(self.product, FactoredImages):
            return self.product.energies()
        return np.sum(self.product**2, axis=0)

    def data(self, c: Float64[np.ndarray, " r"]) -> Float64[np.ndarray, " m"]:
        return self.vectors @ c

    def noise_map(self, phi: Filter, frequencies: bool) -> Float64[np.ndarray, "T ..."]:
        weights, space = phi(self.values) ** 2, self.A.domain
        total = np.zeros((len(weights), space.size))
        many = max(1, IMAGES_BYTES // (16 * space.real_size))
        for start in range(0, len(self.values), many):
            some = slice(start, start + many)
            total += weights[:, some] @ powers(self.product[:, some], space, frequencies)
        return total.reshape(-1, *space.shape)

    @cached_property
    def _inverse_gram(self) -> np.ndarray:
        """``(A A*)^+``, ``(m, m)``."""
        back = apply_to_rows(self.A, np.eye(self.A.range.real_size), adjoint=True)
        gram = apply_to_rows(self.A, back)
        return np.linalg.pinv((gram + gram.T) / 2, rcond=1e-12, hermitian=True)

    def backprojected(self, data: Float64[np.ndarray, " m"], phi: Filter) -> np.ndarray:
        reached = phi(self.values) * self.values * self.coefficients(data)
        left = data[:, None] - self.vectors @ reached.T
        return np.sum(left * (self._inverse_gram @ left), axis=0)

    def backprojected_freedom(self, phi: Filter) -> tuple[np.ndarray, float]:
        weights = np.einsum("ir,ir->r", self.vectors, self._inverse_gram @ self.vectors)
        return phi(self.values) @ (self.values * weights), float(np.trace(self._inverse_gram))


def powers(
    columns: Float64[np.ndarray, "n r"], space: Space, frequencies: bool
) -> Float64[np.ndarray, "r q"]:
    """Squared magnitude at every pixel, or centred frequency (orthonormal FFT), of images."""
    q = space.size
    images = columns.T.reshape(-1, columns.shape[0] // q, q)
    if not frequencies:
        return np.sum(images**2, axis=1)
    whole = images[:, 0] + 1j * images[:, 1] if space.is_complex else images[:, 0]
    axes = tuple(range(1, 1 + len(space.shape)))
    modes = scipy.fft.fftn(whole.reshape(-1, *space.shape), axes=axes, norm="ortho")
    return np.fft.fftshift(np.abs(modes) ** 2, axes=axes).reshape(-1, q)


def dense_spectrum(W: Kernel, A: LinearOperator) -> DenseSpectrum:
    """Eigenproblem of ``S = A W A*`` on the real embedding of the data.

    Raises `ValueError` if ``A.adjoint`` is no adjoint, or ``S`` is not symmetric or not PSD
    beyond rounding.
    """
    factors = W.factors if isinstance(W, Factored) else None
    if factors is not None:
        require_adjoint(A)
        return _factored_spectrum(factors, A)
    if isinstance(A, Identity):
        values, vectors = _eigenpairs(W.dense())
        return DenseSpectrum(A, values, vectors, vectors * (values * resolved(values, len(values))))
    adjoint_basis = apply_to_rows(A, np.eye(A.range.real_size), adjoint=True)
    WA = W @ adjoint_basis.T
    u = np.random.default_rng(0).standard_normal(A.domain.real_size)
    # One program for both: compiling takes longer than running, where images are small.
    *rows, Au = apply_to_rows(A, np.concatenate([WA.T, u[None]]))
    _require_adjoint(Au, adjoint_basis @ u)
    values, vectors = _eigenpairs(np.stack(rows))
    images = WA @ vectors
    images *= resolved(np.linalg.norm(images, axis=0), len(values))
    return DenseSpectrum(A, values, vectors, images)


def _eigenpairs(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Falling eigenvalues of ``S``, rounding below 0 cut off, and their vectors."""
    _require_symmetric(S)
    with ticking(f"eigenproblem of size {len(S)}"):
        values, vectors = scipy.linalg.eigh(
            (S + S.T) / 2, driver="evd", overwrite_a=True, check_finite=False
        )
    require_positive(values[0], values[-1])
    return np.maximum(values[::-1], 0.0), vectors[:, ::-1]


def resolved(sizes: np.ndarray, dimension: int) -> np.ndarray:
    """Which numbers are more than rounding beside the largest.

    Where ``S u = 0``, ``W A* u = 0`` too; times ``phi_t(0) = eta t``, rounding would grow.
    """
    return sizes > dimension * np.finfo(np.float64).eps * sizes.max()


@dataclasses.dataclass(frozen=True, eq=False)
class FactoredImages:
    """``G = F C`` with ``F = diag(factors)``, as a product: ``G`` is larger than ``F``."""

    factors: tuple[np.ndarray, ...]
    coefficients: np.ndarray

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return self._image(self.coefficients @ v)

    def __getitem__(self, index: tuple[slice, slice]) -> np.ndarray:
        """Columns of ``G``, as of an array: ``G[:, some]``."""
        rows, some = index
        return self._image(self.coefficients[:, some])[rows]

    def energies(self) -> np.ndarray:
        total = np.zeros(self.coefficients.shape[1])
        for F, part in self._blocks(self.coefficients):
            # 13 times faster here than the norms of R_F C, from a QR factorisation of F.
            for start in range(0, len(F), PRODUCT_ROWS):
                total += np.sum((F[start : start + PRODUCT_ROWS] @ part) ** 2, axis=0)
        return total

    def _image(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate([F @ part for F, part in self._blocks(rows)])

    def _blocks(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        ends = np.cumsum([F.shape[1] for F in self.factors])[:-1]
        return zip(self.factors, np.split(rows, ends), strict=True)


def factor_images(
    factors: tuple[np.ndarray, ...], size: int
) -> Iterator[Float64[np.ndarray, "some n"]]:
    """Columns of ``diag(factors)`` as rows, embedded images of that size, some at a time."""
    many, start = max(1, IMAGES_BYTES // (8 * size)), 0
    for F in factors:
        for first in range(0, F.shape[1], many):
            columns = F[:, first : first + many].T
            images = np.zeros((len(columns), size))
            images[:, start : start + len(F)] = columns
            yield images
        start += len(F)


def _factored_spectrum(factors: tuple[np.ndarray, ...], A: LinearOperator) -> DenseSpectrum:
    """The same from ``A F = U s V^T`` for ``W = F F^T``, ``F = diag(factors)``.

    ``S = U s^2 U^T`` and ``W A* U = F V s``.  The eigenproblem of ``(A F)^T A F`` would be
    smaller, but squares the condition number: the limit keeps ``s`` down to 1e-6 of the
    largest, and of their squares four digits would be left.
    """
    rows, first = np.empty((sum(F.shape[1] for F in factors), A.range.real_size)), 0
    for images in factor_images(factors, A.domain.real_size):
        rows[first : first + len(images)] = apply_to_rows(A, images)
        first += len(images)
    with ticking(f"singular values of {rows.shape[1]} x {rows.shape[0]}"):
        vectors, s, mixed = scipy.linalg.svd(
            rows.T, full_matrices=False, overwrite_a=True, check_finite=False
        )
    require_positive(0.0, s[0] ** 2 if s.size else 0.0)
    kept = s * resolved(s, len(s))
    return DenseSpectrum(A, s**2, vectors, FactoredImages(factors, mixed.T * kept))


def require_same_space(W: Kernel, A: LinearOperator) -> None:
    """Raise `ValueError` unless kernel and operator act on the same images."""
    if W.space != A.domain:
        raise ValueError(
            f"the kernel acts on images in {W.space}, the operator on images in {A.domain}; "
            "build both for the same shape and field (real or complex)"
        )


def require_positive(smallest: float, largest: float) -> None:
    """Raise `ValueError` unless eigenvalues are PSD to rounding, and not all zero."""
    if smallest < -PSD_TOLERANCE * abs(largest) or not largest > 0:
        raise ValueError(
            "A W A* must be positive semidefinite and not zero; its eigenvalues run from "
            f"{smallest:.3g} to {largest:.3g}. W is not a kernel, or measures nothing through A"
        )


def _require_symmetric(S: np.ndarray) -> None:
    asymmetry, largest = np.abs(S - S.T).max(), np.abs(S).max()
    if not asymmetry <= ASYMMETRY_TOLERANCE * largest:
        raise ValueError(
            f"A W A* must be symmetric; it differs from its transpose by {asymmetry:.3g} (largest "
            f"entry {largest:.3g}). W is not symmetric: use (W + W^T) / 2 if that is rounding"
        )


def require_adjoint(A: LinearOperator) -> None:
    """The dot test: ``<A u, v> = <u, A* v>`` for vectors drawn at random, or `ValueError`."""
    rng = np.random.default_rng(0)
    u, v = rng.standard_normal(A.domain.real_size), rng.standard_normal(A.range.real_size)
    Au, Av = apply_to_rows(A, u[None])[0], apply_to_rows(A, v[None], adjoint=True)[0]
    size = float(np.linalg.norm(Au) * np.linalg.norm(v))
    _require_adjoint(np.array([Au @ v]), np.array([u @ Av]), size)


def _require_adjoint(there: np.ndarray, back: np.ndarray, scale: float | None = None) -> None:
    """``there``: ``<A u, v>`` for some ``v``; ``back``: ``<u, A* v>``."""
    scale = float(np.linalg.norm(there)) if scale is None else scale
    worst = int(np.argmax(np.abs(there - back)))
    if not abs(there[worst] - back[worst]) <= DOT_TOLERANCE * scale:
        raise ValueError(
            f"A.adjoint is not the adjoint of A: <A u, v> = {there[worst]:.6g}, <u, A* v> = "
            f"{back[worst]:.6g}, in the inner product Re(u^H v). For real images and complex "
            "data it is Re(A^H v); see ntkdip.operators.dot_test"
        )
