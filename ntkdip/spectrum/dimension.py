"""How many directions a kernel really has: effective dimension and participation ratio.

Both are sums over all eigenvalues.  With only the leading ones at hand (a matrix-free
kernel) they are bounded from both sides: each eigenvalue that is left lies between 0 and
the smallest one given, and the trace, where known, fixes their sum.  Dimensions count
real directions: a complex image of ``q`` pixels has ``2 q``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64


class Bounds(NamedTuple):
    """``lower <= dimension <= upper``; both equal where all eigenvalues were given."""

    lower: Float64[np.ndarray, "*m"]
    upper: Float64[np.ndarray, "*m"]


class _Rest(NamedTuple):
    """Eigenvalues that were not given: how many, the largest possible, bounds of their sum."""

    number: int
    largest: float
    least: float
    most: float


def effective_dimension(
    values: Float[np.ndarray, " k"],
    mu: float | Float[np.ndarray, "*m"],
    *,
    size: int | None = None,
    trace: float | None = None,
) -> Bounds:
    """``d(mu) = sum_i lambda_i / (lambda_i + mu) = tr W (W + mu I)^{-1}``.

    Known as the effective dimension, or the (effective) degrees of freedom of ridge
    regression with penalty ``mu``: directions with ``lambda_i >> mu`` count 1, those with
    ``lambda_i << mu`` count 0.

    Parameters
    ----------
    values
        Eigenvalues, falling: all ``n``, or the ``k`` leading ones.  Negative ones at the
        level of rounding count as 0.
    mu
        Penalty, positive, in the units of the eigenvalues; one or an array.
    size
        ``n = W.space.real_size`` if only the leading eigenvalues are given.
    trace
        ``tr W`` if known; it narrows the bounds.  An estimated trace gives estimated bounds.

    Returns
    -------
    `Bounds` of the shape of ``mu``.  The rest counts at least ``R / (lambda_k + mu)``,
    with ``R`` the least sum of eigenvalues left, and at most as ``n - k`` equal
    eigenvalues of the largest sum (concavity).  Cost: O(k) a ``mu``.

    Raises
    ------
    ValueError
        If ``mu`` is not positive, eigenvalues are negative beyond rounding or do not fall,
        ``size`` is below ``k``, or ``trace`` cannot be the trace of such a spectrum.

    Notes
    -----
    Source: Zhang, Learning bounds for kernel regression using effective data
    dimensionality, Neural Computation 17 (2005); the bounds are ours.
    """
    penalty = np.asarray(mu, np.float64)
    if not (penalty > 0).all():
        raise ValueError(
            f"mu must be positive (at mu = 0 the dimension is the rank); got {penalty.min():.3g}"
        )
    kept = _nonnegative(values)
    rest = _rest(kept, size, trace)
    known = (kept / (kept + penalty[..., None])).sum(-1)
    lower = known + rest.least / (rest.largest + penalty)
    if rest.number == 0:
        return Bounds(known, known.copy())
    mean = rest.most / rest.number
    return Bounds(lower, known + rest.number * mean / (mean + penalty))


def participation_ratio(
    values: Float[np.ndarray, " k"], *, size: int | None = None, trace: float | None = None
) -> Bounds:
    """``(sum_i lambda_i)^2 / sum_i lambda_i^2``: ``r`` for ``r`` equal eigenvalues, 0 else.

    Parameters
    ----------
    values, size, trace
        As in `effective_dimension`.

    Returns
    -------
    `Bounds` of two scalars (shape ``()``).  At least as if the rest were as few
    eigenvalues as possible, at most as if they were all equal.  Cost: O(k).

    Raises
    ------
    ValueError
        As `effective_dimension`, or if every eigenvalue is zero.

    Notes
    -----
    Source: Bell and Dean, Atomic vibrations in vitreous silica, Discussions of the
    Faraday Society 50 (1970), applied to eigenvalues; the bounds are ours.
    """
    kept = _nonnegative(values)
    rest = _rest(kept, size, trace)
    if not kept[0] > 0:
        raise ValueError("the participation ratio of a zero kernel is not defined")
    total, squares = kept.sum(), kept @ kept
    lower = (total + rest.least) ** 2 / (squares + rest.least * rest.largest)
    spread = rest.most**2 / rest.number if rest.number else 0.0
    upper = (total + rest.most) ** 2 / (squares + spread)
    return Bounds(np.asarray(lower), np.asarray(upper))


def _nonnegative(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    slack = 1e-10 * np.abs(values).max()
    if values.min() < -slack:
        raise ValueError(
            f"a kernel is positive semidefinite; got an eigenvalue of {values.min():.3g} "
            f"(largest {values.max():.3g})"
        )
    if (np.diff(values) > slack).any():
        raise ValueError("eigenvalues must fall with rank; sort them: numpy.sort(values)[::-1]")
    return np.maximum(values, 0.0)


def _rest(values: np.ndarray, size: int | None, trace: float | None) -> _Rest:
    size = values.size if size is None else size
    count, largest, known = size - values.size, float(values[-1]), float(values.sum())
    if count < 0:
        raise ValueError(f"got {values.size} eigenvalues of a kernel of size {size}")
    ceiling = count * largest
    if trace is None:
        return _Rest(count, largest, 0.0, ceiling)
    slack = 1e-8 * known
    if not known - slack <= trace <= known + ceiling + slack:
        raise ValueError(
            f"trace {trace:.6g} does not fit these eigenvalues: their sum is {known:.6g}, and "
            f"the {count} that are left add at most {ceiling:.6g}. Give all eigenvalues, or "
            "leave the trace out if it is an estimate of too large an error"
        )
    left = float(np.clip(trace - known, 0.0, ceiling))
    return _Rest(count, largest, left, left)
