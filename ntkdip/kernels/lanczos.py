"""Lanczos on the host, and the quadrature that comes with it.

Why not a library: matfree's Lanczos lives in ``lax`` control flow, where a convolution
runs about 22 times slower on CPU (design page, section 3), and in the precision of the
product.  Here the product may be float32, but everything around it is float64, and the
loop is Python's: on any backend it costs little beside one product of a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float64


class Tridiagonal(NamedTuple):
    """``Q^T W Q`` of a Krylov space.

    ``diagonal`` (m,) and ``offdiagonal`` (m,): the last off-diagonal entry couples to the
    vector that was left out, and is 0 where the space is invariant (then ``m`` may be
    less than was asked for, and every quadratic form is exact).
    """

    diagonal: Float64[np.ndarray, " m"]
    offdiagonal: Float64[np.ndarray, " m"]

    def leading(self, order: int) -> Tridiagonal:
        """What a shorter iteration from the same vector would have given."""
        return Tridiagonal(self.diagonal[:order], self.offdiagonal[:order])

    def quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Gauss: nodes (rising) and weights (sum 1) of the start vector's spectral measure."""
        return _nodes(self.diagonal, self.offdiagonal[:-1])

    def radau(self, left: float) -> tuple[np.ndarray, np.ndarray]:
        """Gauss-Radau: one more node, fixed at ``left``, which is below every Gauss node.

        Golub and Meurant, "Matrices, Moments and Quadrature" (2010), section 6.2.
        """
        last = self.offdiagonal[-1]
        if last == 0.0:
            return self.quadrature()
        pivot = self.diagonal[0] - left
        for entry, coupling in zip(self.diagonal[1:], self.offdiagonal, strict=False):
            pivot = entry - left - coupling**2 / pivot
        end = left + last**2 / pivot
        return _nodes(np.append(self.diagonal, end), self.offdiagonal)


def lanczos(
    product: Callable[[np.ndarray], np.ndarray],
    start: Float64[np.ndarray, " n"],
    order: int,
) -> Tridiagonal:
    """Tridiagonalise a symmetric matrix, with full reorthogonalisation, in float64.

    Parameters
    ----------
    product
        ``v -> W v``, ``(n,)`` to ``(n,)``.
    start
        Start vector, of any length but 0.
    order
        Dimension of the Krylov space, at most ``n``.

    Returns
    -------
    `Tridiagonal`, shorter than ``order`` where an invariant space is met.

    Notes
    -----
    Cost: ``order`` products and ``4 n order^2`` float64 multiplications; memory
    ``8 n order`` bytes.
    """
    Q = np.zeros((order + 1, start.size))
    diagonal, offdiagonal = np.zeros(order), np.zeros(order)
    Q[0] = start / np.linalg.norm(start)
    scale = 0.0
    for j in range(order):
        w = product(Q[j])
        diagonal[j] = Q[j] @ w
        scale = max(scale, float(np.linalg.norm(w)))
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            w = w - (Q[: j + 1] @ w) @ Q[: j + 1]
        offdiagonal[j] = np.linalg.norm(w)
        if offdiagonal[j] <= start.size * np.finfo(np.float64).eps * scale:
            offdiagonal[j] = 0.0
            return Tridiagonal(diagonal[: j + 1], offdiagonal[: j + 1])
        Q[j + 1] = w / offdiagonal[j]
    if order == start.size:
        offdiagonal[-1] = 0.0
    return Tridiagonal(diagonal, offdiagonal)


def _nodes(diagonal: np.ndarray, offdiagonal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    nodes, vectors = scipy.linalg.eigh_tridiagonal(diagonal, offdiagonal)
    return nodes, vectors[0] ** 2
