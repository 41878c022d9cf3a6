"""Spectral norms, and projectors onto what an operator does not see."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ntkdip.operators.base import LinearOperator
from ntkdip.operators.host import apply_to_rows, host_float64
from ntkdip.operators.pixels import Identity
from ntkdip.operators.pointwise import Pointwise
from ntkdip.progress import ticking

DENSE_SIZE = 256
# Large, because spectra crowd at their upper end: at 64 x 64 with eight coils ARPACK needed
# 1.8e3 products of 80 vectors, 3.5e3 of 40, and over 6e3 of 20.
KRYLOV_SIZE = 80
RESTARTS = 100


def spectral_norm(A: LinearOperator, tolerance: float, seed: int) -> float:
    """`LinearOperator.norm` by way of ``A* A``."""
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance is a relative accuracy above 0 and below 1; got {tolerance}")
    gram = A.gram
    if isinstance(gram, Identity):
        return 1.0
    if isinstance(gram, Pointwise):
        return float(np.sqrt(np.max(gram.weights)))
    if A.domain.real_size <= DENSE_SIZE:
        matrix = gram.real().dense()
        largest = np.linalg.eigvalsh((matrix + matrix.T) / 2)[-1]
    else:
        largest = _largest_eigenvalue(gram, tolerance, seed)
    return float(np.sqrt(max(largest, 0.0)))


def _largest_eigenvalue(gram: LinearOperator, tolerance: float, seed: int) -> float:
    """Of a PSD operator, on its real embedding."""
    import scipy.sparse.linalg as sparse

    with host_float64():
        moved = jax.tree.map(jnp.asarray, gram)

    def product(v: np.ndarray) -> np.ndarray:
        return apply_to_rows(moved, np.asarray(v, np.float64).reshape(1, -1))[0]

    size = gram.domain.real_size
    start = np.random.default_rng(seed).standard_normal(size)
    # ARPACK takes a start that the operator sends to 0 for an error.
    if not product(start).any():
        return 0.0
    matrix = sparse.LinearOperator((size, size), matvec=product, dtype=np.float64)
    try:
        with ticking(f"norm of an operator on {gram.domain}"):
            values = sparse.eigsh(
                matrix, k=1, which="LA", v0=start, ncv=min(size, KRYLOV_SIZE), maxiter=RESTARTS,
                tol=tolerance, return_eigenvectors=False,
            )  # fmt: skip
    except sparse.ArpackNoConvergence as fault:
        raise ArithmeticError(
            f"the largest eigenvalue of A* A, {size} real dimensions, did not converge to "
            f"{tolerance} in {RESTARTS} restarts; raise the tolerance"
        ) from fault
    return float(values[0])


def null_space_projector(A: LinearOperator, tolerance: float | None) -> LinearOperator:
    """`LinearOperator.null_space_projector` where ``A* A`` is diagonal in some basis."""
    gram, space = A.gram, A.domain
    if isinstance(gram, Identity):
        return 0.0 * gram
    if isinstance(gram, Pointwise):
        share = checked_tolerance(tolerance, space.size)
        values = np.asarray(gram.weights, np.float64)
        return gram.with_weights((values <= share**2 * values.max()).astype(np.float64))
    raise NotImplementedError(
        f"no closed form is known for the null space of {type(A).__name__} from {space} to "
        f"{A.range}; where its matrix fits, take "
        "from_matrix(A.dense(), A.domain.shape, A.domain.is_complex).null_space_projector()"
    )


def checked_tolerance(tolerance: float | None, size: int) -> float:
    """Share of the largest singular value that counts as 0."""
    if tolerance is None:
        return size * float(np.finfo(np.float64).eps)
    if not 0 <= tolerance < 1:
        raise ValueError(
            "tolerance is a share of the largest singular value, from 0 to below 1; "
            f"got {tolerance}"
        )
    return tolerance
