"""A kernel held as a dense matrix."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.linalg
from jaxtyping import Float, Float64

from ntkdip.progress import ticking
from ntkdip.spaces import Space, require_finite


@runtime_checkable
class Kernel(Protocol):
    """What theory and spectra ask of a kernel, dense or not."""

    @property
    def space(self) -> Space:
        """Space of images; the kernel acts on its real embedding."""

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        """``W @ v`` for ``v`` of shape ``(n,)`` or ``(n, m)``, float64."""

    def dense(self) -> np.ndarray:
        """The ``(n, n)`` matrix, float64."""

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` largest eigenvalues (falling) and their eigenvectors as columns."""


@runtime_checkable
class Factored(Protocol):
    """A kernel that may know factors of its matrix."""

    @property
    def factors(self) -> tuple[np.ndarray, ...] | None:
        """``F_b`` (n_b, r_b), float64, with ``W = diag(F_b F_b^T)``; None if not known.

        The blocks follow each other on the real embedding; one array may come twice.
        """


@dataclasses.dataclass(frozen=True, eq=False)
class DenseKernel:
    """A symmetric matrix ``W`` on the real embedding of an image space, float64.

    Parameters
    ----------
    matrix
        ``(n, n)`` with ``n = space.real_size``, symmetric.
    space
        Space of images.

    Raises
    ------
    ValueError
        If the shape does not fit the space, the matrix is not float64, entries are NaN or
        infinite, or it is asymmetric by more than 1e-10 of its largest entry.
    """

    matrix: Float[np.ndarray, "n n"]
    space: Space

    def __post_init__(self) -> None:
        n = self.space.real_size
        if self.matrix.shape != (n, n):
            raise ValueError(
                f"a kernel on {self.space} is a ({n}, {n}) matrix on the real embedding; "
                f"got shape {self.matrix.shape}"
            )
        if self.matrix.dtype != np.float64:
            raise ValueError(
                f"a dense kernel is float64, because theory divides by its small eigenvalues; "
                f"got {self.matrix.dtype}. Use matrix.astype(numpy.float64) if it was computed "
                "in that precision on purpose"
            )
        require_finite(self.matrix, "kernel")
        blocks = range(0, n, 512)
        asymmetry = max(
            np.abs(self.matrix[i : i + 512] - self.matrix[:, i : i + 512].T).max() for i in blocks
        )
        largest = max(np.abs(self.matrix[i : i + 512]).max() for i in blocks)
        if asymmetry > 1e-10 * largest:
            raise ValueError(
                f"a kernel is symmetric; this matrix differs from its transpose by "
                f"{asymmetry:.3g} (largest entry {largest:.3g}). Use (W + W.T) / 2 if that "
                "is rounding, or find out which entry is wrong"
            )

    @classmethod
    def symmetric(cls, matrix: Float[np.ndarray, "n n"], space: Space) -> DenseKernel:
        """A kernel whose matrix is symmetric by construction: only NaN is looked for."""
        for start in range(0, len(matrix), 512):
            require_finite(matrix[start : start + 512], "kernel")
        kernel = object.__new__(cls)
        object.__setattr__(kernel, "matrix", matrix)
        object.__setattr__(kernel, "space", space)
        return kernel

    def __matmul__(self, v: Float64[np.ndarray, "n *m"]) -> Float64[np.ndarray, "n *m"]:
        return self.matrix @ v

    def dense(self) -> Float64[np.ndarray, "n n"]:
        return self.matrix

    @cached_property
    def _eigenpairs(self) -> tuple[np.ndarray, np.ndarray]:
        with ticking(f"eigenproblem of size {len(self.matrix)}"):
            values, vectors = scipy.linalg.eigh(self.matrix, driver="evd")
        return values[::-1], vectors[:, ::-1]

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Largest eigenvalues, falling, and eigenvectors as columns.

        Parameters
        ----------
        k
            How many; all if None.  The whole eigenproblem is solved once and kept:
            O(n^3) time, ``8 n^2`` bytes.

        Returns
        -------
        ``(k,)`` and ``(n, k)``, float64.
        """
        values, vectors = self._eigenpairs
        return values[:k], vectors[:, :k]
