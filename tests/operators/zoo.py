"""Operators of every kind, each with its matrix built in NumPy alone.

The matrices share nothing with the package: Fourier transforms are written out as
exponentials, masks as rows taken, coils as diagonal matrices.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping

import numpy as np

from ntkdip import operators


@dataclasses.dataclass(frozen=True)
class Case:
    """An operator and what it must be.

    ``matrix`` is ``(p, q)``, between flattened images and data, real or complex as the
    measurement itself is; ``build`` makes the operator anew at every call.
    """

    build: Callable[[], operators.LinearOperator]
    matrix: np.ndarray
    shape: tuple[int, ...]
    data_shape: tuple[int, ...]
    complex_image: bool
    complex_data: bool

    def embedded(self) -> np.ndarray:
        """The real matrix between the embeddings ``[Re; Im]``."""
        re, im = self.matrix.real, self.matrix.imag
        if self.complex_image:
            return np.block([[re, -im], [im, re]])
        return np.concatenate([re, im]) if self.complex_data else re

    def image(self, seed: int, dtype: type = np.float64) -> np.ndarray:
        """A random image whose real and imaginary parts have ``dtype``."""
        return _random(self.shape, self.complex_image, seed, dtype)

    def data(self, seed: int, dtype: type = np.float64) -> np.ndarray:
        """Random data, likewise."""
        return _random(self.data_shape, self.complex_data, seed, dtype)

    def measured(self, x: np.ndarray) -> np.ndarray:
        """``A x`` in complex128 by the matrix."""
        return (self.matrix @ np.asarray(x, complex).reshape(-1)).reshape(self.data_shape)

    def returned(self, y: np.ndarray) -> np.ndarray:
        """``A* y`` in complex128 by the matrix: ``Re(M^H y)`` for real images."""
        image = (self.matrix.conj().T @ np.asarray(y, complex).reshape(-1)).reshape(self.shape)
        return image if self.complex_image else image.real


def _random(shape: tuple[int, ...], is_complex: bool, seed: int, dtype: type) -> np.ndarray:
    rng = np.random.default_rng(seed)
    real, imaginary = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    if not is_complex:
        return real
    return real + imaginary * np.asarray(1j, np.result_type(dtype, np.complex64))


def mask_of(shape: tuple[int, ...]) -> np.ndarray:
    """A random mask without symmetry: half of a 2D image, a third of a 1D one."""
    size = math.prod(shape)
    mask = np.zeros(size, bool)
    kept = size // (1 + 2 // len(shape))
    mask[np.random.default_rng(3).choice(size, kept, replace=False)] = True
    return mask.reshape(shape)


def _fourier_matrix(shape: tuple[int, ...]) -> np.ndarray:
    def one_axis(n: int) -> np.ndarray:
        index = np.arange(n) - n // 2
        return np.exp(-2j * np.pi * np.outer(index, index) / n) / math.sqrt(n)

    return functools.reduce(np.kron, [one_axis(n) for n in shape])


def _fourier(shape: tuple[int, ...], complex_image: bool) -> Case:
    mask = mask_of(shape)
    matrix = _fourier_matrix(shape)[mask.reshape(-1)]
    return Case(
        lambda: operators.masked_fourier(mask, complex_image=complex_image),
        matrix, shape, (int(mask.sum()),), complex_image, True,
    )  # fmt: skip


def _identity(shape: tuple[int, ...], complex_image: bool) -> Case:
    return Case(
        lambda: operators.identity(shape, complex_image=complex_image),
        np.eye(math.prod(shape)), shape, shape, complex_image, complex_image,
    )  # fmt: skip


def _pixels(mask: np.ndarray, complex_image: bool) -> Case:
    matrix = np.eye(mask.size)[mask.reshape(-1) == 1]
    return Case(
        lambda: operators.pixel_mask(mask, complex_image=complex_image),
        matrix, mask.shape, (int(mask.sum()),), complex_image, complex_image,
    )  # fmt: skip


def _matrix(matrix: np.ndarray, shape: tuple[int, ...], complex_image: bool) -> Case:
    return Case(
        lambda: operators.from_matrix(matrix, shape, complex_image=complex_image),
        matrix, shape, matrix.shape[:1], complex_image,
        complex_image or np.iscomplexobj(matrix),
    )  # fmt: skip


def sensitivities_of(coils: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random complex sensitivities, not normalised, the first coil blind to the first pixels."""
    maps = _random((coils, *shape), True, 5, np.float64)
    maps[0, :2] = 0
    return maps


def _coils(coils: int, shape: tuple[int, ...], complex_image: bool) -> Case:
    mask, maps = mask_of(shape), sensitivities_of(coils, shape)
    one_coil = _fourier_matrix(shape)[mask.reshape(-1)]
    matrix = np.concatenate([one_coil @ np.diag(S.reshape(-1)) for S in maps])
    return Case(
        lambda: operators.multi_coil_fourier(mask, maps, complex_image=complex_image),
        matrix, shape, (coils, int(mask.sum())), complex_image, True,
    )  # fmt: skip


def _dense(p: int, q: int, *, rank: int | None = None, is_complex: bool = False) -> np.ndarray:
    rank = min(p, q) if rank is None else rank
    left, right = (_random(s, is_complex, 7, np.float64) for s in [(p, rank), (rank, q)])
    return left @ right / math.sqrt(q)


def _all_cases() -> dict[str, Case]:
    # Few shapes on purpose: what one case compiles serves the next.
    cases = {}
    for field in (True, False):
        name = "complex" if field else "real"
        cases |= {
            f"masked-fourier-{name}-image-1d-even": _fourier((16,), field),
            f"masked-fourier-{name}-image-1d-odd": _fourier((15,), field),
            f"masked-fourier-{name}-image-2d": _fourier((6, 5), field),
            f"identity-{name}-image": _identity((6, 5), field),
            f"pixel-mask-{name}-image-1d": _pixels(mask_of((15,)), field),
            f"pixel-mask-{name}-image-2d-of-integers": _pixels(mask_of((6, 5)).astype(int), field),
            f"real-matrix-{name}-image": _matrix(_dense(15, 30), (6, 5), field),
            f"complex-matrix-{name}-image": _matrix(_dense(15, 30, is_complex=True), (6, 5), field),
            f"rank-deficient-matrix-{name}-image": _matrix(_dense(15, 15, rank=4), (15,), field),
            f"tall-complex-matrix-{name}-image": _matrix(
                _dense(30, 15, is_complex=True), (15,), field
            ),
            f"one-row-matrix-{name}-image": _matrix(_dense(1, 30), (6, 5), field),
            f"multi-coil-{name}-image-1d": _coils(3, (15,), field),
            f"multi-coil-{name}-image-2d": _coils(2, (6, 5), field),
            f"one-coil-{name}-image": _coils(1, (6, 5), field),
        }
    return cases


CASES: Mapping[str, Case] = _all_cases()
