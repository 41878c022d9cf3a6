"""How far two kernels are apart, and how well a kernel fits an image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Array, Float64

from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.probing import (
    Estimate,
    Products,
    jackknife_error,
    rademacher,
    require_probes,
)
from ntkdip.progress import track
from ntkdip.spaces import require_finite

COLUMNS_PER_BLOCK = 64
"""Columns of a kernel without a matrix that are held at a time."""


def drift(W_t: Products, W_0: Products) -> float:
    """NTK drift ``||W_t - W_0||_F / ||W_0||_F``: 0 where the kernel regime holds exactly.

    Parameters
    ----------
    W_t, W_0
        Kernels on the same space: after training, and before.

    Returns
    -------
    float, in float64.  Kernels computed in float32 drift by about 1e-6 by rounding alone.

    Raises
    ------
    ValueError
        If the spaces differ, ``W_0`` is zero, or an entry is NaN or infinite.

    Notes
    -----
    Cost: ``n`` products with each kernel that is not dense, in blocks of columns, and
    ``O(n^2)``; `estimated_drift` takes a few.  Source: design page, section 1.
    """
    _require_same_space(W_t, W_0)
    apart = before = 0.0
    pairs = zip(_blocks(W_t, "W_t"), _blocks(W_0, "W_0"), strict=True)
    for now, then in track(pairs, "drift", total=_count(W_0)):
        apart += float(np.sum((now - then) ** 2))
        before += float(np.sum(then**2))
    _require_nonzero(before, "W_0")
    return math.sqrt(apart / before)


def estimated_drift(W_t: Products, W_0: Products, *, key: Array, probes: int = 32) -> Estimate:
    """The same from random probes: ``||D||_F^2 = E ||D z||^2`` for signs ``z``.

    Parameters
    ----------
    W_t, W_0
        Kernels on the same space.
    key
        PRNG key of the probes.
    probes
        Number of probes, at least 2; each is one product with either kernel.

    Returns
    -------
    `Estimate` of `drift`.  The same probes serve both norms; the standard error is the
    jackknife's, the bias (of a ratio and a root) about ``1 / probes`` of the drift or less.

    Raises
    ------
    ValueError
        As `drift`, or for fewer than 2 probes.

    Source: Hutchinson's trace estimate of ``D^2``; the ratio is ours.
    """
    _require_same_space(W_t, W_0)
    require_probes(probes)
    apart, before = np.empty(probes), np.empty(probes)
    signs = rademacher(key, W_0.space.real_size, probes)
    for i in track(range(probes), "drift, probes"):
        now, then = W_t @ signs[:, i], W_0 @ signs[:, i]
        require_finite(now, "product with W_t")
        require_finite(then, "product with W_0")
        apart[i], before[i] = np.sum((now - then) ** 2), np.sum(then**2)
    _require_nonzero(float(before.sum()), "W_0")
    value = math.sqrt(apart.sum() / before.sum())
    left_out = np.sqrt((apart.sum() - apart) / (before.sum() - before))
    return Estimate(value, jackknife_error(left_out), 0.0, 2 * probes)


def alignment(W: Products, x: Any) -> float:
    """Kernel-target alignment ``<W, x x^T>_F / (||W||_F ||x||^2)`` on the real embedding.

    Parameters
    ----------
    W
        The kernel.
    x
        An image of ``W.space``, NumPy or JAX.

    Returns
    -------
    float in [0, 1] for a PSD kernel: 1 if and only if ``W`` is a positive multiple of
    ``x x^T``, 0 if and only if ``W x = 0``; ``1 / sqrt(n)`` for the identity.  A complex
    image is taken as ``[Re; Im]``, so its global phase matters.

    Raises
    ------
    ValueError
        If ``x`` does not belong to the space, either is zero, or holds NaN or infinities.

    Notes
    -----
    Cost: ``O(n^2)`` for a dense kernel, ``n + 1`` products else.  Source: Cristianini,
    Shawe-Taylor, Elisseeff and Kandola, "On kernel-target alignment" (NIPS 2001).
    """
    W.space.check(x, "image")
    require_finite(x, "image")
    v = np.asarray(W.space.embed(np.asarray(x)), np.float64)
    length = float(np.linalg.norm(v))
    _require_nonzero(length, "the image")
    v = v / length
    square = sum(float(np.sum(block**2)) for block in _blocks(W, "W"))
    _require_nonzero(square, "W")
    return float(v @ (W @ v)) / math.sqrt(square)


def _blocks(W: Products, name: str) -> Iterator[Float64[np.ndarray, "n columns"]]:
    """Blocks of columns, checked."""
    n = W.space.real_size
    for start in range(0, n, COLUMNS_PER_BLOCK):
        stop = min(start + COLUMNS_PER_BLOCK, n)
        if isinstance(W, DenseKernel):
            block = W.matrix[:, start:stop]
        else:
            block = W @ np.eye(n, stop - start, -start)
        require_finite(block, name)
        yield block


def _count(W: Products) -> int:
    return math.ceil(W.space.real_size / COLUMNS_PER_BLOCK)


def _require_same_space(W_t: Products, W_0: Products) -> None:
    if W_t.space != W_0.space:
        raise ValueError(
            f"drift compares kernels on one space; got {W_t.space} and {W_0.space}. "
            "Compute both for the same image shape and field"
        )


def _require_nonzero(size: float, name: str) -> None:
    if size == 0.0:
        raise ValueError(f"{name} is zero, so nothing can be measured relative to it")
