"""How fast eigenvalues fall: a power law fitted on a stated range of ranks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class PowerLaw(NamedTuple):
    """``lambda_i ~ prefactor * i^(-exponent)`` for ranks ``first <= i <= last``.

    ``standard_error`` is that of the exponent, under independent errors of
    ``log lambda_i``; errors along a sorted spectrum are correlated, so that the true
    uncertainty is larger.  ``r_squared`` is the explained share of the variance of
    ``log lambda_i``, NaN for a flat spectrum.
    """

    exponent: float
    prefactor: float
    standard_error: float
    r_squared: float
    first: int
    last: int

    def __call__(self, ranks: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """Fitted eigenvalues at ranks, which count from 1."""
        return self.prefactor * ranks**-self.exponent


def fit_power_law(
    values: Float[np.ndarray, " k"], first: int = 1, last: int | None = None
) -> PowerLaw:
    """Least-squares line through ``log lambda_i`` against ``log i``.

    Parameters
    ----------
    values
        Eigenvalues, falling from rank 1: all of a dense kernel, or the leading ones of a
        matrix-free kernel, ``W.eigh(k)[0]``.
    first, last
        Ranks of the fit, both included, counted from 1; up to the last one given if None.
        A range says what was fitted: a power law rarely holds from the first rank on, and
        below about ``n * 2e-16`` of the largest eigenvalue a solver returns rounding.

    Returns
    -------
    `PowerLaw`.  Cost: O(k).  Source: ordinary least squares; the choice of range is ours.

    Raises
    ------
    ValueError
        If fewer than three ranks are in the range, the range leaves the spectrum, the
        eigenvalues do not fall, or one in the range is not positive (its rank is named).
    """
    last = values.size if last is None else last
    if first < 1 or not first + 2 <= last <= values.size:
        raise ValueError(
            f"a fit needs at least three ranks within 1 to {values.size}; "
            f"got first={first}, last={last}"
        )
    if (np.diff(values) > 1e-12 * np.abs(values).max()).any():
        raise ValueError("eigenvalues must fall with rank; sort them: numpy.sort(values)[::-1]")
    fitted = np.asarray(values[first - 1 : last], np.float64)
    refused = ~(fitted > 0)
    if refused.any():
        rank = first + int(np.argmax(refused))
        above = int((values > values.size * np.finfo(np.float64).eps * values[0]).sum())
        raise ValueError(
            f"a power law has positive eigenvalues only; rank {rank} holds "
            f"{values[rank - 1]:.3g}. The values stay above rounding up to rank {above}: "
            f"choose last <= {above}"
        )
    x, y = np.log(np.arange(first, last + 1)), np.log(fitted)
    dx, dy = x - x.mean(), y - y.mean()
    slope = float(dx @ dy / (dx @ dx))
    residual = dy - slope * dx
    rounding = y.size * (4 * np.finfo(np.float64).eps * max(1.0, np.abs(y).max())) ** 2
    return PowerLaw(
        exponent=-slope,
        prefactor=float(np.exp(y.mean() - slope * x.mean())),
        standard_error=float(np.sqrt(residual @ residual / (y.size - 2) / (dx @ dx))),
        r_squared=float(1 - residual @ residual / (dy @ dy)) if dy @ dy > rounding else np.nan,
        first=first,
        last=last,
    )
