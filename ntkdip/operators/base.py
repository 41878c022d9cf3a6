"""The operator interface: ``A(x)``, ``A.adjoint(y)``, ``A.domain``, ``A.range``, and algebra."""

from __future__ import annotations

import abc
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex128, Float64, Inexact

from ntkdip.spaces import Space


class LinearOperator(abc.ABC):
    """A linear map between two real Hilbert spaces (inner product ``Re(u^H v)``).

    Subclasses are frozen dataclasses registered as JAX pytrees, so that operators go
    through ``jit`` and ``vmap``.  Precision follows the argument: a float32 image
    gives complex64 data, a float64 one complex128.

    Operators add, ``A + B`` and ``A - B``; take factors, ``c * A``, ``A * c``, ``A / c`` and
    ``-A`` (complex ones too: data are complex then); and compose, ``A @ B``, first ``B``.
    `ntkdip.operators.stack` measures one image with several.  What comes out is an operator
    again.  `ValueError`: the spaces do not fit, or a factor is no finite number.
    """

    # NumPy then leaves ``array * A`` and the like to the methods below.
    __array_ufunc__ = None

    @property
    @abc.abstractmethod
    def domain(self) -> Space:
        """Space of images."""

    @property
    @abc.abstractmethod
    def range(self) -> Space:
        """Space of data."""

    @abc.abstractmethod
    def __call__(self, x: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        """Apply ``A`` to an image of shape ``domain.shape``."""

    @abc.abstractmethod
    def adjoint(self, y: Inexact[Array | np.ndarray, "..."]) -> Inexact[Array, "..."]:
        """Apply the real-Hilbert adjoint ``A*`` to data of shape ``range.shape``.

        For a real image space this is ``Re(A^H y)`` (design page, section 1).
        """

    @property
    def gram(self) -> LinearOperator:
        """``A* A``, images to images, in its cheapest form; self-adjoint and PSD.

        A circulant operator for Fourier sampling, a diagonal one for pixels; where nothing
        better is known, ``A`` and then ``A*``.  Computed once an operator (a tall matrix costs
        ``O(p q^2)``); inside ``jit`` of a traced operator, once an access.
        """
        if is_traced(self):
            return self._gram()
        return self._known_gram

    @functools.cached_property
    def _known_gram(self) -> LinearOperator:
        # Traced values must not outlive their trace, so nothing here may be staged.
        with jax.ensure_compile_time_eval():
            return self._gram()

    def _gram(self) -> LinearOperator:
        from ntkdip.operators.gram import Gram

        return Gram(self, None)

    def norm(self, *, tolerance: float = 1e-4, seed: int = 0) -> float:
        """Spectral norm ``max |A x| / |x|``, in float64 on the host.

        Closed forms where there are any: operators that are diagonal in pixels or in
        frequencies, and matrices.  Else the largest eigenvalue of `gram` on the real
        embedding: dense up to 256 real dimensions, by ARPACK (`scipy.sparse.linalg.eigsh`)
        above.

        Parameters
        ----------
        tolerance
            ARPACK stops where some singular value is nearer than this, relative, to what it
            answers, which never lies above the norm beyond rounding.  Where many singular
            values crowd below the norm, as with several coils, a small one is dear: of eight
            coils at 256 x 256 (4x lines), 1e-4 took 162 applications of ``A* A`` (4 s on a
            core) and 1e-6 took 4082.  A step size needs no more than 1e-3.
        seed
            Of the vector that ARPACK starts from; the same seed gives the same number.

        Raises
        ------
        ValueError
            If the tolerance is not above 0 and below 1.
        ArithmeticError
            If ARPACK does not converge.
        """
        from ntkdip.operators.spectral import spectral_norm

        return spectral_norm(self, tolerance, seed)

    def null_space_projector(self, *, tolerance: float | None = None) -> LinearOperator:
        """Orthogonal projector onto ``N(A)``, what ``A`` does not see, images to images.

        Parameters
        ----------
        tolerance
            Singular values up to this share of the largest count as 0; by default the number
            of pixels (of a matrix, its longer side) times 2.2e-16.

        Raises
        ------
        NotImplementedError
            If no closed form is known: those are for operators whose `gram` is diagonal in
            pixels or in frequencies (sampling, blur, their multiples and stacks), and for
            matrices.
        """
        from ntkdip.operators.spectral import null_space_projector

        return null_space_projector(self, tolerance)

    def real(self) -> LinearOperator:
        """The same map between the real embeddings, ``R^n -> R^m`` (design page, section 1).

        A complex array is ``[Re; Im]`` there, each part flattened in C order: what `Space.embed`
        makes of it.
        """
        from ntkdip.operators.embedding import RealEmbedding

        return RealEmbedding(self)

    def dense(
        self, *, memory_limit: int = 2**31
    ) -> Float64[np.ndarray, "p q"] | Complex128[np.ndarray, "p q"]:
        """The matrix between images and data, each flattened in C order, on the host.

        Parameters
        ----------
        memory_limit
            Bytes that the matrix may take; 2 GiB by default.

        Returns
        -------
        ``(range.size, domain.size)``, complex128 if data are complex, else float64.  Costs an
        application of ``A`` a pixel.  The adjoint is the conjugate transpose, of which real
        images take the real part; ``A.real().dense()`` has its transpose as adjoint.

        Raises
        ------
        ValueError
            If it would take more than ``memory_limit`` bytes, or if images are complex and
            ``A(i x)`` is not ``i A(x)``, so that no complex matrix is ``A``.
        """
        from ntkdip.operators.host import dense_matrix

        return dense_matrix(self, memory_limit)

    def __add__(self, other: object) -> LinearOperator:
        from ntkdip.operators.algebra import add

        return add(self, other) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: object) -> LinearOperator:
        return self + -other if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return -1.0 * self

    def __mul__(self, factor: Any) -> LinearOperator:
        from ntkdip.operators.algebra import checked_factor, scale

        return scale(checked_factor(factor), self)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> LinearOperator:
        from ntkdip.operators.algebra import checked_divisor, scale

        return scale(checked_divisor(divisor), self)

    def __matmul__(self, other: object) -> LinearOperator:
        from ntkdip.operators.algebra import compose

        if isinstance(other, LinearOperator):
            return compose(self, other)
        raise TypeError(
            f"A @ B composes two operators; got {type(other).__name__}. To apply A, write A(x)"
        )


class ImageOperator(LinearOperator):
    """A `LinearOperator` that knows its images by ``shape`` and ``complex_image``."""

    shape: tuple[int, ...]
    complex_image: bool

    @functools.cached_property
    def domain(self) -> Space:
        return Space(self.shape, self.complex_image)


def as_element(x: Inexact[Array | np.ndarray, "..."], is_complex: bool) -> Inexact[Array, "..."]:
    """``x`` as a JAX array of its own precision, complex where the space is.

    A real array is an element of a complex space too (`Space.embed`); operators answer
    with a complex one all the same.
    """
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        x = x.astype(float)
    if is_complex and not jnp.iscomplexobj(x):
        x = x.astype(np.result_type(x.dtype, np.complex64))
    return x


def projected(y: Inexact[Array, "..."], is_complex: bool) -> Inexact[Array, "..."]:
    """The nearest element of a real or complex space: ``Re y`` where it is real.

    The adjoint of reading real arrays as complex ones.
    """
    return as_element(y, True) if is_complex else y.real


def is_traced(tree: Any) -> bool:
    """Whether an array of the operator is a tracer, so that its values are unknown."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))
