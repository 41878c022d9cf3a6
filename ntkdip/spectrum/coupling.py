"""How a kernel couples frequencies, from products with it alone.

`kernel_content` transforms a dense matrix.  Here the same quantities come from ``W @ v``:
exact columns of ``|F W F^H|`` at chosen frequencies, and an estimate, with its standard
error, of the share of energy off the diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float64, PRNGKeyArray

from ntkdip.kernels import Kernel
from ntkdip.kernels.probing import jackknife_error
from ntkdip.progress import ticking
from ntkdip.spectrum.fourier import frequency_radius, mirror


class KernelColumns(NamedTuple):
    """Columns of ``|F W F^H|`` at chosen frequencies.

    ``radius`` (q,): radius of each row's frequency, rising, in cycles a field of view.
    ``frequency`` (m, d): the frequencies asked for, brought within the Nyquist frequency.
    ``magnitude`` (q, m): root of the summed squares over real and imaginary parts.
    ``off_diagonal`` (m,): share of each column's energy on any frequency but ``+-k``.
    """

    radius: Float64[np.ndarray, " q"]
    frequency: np.ndarray
    magnitude: Float64[np.ndarray, "q m"]
    off_diagonal: Float64[np.ndarray, " m"]


class OffDiagonalEstimate(NamedTuple):
    """Estimated share of energy off the diagonal, its standard error, number of probes."""

    share: float
    standard_error: float
    probes: int


def kernel_columns(W: Kernel, frequencies: Sequence[tuple[int, ...]]) -> KernelColumns:
    """Exact columns of ``|F W F^H|``: the kernel's answer to single Fourier modes.

    Parameters
    ----------
    W
        Kernel, dense or matrix-free.
    frequencies
        One tuple a column, in cycles a field of view along each axis; negative ones and
        those beyond the Nyquist frequency are taken modulo the shape.

    Returns
    -------
    `KernelColumns`; the columns of `kernel_content` at these frequencies.  A frequency that
    the kernel does not reach answers with rounding, and its share means nothing.  Cost: two
    products with ``W`` a frequency, four for complex images.
    Source: design page, section 1, Corollary 1.

    Raises
    ------
    ValueError
        If no frequency is given, or one has not as many entries as the image has axes.
    """
    space, shape = W.space, W.space.shape
    if not frequencies or any(len(f) != len(shape) for f in frequencies):
        raise ValueError(
            f"frequencies on {space} are tuples of {len(shape)} integers; got {list(frequencies)}"
        )
    q, parts = space.size, space.real_size // space.size
    flat = np.array([np.ravel_multi_index(f, shape, mode="wrap") for f in frequencies])
    energy = np.empty((q, flat.size))
    for column, k in enumerate(flat):
        mode = _inverse(np.eye(1, q, k), shape)[0]
        waves = np.kron(np.eye(parts), np.stack([mode.real, mode.imag], axis=1))
        answers = (W @ waves).reshape(parts, q, parts, 2)
        spectra = _forward((answers @ np.array([1, 1j])).transpose(0, 2, 1), shape)
        energy[:, column] = (np.abs(spectra) ** 2).sum((0, 1))
    columns, opposite = np.arange(flat.size), mirror(shape)[flat]
    paired = np.where(opposite == flat, 0.0, energy[opposite, columns])
    kept, total = energy[flat, columns] + paired, energy.sum(0)
    diagonal = np.divide(kept, total, out=np.ones_like(total), where=total > 0)
    radius = frequency_radius(shape).ravel()
    order = np.argsort(radius, kind="stable")
    half = np.array(shape) // 2
    return KernelColumns(
        radius[order],
        (np.array(frequencies) + half) % shape - half,
        np.sqrt(energy[order]),
        np.maximum(1 - diagonal, 0.0),
    )


def off_diagonal_estimate(W: Kernel, *, key: PRNGKeyArray, probes: int = 32) -> OffDiagonalEstimate:
    """Share of the energy of ``F W F^H`` off its diagonal, estimated from products alone.

    A random sign for every pair ``+-k`` conjugates the kernel: ``S F W F^H S``.  That
    leaves the diagonal alone and flips entries off it, so their energy is the
    variance over draws of the answer to a fixed input.  The input is a comb of all
    cosines, then of all sines, so that every column is seen.  Nothing is lost to cancellation:
    a circulant kernel gives 0 to rounding from any number of probes.

    Parameters
    ----------
    W
        Kernel, dense or matrix-free.
    key
        JAX key; the same key gives the same estimate.
    probes
        Number of sign draws, at least 3.

    Returns
    -------
    `OffDiagonalEstimate` of `KernelContent.off_diagonal`; share and standard error by the
    jackknife over draws.  Cost: two products with ``W`` a probe, four for complex images,
    and ``32 n`` bytes a probe (``64 n`` for complex images).  Source: ours.

    Raises
    ------
    ValueError
        If ``probes`` is below 3, or the kernel answers 0 to every probe.
    """
    if probes < 3:
        raise ValueError(f"a standard error needs at least 3 probes; got {probes}")
    shape, q = W.space.shape, W.space.size
    parts = W.space.real_size // q
    pair = np.minimum(np.arange(q), mirror(shape))
    draws = np.asarray(jax.random.rademacher(key, (probes, q), dtype=np.int8))
    signs = draws.astype(np.float64)[:, pair]
    comb = _paired_modes(shape)
    answers = np.empty((probes, parts, 2 * parts, q), np.complex128)
    with ticking(f"off-diagonal energy of a kernel from {probes} probes"):
        for sign, answer in zip(signs, answers, strict=True):
            waves = np.kron(np.eye(parts), _inverse(comb * sign, shape).real.T)
            images = (W @ waves).reshape(parts, q, 2 * parts)
            answer[...] = sign * _forward(images.transpose(0, 2, 1), shape)
    return _jackknife(answers.reshape(probes, -1))


def _paired_modes(shape: tuple[int, ...]) -> np.ndarray:
    """Two real combs in k-space, (2, q): unit cosines of every pair ``+-k``, unit sines."""
    index, opposite = np.arange(np.prod(shape)), mirror(shape)
    cosines = np.where(index == opposite, 1.0, np.sqrt(0.5)).astype(np.complex128)
    sines = np.sign(index - opposite) * 1j * np.sqrt(0.5)
    return np.stack([cosines, sines])


def _jackknife(answers: np.ndarray) -> OffDiagonalEstimate:
    """Variance over mean square of the rows of (N, m), with its standard error."""
    N = answers.shape[0]
    squares = (np.abs(answers) ** 2).sum(1)
    if not squares.sum() > 0:
        raise ValueError("the kernel answers 0 to every probe; a zero kernel has no diagonal share")
    deviations = (np.abs(answers - answers.mean(0)) ** 2).sum(1)
    share = deviations.sum() / (N - 1) / squares.mean()
    without = (deviations.sum() - deviations * N / (N - 1)) / (N - 2)
    shares = without / ((squares.sum() - squares) / (N - 1))
    corrected = N * share - (N - 1) * shares.mean()
    return OffDiagonalEstimate(float(np.clip(corrected, 0, 1)), jackknife_error(shares), N)


def _forward(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Orthonormal Fourier transform of the last axis, (..., q), as images of ``shape``."""
    axes = range(-len(shape), 0)
    images = rows.reshape(*rows.shape[:-1], *shape)
    return np.fft.fftn(images, axes=axes, norm="ortho").reshape(rows.shape)


def _inverse(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Inverse of `_forward`."""
    axes = range(-len(shape), 0)
    images = rows.reshape(*rows.shape[:-1], *shape)
    return np.fft.ifftn(images, axes=axes, norm="ortho").reshape(rows.shape)
