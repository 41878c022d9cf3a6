"""Kernels and operators of every kind, each with a matrix made by NumPy alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from ntkdip import operators
from ntkdip.data import ring_sensitivities
from ntkdip.kernels import BothParts, DenseKernel, Kernel, StationaryKernel
from ntkdip.kernels.infinite.bloch import mirrored
from ntkdip.kernels.infinite.low_rank import LowRankKernel
from ntkdip.operators import LinearOperator
from ntkdip.spaces import Space
from ntkdip.theory.cases import fourier_matrix

SHAPE = (4, 6)
Q = 24


def _mask() -> np.ndarray:
    """Asymmetric under ``k -> -k``."""
    return np.random.default_rng(2).random(SHAPE) < 0.45


def _embedded(matrix: np.ndarray, complex_image: bool) -> np.ndarray:
    """The real matrix of a complex one between real embeddings."""
    real = np.block([[matrix.real, -matrix.imag], [matrix.imag, matrix.real]])
    return real if complex_image else real[:, : matrix.shape[1]]


def masked_fourier(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    A = operators.masked_fourier(_mask(), complex_image=complex_image)
    return A, fourier_matrix(_mask(), complex_image)


def coils(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    maps = ring_sensitivities(SHAPE, coils=3)
    A = operators.multi_coil_fourier(_mask(), maps, complex_image=complex_image)
    full = fourier_matrix(_mask(), True)
    complex_fourier = full[: len(full) // 2, :Q] + 1j * full[len(full) // 2 :, :Q]
    whole = np.concatenate([complex_fourier * maps[c].ravel() for c in range(3)])
    return A, _embedded(whole, complex_image)


def pixels(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    keep = np.random.default_rng(3).random(SHAPE) < 0.5
    rows = np.eye(Q)[keep.ravel()]
    A = operators.pixel_mask(keep, complex_image=complex_image)
    return A, np.kron(np.eye(2), rows) if complex_image else rows


def matrix(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    """More rows than its rank: data that no image has."""
    rng = np.random.default_rng(4)
    M = rng.standard_normal((10, 4)) @ rng.standard_normal((4, Q)) / Q
    A = operators.from_matrix(M, SHAPE, complex_image=complex_image)
    return A, np.kron(np.eye(2), M) if complex_image else M


def denoising(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    A = operators.identity(SHAPE, complex_image=complex_image)
    return A, np.eye(A.domain.real_size)


def one_sample(complex_image: bool) -> tuple[LinearOperator, np.ndarray]:
    mask = np.zeros(SHAPE, bool)
    mask[1, 4] = True
    A = operators.masked_fourier(mask, complex_image=complex_image)
    return A, fourier_matrix(mask, complex_image)


OPERATORS: dict[str, Callable[[bool], tuple[LinearOperator, np.ndarray]]] = {
    "fourier": masked_fourier,
    "coils": coils,
    "pixels": pixels,
    "matrix": matrix,
    "denoising": denoising,
    "one sample": one_sample,
}


def _gaussian(columns: int, n: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal((n, n))[:, :columns]


def _spectral(values: np.ndarray, space: Space) -> DenseKernel:
    basis = np.linalg.qr(_gaussian(len(values), len(values)))[0]
    W = (basis * values) @ basis.T
    return DenseKernel((W + W.T) / 2, space)


def wishart(space: Space) -> Kernel:
    G = _gaussian(space.real_size, space.real_size)
    return DenseKernel(G @ G.T / len(G), space)


def singular(space: Space) -> Kernel:
    G = _gaussian(space.real_size // 3, space.real_size)
    return DenseKernel(G @ G.T / len(G), space)


def rank_one(space: Space) -> Kernel:
    G = _gaussian(1, space.real_size)
    return DenseKernel(G @ G.T, space)


def ill_conditioned(space: Space) -> Kernel:
    return _spectral(10.0 ** -np.linspace(0, 8, space.real_size), space)


def decaying_to_rounding(space: Space) -> Kernel:
    """Eigenvalues without a gap: none tells zero from small."""
    return _spectral(10.0 ** -np.linspace(0, 20, space.real_size), space)


def white(space: Space) -> Kernel:
    return DenseKernel(np.eye(space.real_size), space)


def factored(space: Space) -> Kernel:
    kernel = LowRankKernel(_gaussian(7, Q), Space(SHAPE, False), np.arange(7), np.zeros(Q))
    return BothParts(kernel) if space.is_complex else kernel


def _stationary(period: tuple[int, ...], rank: int, space: Space) -> Kernel:
    """The mean of a random kernel over the shifts that it is to be invariant under."""
    G = _gaussian(rank, Q)
    W = (G @ G.T).reshape(*SHAPE, *SHAPE)
    steps = [range(0, n, m) for n, m in zip(SHAPE, period, strict=True)]
    shifts = [(a, b) for a in steps[0] for b in steps[1]]
    mean = sum(np.roll(W, (*s, *s), (0, 1, 2, 3)) for s in shifts) / len(shifts)
    rows = np.empty((*period, *SHAPE))
    for phase in np.ndindex(period):
        rows[phase] = np.roll(mean[phase], [-p for p in phase], (0, 1))
    kernel = StationaryKernel((rows + mirrored(rows)) / 2)
    return BothParts(kernel) if space.is_complex else kernel


def circulant(space: Space) -> Kernel:
    return _stationary((1, 1), Q, space)


def periodic(space: Space) -> Kernel:
    return _stationary((2, 2), 3, space)


def coarse(space: Space) -> Kernel:
    """A constant image a coarse pixel, so singular: what nearest upsampling makes."""
    rows = np.zeros((2, 3, *SHAPE))
    for a, b in np.ndindex(2, 3):
        block = np.zeros(SHAPE)
        block[:2, :3] = 1.0
        rows[a, b] = np.roll(block, (-a, -b), (0, 1))
    kernel = StationaryKernel(rows)
    return BothParts(kernel) if space.is_complex else kernel


KERNELS: dict[str, Callable[[Space], Kernel]] = {
    "white": white,
    "wishart": wishart,
    "singular": singular,
    "rank one": rank_one,
    "ill-conditioned": ill_conditioned,
    "down to rounding": decaying_to_rounding,
    "factored": factored,
    "circulant": circulant,
    "periodic": periodic,
    "coarse": coarse,
}


@dataclasses.dataclass(frozen=True)
class Problem:
    """A kernel, an operator, and their matrices from elsewhere."""

    W: Kernel
    A: LinearOperator
    dense: np.ndarray
    matrix: np.ndarray


def make_problem(kernel: str, operator: str, complex_image: bool) -> Problem:
    A, matrix = OPERATORS[operator](complex_image)
    W = KERNELS[kernel](A.domain)
    return Problem(W, A, W.dense(), matrix)
