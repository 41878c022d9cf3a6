"""Fourier content of kernels and of their eigenvectors.  Knows nothing of operators.

A kernel on complex images is a real matrix on ``[Re; Im]``; an eigenvector then is a
complex image.  ``+k`` and ``-k`` are folded together, because a real kernel mixes them
freely (cosines and sines), and frequencies are sorted by their radius in cycles a field
of view.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from ntkdip.kernels import Kernel
from ntkdip.spaces import Space

UNREACHED = 1e-12
"""Share of the largest diagonal entry below which one is float64 rounding."""


class EigenvectorContent(NamedTuple):
    """Where in k-space eigenvectors live, columns sorted by mean frequency.

    ``radius`` (K,): frequency radii in cycles a field of view, rising.
    ``magnitude`` (K, n): ``|F V|`` folded over each radius; a column has norm 1.
    ``mean`` (n,): energy-weighted mean radius of each column, rising.
    ``spread`` (n,): energy-weighted standard deviation of the radius, 0 for a pure mode.
    """

    radius: Float64[np.ndarray, " K"]
    magnitude: Float64[np.ndarray, "K n"]
    mean: Float64[np.ndarray, " n"]
    spread: Float64[np.ndarray, " n"]


def frequency_radius(shape: tuple[int, ...]) -> Float64[np.ndarray, "..."]:
    """Distance of every FFT frequency from zero, in cycles a field of view (FFT order)."""
    axes = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in shape), indexing="ij")
    return np.sqrt(sum(axis**2 for axis in axes))


def ring_energy(V: Float[np.ndarray, "n m"], space: Space) -> Float64[np.ndarray, "K m"]:
    """Energy of images on each ring of frequencies: radii rounded to integers, ``+-k`` folded.

    Parameters
    ----------
    V
        Images as columns on the real embedding of ``space``.
    space
        Space of images.

    Returns
    -------
    ``(K, m)``, float64: row ``r`` holds radius ``r`` in cycles a field of view; a column
    sums to its squared norm.  Cost: one FFT a column.
    """
    images = np.stack([space.unembed(column) for column in V.T])
    kspace = np.fft.fftn(images, axes=range(1, images.ndim), norm="ortho")
    rings = np.rint(frequency_radius(space.shape)).astype(int).ravel()
    energy = np.abs(kspace.reshape(images.shape[0], -1)) ** 2
    return np.stack([np.bincount(rings, weights=row) for row in energy], axis=1)


def eigenvector_content(V: Float[np.ndarray, "n m"], space: Space) -> EigenvectorContent:
    """Magnitude of the Fourier transform of eigenvectors, folded over ``+-k`` (radii in 2D).

    Parameters
    ----------
    V
        Orthonormal columns on the real embedding of ``space``.
    space
        Space of images.

    Returns
    -------
    `EigenvectorContent`.  In 1D a radius is one ``|k|``; in 2D radii are rounded to
    integers.  Columns within a degenerate eigenspace depend on the solver: use
    `eigenspace_content` where eigenvalues come close.
    """
    folded = ring_energy(V, space)
    radius = np.arange(folded.shape[0], dtype=np.float64)
    total = folded.sum(0)
    mean = radius @ folded / total
    variance = np.maximum(radius**2 @ folded / total - mean**2, 0.0)
    order = np.argsort(mean.round(9), kind="stable")
    return EigenvectorContent(
        radius, np.sqrt(folded)[:, order], mean[order], np.sqrt(variance)[order]
    )


class KernelContent(NamedTuple):
    """``|F W F^H|`` with frequencies sorted by radius.

    ``radius`` (q,): radius of each frequency, rising.
    ``magnitude`` (q, q): root of the summed squares over real and imaginary parts.
    ``off_diagonal``: share of the energy that couples a frequency with any but itself and
    its mirror image ``-k``; 0 for a circulant kernel.
    """

    radius: Float64[np.ndarray, " q"]
    magnitude: Float64[np.ndarray, "q q"]
    off_diagonal: float

    @property
    def coherence(self) -> Float64[np.ndarray, "q q"]:
        """``magnitude`` over the root of its diagonal entries: 1 on it, 0 where nothing couples.

        Frequencies that the kernel does not reach (diagonal below `UNREACHED` of the largest)
        have 0.
        """
        diagonal = np.diag(self.magnitude)
        root = np.sqrt(np.where(diagonal > UNREACHED * diagonal.max(), diagonal, np.inf))
        return self.magnitude / np.outer(root, root)

    @property
    def mean_coherence(self) -> float:
        """Root mean square of `coherence` between frequencies of different radius.

        Unlike ``off_diagonal`` it is not ruled by the few largest entries.
        """
        apart = self.radius[:, None] != self.radius
        return float(np.sqrt(np.mean(self.coherence[apart] ** 2)))


def kernel_content(W: Kernel) -> KernelContent:
    """How a kernel couples frequencies: ``|F W F^H|`` (design page, section 1, Corollary 1).

    Parameters
    ----------
    W
        The kernel; its dense matrix is transformed: O(n^2 log n).  Without one, use
        `kernel_columns` and `off_diagonal_estimate`.

    Returns
    -------
    `KernelContent`.  Independent of the order in which a solver returns degenerate
    eigenvectors.
    """
    space, shape = W.space, W.space.shape
    q, parts = space.size, space.real_size // space.size
    blocks = W.dense().reshape(parts, q, parts, q)
    energy = np.zeros((q, q))
    for row in range(parts):
        for column in range(parts):
            block = blocks[row, :, column].reshape(*shape, *shape)
            axes = range(len(shape))
            left = np.fft.fftn(block, axes=axes, norm="ortho")
            both = np.fft.ifftn(left, axes=[len(shape) + a for a in axes], norm="ortho")
            energy += np.abs(both.reshape(q, q)) ** 2
    opposite = mirror(shape)
    same = energy[np.arange(q), np.arange(q)].sum()
    paired = energy[np.arange(q), opposite][opposite != np.arange(q)].sum()
    radius = frequency_radius(shape).ravel()
    order = np.argsort(radius, kind="stable")
    return KernelContent(
        radius[order],
        np.sqrt(energy[np.ix_(order, order)]),
        float(max(1 - (same + paired) / energy.sum(), 0.0)),
    )


def mirror(shape: tuple[int, ...]) -> np.ndarray:
    """Flat index of ``-k`` for every frequency ``k`` in FFT order."""
    index = np.arange(np.prod(shape)).reshape(shape)
    return np.roll(np.flip(index), 1, axis=tuple(range(len(shape)))).ravel()
