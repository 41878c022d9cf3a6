"""Any linear operator, given as its dense matrix."""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Inexact

from ntkdip.operators.base import ImageOperator, LinearOperator, as_element
from ntkdip.operators.pixels import Identity, checked_shape
from ntkdip.operators.spectral import checked_tolerance
from ntkdip.spaces import Space, require_finite


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MatrixOperator(ImageOperator):
    """``A x = M vec(x)`` with a dense matrix and the image flattened in C order.

    Build it with `from_matrix`, which checks the matrix.  Attributes: ``matrix``,
    ``(p, q)``; ``shape`` of the image; whether images are ``complex_image``; ``data_shape``.
    """

    matrix: Array | np.ndarray
    shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    complex_image: bool = dataclasses.field(metadata={"static": True})
    data_shape: tuple[int, ...] = dataclasses.field(metadata={"static": True})

    @cached_property
    def range(self) -> Space:
        is_complex = self.complex_image or jnp.issubdtype(self.matrix.dtype, jnp.complexfloating)
        return Space(self.data_shape, bool(is_complex))

    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.domain.check(x, "image")
        x = as_element(x, self.range.is_complex)
        return _product(self.matrix.astype(x.dtype), x.reshape(-1)).reshape(self.data_shape)

    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        self.range.check(y, "data")
        y = as_element(y, self.range.is_complex).reshape(-1)
        # M^H y as conj(conj(y) M): no transposed copy of the matrix.
        image = jnp.conj(_product(jnp.conj(y), self.matrix.astype(y.dtype))).reshape(self.shape)
        return image if self.complex_image else image.real

    def _gram(self) -> LinearOperator:
        if self.matrix.shape[0] <= self.matrix.shape[1]:
            return super()._gram()
        M = self.matrix
        square = M.conj().T @ M if isinstance(M, np.ndarray) else _product(M.conj().T, M)
        square = square if self.complex_image else square.real
        return MatrixOperator(square, self.shape, self.complex_image, self.shape)

    def norm(self, *, tolerance: float = 1e-4, seed: int = 0) -> float:
        return float(np.linalg.norm(self._seen(), 2))

    def null_space_projector(self, *, tolerance: float | None = None) -> LinearOperator:
        matrix = self._seen()
        _, sizes, rows = np.linalg.svd(matrix, full_matrices=False)
        seen = sizes > checked_tolerance(tolerance, max(matrix.shape)) * sizes.max()
        everything = Identity(self.shape, self.complex_image)
        if not seen.any():
            return everything
        count = (int(seen.sum()),)
        return everything - MatrixOperator(rows[seen], self.shape, self.complex_image, count).gram

    def _seen(self) -> np.ndarray:
        """The matrix, or for real images the real one of the same singular values."""
        M = np.asarray(self.matrix)
        both = np.iscomplexobj(M) and not self.complex_image
        return np.concatenate([M.real, M.imag]) if both else M


def _product(a: Array | np.ndarray, b: Array | np.ndarray) -> Array:
    # By default GPUs and TPUs multiply float32 matrices in fewer digits than float32 has.
    return jnp.matmul(jnp.asarray(a), jnp.asarray(b), precision=jax.lax.Precision.HIGHEST)


def from_matrix(
    matrix: Array | np.ndarray, shape: tuple[int, ...], complex_image: bool = False
) -> MatrixOperator:
    """Operator of a dense matrix ``M``: ``A x = M vec(x)`` (design page, section 1).

    Parameters
    ----------
    matrix
        ``(p, q)``, real or complex, with ``q`` the number of pixels.  Any rank, and any
        ``p``, more than ``q`` included.
    shape
        Shape of the image, ``q`` pixels, flattened in C order.
    complex_image
        Real images (the default), whose adjoint is ``Re(M^H y)``, or complex ones.

    Returns
    -------
    Operator from images ``shape`` to data ``(p,)``, complex iff the matrix or the image is.
    It keeps a copy of the matrix in float64 or complex128 on the host, whatever JAX is set
    to, and computes in the precision of the argument: 8 or 16 ``p q`` bytes, O(p q) a call.
    Outside ``jit`` each call casts the matrix and moves it to the device.

    Raises
    ------
    ValueError
        If the matrix is not 2D, has no row, is not numeric, holds NaN or infinity, or has
        a number of columns other than the pixels of ``shape``.
    """
    shape = checked_shape(shape)
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] == 0:
        raise ValueError(
            f"a matrix has two axes (data, pixels) and at least one row; got shape {matrix.shape}"
        )
    pixels = math.prod(shape)
    if matrix.shape[1] != pixels:
        raise ValueError(
            f"a matrix for images of shape {shape} has {pixels} columns, one a pixel; got shape "
            f"{matrix.shape}: give the image's shape, or transpose the matrix if its rows are "
            "the pixels"
        )
    if not np.can_cast(matrix.dtype, np.complex128, casting="same_kind"):
        raise ValueError(f"a matrix holds real or complex numbers; got {matrix.dtype} entries")
    matrix = np.array(matrix, np.complex128 if np.iscomplexobj(matrix) else np.float64)
    require_finite(matrix, "matrix")
    return MatrixOperator(matrix, shape, complex_image, matrix.shape[:1])
