"""Image and data spaces: shape, field, and the real embedding everything is solved in.

Every space here is a *real* Hilbert space with inner product ``Re(u^H v)``
(design page, section 1).  A complex array of ``n`` entries therefore is a real
vector of ``2 n`` entries, ``[Re; Im]``, each part flattened in C order.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Space:
    """A space of real or complex arrays of one shape.

    Parameters
    ----------
    shape
        Shape of an element, for example ``(128, 128)``.
    is_complex
        Whether elements are complex (two real dimensions an entry) or real.
    """

    shape: tuple[int, ...]
    is_complex: bool

    @property
    def size(self) -> int:
        """Number of entries (pixels or samples) of an element."""
        return math.prod(self.shape)

    @property
    def real_size(self) -> int:
        """Dimension of the real embedding: ``size``, or ``2 * size`` if complex."""
        return 2 * self.size if self.is_complex else self.size

    def embed(self, x: Any) -> Any:
        """Flatten an element into its real embedding ``[x]`` or ``[Re x; Im x]``.

        Parameters
        ----------
        x
            NumPy or JAX array of shape ``self.shape``.  A real array is also taken
            as an element of a complex space (imaginary part zero).

        Returns
        -------
        array ``(real_size,)`` of the same library, real, same precision.

        Raises
        ------
        ValueError
            If the shape differs, or a complex array is given to a real space.
        """
        self.check(x)
        xp = x.__array_namespace__()
        if not self.is_complex:
            return x.reshape(-1)
        return xp.concatenate([xp.real(x).reshape(-1), xp.imag(x).reshape(-1)])

    def unembed(self, v: Any) -> Any:
        """Inverse of `embed`: a real vector ``(real_size,)`` becomes an element."""
        if v.shape != (self.real_size,):
            raise ValueError(
                f"expected a real vector of {self.real_size} entries for {self}, "
                f"got shape {tuple(v.shape)}"
            )
        if not self.is_complex:
            return v.reshape(self.shape)
        dtype = np.result_type(v.dtype, np.complex64)
        imaginary_unit = np.asarray(1j, dtype)
        image = v[: self.size].astype(dtype) + v[self.size :].astype(dtype) * imaginary_unit
        return image.reshape(self.shape)

    def check(self, x: Any, name: str = "array") -> None:
        """Raise `ValueError` unless ``x`` has this space's shape and field."""
        if tuple(x.shape) != self.shape:
            raise ValueError(f"{name}: expected shape {self.shape}, got {tuple(x.shape)}")
        if not self.is_complex and np.issubdtype(x.dtype, np.complexfloating):
            raise ValueError(
                f"{name}: expected real values, got {x.dtype}; "
                "take the real part, or build the operator for complex images"
            )

    def __str__(self) -> str:
        return f"{'C' if self.is_complex else 'R'}^{'x'.join(map(str, self.shape))}"


def require_finite(x: Any, name: str) -> None:
    """Raise `ValueError` saying how many entries of ``x`` are NaN or infinite, and where.

    Host-side only (it reads the values): call it before work starts, not under ``jit``.
    """
    bad = ~np.isfinite(np.asarray(x))
    if bad.any():
        first = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"{name}: {int(bad.sum())} of {bad.size} entries are NaN or infinite "
            f"(the first at index {first}); mask or repair them first"
        )
