"""A kernel of real images that acts on complex ones, part by part."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float, Float64

from ntkdip.kernels.dense import Factored, Kernel
from ntkdip.spaces import Space


@dataclasses.dataclass(frozen=True, eq=False)
class BothParts:
    """``diag(W, W)`` on ``[Re; Im]``: the same kernel for both parts, and no cross term.

    So the kernel of an infinitely wide network with two output channels (design page,
    section 1); it costs no more than ``W``.

    Parameters
    ----------
    part
        Kernel on real images.

    Raises
    ------
    ValueError
        If it acts on complex images already.
    """

    part: Kernel

    def __post_init__(self) -> None:
        if self.part.space.is_complex:
            raise ValueError(
                f"the kernel of one part acts on real images; got one on {self.part.space}"
            )

    @property
    def space(self) -> Space:
        """Space of complex images."""
        return Space(self.part.space.shape, True)

    @property
    def factors(self) -> tuple[np.ndarray, ...] | None:
        """Those of the part, twice and not copied; None where it knows none."""
        own = self.part.factors if isinstance(self.part, Factored) else None
        return own and own + own

    def __matmul__(self, v: Float[np.ndarray, "n *m"]) -> Float64[np.ndarray, "n *m"]:
        """``W v`` for ``(n,)`` or ``(n, m)``, both parts in one product."""
        q = self.part.space.size
        columns = v.reshape(2, q, -1).transpose(1, 0, 2)
        product = (self.part @ columns.reshape(q, -1)).reshape(columns.shape)
        return np.ascontiguousarray(product.transpose(1, 0, 2)).reshape(v.shape)

    def dense(self) -> Float64[np.ndarray, "n n"]:
        """The matrix, ``(2q, 2q)``: four times the memory of its part, half of it zeros."""
        W = self.part.dense()
        zero = np.zeros_like(W)
        return np.block([[W, zero], [zero, W]])

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` largest eigenvalues (falling) and their eigenvectors as columns.

        Every eigenvalue comes twice: first with a real image, then with an imaginary one.
        """
        values, vectors = self.part.eigh(None if k is None else (k + 1) // 2)
        q, m = vectors.shape
        both = np.zeros((2, q, m, 2))
        both[0, :, :, 0] = both[1, :, :, 1] = vectors
        return np.repeat(values, 2)[:k], both.reshape(2 * q, 2 * m)[:, :k]
