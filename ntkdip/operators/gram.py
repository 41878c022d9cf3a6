"""``A* A`` where it has no form of its own, and ``B* (A* A) B`` in the cheapest one."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import LinearOperator, as_element, projected
from ntkdip.operators.pixels import Identity
from ntkdip.operators.pointwise import Pointwise, squared
from ntkdip.spaces import Space


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Gram(LinearOperator):
    """``B* G B``: an operator there and back, a self-adjoint ``middle`` between, or nothing.

    Made by `LinearOperator.gram`.  ``middle`` acts on ``operator.range``, or on its complex
    counterpart, and then counts by its real part.
    """

    operator: LinearOperator
    middle: LinearOperator | None

    @property
    def domain(self) -> Space:
        return self.operator.domain

    @property
    def range(self) -> Space:
        return self.operator.domain

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        y = self.operator(x)
        if self.middle is not None:
            y = self.middle(as_element(y, self.middle.domain.is_complex))
        return self.operator.adjoint(projected(y, self.operator.range.is_complex))

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        return self(y)

    def norm(self, *, tolerance: float = 1e-4, seed: int = 0) -> float:
        if self.middle is None:
            return self.operator.norm(tolerance=tolerance, seed=seed) ** 2
        return super().norm(tolerance=tolerance, seed=seed)

    def null_space_projector(self, *, tolerance: float | None = None) -> LinearOperator:
        if self.middle is None:
            return self.operator.null_space_projector(tolerance=tolerance)
        return super().null_space_projector(tolerance=tolerance)


def between(B: LinearOperator, G: LinearOperator) -> LinearOperator:
    """``B* G B`` for a self-adjoint ``G``: one operator where both are diagonal alike."""
    if isinstance(G, Identity):
        return B.gram
    if isinstance(G, Pointwise) and isinstance(B, Pointwise) and type(B) is type(G):
        middle = G if B.complex_image else G.on_real_images()
        both = (B.weights, middle.weights)
        if all(isinstance(w, np.ndarray) for w in both):
            return B.with_weights(squared(both[0]) * both[1])
    return Gram(B, G)
