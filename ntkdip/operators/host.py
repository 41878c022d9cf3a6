"""Operators on the host in float64: rows, matrices and the dot test."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex128, Float64

from ntkdip.operators.base import LinearOperator

CHUNK_BYTES = 2**26


@contextlib.contextmanager
def host_float64() -> Iterator[None]:
    """Scope in which JAX computes on the host in 64 bit; global settings stay as they are.

    Theory runs in double precision, which accelerators lack (TPU) or do slowly.
    """
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def apply_to_rows(
    A: LinearOperator, rows: Float64[np.ndarray, "m n"], *, adjoint: bool = False
) -> Float64[np.ndarray, "m k"]:
    """Apply ``A`` (or ``A*``) to every row of a matrix of embedded vectors, in float64.

    Parameters
    ----------
    A
        The operator.
    rows
        ``(m, domain.real_size)``, or ``(m, range.real_size)`` with ``adjoint``.
    adjoint
        Apply ``A*`` instead of ``A``.

    Returns
    -------
    ``(m, range.real_size)`` or ``(m, domain.real_size)``, float64, on the host.
    """
    with host_float64():
        return np.asarray(_embedded_rows(A, jnp.asarray(rows), adjoint))


@functools.partial(jax.jit, static_argnums=2)
def _embedded_rows(A: LinearOperator, rows: Array, adjoint: bool) -> Array:
    source, target = (A.range, A.domain) if adjoint else (A.domain, A.range)
    apply = A.adjoint if adjoint else A.__call__
    return jax.vmap(lambda v: target.embed(apply(source.unembed(v))))(rows)


def dense_matrix(
    A: LinearOperator, memory_limit: int
) -> Float64[np.ndarray, "p q"] | Complex128[np.ndarray, "p q"]:
    """`LinearOperator.dense`: chunks of unit images through ``A``."""
    p, q = A.range.size, A.domain.size
    dtype = np.dtype(np.complex128 if A.range.is_complex else np.float64)
    size = p * q * dtype.itemsize
    if size > memory_limit:
        raise ValueError(
            f"the matrix of an operator from {A.domain} to {A.range} takes {size} bytes; the limit "
            f"is {memory_limit}. Apply the operator instead, or raise memory_limit"
        )
    if A.domain.is_complex:
        _require_complex_linear(A)
    matrix = np.empty((p, q), dtype)
    many = max(1, CHUNK_BYTES // (8 * max(A.domain.real_size, A.range.real_size)))
    for start in range(0, q, many):
        rows = np.eye(min(many, q - start), A.domain.real_size, start)
        found = apply_to_rows(A, rows).T
        columns = matrix[:, start : start + many]
        columns.real = found[:p]
        if A.range.is_complex:
            columns.imag = found[p:]
    return matrix


def _require_complex_linear(A: LinearOperator) -> None:
    u = np.random.default_rng(0).standard_normal((2, A.domain.size))
    rows = np.stack([u.ravel(), np.concatenate([-u[1], u[0]])])
    plain, turned = apply_to_rows(A, rows)
    if A.range.is_complex:
        re, im = np.split(plain, 2)
        if np.linalg.norm(turned - np.concatenate([-im, re])) <= 1e-6 * np.linalg.norm(plain):
            return
    raise ValueError(
        f"{type(A).__name__} from {A.domain} to {A.range} is not linear over the complex numbers: "
        "A(i x) differs from i A(x), so that no complex matrix is A. Take A.real().dense()"
    )


def dot_test(A: LinearOperator, key: Array) -> float:
    """Relative defect of ``<A u, v> = <u, A* v>`` for random ``u`` and ``v``.

    Parameters
    ----------
    A
        The operator.
    key
        PRNG key for the two random vectors.

    Returns
    -------
    ``|<A u, v> - <u, A* v>| / (|A u| |v|)``: about the rounding unit of the precision
    that JAX is set to (float32 unless `jax.enable_x64` is on), if ``A.adjoint`` is
    the adjoint.
    """
    key_u, key_v = jax.random.split(key)
    u = jax.random.normal(key_u, (A.domain.real_size,))
    v = jax.random.normal(key_v, (A.range.real_size,))
    Au = A.range.embed(A(A.domain.unembed(u)))
    Av = A.domain.embed(A.adjoint(A.range.unembed(v)))
    defect = jnp.abs(jnp.vdot(Au, v) - jnp.vdot(u, Av))
    return float(defect / (jnp.linalg.norm(Au) * jnp.linalg.norm(v)))
