"""Kernels that are never formed: ``W v`` by one backward and one forward derivative."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.functional import Embedded, Functional, Net, functional
from ntkdip.kernels.memory import allowed_bytes, require_dense
from ntkdip.kernels.partial import leading_eigenpairs
from ntkdip.progress import track
from ntkdip.spaces import Space, require_finite


def matrix_free(
    net: Net,
    params: Any,
    z: Any,
    *,
    rates: dict[str, float] | None = None,
    input_rate: float = 0.0,
) -> MatrixFreeKernel:
    """Empirical NTK that multiplies without being formed.

    Parameters
    ----------
    net, params, z, rates, input_rate
        As for `empirical`; no layer needs any structure.

    Returns
    -------
    Kernel whose ``W @ v`` costs one vjp and one jvp, in the memory of a training step.

    Raises
    ------
    ValueError
        If input or parameters are not finite, or a rate or pattern is wrong.
    """
    return MatrixFreeKernel(functional(net, params, z, rates, input_rate))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _product(
    embedded: Embedded,
    trained: tuple[bool, ...],
    rates: tuple[float, ...],
    leaves: list[Array],
    v: Float[Array, " n"],
) -> Float[Array, " n"]:
    """``J diag(rates) J^T v``; both derivatives share one forward pass."""

    def forward(varied: list[Array]) -> Array:
        values = iter(varied)
        return embedded([next(values) if t else x for t, x in zip(trained, leaves, strict=True)])

    primals = [x for t, x in zip(trained, leaves, strict=True) if t]
    _, pullback = jax.vjp(forward, primals)
    (gradient,) = pullback(v)
    steps = [g * jnp.asarray(r, g.dtype) for g, r in zip(gradient, rates, strict=True)]
    if "custom_vjp" in str(jax.make_jaxpr(forward)(primals)):
        # A custom vjp has no forward mode; its pullback is linear, and so has a transpose.
        return jax.linear_transpose(pullback, v)((steps,))[0]
    return jax.jvp(forward, (primals,), (steps,))[1]


@dataclasses.dataclass(frozen=True, eq=False)
class MatrixFreeKernel:
    """``W = sum_l eta_l J_l J_l^T``, known by its products.

    Products run on the device in the parameters' precision (usually float32, so accurate
    to about 1e-6 of the largest eigenvalue); vectors come and go as float64.
    """

    problem: Functional

    @property
    def space(self) -> Space:
        """Space of images."""
        return self.problem.space

    @functools.cached_property
    def product(self) -> Callable[[Float[Array, " n"]], Float[Array, " n"]]:
        """``v -> W v`` on the device, jitted; traceable, in the parameters' precision."""
        leaves = [jnp.asarray(x) for x in self.problem.leaves]
        trained = tuple(rate > 0 for rate in self.problem.all_rates)
        rates = tuple(rate for rate in self.problem.all_rates if rate > 0)
        embedded = self.problem.embedded
        return lambda v: _product(embedded, trained, rates, leaves, v)

    def __matmul__(self, v: Float[np.ndarray, "n *m"]) -> Float64[np.ndarray, "n *m"]:
        """``W v`` for ``(n,)``, or column by column for ``(n, m)``.

        Raises `ValueError` if ``v`` has another length, or is not finite.
        """
        v = np.asarray(v)
        n = self.space.real_size
        if v.ndim not in (1, 2) or v.shape[0] != n:
            raise ValueError(
                f"a kernel on {self.space} multiplies ({n},) or ({n}, m); got {v.shape}"
            )
        if np.iscomplexobj(v):
            raise ValueError(
                f"a kernel acts on the real embedding of {self.space}; got {v.dtype}. Use "
                "W.space.embed(image) for a complex image"
            )
        require_finite(v, "vector")
        if v.ndim == 1:
            return self._column(v)
        columns = [self._column(column) for column in track(v.T, f"{self.problem.name}: products")]
        return np.stack(columns, axis=1) if columns else np.zeros(v.shape)

    def _column(self, v: np.ndarray) -> np.ndarray:
        # A vector far from unit size would over- or underflow in float32.
        length = np.abs(v).max()
        if length == 0:
            return np.zeros(v.shape)
        with jax.default_matmul_precision("highest"):
            result = self.product(jnp.asarray(v / length, self.problem.dtype))
        return np.asarray(result, np.float64) * length

    def dense(self, memory_limit: int | None = None) -> Float64[np.ndarray, "n n"]:
        """The matrix, column by column: ``n`` products.  `empirical` is far faster."""
        n = self.space.real_size
        require_dense(self.problem.name, self.space, 24 * n * n, allowed_bytes(memory_limit))
        W = self @ np.eye(n)
        return (W + W.T) / 2

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` largest eigenvalues (falling) and their eigenvectors, by Lanczos.

        The start vector is always the same, so that the same kernel gives the same pairs;
        `ntkdip.kernels.leading_eigenpairs` takes a key and returns residuals too.  None
        forms the whole matrix first.
        """
        if k is None:
            return DenseKernel(self.dense(), self.space).eigh()
        pairs = leading_eigenpairs(self, k, key=jax.random.key(0))
        return pairs.values, pairs.vectors
