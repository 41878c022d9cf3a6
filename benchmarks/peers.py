"""The peers: other ways to the same kernel.  Runs on JAX 0.5.3 and on today's."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.plain_networks import Problem
from ntkdip.neural_tangents_loader import neural_tangents

PeerName = Literal["neural-tangents", "jacobian"]

IMPLEMENTATIONS = {
    "JACOBIAN_CONTRACTION": 1,
    "NTK_VECTOR_PRODUCTS": 2,
    "STRUCTURED_DERIVATIVES": 3,
}
"""Of neural-tangents, by its own names and numbers."""


def implementations(peer: PeerName) -> list[str]:
    """Those of the peer that run on this JAX.

    Raises
    ------
    ModuleNotFoundError
        If the peer is not installed; the message says how to install it.
    """
    if peer == "jacobian":
        return ["rows"]
    neural_tangents()
    structured = allow_structured_derivatives()
    return [name for name in IMPLEMENTATIONS if structured or name != "STRUCTURED_DERIVATIVES"]


def allow_structured_derivatives() -> bool:
    """Put back for good what STRUCTURED_DERIVATIVES asks JAX for each time it is called.

    For a process that does nothing but run the peer.

    Returns
    -------
    Whether this JAX is old enough (0.5.3 or older).
    """
    if tuple(map(int, jax.__version_info__)) > (0, 5, 3):
        return False
    from jax.interpreters import ad

    # Nothing public leads to this module; JAX 0.5.3 is a fixed peer, so it cannot move.
    ad.source_info_util = importlib.import_module("jax._src.source_info_util")
    ad.config = jax.config
    return True


def version(peer: PeerName) -> str:
    """Name, version and the JAX that it runs on."""
    own = "" if peer == "jacobian" else f" {neural_tangents().__version__}"
    return f"{peer}{own}, JAX {jax.__version__}"


def kernel(implementation: str, problem: Problem) -> Callable[[], jax.Array]:
    """The peer's kernel ``(n, n)``, jitted; the call returns when it is computed.

    Parameters and input are arguments of the jitted function, so nothing is folded away
    at compile time.  Matrix products are exact float32, as ours are (this matters on
    accelerators only).
    """
    if implementation == "vjp and jvp":
        return _product(problem)
    if implementation == "rows":
        return _rows(problem)
    empirical = neural_tangents().empirical_ntk_fn(
        problem.f,
        trace_axes=(),
        vmap_axes=None,
        implementation=IMPLEMENTATIONS[implementation],
    )

    def compute(params: Any, z: Any) -> jax.Array:
        W = empirical(z, None, params)
        return W.reshape(W.shape[-2:])

    jitted = jax.jit(compute)

    def call() -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return jax.block_until_ready(jitted(problem.params, problem.z))

    return call


def _product(problem: Problem) -> Callable[[], jax.Array]:
    """``J J^T v`` by one vjp and one jvp, each jitted, as one would write them by hand."""
    n = jax.eval_shape(problem.f, problem.params, problem.z).shape[-1]
    v = jnp.asarray(np.random.default_rng(0).standard_normal(n), jnp.float32)

    @jax.jit
    def pull(params: Any, z: Any) -> Any:
        return jax.vjp(lambda p: problem.f(p, z)[0], params)[1](v)[0]

    @jax.jit
    def push(params: Any, z: Any, tangent: Any) -> jax.Array:
        return jax.jvp(lambda p: problem.f(p, z)[0], (params,), (tangent,))[1]

    def call() -> jax.Array:
        with jax.default_matmul_precision("highest"):
            tangent = pull(problem.params, problem.z)
            return jax.block_until_ready(push(problem.params, problem.z, tangent))

    return call


ROWS = 16
"""Rows of the Jacobian that one call computes: more take longer here, and more memory."""


def _rows(problem: Problem) -> Callable[[], np.ndarray]:
    """``J J^T`` from the whole Jacobian, some rows at a time: independent of both packages."""
    n = jax.eval_shape(problem.f, problem.params, problem.z).shape[-1]

    @jax.jit
    def block(params: Any, z: Any, seeds: jax.Array) -> jax.Array:
        _, pullback = jax.vjp(lambda p: problem.f(p, z)[0], params)
        (rows,) = jax.vmap(pullback)(seeds)
        return jnp.concatenate([r.reshape(len(seeds), -1) for r in jax.tree.leaves(rows)], 1)

    def call() -> np.ndarray:
        basis = np.eye(n, dtype=np.float32)
        with jax.default_matmul_precision("highest"):
            blocks = [
                np.asarray(block(problem.params, problem.z, basis[start : start + ROWS]))
                for start in range(0, n, ROWS)
            ]
        J = np.concatenate(blocks)
        return J @ J.T

    return call
