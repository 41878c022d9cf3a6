"""Operators of every kind, each with its matrix built in NumPy alone.

The matrices share nothing with the package: Fourier transforms are written out as
exponentials, masks as rows taken, coils as diagonal matrices, convolutions as loops.
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
    measurement itself is; ``build`` makes the operator anew at every call.  ``null_space``:
    whether its projector has a closed form.
    """

    build: Callable[[], operators.LinearOperator]
    matrix: np.ndarray
    shape: tuple[int, ...]
    data_shape: tuple[int, ...]
    complex_image: bool
    complex_data: bool
    null_space: bool = True

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
        matrix, shape, (coils, int(mask.sum())), complex_image, True, null_space=False,
    )  # fmt: skip


def _dense(p: int, q: int, *, rank: int | None = None, is_complex: bool = False) -> np.ndarray:
    rank = min(p, q) if rank is None else rank
    left, right = (_random(s, is_complex, 7, np.float64) for s in [(p, rank), (rank, q)])
    return left @ right / math.sqrt(q)


def weights_of(shape: tuple[int, ...], is_complex: bool) -> np.ndarray:
    """Random weights, some of them 0."""
    weights = _random(shape, is_complex, 11, np.float64)
    weights[::2, ...] *= mask_of(shape)[::2, ...]
    return weights


def _diagonal(shape: tuple[int, ...], complex_image: bool, complex_weights: bool) -> Case:
    weights = weights_of(shape, complex_weights)
    return Case(
        lambda: operators.diagonal(weights, complex_image=complex_image),
        np.diag(weights.ravel()), shape, shape, complex_image, complex_image or complex_weights,
    )  # fmt: skip


def transfer_of(shape: tuple[int, ...], complex_image: bool) -> np.ndarray:
    """A transfer function, 0 at some frequencies; Hermitian, term by term, for real images."""
    h = weights_of(shape, True)
    if complex_image:
        return h
    mirrored = np.empty_like(h)
    for place in np.ndindex(shape):
        mirrored[place] = h[
            tuple((2 * (n // 2) - i) % n for i, n in zip(place, shape, strict=True))
        ]
    zero = (h == 0) | (mirrored == 0)
    return np.where(zero, 0, h + mirrored.conj())


def _circulant(shape: tuple[int, ...], complex_image: bool) -> Case:
    h, F = transfer_of(shape, complex_image), _fourier_matrix(shape)
    matrix = F.conj().T @ np.diag(h.ravel()) @ F
    return Case(
        lambda: operators.circulant(h, complex_image=complex_image),
        matrix if complex_image else matrix.real, shape, shape, complex_image, complex_image,
    )  # fmt: skip


def blur_matrix(kernel: np.ndarray, shape: tuple[int, ...], boundary: str) -> np.ndarray:
    """The definition, pixel by pixel: ``sum_j k[j] x[i - (j - c)]``."""
    rows = []
    for i in np.ndindex(shape):
        row, inside = np.zeros(shape), True
        for j in np.ndindex(kernel.shape):
            place = [a - (b - m // 2) for a, b, m in zip(i, j, kernel.shape, strict=True)]
            inside &= all(0 <= a < n for a, n in zip(place, shape, strict=True))
            row[tuple(a % n for a, n in zip(place, shape, strict=True))] += kernel[j]
        if inside or boundary == "circular":
            rows.append(row.ravel())
    return np.stack(rows)


def kernel_of(size: tuple[int, ...]) -> np.ndarray:
    """A random kernel without symmetry."""
    return np.random.default_rng(13).standard_normal(size)


def _blur(
    size: tuple[int, ...], shape: tuple[int, ...], boundary: str, complex_image: bool
) -> Case:
    kernel, valid = kernel_of(size), boundary == "valid"
    data_shape = tuple(n - k + 1 for n, k in zip(shape, size, strict=True)) if valid else shape
    return Case(
        lambda: operators.blur(kernel, shape, boundary=boundary, complex_image=complex_image),
        blur_matrix(kernel, shape, boundary), shape, data_shape, complex_image, complex_image,
        null_space=not valid,
    )  # fmt: skip


def _downsample(shape: tuple[int, ...], factor: int | tuple[int, ...], complex_image: bool) -> Case:
    factors = np.broadcast_to(factor, len(shape))
    kept = np.zeros(shape, bool)
    for place in np.ndindex(shape):
        kept[place] = all(i % s == 0 for i, s in zip(place, factors, strict=True))
    return Case(
        lambda: operators.downsample(shape, factor, complex_image=complex_image),
        np.eye(kept.size)[kept.ravel()], shape,
        tuple(-(-n // s) for n, s in zip(shape, factors.tolist(), strict=True)),
        complex_image, complex_image,
    )  # fmt: skip


def _from(case: Case, build: Callable, matrix: np.ndarray, **changes) -> Case:
    """Another case with ``case``'s image, made of its operator."""
    return dataclasses.replace(
        case, build=lambda: build(case.build()), matrix=matrix,
        **{"null_space": False} | changes,
    )  # fmt: skip


def _sum(one: Case, two: Case, **changes) -> Case:
    return _from(
        one, lambda A: A - two.build(), one.matrix - two.matrix,
        complex_data=one.complex_data or two.complex_data, **changes,
    )  # fmt: skip


def _scaled(case: Case, factor: complex) -> Case:
    return _from(
        case, lambda A: factor * A, factor * case.matrix, null_space=case.null_space,
        complex_data=case.complex_data or isinstance(factor, complex),
    )  # fmt: skip


def _composed(outer: Case, inner: Case, **changes) -> Case:
    return _from(
        inner, lambda B: outer.build() @ B, outer.matrix @ inner.matrix,
        data_shape=outer.data_shape, complex_data=outer.complex_data, **changes,
    )  # fmt: skip


def _stacked(*cases: Case, **changes) -> Case:
    return Case(
        lambda: operators.stack([case.build() for case in cases]),
        np.concatenate([case.matrix for case in cases]), cases[0].shape,
        (sum(math.prod(case.data_shape) for case in cases),), cases[0].complex_image,
        any(case.complex_data for case in cases), **{"null_space": False} | changes,
    )  # fmt: skip


def _gram_of(case: Case, **changes) -> Case:
    square = case.matrix.conj().T @ case.matrix
    return _from(
        case, lambda A: A.gram, square if case.complex_image else square.real,
        data_shape=case.shape, complex_data=case.complex_image, **changes,
    )  # fmt: skip


def _embedding_of(case: Case) -> Case:
    matrix = case.embedded()
    return Case(
        lambda: case.build().real(), matrix, matrix.shape[1:], matrix.shape[:1], False, False,
        null_space=case.null_space,
    )  # fmt: skip


def _algebra(field: bool) -> dict[str, Case]:
    name, shape = "complex" if field else "real", (6, 5)
    wide, line = _matrix(_dense(15, 30), shape, field), (15,)
    fourier, coils, pixels = _fourier(line, field), _coils(2, shape, field), mask_of(line)
    ridge = _from(
        fourier, lambda A: A.gram + 0.5 * operators.identity(line, field),
        _gram_of(fourier).matrix + 0.5 * np.eye(15),
        data_shape=line, complex_data=field, null_space=True,
    )  # fmt: skip
    return {
        f"sum-of-mixed-fields-{name}-image": _sum(
            _matrix(_dense(15, 30, is_complex=True), shape, field), wide
        ),
        f"difference-of-bases-{name}-image": _sum(
            _diagonal(line, field, False), _circulant(line, field)
        ),
        f"ridge-{name}-image": ridge,
        f"real-multiple-{name}-image": _scaled(fourier, -1.5),
        f"complex-multiple-{name}-image": _scaled(wide, 0.6 - 0.8j),
        f"fourier-of-{name}-blur": _composed(
            _fourier(line, True), _blur((4,), line, "circular", field), null_space=True
        ),
        f"coils-of-{name}-blur": _composed(
            _coils(2, shape, True), _blur((3, 2), shape, "circular", field)
        ),
        f"super-resolution-{name}-image": _composed(
            _downsample(shape, 2, field), _blur((3, 2), shape, "circular", field)
        ),
        f"stack-of-circulants-{name}-image": _stacked(
            fourier, _blur((4,), line, "circular", field), null_space=True
        ),
        f"stack-of-mixed-fields-{name}-image": _stacked(_pixels(pixels, field), fourier),
        f"gram-of-coils-{name}-image": _gram_of(coils),
        f"gram-of-matrix-{name}-image": _gram_of(wide, null_space=True),
        f"real-embedding-of-fourier-{name}-image": _embedding_of(fourier),
        f"real-embedding-of-coils-{name}-image": _embedding_of(coils),
    }


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
        cases |= {
            f"real-diagonal-{name}-image": _diagonal((15,), field, False),
            f"complex-diagonal-{name}-image": _diagonal((6, 5), field, True),
            f"circulant-{name}-image-1d-even": _circulant((16,), field),
            f"circulant-{name}-image-1d-odd": _circulant((15,), field),
            f"circulant-{name}-image-2d": _circulant((6, 5), field),
            f"blur-{name}-image-1d": _blur((4,), (15,), "circular", field),
            f"blur-{name}-image-2d": _blur((3, 2), (6, 5), "circular", field),
            f"valid-blur-{name}-image-1d": _blur((4,), (15,), "valid", field),
            f"valid-blur-{name}-image-2d": _blur((3, 2), (6, 5), "valid", field),
            f"downsample-{name}-image-1d": _downsample((16,), 3, field),
            f"downsample-{name}-image-2d": _downsample((6, 5), (2, 3), field),
        }
        cases |= _algebra(field)
    return cases


CASES: Mapping[str, Case] = _all_cases()
