"""Leading eigenspaces against an image, and against those of another kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from ntkdip.kernels import Kernel
from ntkdip.spaces import require_finite
from ntkdip.spectrum.eigenspace import Eigenspace, leading_eigenspaces


class Alignment(NamedTuple):
    """How much of an image the leading eigenspaces hold; one entry an eigenspace.

    ``dimension`` (m,): real dimensions up to and with each eigenspace, rising.
    ``value`` (m,): its eigenvalue.
    ``share`` (m,): ``||P x||^2 / ||x||^2`` for ``P`` onto all eigenspaces up to it, rising.
    """

    dimension: np.ndarray
    value: Float64[np.ndarray, " m"]
    share: Float64[np.ndarray, " m"]


class PrincipalAngles(NamedTuple):
    """Principal angles between two subspaces of ``k`` dimensions.

    ``angles`` (k,): rising, in rad, 0 to pi/2.
    ``overlap``: ``tr(P_1 P_2) / k``, the mean squared cosine: 1 for the same subspace.
    """

    angles: Float64[np.ndarray, " k"]
    overlap: float


def alignment(W: Kernel, x: Any, k: int, *, rtol: float = 1e-6) -> Alignment:
    """Cumulative share of ``||x||^2`` in the leading eigenspaces of a kernel.

    What gradient descent recovers first: under ``A = I`` the component of ``x`` along
    ``u_i`` is fitted at the rate ``lambda_i``.

    Parameters
    ----------
    W
        Kernel, dense or matrix-free.
    x
        Image of ``W.space``, real or complex; not zero.
    k
        Number of leading eigenvectors.
    rtol
        Relative gap below which eigenvalues share an eigenspace (see `eigenspaces`).

    Returns
    -------
    `Alignment`, at the end of every eigenspace that is complete within ``k`` eigenvectors:
    shares in between depend on the solver.  Cost: ``W.eigh(k + 1)`` and O(n k).
    Source: ours; the quantity is known as cumulative power or alignment of a target.

    Raises
    ------
    ValueError
        If ``x`` is not of the space, not finite or zero, or as `leading_eigenspaces`.
    """
    image = np.asarray(x)
    W.space.check(image, "x")
    require_finite(image, "x")
    vector = np.asarray(W.space.embed(image), np.float64)
    energy = vector @ vector
    if not energy > 0:
        raise ValueError("the alignment of a zero image is not defined")
    spaces = leading_eigenspaces(W, k, rtol)
    shares = np.array([np.sum((s.basis.T @ vector) ** 2) for s in spaces]) / energy
    return Alignment(
        np.cumsum([s.dimension for s in spaces]),
        np.array([s.value for s in spaces]),
        np.minimum(np.cumsum(shares), 1.0),
    )


def principal_angles(W1: Kernel, W2: Kernel, k: int, *, rtol: float = 1e-6) -> PrincipalAngles:
    """Angles between the spans of the ``k`` leading eigenvectors of two kernels.

    Parameters
    ----------
    W1, W2
        Kernels on the same space, dense or matrix-free.
    k
        Dimension of both subspaces; must not cut an eigenspace of either.
    rtol
        Relative gap below which eigenvalues share an eigenspace (see `eigenspaces`).

    Returns
    -------
    `PrincipalAngles`; the sine of the largest one is the `projector_distance`.
    Cost: ``eigh(k + 1)`` of both and O(n k^2).
    Source: Bjorck and Golub, Mathematics of Computation 27 (1973), through SciPy.

    Raises
    ------
    ValueError
        If the spaces differ, ``k`` is not within 1 to ``n``, or ``k`` cuts an eigenspace
        (the span then depends on the solver; the next smaller ``k`` is named).
    """
    if W1.space != W2.space:
        raise ValueError(f"both kernels must act on one space; got {W1.space} and {W2.space}")
    spans = [_span(leading_eigenspaces(W, k, rtol), k) for W in (W1, W2)]
    angles = np.sort(scipy.linalg.subspace_angles(*spans))
    return PrincipalAngles(angles, float(np.mean(np.cos(angles) ** 2)))


def _span(spaces: list[Eigenspace], k: int) -> np.ndarray:
    reached = sum(s.dimension for s in spaces)
    if reached < k:
        raise ValueError(
            f"k={k} cuts an eigenspace, so that the leading span depends on the solver; "
            f"the next smaller k that does not is {reached}"
        )
    return np.concatenate([s.basis for s in spaces], axis=1)
