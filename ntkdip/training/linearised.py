"""Networks that are linear in their weights: the exact kernel regime, at any image size."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Inexact
from scipy.sparse.linalg import LinearOperator as SciPyOperator
from scipy.sparse.linalg import eigsh

from ntkdip.networks import ImageNetwork, NetworkWrapper
from ntkdip.operators import LinearOperator


@dataclasses.dataclass(frozen=True)
class LinearisedNetwork(NetworkWrapper):
    """``f_0(z) + J(z) (theta - theta_0)``, the first-order expansion of a network in its weights.

    Matrix-free: an application is one forward-mode pass (about three of the network), its
    gradient one reverse-mode pass more, whatever the size of the image.  Gradient descent on it
    *is* the kernel regime of `ntkdip.theory`, with no limit of width.

    Parameters
    ----------
    net
        The network to expand.
    centred
        Leave ``f_0`` out, so that training starts at the zero image.

    Notes
    -----
    Parameters are ``{"origin": theta_0, "moved": theta - theta_0}``; only the second is trained.
    Source: Lee, Xiao, Schoenholz and others, "Wide Neural Networks of Any Depth Evolve as Linear
    Models Under Gradient Descent", NeurIPS 2019; design page, section 1 (``W`` constant).
    """

    centred: bool = False

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"linearised {self.net.name}"

    def init(self, z: Float[Any, "*pixels channels"], *, key: Array) -> Any:
        """Parameters of the network drawn as its own, from which nothing has moved yet."""
        return self.at(self.net.init(z, key=key))

    def at(self, params: nnx.State) -> dict[str, Any]:
        """Parameters of the expansion at ``params``."""
        return {"origin": params, "moved": jax.tree.map(jnp.zeros_like, params)}

    def trained(self, params: Any) -> Any:
        """`ImageNetwork.trained`: the origin stays."""
        origin = jax.tree.map(lambda _: False, params["origin"])
        return {"origin": origin, "moved": self.net.trained(params["moved"])}

    def apply(self, params: Any, z: Float[Array, "*pixels channels"]) -> Inexact[Array, "..."]:
        origin = jax.lax.stop_gradient(params["origin"])
        start, change = jax.jvp(lambda p: self.net.apply(p, z), (origin,), (params["moved"],))
        return change if self.centred else start + change


def stable_rate(
    net: ImageNetwork,
    A: LinearOperator,
    params: nnx.State,
    z: Float[Array, "*pixels channels"],
    *,
    tolerance: float = 1e-2,
    seed: int = 0,
) -> float:
    """``1 / lambda_max(A W A*)``, half the largest rate at which gradient descent is stable.

    Parameters
    ----------
    net, params, z
        The network, its parameters and its input, whose kernel is ``W``.
    A
        The forward operator.
    tolerance
        Of the eigenvalue, relative.
    seed
        Of the vector that ARPACK starts from.

    Returns
    -------
    Rate for the loss ``1/2 ||A f - y||^2``.  Costs some ten to thirty products with
    ``A W A*``, each a forward-mode and a reverse-mode pass; memory of a training step.

    Raises
    ------
    ValueError
        If the kernel is zero.

    Source: design page, section 1.
    """
    A, z = jax.tree.map(jnp.asarray, (A, z))

    @jax.jit
    def product(A: LinearOperator, params: Any, z: Array, v: Array) -> Array:
        def predicted(p: Any) -> Array:
            return A.range.embed(A(net.apply(p, z)))

        _, pull = jax.vjp(predicted, params)
        return jax.jvp(predicted, (params,), pull(v))[1]

    def matvec(v: np.ndarray) -> np.ndarray:
        return np.asarray(product(A, params, z, jnp.asarray(v.ravel(), jnp.float32)))

    n = A.range.real_size
    wrapped = SciPyOperator((n, n), matvec=matvec, dtype=np.float32)
    v0 = np.random.default_rng(seed).normal(size=n).astype(np.float32)
    if not np.any(wrapped @ v0):
        raise ValueError(f"the kernel of {net.name} is zero there: nothing can be trained")
    largest = float(eigsh(wrapped, k=1, v0=v0, tol=tolerance, return_eigenvectors=False)[0])
    return 1 / largest
