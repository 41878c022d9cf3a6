"""Sums, multiples, compositions and stacks of operators.

Their functions simplify what is diagonal in the same basis: a circulant operator plus a
multiple of the identity is one circulant operator, and so on.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
from collections.abc import Sequence
from functools import cached_property
from itertools import accumulate
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import LinearOperator, as_element, projected
from ntkdip.operators.gram import between
from ntkdip.operators.pixels import Identity
from ntkdip.operators.pointwise import Pointwise, squared
from ntkdip.spaces import Space


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Sum(LinearOperator):
    """``A_1 + A_2 + ...``, made by ``A + B``; data are complex if those of any term are."""

    terms: tuple[LinearOperator, ...]

    @property
    def domain(self) -> Space:
        return self.terms[0].domain

    @cached_property
    def range(self) -> Space:
        return Space(self.terms[0].range.shape, any(A.range.is_complex for A in self.terms))

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        parts = [as_element(A(x), self.range.is_complex) for A in self.terms]
        return functools.reduce(operator.add, parts)

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.range.is_complex)
        parts = [A.adjoint(projected(y, A.range.is_complex)) for A in self.terms]
        return functools.reduce(operator.add, parts)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Scaled(LinearOperator):
    """``c A``, made by ``c * A``; data are complex if ``c`` is."""

    factor: Array | np.ndarray
    operator: LinearOperator

    @property
    def domain(self) -> Space:
        return self.operator.domain

    @cached_property
    def range(self) -> Space:
        space = self.operator.range
        return Space(space.shape, space.is_complex or _is_complex(self.factor))

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        y = as_element(self.operator(x), self.range.is_complex)
        return jnp.asarray(self.factor.astype(y.dtype)) * y

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.range.is_complex)
        y = jnp.conj(jnp.asarray(self.factor.astype(y.dtype))) * y
        return self.operator.adjoint(projected(y, self.operator.range.is_complex))

    def _gram(self) -> LinearOperator:
        return scale(squared(self.factor), self.operator.gram)

    def norm(self, *, tolerance: float = 1e-4, seed: int = 0) -> float:
        return float(np.abs(self.factor)) * self.operator.norm(tolerance=tolerance, seed=seed)

    def null_space_projector(self, *, tolerance: float | None = None) -> LinearOperator:
        if not np.any(self.factor):
            return Identity(self.domain.shape, self.domain.is_complex)
        return self.operator.null_space_projector(tolerance=tolerance)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Composition(LinearOperator):
    """``A B x = A(B(x))``, made by ``A @ B``."""

    outer: LinearOperator
    inner: LinearOperator

    @property
    def domain(self) -> Space:
        return self.inner.domain

    @property
    def range(self) -> Space:
        return self.outer.range

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        return self.outer(as_element(self.inner(x), self.outer.domain.is_complex))

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        return self.inner.adjoint(projected(self.outer.adjoint(y), self.inner.range.is_complex))

    def _gram(self) -> LinearOperator:
        return between(self.inner, self.outer.gram)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Stack(LinearOperator):
    """``[A_1 x; A_2 x; ...]``, flattened; made by `stack`."""

    parts: tuple[LinearOperator, ...]

    @property
    def domain(self) -> Space:
        return self.parts[0].domain

    @cached_property
    def range(self) -> Space:
        spaces = [A.range for A in self.parts]
        return Space((sum(s.size for s in spaces),), any(s.is_complex for s in spaces))

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        data = [as_element(A(x), self.range.is_complex).reshape(-1) for A in self.parts]
        return jnp.concatenate(data)

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.range.is_complex)
        ends = list(accumulate(A.range.size for A in self.parts))
        images = [
            A.adjoint(projected(part.reshape(A.range.shape), A.range.is_complex))
            for A, part in zip(self.parts, jnp.split(y, ends[:-1]), strict=True)
        ]
        return functools.reduce(operator.add, images)

    def _gram(self) -> LinearOperator:
        return functools.reduce(add, [A.gram for A in self.parts])


def stack(operators: Sequence[LinearOperator]) -> LinearOperator:
    """Several measurements of one image: ``A x = [A_1 x; A_2 x; ...]``.

    Source: ours.  ``A* A`` is the sum of the ``A_i* A_i``.

    Parameters
    ----------
    operators
        At least one; all take the same images.

    Returns
    -------
    Operator to data ``(total number of entries,)``: the data of each, flattened in C order,
    one behind the other; complex if any are.

    Raises
    ------
    ValueError
        If there is none, or two take different images.
    """
    parts: list[LinearOperator] = []
    for A in operators:
        parts += A.parts if isinstance(A, Stack) else (A,)
    if not parts:
        raise ValueError("a stack holds at least one operator; got none")
    for A in parts:
        if A.domain != parts[0].domain:
            raise ValueError(
                f"a stack measures one image: {type(parts[0]).__name__} takes {parts[0].domain}, "
                f"{type(A).__name__} takes {A.domain}"
            )
    return Stack(tuple(parts))


def add(A: LinearOperator, B: LinearOperator) -> LinearOperator:
    """``A + B``.  Raises `ValueError` unless images, and shapes of data, are the same."""
    if A.domain != B.domain or A.range.shape != B.range.shape:
        raise ValueError(
            "a sum needs operators of the same images and the same shape of data; "
            f"{type(A).__name__} goes from {A.domain} to {A.range}, {type(B).__name__} from "
            f"{B.domain} to {B.range}"
        )
    terms: list[LinearOperator] = []
    for new in (*_terms(A), *_terms(B)):
        for place, old in enumerate(terms):
            merged = _merged(old, new)
            if merged is not None:
                terms[place] = merged
                break
        else:
            terms.append(new)
    return terms[0] if len(terms) == 1 else Sum(tuple(terms))


def _terms(A: LinearOperator) -> tuple[LinearOperator, ...]:
    return A.terms if isinstance(A, Sum) else (A,)


def _merged(A: LinearOperator, B: LinearOperator) -> LinearOperator | None:
    """The sum as one operator where it is diagonal, as its terms are; or None."""
    if not isinstance(A, Pointwise):
        A, B = B, A
    if not isinstance(A, Pointwise):
        a, b = _multiple_of_identity(A), _multiple_of_identity(B)
        if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
            return scale(np.asarray(a + b), Identity(A.domain.shape, A.domain.is_complex))
        return None
    w = B.weights if type(B) is type(A) else _multiple_of_identity(B)
    if w is None or not (isinstance(w, np.ndarray) and isinstance(A.weights, np.ndarray)):
        return None
    # A real image has no complex data through a circulant operator.
    return A.with_weights(A.weights + w) if A.range == B.range else None


def _multiple_of_identity(A: LinearOperator) -> Array | np.ndarray | None:
    if isinstance(A, Identity):
        return np.ones(())
    if isinstance(A, Scaled) and isinstance(A.operator, Identity):
        return A.factor
    return None


def scale(factor: Array | np.ndarray, A: LinearOperator) -> LinearOperator:
    """``factor * A``, for a factor from `checked_factor`."""
    factor = factor if isinstance(factor, jax.Array) else np.asarray(factor)
    if isinstance(A, Scaled):
        if isinstance(factor, np.ndarray) and isinstance(A.factor, np.ndarray):
            return scale(np.asarray(factor * A.factor), A.operator)
    elif isinstance(A, Pointwise) and isinstance(factor, np.ndarray):
        same_field = A.range.is_complex or not _is_complex(factor)
        if same_field and isinstance(A.weights, np.ndarray):
            return A.with_weights(factor * A.weights)
    return Scaled(factor, A)


def compose(A: LinearOperator, B: LinearOperator) -> LinearOperator:
    """``A @ B``.  Raises `ValueError` unless what ``B`` measures is an image of ``A``."""
    if A.domain.shape != B.range.shape or B.range.is_complex > A.domain.is_complex:
        raise ValueError(
            f"A @ B needs a B whose data are images of A: {type(A).__name__} takes {A.domain}, "
            f"{type(B).__name__} gives {B.range}"
        )
    if A.domain == B.range:
        if isinstance(A, Identity):
            return B
        if isinstance(B, Identity):
            return A
        if isinstance(A, Pointwise) and isinstance(B, Pointwise) and type(A) is type(B):
            both = (A.weights, B.weights)
            same_images = A.complex_image == B.complex_image
            if same_images and all(isinstance(w, np.ndarray) for w in both):
                return B.with_weights(both[0] * both[1])
    return Composition(A, B)


def checked_factor(factor: Any) -> Array | np.ndarray:
    """A number as a scalar array, on the host unless it is traced; `ValueError` if it is none."""
    if isinstance(factor, jax.core.Tracer) and jnp.ndim(factor) == 0:
        return as_element(factor, False)
    given = factor
    if not isinstance(factor, LinearOperator):
        factor = np.asarray(factor)
        if factor.ndim == 0 and np.can_cast(factor.dtype, np.complex128, casting="same_kind"):
            number = np.array(factor, np.complex128 if np.iscomplexobj(factor) else np.float64)
            if np.isfinite(number):
                return number
    shown = type(given).__name__ if np.ndim(factor) or isinstance(given, LinearOperator) else given
    raise ValueError(
        f"the factor of an operator is a finite number, real or complex; got {shown}. Operators "
        "compose by A @ B; weights of every pixel are an operator, diagonal(weights)"
    )


def checked_divisor(divisor: Any) -> Array | np.ndarray:
    """``1 / divisor`` as a factor; `ValueError` unless both are finite."""
    number = checked_factor(divisor)
    if isinstance(number, np.ndarray):
        with np.errstate(all="ignore"):
            inverse = np.asarray(1 / number)
        if not np.isfinite(inverse):
            raise ValueError(f"A / c needs a c that is not 0; got {divisor}")
        return inverse
    return 1 / number


def _is_complex(factor: Array | np.ndarray) -> bool:
    return bool(jnp.issubdtype(factor.dtype, jnp.complexfloating))
