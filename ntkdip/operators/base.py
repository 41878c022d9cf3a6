"""The operator interface: ``A(x)``, ``A.adjoint(y)``, ``A.domain``, ``A.range``."""

from __future__ import annotations

import abc
import contextlib
import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Inexact

from ntkdip.spaces import Space


class LinearOperator(abc.ABC):
    """A linear map between two real Hilbert spaces (inner product ``Re(u^H v)``).

    Subclasses are frozen dataclasses registered as JAX pytrees, so that operators go
    through ``jit`` and ``vmap``.  Precision follows the argument: a float32 image
    gives complex64 data, a float64 one complex128.
    """

    @property
    @abc.abstractmethod
    def domain(self) -> Space:
        """Space of images."""

    @property
    @abc.abstractmethod
    def range(self) -> Space:
        """Space of data."""

    @abc.abstractmethod
    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        """Apply ``A`` to an image of shape ``domain.shape``."""

    @abc.abstractmethod
    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        """Apply the real-Hilbert adjoint ``A*`` to data of shape ``range.shape``.

        For a real image space this is ``Re(A^H y)`` (design page, section 1).
        """


class ImageOperator(LinearOperator):
    """A `LinearOperator` that knows its images by ``shape`` and ``complex_image``."""

    shape: tuple[int, ...]
    complex_image: bool

    @functools.cached_property
    def domain(self) -> Space:
        return Space(self.shape, self.complex_image)


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


def real_matrix(A: LinearOperator) -> Float64[np.ndarray, "p n"]:
    """The dense real matrix of ``A`` between the real embeddings, float64.

    Costs one application of ``A`` an image dimension and ``8 * range.real_size *
    domain.real_size`` bytes: for small problems and as an oracle.
    """
    return apply_to_rows(A, np.eye(A.domain.real_size)).T


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
