"""``(A W A* + lambda I) c = y`` for one kernel, and how its ridge ``lambda`` is chosen.

Everywhere here a ridge is relative to the mean eigenvalue of ``W`` (its trace over its
dimension).  Source: design page, section 1; generalised cross-validation (GCV) is Golub,
Heath and Wahba (Technometrics 21, 1979), the discrepancy principle Morozov's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse.linalg
from jax import Array
from jaxtyping import Float64, Inexact

from ntkdip.kernels import BothParts, DenseKernel, Factored, Kernel
from ntkdip.operators import LinearOperator, apply_to_rows, host_float64
from ntkdip.progress import ticking
from ntkdip.theory.search import positive_minimiser
from ntkdip.theory.spectra import IMAGES_BYTES, require_same_space

RidgeRule = Literal["gcv", "discrepancy", "evidence"]

SMALLEST, LARGEST = 1e-12, 1e6
"""Ridges between which a rule chooses."""

GRID = 181
"""Ridges that a rule looks at before it refines the best: 10 a decade."""

CHOLESKY_RIDGE = 1e-9
"""From this ridge on ``S + lambda I`` is safely positive definite in float64."""

PSD_TOLERANCE = 1e-10
"""Eigenvalues of ``S`` may be negative by this share of the largest: rounding."""

START_ITERATIONS = 1000
"""LSQR iterations for ``A^+ y``; one does where ``A A*`` is a projector."""


@dataclasses.dataclass(frozen=True, eq=False)
class MeasuredKernel:
    """``S = A W A*``, ``G = W A*`` and the mean eigenvalue of ``W``.  Built by `measure`.

    Vectors are complex where ``W`` acts alike on both parts of a complex image and ``A`` is
    complex-linear: ``S`` is then a Hermitian matrix ``(p, p)``, ``p`` the number of complex
    samples.  Otherwise they are real embeddings.
    """

    S: Inexact[np.ndarray, "p p"]
    G: Inexact[np.ndarray, "n p"]
    mean_eigenvalue: float
    A: LinearOperator

    @property
    def real_dimension(self) -> int:
        """Real dimensions of the data."""
        return self.A.range.real_size

    def data(self, y: Inexact[np.ndarray, "..."]) -> Inexact[np.ndarray, " p"]:
        """Data as a vector on which ``S`` acts."""
        if np.iscomplexobj(self.S):
            return y.reshape(-1).astype(np.complex128)
        return self.A.range.embed(y).astype(np.float64)

    def image(self, c: Inexact[np.ndarray, " p"]) -> Inexact[np.ndarray, "..."]:
        """The image ``W A* c``."""
        image = self.G @ c
        shaped = np.iscomplexobj(image)
        return image.reshape(self.A.domain.shape) if shaped else self.A.domain.unembed(image)

    @cached_property
    def eigenpairs(self) -> tuple[Float64[np.ndarray, " p"], Inexact[np.ndarray, "p p"]]:
        """Eigenvalues of ``S``, rounding below 0 cut off, and eigenvectors as columns."""
        with ticking(f"eigenproblem of size {len(self.S)}"):
            values, vectors = scipy.linalg.eigh(self.S, driver="evd")
        if values[0] < -PSD_TOLERANCE * values[-1]:
            raise ValueError(
                f"A W A* must be positive semidefinite; its eigenvalues run from {values[0]:.3g} "
                f"to {values[-1]:.3g}. Compute the kernel in float64, or fix a larger ridge"
            )
        return np.maximum(values, 0.0), vectors


class RidgeSolution(NamedTuple):
    """``c = (S + lambda I)^{-1} y``, and what came with it.

    ``log_evidence`` is the logarithm of the data's likelihood a real dimension, in nats,
    under ``y ~ N(0, a (S + lambda I))`` with the likeliest amplitude ``a``; ``solve``
    applies the inverse to other data.
    """

    coefficients: Inexact[np.ndarray, " p"]
    ridge: float
    log_evidence: float
    solve: Callable[[np.ndarray], np.ndarray]


def measure(W: Kernel, A: LinearOperator) -> MeasuredKernel:
    """``A W A*`` and ``W A*`` in float64, by a quarter of the work where it is complex.

    Parameters
    ----------
    W
        Kernel on the images of ``A``.
    A
        Forward operator.

    Raises
    ------
    ValueError
        If they act on different spaces, or the kernel is zero or not finite.

    Notes
    -----
    Complex: ``q + p`` applications of ``A`` for ``q`` pixels and ``p`` samples, ``16 p (q + p)``
    bytes beside ``W``.  Real embedding: ``2 p`` applications of ``A`` or ``A*`` and ``p``
    products with ``W``, ``8 p (n + p)`` bytes, in real dimensions.
    """
    require_same_space(W, A)
    mean = _mean_eigenvalue(W)
    if not 0 < mean < np.inf:
        raise ValueError(f"the mean eigenvalue of the kernel is {mean}; it must be above 0")
    if isinstance(W, BothParts) and is_complex_linear(A):
        G = _apply(A, W.part.dense())
        np.conj(G, out=G)
        S = _apply(A, np.ascontiguousarray(G.T)).T
    else:
        back = apply_to_rows(A, np.eye(A.range.real_size), adjoint=True)
        G = W @ back.T
        S = apply_to_rows(A, np.ascontiguousarray(G.T))
    return MeasuredKernel((S + S.conj().T) / 2, G, mean, A)


def is_complex_linear(A: LinearOperator) -> bool:
    """Whether ``A(i u) = i A(u)``, on a random image; a real domain or range is not."""
    if not (A.domain.is_complex and A.range.is_complex):
        return False
    parts = np.random.default_rng(0).standard_normal((2, *A.domain.shape))
    u = parts[0] + 1j * parts[1]
    with host_float64():
        turned, plain = np.asarray(A(1j * u)), np.asarray(A(u))
    return bool(np.linalg.norm(turned - 1j * plain) <= 1e-6 * np.linalg.norm(plain))


def solve_with_ridge(
    system: MeasuredKernel, y: Inexact[np.ndarray, "..."], ridge: float
) -> RidgeSolution:
    """Solve for a given ridge: by Cholesky, or by eigenpairs where it is tiny.

    Raises
    ------
    ValueError
        If ``S + lambda I`` is not positive definite beyond what float64 rounds.
    """
    b = system.data(y)
    shift = ridge * system.mean_eigenvalue
    if ridge < CHOLESKY_RIDGE:
        return _from_eigenpairs(system, b, ridge)
    shifted = system.S + shift * np.eye(len(b))
    try:
        with ticking(f"Cholesky factor of size {len(b)}"):
            factor = scipy.linalg.cho_factor(shifted, lower=True, overwrite_a=True)
    except scipy.linalg.LinAlgError as fault:
        raise ValueError(
            f"A W A* + lambda I is not positive definite at the relative ridge {ridge:.3g}: the "
            "kernel has negative eigenvalues. Compute it in float64, or use a larger ridge"
        ) from fault
    solve = partial(scipy.linalg.cho_solve, factor)
    log_determinant = 2 * np.sum(np.log(np.real(np.diag(factor[0]))))
    c = solve(b)
    return RidgeSolution(c, ridge, _log_evidence(system, np.vdot(b, c), log_determinant), solve)


def choose_and_solve(
    system: MeasuredKernel, y: Inexact[np.ndarray, "..."], rule: RidgeRule, sigma: float | None
) -> RidgeSolution:
    """Choose the ridge by a rule that does not see the truth, and solve.

    Parameters
    ----------
    system
        What `measure` gave.
    y
        Data.
    rule
        ``gcv``: least generalised cross-validation score; ``evidence``: largest likelihood
        of the data; ``discrepancy``: residual of the size of the noise.
    sigma
        Noise level, for ``discrepancy``: ``E|n_i|^2 = sigma^2`` a sample, real or complex.

    Returns
    -------
    `RidgeSolution`.  One eigenproblem of the size of the data, O(p^3), whatever the rule.
    """
    b = system.data(y)
    values, vectors = system.eigenpairs
    energy = np.abs(vectors.conj().T @ b) ** 2
    relative = values / system.mean_eigenvalue
    if rule == "discrepancy":
        assert sigma is not None
        ridge = _discrepancy(relative, energy, sigma**2 * system.A.range.size)
    else:
        score = partial(_gcv if rule == "gcv" else _misfit_of_evidence, relative, energy)
        ridge = positive_minimiser(score, SMALLEST, LARGEST, GRID)
    return _from_eigenpairs(system, b, ridge)


def pseudo_inverse(
    A: LinearOperator, y: Inexact[Any, "..."], sigma: float | None = None
) -> Inexact[np.ndarray, "..."]:
    """``A^+ y``, the least-squares image of least norm, by LSQR (Paige and Saunders 1982).

    Parameters
    ----------
    A
        Forward operator.
    y
        Data, shape ``A.range.shape``.
    sigma
        Noise level; if given, LSQR ends once ``|A z - y|`` is the noise's, which is a
        regularised ``A^+ y``.

    Returns
    -------
    Image, float64 or complex128.  One application of ``A`` and ``A*`` an iteration: one
    iteration where ``A A*`` is a projector, at most `START_ITERATIONS`.
    """
    b = A.range.embed(np.asarray(y)).astype(np.float64)
    operator = scipy.sparse.linalg.LinearOperator(
        (A.range.real_size, A.domain.real_size),
        matvec=lambda v: apply_to_rows(A, v.reshape(1, -1))[0],
        rmatvec=lambda v: apply_to_rows(A, v.reshape(1, -1), adjoint=True)[0],
        dtype=np.float64,
    )
    close = 1e-12 if sigma is None else sigma * np.sqrt(A.range.size) / np.linalg.norm(b)
    found = scipy.sparse.linalg.lsqr(
        operator, b, atol=1e-12, btol=close, conlim=0, iter_lim=START_ITERATIONS
    )
    return A.domain.unembed(found[0])


def _from_eigenpairs(system: MeasuredKernel, b: np.ndarray, ridge: float) -> RidgeSolution:
    values, vectors = system.eigenpairs
    shifted = values + ridge * system.mean_eigenvalue

    def solve(v: np.ndarray) -> np.ndarray:
        return vectors @ ((vectors.conj().T @ v) / shifted)

    c = solve(b)
    evidence = _log_evidence(system, np.vdot(b, c), np.sum(np.log(shifted)))
    return RidgeSolution(c, ridge, evidence, solve)


def _log_evidence(system: MeasuredKernel, energy: complex, log_determinant: float) -> float:
    amplitude = max(np.real(energy), np.finfo(np.float64).tiny) / system.real_dimension
    per_dimension = log_determinant / len(system.S)
    return float(-(np.log(2 * np.pi * amplitude) + 1 + per_dimension) / 2)


def _gcv(values: np.ndarray, energy: np.ndarray, ridge: float) -> float:
    """``|lambda (S + lambda)^{-1} y|^2 / tr(lambda (S + lambda)^{-1})^2``, up to a factor."""
    inverse = 1 / (values + ridge)
    return float(np.log(inverse**2 @ energy) - 2 * np.log(inverse.sum()))


def _misfit_of_evidence(values: np.ndarray, energy: np.ndarray, ridge: float) -> float:
    """What falls as `_log_evidence` rises."""
    shifted = values + ridge
    return float(np.log((1 / shifted) @ energy) + np.mean(np.log(shifted)))


def _discrepancy(values: np.ndarray, energy: np.ndarray, noise: float) -> float:
    """Ridge at which ``|y - S c|^2``, which rises with it, is the noise's energy."""

    def excess(exponent: float) -> float:
        ridge = 10.0**exponent
        return float((ridge / (values + ridge)) ** 2 @ energy) - noise

    low, high = np.log10(SMALLEST), np.log10(LARGEST)
    if excess(low) >= 0:
        return SMALLEST
    if excess(high) <= 0:
        return LARGEST
    return float(10 ** scipy.optimize.brentq(excess, low, high, xtol=1e-6))


def _mean_eigenvalue(W: Kernel) -> float:
    """Trace over dimension, without a matrix where factors are known."""
    if isinstance(W, BothParts):
        return _mean_eigenvalue(W.part)
    factors = W.factors if isinstance(W, Factored) else None
    if factors is not None:
        return float(sum(np.sum(F**2) for F in factors)) / W.space.real_size
    matrix = W.matrix if isinstance(W, DenseKernel) else W.dense()
    return float(np.trace(matrix)) / W.space.real_size


def _apply(A: LinearOperator, rows: Inexact[np.ndarray, "m q"]) -> Inexact[np.ndarray, "m p"]:
    """A complex-linear ``A`` on every row, a few at a time, in complex128."""
    result = np.empty((len(rows), A.range.size), np.complex128)
    many = max(1, IMAGES_BYTES // (16 * max(A.domain.size, A.range.size)))
    with host_float64():
        for start in range(0, len(rows), many):
            some = rows[start : start + many].reshape(-1, *A.domain.shape)
            result[start : start + many] = np.asarray(_complex_rows(A, jnp.asarray(some + 0j)))
    return result


@jax.jit
def _complex_rows(A: Any, images: Array) -> Array:
    return jax.vmap(lambda image: A(image).reshape(-1))(images)
