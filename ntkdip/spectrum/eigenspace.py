"""Eigenspaces: what of a spectrum does not depend on the solver.

Within a degenerate eigenspace a solver returns an arbitrary orthonormal basis.  Only its
projector ``P = V V^T`` belongs to the kernel: everything here is a function of ``P``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from ntkdip.kernels import Kernel
from ntkdip.spaces import Space
from ntkdip.spectrum.fourier import ring_energy


class Eigenspace(NamedTuple):
    """Eigenvectors whose eigenvalues a solver cannot tell apart.

    ``value``: mean eigenvalue.  ``basis`` (n, d): orthonormal columns on the real
    embedding, one of many bases.  ``complete``: False if the next eigenvalue was not
    computed, so that vectors of this eigenspace may be missing.
    """

    value: float
    basis: Float64[np.ndarray, "n d"]
    complete: bool

    @property
    def dimension(self) -> int:
        """Number of real directions ``d``."""
        return self.basis.shape[1]


class EigenspaceContent(NamedTuple):
    """Where in k-space eigenspaces live, sorted by mean frequency (equal ones by eigenvalue).

    ``radius`` (K,): frequency radii in cycles a field of view, rising.
    ``energy`` (K, m): share of each projector on each radius; a column sums to 1.
    ``mean``, ``spread`` (m,): mean and standard deviation of the radius in each column.
    ``value``, ``dimension`` (m,): eigenvalue and dimension of each eigenspace.
    """

    radius: Float64[np.ndarray, " K"]
    energy: Float64[np.ndarray, "K m"]
    mean: Float64[np.ndarray, " m"]
    spread: Float64[np.ndarray, " m"]
    value: Float64[np.ndarray, " m"]
    dimension: np.ndarray


def eigenspaces(
    values: Float64[np.ndarray, " k"], vectors: Float64[np.ndarray, "n k"], rtol: float = 1e-6
) -> list[Eigenspace]:
    """Eigenpairs grouped into eigenspaces: neighbours closer than a tolerance belong together.

    Parameters
    ----------
    values, vectors
        Eigenvalues, falling, and orthonormal eigenvectors as columns, as from `Kernel.eigh`.
    rtol
        Neighbours with ``lambda_i - lambda_{i+1} <= rtol * lambda_i`` share an eigenspace,
        and so do those closer than ``n eps lambda_1``, the rounding of a float64 solver.
        A kernel computed in float32 splits its eigenspaces by about 1e-7 of ``lambda_1``.

    Returns
    -------
    Eigenspaces, falling.  The last is not `Eigenspace.complete` unless ``k = n``.
    Cost: O(k); bases are views.  Source: ours.

    Raises
    ------
    ValueError
        If the eigenvalues do not fall, or ``rtol`` is negative.
    """
    gaps, largest = -np.diff(values), np.abs(values).max()
    rounding = vectors.shape[0] * np.finfo(np.float64).eps * largest
    if rtol < 0:
        raise ValueError(f"rtol must not be negative; got {rtol}")
    if (gaps < -rounding).any():
        raise ValueError("eigenvalues must fall with rank; sort pairs as Kernel.eigh does")
    apart = gaps > np.maximum(rtol * np.abs(values[:-1]), rounding)
    edges = [0, *(np.flatnonzero(apart) + 1).tolist(), values.size]
    return [
        Eigenspace(
            float(values[a:b].mean()), vectors[:, a:b], b < values.size or b == vectors.shape[0]
        )
        for a, b in itertools.pairwise(edges)
    ]


def leading_eigenspaces(W: Kernel, k: int, rtol: float = 1e-6) -> list[Eigenspace]:
    """All complete eigenspaces among the ``k`` leading eigenvectors.

    Parameters
    ----------
    W
        Kernel, dense or matrix-free; asked for ``min(k + 1, n)`` eigenpairs, the last of
        which only tells whether the ``k``-th eigenspace ends there.
    k
        Number of eigenvectors.
    rtol
        As in `eigenspaces`.

    Returns
    -------
    Eigenspaces, falling; their dimensions add to ``k``, or to less if an eigenspace
    reaches beyond ``k``.

    Raises
    ------
    ValueError
        If ``k`` is not within 1 to ``n``, or the first eigenspace reaches beyond ``k``.
    """
    n = W.space.real_size
    if not 1 <= k <= n:
        raise ValueError(f"k must be within 1 to {n}, the real dimension of {W.space}; got {k}")
    spaces = [s for s in eigenspaces(*W.eigh(min(k + 1, n)), rtol) if s.complete]
    if not spaces:
        raise ValueError(
            f"the leading eigenspace has more than {k} dimensions (rtol={rtol}); ask for a larger k"
        )
    return spaces


def eigenspace_content(spaces: Sequence[Eigenspace], space: Space) -> EigenspaceContent:
    """Fourier content of eigenspaces, folded over ``+-k`` (radii in 2D).

    Parameters
    ----------
    spaces
        Eigenspaces on the real embedding of ``space``.
    space
        Space of images.

    Returns
    -------
    `EigenspaceContent`: ``tr(P F^H R F) / d`` for every ring ``R`` of frequencies,
    whichever basis a solver chose.  An incomplete eigenspace still depends on it.
    Cost: one FFT an eigenvector.  Source: ours.
    """
    energy = np.stack([ring_energy(s.basis, space).mean(1) for s in spaces], axis=1)
    radius = np.arange(energy.shape[0], dtype=np.float64)
    mean = radius @ energy
    spread = np.sqrt(np.maximum(radius**2 @ energy - mean**2, 0.0))
    order = np.argsort(mean.round(9), kind="stable")
    value, dimension = (np.array([getattr(s, f) for s in spaces]) for f in ("value", "dimension"))
    return EigenspaceContent(
        radius, energy[:, order], mean[order], spread[order], value[order], dimension[order]
    )


def eigenspace_image(eigenspace: Eigenspace, space: Space) -> Any:
    """The unit image ``P e / ||P e||`` of an eigenspace, ``e`` its most prominent pixel.

    ``e`` is the pixel (for complex images: real or imaginary part) with the largest
    ``P_ii``; of equal ones the nearest to the centre.  For a single eigenvector this is
    the vector itself, with the sign that makes this pixel positive; for a larger
    eigenspace it is what the eigenspace makes of that pixel, whichever basis was chosen.

    Parameters
    ----------
    eigenspace
        Basis on the real embedding of ``space``.
    space
        Space of images.

    Returns
    -------
    Image of ``space``, float64 or complex128, of norm 1.  Cost: O(n d).  Source: ours.
    """
    diagonal = np.einsum("nd,nd->n", eigenspace.basis, eigenspace.basis)
    ties = np.flatnonzero(diagonal > (1 - 1e-6) * diagonal.max())
    pixels = np.array(np.unravel_index(ties % space.size, space.shape))
    centre = np.array(space.shape)[:, None] // 2
    e = ties[np.argmin(((pixels - centre) ** 2).sum(0))]
    return space.unembed(eigenspace.basis @ eigenspace.basis[e] / np.sqrt(diagonal[e]))


def projector_distance(U: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n e"]) -> float:
    """``||U U^T - V V^T||_2``: the sine of the largest principal angle between two spans.

    Parameters
    ----------
    U, V
        Orthonormal columns.

    Returns
    -------
    Between 0 (the same subspace) and 1; 1 for unequal dimensions.  Accurate for small
    angles; projectors are not formed.  Cost: O(n d^2).
    Source: Golub and Van Loan, Matrix Computations, section 2.5.3.

    Raises
    ------
    ValueError
        If columns are not orthonormal to 1e-6.
    """
    for name, basis in (("U", U), ("V", V)):
        defect = np.abs(basis.T @ basis - np.eye(basis.shape[1])).max()
        if defect > 1e-6:
            raise ValueError(
                f"columns of {name} must be orthonormal; {name}^T {name} differs from the "
                f"identity by {defect:.3g}. Use numpy.linalg.qr"
            )
    if U.shape[1] != V.shape[1]:
        return 1.0
    return min(float(np.linalg.norm(V - U @ (U.T @ V), 2)), 1.0)
