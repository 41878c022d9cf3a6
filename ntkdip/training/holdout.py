"""Which samples of the data are trained on, and which are held out to judge the reconstruction."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float32, Inexact

STRONGEST = 0.05
"""Share of the positions that `training_weights` never holds out."""


def held_out_split(
    shape: tuple[int, ...],
    fraction: float,
    seed: int,
    *,
    keep: Bool[np.ndarray, " positions"] | None = None,
) -> Float32[np.ndarray, "..."]:
    """Weights that split data in samples to train on (1) and samples held out (0).

    Positions are drawn uniformly without replacement along the last axis of the data, and are
    the same in every coil: coils overlap, so that one would give away what another holds out.

    Parameters
    ----------
    shape
        Of the data: ``(samples,)``, or ``(coils, samples)``; positions are the last axis.
    fraction
        Of the positions that may be drawn, to hold out, in (0, 1); rounded to whole positions.
    seed
        The same seed gives the same split.
    keep
        ``(samples,)``: positions that are always trained on, such as the centre of k-space,
        without which no network finds the image's scale.  None keeps none.

    Returns
    -------
    float32 array of the data's shape, entries 0 and 1.

    Raises
    ------
    ValueError
        If the shape is empty, ``keep`` does not fit it, the fraction is not in (0, 1), or it
        rounds to no position, or to all that may be drawn.

    Notes
    -----
    A real image measured at ``k`` is measured at ``-k`` too: where the mask has both, training
    sees what is held out up to its noise, and the held-out error judges only that.
    Source: Yaman, Hosseini and Akcakaya, "Zero-Shot Self-Supervised Learning for MRI
    Reconstruction", ICLR 2022, who also draw uniformly; one split here, not many.
    """
    if not shape or min(shape) < 1:
        raise ValueError(f"data have one axis or more and at least one sample; got shape {shape}")
    if not 0 < fraction < 1:
        raise ValueError(f"fraction of the positions held out is in (0, 1); got {fraction}")
    positions = shape[-1]
    if keep is not None and keep.shape != (positions,):
        raise ValueError(
            f"keep has one entry for each of the {positions} positions; got shape {keep.shape}"
        )
    free = np.arange(positions) if keep is None else np.flatnonzero(~keep)
    count = round(fraction * free.size)
    if not 0 < count < free.size:
        raise ValueError(
            f"fraction {fraction} of {free.size} positions holds out {count}: at least one must "
            "be held out and one trained on; use another fraction, or keep fewer"
        )
    weights = np.ones(shape, np.float32)
    weights[..., np.random.default_rng(seed).choice(free, count, replace=False)] = 0
    return weights


def training_weights(
    y: Inexact[np.ndarray, "..."], fraction: float, seed: int
) -> Float32[np.ndarray, "..."]:
    """`held_out_split` of measured data, which never holds out the strongest samples.

    One of them, such as the centre of k-space, would decide the error on what is held out alone.

    Parameters
    ----------
    y
        Data; positions are the last axis.
    fraction, seed
        As for `held_out_split`; a fraction of 0 holds nothing out.

    Returns
    -------
    Weights of the data's shape, or the number 1 if nothing is held out.  Source: ours.

    Raises
    ------
    ValueError
        As `held_out_split`.
    """
    if not fraction:
        return np.ones((), np.float32)
    energy = (np.abs(y) ** 2).reshape(-1, y.shape[-1]).sum(0)
    strongest = energy > np.quantile(energy, 1 - STRONGEST)
    return held_out_split(y.shape, fraction, seed, keep=strongest)
