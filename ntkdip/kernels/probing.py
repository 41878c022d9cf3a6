"""What iterative methods ask of a kernel, and estimates from random probes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Float64

from ntkdip.spaces import Space, require_finite


@runtime_checkable
class Products(Protocol):
    """A symmetric PSD matrix known by its products alone; every `Kernel` is one."""

    @property
    def space(self) -> Space:
        """Space of images; the matrix acts on its real embedding."""

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        """``W @ v`` for ``v`` of shape ``(n,)`` or ``(n, m)``, float64."""


class Counted:
    """``v -> W v`` that counts its calls and shows them; refuses NaN at once.

    Parameters
    ----------
    W
        The kernel.
    step
        Called with the number of products after each (`ntkdip.progress.counting`).
    """

    def __init__(self, W: Products, step: Callable[[int], object]) -> None:
        self._W, self._step, self.count = W, step, 0

    def __call__(self, v: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
        w = self._W @ v
        require_finite(w, "product with the kernel")
        self.spend(1)
        return w

    def spend(self, products: int) -> None:
        """Count products that were taken elsewhere."""
        self.count += products
        self._step(products)


class Estimate(NamedTuple):
    """A number estimated from random probes.

    ``value``: the estimate.
    ``standard_error``: of its mean over the probes; about normal for 16 probes and more.
    ``truncation_error``: what stopping the inner iteration early may add, the same sign
    for every probe, so that more probes do not reduce it; 0 where there is none.
    ``products``: products with the kernel that were spent.
    """

    value: float
    standard_error: float
    truncation_error: float
    products: int


def rademacher(key: Array, n: int, probes: int) -> Float64[np.ndarray, "n probes"]:
    """Columns of independent signs: the least variance of all probes with E[z z^T] = I."""
    return np.asarray(jax.random.rademacher(key, (probes, n)), np.float64).T


def standard_error(samples: Float64[np.ndarray, "probes *g"]) -> Float64[np.ndarray, "*g"]:
    """Standard error of the mean over the first axis."""
    return np.asarray(samples.std(axis=0, ddof=1) / math.sqrt(len(samples)))


def jackknife_error(left_out: Float64[np.ndarray, " probes"]) -> float:
    """Standard error of an estimate from its values with one probe left out each."""
    return math.sqrt((len(left_out) - 1) * left_out.var())


def require_probes(probes: int) -> None:
    """Raise `ValueError` unless there are enough probes for a standard error."""
    if probes < 2:
        raise ValueError(
            f"a standard error needs at least 2 probes, and about 16 to be trusted; got {probes}"
        )
