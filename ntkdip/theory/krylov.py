"""The dynamics of a kernel that is only known by its products.

From a vector of data, Lanczos builds an orthonormal basis ``Q`` of the Krylov space of
``S = A W A*`` and keeps ``W A* Q``, which every product passes through anyway.  Any filter of
``S`` on that vector is then one of the small tridiagonal matrix ``Q^T S Q``.

Why not a library: see `ntkdip.kernels.lanczos`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import scipy.linalg
from jaxtyping import Array, Float64

from ntkdip.kernels import ConvergenceWarning, Kernel
from ntkdip.operators import LinearOperator, apply_to_rows
from ntkdip.progress import ticking, track
from ntkdip.theory.spectra import (
    Estimated,
    Filter,
    Spectrum,
    powers,
    require_adjoint,
    require_positive,
)

CHECK_EVERY = 10
"""Products between two looks at the error."""

LARGEST_ORDER = 30
"""Products for the largest eigenvalue."""

ROUNDING = 1e-13
"""Vectors this much shorter than the largest product are nothing but rounding."""


@dataclasses.dataclass(frozen=True)
class KrylovSettings:
    """How far Lanczos goes.

    Parameters
    ----------
    key
        PRNG key of the probes and of the start for the largest eigenvalue.
    tolerance
        Relative error estimate at which it stops.
    max_products
        Products with ``W`` a right-hand side; where they do not suffice, a
        `ntkdip.kernels.ConvergenceWarning` says how far it came.
    probes
        Random vectors for traces (noise, degrees of freedom).
    rank_tolerance
        Ritz values below this share of the largest eigenvalue count as zero in the limit; the
        default is what products in float32 can tell.

    Raises
    ------
    ValueError
        If a number is not positive, or there are fewer than 2 probes.
    """

    key: Array
    tolerance: float = 1e-4
    max_products: int = 300
    probes: int = 16
    rank_tolerance: float = 1e-7

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1 or self.max_products < 1 or self.probes < 2:
            raise ValueError(
                "Lanczos needs a tolerance in (0, 1), at least 1 product and 2 probes; got "
                f"{self.tolerance}, {self.max_products}, {self.probes}"
            )


class _Basis:
    """A growing Krylov space of ``S`` from one vector, fully reorthogonalised."""

    def __init__(self, product: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
                 start: Float64[np.ndarray, " m"]) -> None:  # fmt: skip
        self.length = float(np.linalg.norm(start))
        self._product, self._next = product, start / self.length if self.length else start
        self.closed = self.length == 0
        self._scale = 0.0
        self.vectors: list[np.ndarray] = []
        self.images: list[np.ndarray] = []
        self.diagonal: list[float] = []
        self.offdiagonal: list[float] = []

    def grow(self, products: int) -> None:
        """So many dimensions more, or fewer: `closed` once the space is invariant."""
        for _ in range(products):
            if not self.closed:
                self._extend()

    def _extend(self) -> None:
        q = self._next
        image, w = self._product(q)
        self._scale = max(self._scale, float(np.linalg.norm(w)))
        self.vectors.append(q)
        self.images.append(image)
        self.diagonal.append(float(q @ w))
        Q = np.stack(self.vectors)
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            w = w - (Q @ w) @ Q
        self.offdiagonal.append(float(np.linalg.norm(w)))
        self.closed = self.offdiagonal[-1] <= ROUNDING * self._scale or len(self.vectors) == q.size
        if not self.closed:
            self._next = w / self.offdiagonal[-1]

    def ritz(self, order: int) -> tuple[np.ndarray, np.ndarray]:
        """Eigenpairs of the leading tridiagonal matrix."""
        return scipy.linalg.eigh_tridiagonal(self.diagonal[:order], self.offdiagonal[: order - 1])

    def filtered(self, phi: Filter, order: int) -> Float64[np.ndarray, "order T"]:
        """``phi(S) start`` in the basis."""
        values, vectors = self.ritz(order)
        return vectors @ (phi(np.maximum(values, 0.0)) * vectors[0]).T * self.length


class KrylovSpectrum(Spectrum):
    """`Spectrum` by Lanczos; every right-hand side costs products until it has converged.

    Parameters
    ----------
    W, A
        Kernel and operator.
    settings
        When to stop.
    """

    def __init__(self, W: Kernel, A: LinearOperator, settings: KrylovSettings) -> None:
        require_adjoint(A)
        self.W, self.A, self.settings = W, A, settings
        self.rank_tolerance = settings.rank_tolerance
        size = A.range.real_size
        first, self._probe_key = jax.random.split(settings.key)
        basis = _Basis(self._through, np.array(jax.random.normal(first, (size,)), np.float64))
        with ticking("largest eigenvalue"):
            basis.grow(LARGEST_ORDER)
        values, vectors = basis.ritz(len(basis.vectors))
        require_positive(values[0], values[-1])
        # The eigenvalue lies above the Ritz value, by no more than its residual.
        self.largest = float(values[-1] + basis.offdiagonal[-1] * abs(vectors[-1, -1]))

    def moved(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Estimated:
        basis = _Basis(self._through, data)
        if basis.length == 0:
            steps = len(phi(np.ones(1)))
            return Estimated(np.zeros((self.A.domain.real_size, steps)), np.zeros(steps))
        error = self._converge(basis, phi, "Lanczos")
        images = np.stack(basis.images, axis=1) @ basis.filtered(phi, len(basis.images))
        return Estimated(images, error)

    def misfit(self, data: Float64[np.ndarray, " m"], phi: Filter) -> Float64[np.ndarray, " T"]:
        images = self.moved(data, phi).values
        return np.sum((data - apply_to_rows(self.A, images.T)) ** 2, axis=1)

    def noise(self, phi: Filter) -> Estimated:
        energy = np.stack([np.sum(images**2, axis=0) for images in self._noise_images(phi)])
        return Estimated(energy.mean(0), energy.std(0, ddof=1) / np.sqrt(len(energy)))

    def noise_map(self, phi: Filter, frequencies: bool) -> Float64[np.ndarray, "T ..."]:
        space = self.A.domain
        maps = [powers(images, space, frequencies) for images in self._noise_images(phi)]
        return np.mean(maps, axis=0).reshape(-1, *space.shape)

    def freedom(self, phi: Filter) -> Float64[np.ndarray, " T"]:
        found = []
        for basis in self._probes(phi):
            values, vectors = basis.ritz(len(basis.vectors))
            values = np.maximum(values, 0.0)
            found.append((phi(values) * values) @ (basis.length * vectors[0]) ** 2)
        return np.mean(found, axis=0)

    def _through(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        image = self.W @ apply_to_rows(self.A, v[None], adjoint=True)[0]
        return image, apply_to_rows(self.A, image[None])[0]

    def _noise_images(self, phi: Filter) -> Iterator[np.ndarray]:
        for basis in self._probes(phi):
            yield np.stack(basis.images, axis=1) @ basis.filtered(phi, len(basis.images))

    def _probes(self, phi: Filter) -> Iterator[_Basis]:
        """Bases from random signs, one at a time; images from them have noise's covariance."""
        count = self.settings.probes
        signs = jax.random.rademacher(self._probe_key, (count, self.A.range.real_size))
        for i, row in enumerate(np.array(signs, np.float64)):
            basis = _Basis(self._through, row)
            self._converge(basis, phi, f"probe {i + 1} of {count}")
            yield basis

    def _converge(self, basis: _Basis, phi: Filter, name: str) -> Float64[np.ndarray, " T"]:
        """Extend until the estimate is met for every iteration; the estimates."""
        limit = self.settings.max_products
        error = self._error(basis, phi)
        bar = track(range(limit), name)
        while not basis.closed and len(basis.vectors) < limit:
            if (error <= self.settings.tolerance).all():
                break
            before = len(basis.vectors)
            basis.grow(min(CHECK_EVERY, limit - before))
            bar.update(len(basis.vectors) - before)
            error = self._error(basis, phi)
        bar.close()
        if (error > self.settings.tolerance).any():
            _warn(name, float(error.max()), len(basis.vectors), self.settings.tolerance)
        return error

    def _error(self, basis: _Basis, phi: Filter) -> Any:
        """Relative change of the image by the last `CHECK_EVERY` products, a step of ``T``."""
        order = len(basis.vectors)
        if order <= CHECK_EVERY and not basis.closed:
            return np.full(len(phi(np.ones(1))), np.inf)
        now = basis.filtered(phi, order)
        if basis.closed:
            return np.zeros(now.shape[1])
        before = basis.filtered(phi, order - CHECK_EVERY)
        change = now.copy()
        change[: len(before)] -= before
        images = np.stack(basis.images, axis=1)
        size = np.linalg.norm(images @ now, axis=0)
        return np.linalg.norm(images @ change, axis=0) / np.where(size > 0, size, 1.0)


def _warn(name: str, error: float, products: int, tolerance: float) -> None:
    warnings.warn(
        f"{name}: after {products} products the estimated relative error is {error:.2g}, above "
        f"the tolerance {tolerance:.2g}; allow more products (max_products), or ask for fewer "
        "iterations t: the limit converges last",
        ConvergenceWarning,
        stacklevel=4,
    )
