"""Kernels that shifts leave as they are, kept as one row a phase.

A kernel that is invariant under circular shifts by ``m`` pixels never mixes frequencies that
are not a whole number of coarse periods apart (Bloch's theorem).  With pixels taken apart
into ``m`` phases on a coarse grid it is block-circulant: one Hermitian matrix of the size of
a phase cell for every coarse frequency, all of them from FFTs of the rows.  For ``m = 1`` the
kernel is circulant, and its eigenvectors are cosines and sines.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable
from functools import cached_property

import numpy as np
import scipy.fft
from jaxtyping import Float, Float64, Inexact, Int

from ntkdip.kernels.memory import require_memory
from ntkdip.progress import track
from ntkdip.spaces import Space, require_finite

RANK_TOLERANCE = 1e-12
"""Eigenvalues within this share of the largest from 0 count as zero in `solve`."""

ENTRIES = 2**21
"""Complex entries that are worked on at a time."""


@dataclasses.dataclass(frozen=True, eq=False)
class StationaryKernel:
    """A symmetric kernel on real images, invariant under circular shifts by ``period``.

    ``rows[phase..., offset...] = W[phase, phase + offset]``, pixels taken around the edges:
    the rows of the first ``period`` pixels along every axis are all that there is to know.

    Parameters
    ----------
    rows
        float64 ``(*period, *shape)`` for images of ``shape``, 1D or 2D.  The period divides
        the side along every axis.

    Raises
    ------
    ValueError
        If the array is not of that kind, has entries that are NaN or infinite, or is
        asymmetric by more than 1e-10 of its largest entry.

    Notes
    -----
    With ``q`` pixels and ``M = prod(period)`` phases: memory ``8 M q`` bytes, and as much for
    the blocks of the coarse frequencies once a product was taken.  Nothing is done about
    negative eigenvalues of the size of rounding.  Source: Corollary 1 (design page,
    section 1); Bloch's theorem.
    """

    rows: Float64[np.ndarray, "..."]

    def __post_init__(self) -> None:
        rows = self.rows
        axes = rows.ndim // 2
        fits = rows.ndim in (2, 4) and all(
            m and n and n % m == 0
            for m, n in zip(rows.shape[:axes], rows.shape[axes:], strict=True)
        )
        if not fits or rows.dtype != np.float64:
            raise ValueError(
                "rows are a float64 array (*period, *shape) for 1D or 2D images, with periods "
                f"that divide the sides; got {rows.dtype} of shape {rows.shape}"
            )
        require_finite(rows, "kernel")
        asymmetry, largest = np.abs(rows - mirrored(rows)).max(), np.abs(rows).max()
        if asymmetry > 1e-10 * largest:
            raise ValueError(
                "a kernel is symmetric: W[p, p + d] = W[p + d, p]; these rows miss it by "
                f"{asymmetry:.3g} (largest entry {largest:.3g}). Use (rows + "
                "ntkdip.kernels.infinite.bloch.mirrored(rows)) / 2 if that is rounding"
            )

    @property
    def space(self) -> Space:
        """Space of real images."""
        return Space(self.rows.shape[self.rows.ndim // 2 :], False)

    @property
    def period(self) -> tuple[int, ...]:
        """Shifts along every axis that leave the kernel as it is, in pixels."""
        return self.rows.shape[: self.rows.ndim // 2]

    def __matmul__(self, v: Float[np.ndarray, "n *m"]) -> Float64[np.ndarray, "n *m"]:
        """``W v`` for ``(n,)`` or ``(n, m)``: two FFTs and a small product a frequency.

        Exact to rounding.  Raises `ValueError` for other shapes and complex vectors.  Cost:
        ``O(q log q + M q)`` a column.
        """
        return self._by_frequency(v, lambda modes: _times(self._blocks, modes))

    def dense(self) -> Float64[np.ndarray, "n n"]:
        """The matrix; raises `MemoryError` if its ``8 q^2`` bytes are not available."""
        n, shape = self.space.size, self.space.shape
        require_memory(
            8 * n**2,
            f"the dense matrix of a kernel on {self.space}",
            None,
            "products, eigenvalues(), eigh(k) and solve() need none; or use a smaller image",
        )
        W = np.empty((*shape, n))
        for phase in np.ndindex(self.period):
            tiled = np.tile(self.rows[phase], (2,) * len(shape))
            starts = [range(p, s, m) for p, s, m in zip(phase, shape, self.period, strict=True)]
            for pixel in itertools.product(*starts):
                # Row x is the phase's row, moved by x around the edges.
                window = tuple(slice(s - x, 2 * s - x) for x, s in zip(pixel, shape, strict=True))
                W[pixel] = tiled[window].ravel()
        return W.reshape(n, n)

    def eigenvalues(self) -> Float64[np.ndarray, " n"]:
        """All eigenvalues, falling; negative ones of the size of rounding are left in.

        Cost: ``O(M q log q)`` for the FFTs, and one Hermitian eigenproblem of size ``M`` a
        coarse frequency, ``O(M^2 q)`` together.
        """
        kept, counts = self._kept_modes
        values = np.repeat(self._values, counts[kept], axis=0).ravel()
        return np.sort(values)[::-1]

    def eigh(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Largest eigenvalues, falling, and real orthonormal eigenvectors as columns.

        Parameters
        ----------
        k
            How many, 1 to n; all if None.

        Returns
        -------
        ``(k,)`` and ``(n, k)``, float64.  A frequency and its negative share their
        eigenvalues: real and imaginary part of a complex wave, next to each other.

        Raises
        ------
        ValueError
            If there are not so many.
        MemoryError
            If the ``8 n k`` bytes of the vectors are not available.
        """
        n = self.space.size
        k = n if k is None else k
        if not 1 <= k <= n:
            raise ValueError(f"a kernel on {self.space} has {n} eigenpairs; got k={k}")
        require_memory(
            8 * n * k + 64 * ENTRIES,
            f"{k:,} eigenvectors of a kernel on {self.space}",
            None,
            "eigenvalues() gives all values, eigh(k) the leading vectors",
        )
        kept, counts = self._kept_modes
        M = self._values.shape[1]
        # Every pair of opposite frequencies is there once, and counts twice.
        each = np.repeat(np.arange(self._values.size), np.repeat(counts[kept], M))
        second = np.append(False, each[1:] == each[:-1])
        values = self._values.ravel()[each]
        order = np.argsort(-values, kind="stable")[:k]
        mode, member = np.divmod(each[order], M)
        return values[order], self._waves(kept[mode], member, second[order])

    def solve(
        self, v: Float[np.ndarray, "n *m"], ridge: float = 0.0
    ) -> Float64[np.ndarray, "n *m"]:
        """``(W + ridge I)^-1 v``; without a ridge ``W^+ v``, the solution of least norm.

        Parameters
        ----------
        v
            ``(n,)`` or ``(n, m)``.
        ridge
            Finite and at least 0.  For 0, eigenvalues within 1e-12 of the largest from zero
            count as zero.

        Raises
        ------
        ValueError
            If the ridge is no such number, or so small that ``W + ridge I`` is not positive
            definite to rounding.

        Notes
        -----
        Cost: that of the eigenpairs of all blocks once, ``16 M q`` bytes, kept; then as for
        a product.
        """
        if not 0 <= ridge < math.inf:
            raise ValueError(f"ridge is a finite number, at least 0; got {ridge}")
        shifted = self._eigenblocks[0] + ridge
        least, largest = shifted.min(), np.abs(shifted).max()
        if ridge > 0 and least <= np.finfo(float).eps * largest:
            raise ValueError(
                f"W + {ridge:.3g} I is not positive definite to rounding: its eigenvalues run "
                f"from {least:.3g} to {largest:.3g}; use a larger ridge, or 0 for the "
                "pseudo-inverse"
            )
        zero = np.abs(shifted) <= (0 if ridge else RANK_TOLERANCE * largest)
        return self._function(v, np.where(zero, 0.0, 1 / np.where(zero, 1.0, shifted)))

    def root(self) -> StationaryKernel:
        """``W^(1/2)``: times white noise, a draw of the Gaussian process with covariance ``W``.

        Negative eigenvalues, of the size of rounding, count as 0.
        """
        phases, axes = list(np.ndindex(self.period)), tuple(range(len(self.period)))
        units = np.zeros((*self.space.shape, len(phases)))
        for i, phase in enumerate(phases):
            units[(*phase, i)] = 1
        values = np.sqrt(np.maximum(self._eigenblocks[0], 0))
        columns = self._function(units.reshape(-1, len(phases)), values).reshape(units.shape)
        rows = np.empty_like(self.rows)
        for i, phase in enumerate(phases):
            rows[phase] = np.roll(columns[..., i], [-p for p in phase], axes)
        return StationaryKernel((rows + mirrored(rows)) / 2)

    @property
    def _coarse(self) -> tuple[int, ...]:
        """Cells of one period along every axis."""
        return tuple(n // m for n, m in zip(self.space.shape, self.period, strict=True))

    @property
    def _half(self) -> tuple[int, ...]:
        """Coarse frequencies that a real FFT keeps."""
        *others, last = self._coarse
        return (*others, last // 2 + 1)

    @cached_property
    def _kept_modes(self) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " K"]]:
        """Flat index of one of every two opposite frequencies, and how often each counts.

        1 where a frequency is its own opposite, 2 for one of a pair, 0 for the other one,
        which is among a real FFT's frequencies where the last axis' is its own opposite.
        """
        index = np.indices(self._half).reshape(len(self._half), -1)
        sizes = np.array(self._coarse)[:, None]
        opposite = -index % sizes
        there = opposite[-1] < self._half[-1]
        opposite[-1] *= there
        twin = np.ravel_multi_index(tuple(opposite), self._half)
        here = np.arange(index.shape[1])
        counts = np.where(there, np.where(twin == here, 1, 2 * (here < twin)), 2)
        return np.flatnonzero(counts), counts

    @cached_property
    def _blocks(self) -> Inexact[np.ndarray, "K M M"]:
        """``H(k)_ab = sum_t W[a, m t + b] exp(2 pi i k t / N)`` for phases ``a, b``."""
        M, axes = math.prod(self.period), len(self.period)
        blocks = np.empty((math.prod(self._half), M, M), float if M == 1 else complex)
        for i, phase in enumerate(np.ndindex(self.period)):
            row = np.roll(self.rows[phase], phase, tuple(range(axes)))
            modes = scipy.fft.rfftn(self._in_cells(row[..., None]), axes=range(axes))
            # Symmetry makes a single phase's values real.
            blocks[:, i] = modes.reshape(-1, M).real if M == 1 else modes.reshape(-1, M).conj()
        own = self._kept_modes[1] == 1
        blocks[own] = blocks[own].real
        return blocks

    @cached_property
    def _values(self) -> Float64[np.ndarray, "kept M"]:
        """Eigenvalues of the blocks of `_kept_modes`, rising in each."""
        kept = self._kept_modes[0]
        if self._blocks.shape[1] == 1:
            return self._blocks[kept, 0]
        chunks = [np.linalg.eigvalsh(self._blocks[some]) for some in self._chunks(kept)]
        return np.concatenate(chunks)

    @cached_property
    def _eigenblocks(self) -> tuple[Float64[np.ndarray, "K M"], Inexact[np.ndarray, "K M M"]]:
        require_memory(
            16 * self._blocks.size + 64 * ENTRIES,
            f"the eigenvectors of all blocks of a kernel on {self.space}",
            None,
            "eigenvalues() needs none, eigh(k) some",
        )
        return self._eigenvectors(np.arange(len(self._blocks)))

    def _eigenvectors(
        self, modes: Int[np.ndarray, " k"]
    ) -> tuple[Float64[np.ndarray, "k M"], Inexact[np.ndarray, "k M M"]]:
        """Eigenpairs of some blocks; real vectors where a frequency is its own opposite."""
        M = self._blocks.shape[1]
        if M == 1:
            return self._blocks[modes, 0], np.ones((len(modes), 1, 1))
        values, vectors = np.empty((len(modes), M)), np.empty((len(modes), M, M), complex)
        for places in self._chunks(np.arange(len(modes))):
            values[places], vectors[places] = np.linalg.eigh(self._blocks[modes[places]])
        own = np.flatnonzero(self._kept_modes[1][modes] == 1)
        values[own], vectors[own] = np.linalg.eigh(self._blocks[modes[own]].real)
        return values, vectors

    def _chunks(self, items: np.ndarray) -> Iterable[np.ndarray]:
        M = self._blocks.shape[1]
        parts = -(-len(items) * M**2 // ENTRIES)
        return track(np.array_split(items, parts), f"{len(items)} eigenproblems of size {M}")

    def _waves(
        self, modes: np.ndarray, members: np.ndarray, second: np.ndarray
    ) -> Float64[np.ndarray, "n k"]:
        """Real eigenvectors: real or (``second``) imaginary parts of Bloch waves."""
        used, place = np.unique(modes, return_inverse=True)
        vectors, counts = self._eigenvectors(used)[1], self._kept_modes[1]
        coarse, axes, n = self._coarse, len(self.period), self.space.size
        found = np.empty((n, len(modes)))
        for some in np.array_split(np.arange(len(modes)), -(-len(modes) * n // ENTRIES)):
            wave = vectors[place[some], :, members[some]].reshape(-1, *(1,) * axes, *self.period)
            index = np.unravel_index(modes[some], self._half)
            for axis, (k, N) in enumerate(zip(index, coarse, strict=True)):
                # Whole turns are taken off as integers, so that long waves stay exact.
                turns = np.outer(k, np.arange(N)) % N / N
                sizes = [N if a == axis else 1 for a in range(2 * axes)]
                wave = wave * np.exp(2j * np.pi * turns).reshape(-1, *sizes)
            part = np.where(second[some].reshape(-1, *(1,) * (2 * axes)), wave.imag, wave.real)
            part = part * np.sqrt(counts[modes[some]] / math.prod(coarse)).reshape(
                -1, *(1,) * (2 * axes)
            )
            found[:, some] = self._in_pixels(np.moveaxis(part, 0, -1)).reshape(n, -1)
        return found

    def _function(self, v: np.ndarray, values: np.ndarray) -> np.ndarray:
        """A function of ``W`` times ``v``, by its values on the eigenvalues of all blocks."""
        vectors = self._eigenblocks[1]

        def applied(modes: np.ndarray) -> np.ndarray:
            inside = _times(vectors.conj().transpose(0, 2, 1), modes)
            return _times(vectors, values[..., None] * inside)

        return self._by_frequency(v, applied)

    def _by_frequency(
        self, v: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """``v`` after a change of its coefficients ``(K, M, columns)``, some columns at a time."""
        n, axes = self.space.size, range(len(self.period))
        v = np.asarray(v)
        if v.ndim not in (1, 2) or len(v) != n or np.iscomplexobj(v):
            raise ValueError(
                f"a kernel on {self.space} acts on real vectors ({n},) or ({n}, m); got "
                f"{v.dtype} of shape {v.shape}"
            )
        columns = v.reshape(n, -1).astype(np.float64, copy=False)
        result = np.empty(columns.shape)
        width = max(1, ENTRIES // n)
        for start in range(0, columns.shape[1], width):
            some = slice(start, start + width)
            cells = self._in_cells(columns[:, some].reshape(*self.space.shape, -1))
            modes = scipy.fft.rfftn(cells, axes=axes)
            changed = function(modes.reshape(len(self._blocks), -1, cells.shape[-1]))
            cells = scipy.fft.irfftn(changed.reshape(modes.shape), s=self._coarse, axes=axes)
            result[:, some] = self._in_pixels(cells).reshape(n, -1)
        return result.reshape(v.shape)

    def _in_cells(self, images: np.ndarray) -> np.ndarray:
        """From ``(*shape, columns)`` to ``(*coarse, *period, columns)``."""
        axes = len(self.period)
        split = [size for pair in zip(self._coarse, self.period, strict=True) for size in pair]
        order = (*range(0, 2 * axes, 2), *range(1, 2 * axes, 2), 2 * axes)
        return images.reshape(*split, images.shape[-1]).transpose(order)

    def _in_pixels(self, cells: np.ndarray) -> np.ndarray:
        """The inverse of `_in_cells`."""
        axes = len(self.period)
        order = [a + part for a in range(axes) for part in (0, axes)]
        return cells.transpose(*order, 2 * axes).reshape(*self.space.shape, cells.shape[-1])


def mirrored(rows: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Rows of the transpose: ``W[p + d, p]`` where the rows hold ``W[p, p + d]``."""
    axes = rows.ndim // 2
    phases, offsets = [], []
    for axis, (m, n) in enumerate(zip(rows.shape[:axes], rows.shape[axes:], strict=True)):
        sizes = [s if a % axes == axis else 1 for a, s in enumerate(rows.shape)]
        other = np.arange(m)[:, None] + np.arange(n)
        phases.append((other % m).reshape(sizes))
        offsets.append((-np.arange(n) % n).reshape([1] * axes + sizes[axes:]))
    return rows[tuple(phases + offsets)]


def _times(blocks: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Block by block; one by one, multiplying is much faster than a stack of matrix products."""
    return blocks * modes if blocks.shape[1] == 1 else blocks @ modes
