"""How often intervals of a posterior hold the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy.special
from jaxtyping import Float64, Inexact

LEVELS = (0.1, 0.25, 0.5, 0.6827, 0.8, 0.9, 0.95, 0.99)
"""Probabilities of the intervals whose coverage is counted."""


class Coverage(NamedTuple):
    """How often intervals of the posterior hold the truth.

    ``nominal`` (L,): what they promise.  ``observed`` (L,): share of real dimensions in them.
    ``standard_error`` (L,): of ``observed``, from its spread over images, whose own pixels
    depend on each other; NaN for a single image.
    """

    nominal: Float64[np.ndarray, " L"]
    observed: Float64[np.ndarray, " L"]
    standard_error: Float64[np.ndarray, " L"]


def counted(scores: Inexact[np.ndarray, "N P"], levels: Sequence[float]) -> Coverage:
    """Shares of errors within ``z`` deviations of zero, for two-sided levels of ``z``.

    Parameters
    ----------
    scores
        Errors over deviations, of N images; complex ones over the root of the summed variance
        of both parts, which are counted apart.
    levels
        Probabilities between 0 and 1.
    """
    nominal = probabilities(levels)
    if np.iscomplexobj(scores):
        scores = np.sqrt(2) * np.concatenate([scores.real, scores.imag], axis=1)
    width = np.sqrt(2) * scipy.special.erfinv(nominal)
    shares = np.mean(np.abs(scores)[..., None] <= width, axis=1)
    spread = np.full(len(width), np.nan)
    if len(shares) > 1:
        spread = shares.std(axis=0, ddof=1) / np.sqrt(len(shares))
    return Coverage(nominal, shares.mean(0), spread)


def probabilities(levels: Sequence[float]) -> Float64[np.ndarray, " L"]:
    """``levels``; raises `ValueError` unless all lie between 0 and 1."""
    nominal = np.asarray(levels, np.float64)
    if nominal.ndim != 1 or not ((nominal > 0) & (nominal < 1)).all():
        raise ValueError(f"levels are probabilities between 0 and 1; got {levels}")
    return nominal
