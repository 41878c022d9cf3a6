"""An operator between real embeddings, the form in which everything is solved."""

from __future__ import annotations

import dataclasses
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import LinearOperator, as_element
from ntkdip.spaces import Space


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class RealEmbedding(LinearOperator):
    """``R^n -> R^m`` with ``[Re; Im]`` for what is complex.  Made by `LinearOperator.real`."""

    operator: LinearOperator

    @cached_property
    def domain(self) -> Space:
        return Space((self.operator.domain.real_size,), False)

    @cached_property
    def range(self) -> Space:
        return Space((self.operator.range.real_size,), False)

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        A = self.operator
        return A.range.embed(A(A.domain.unembed(as_element(x, False))))

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        A = self.operator
        return A.domain.embed(A.adjoint(A.range.unembed(as_element(y, False))))

    def _gram(self) -> LinearOperator:
        return RealEmbedding(self.operator.gram)

    def norm(self, *, tolerance: float = 1e-4, seed: int = 0) -> float:
        return self.operator.norm(tolerance=tolerance, seed=seed)

    def null_space_projector(self, *, tolerance: float | None = None) -> LinearOperator:
        return RealEmbedding(self.operator.null_space_projector(tolerance=tolerance))

    def real(self) -> LinearOperator:
        return self
