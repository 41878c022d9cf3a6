"""What the theory says of a gradient descent before it runs: its step size and its best step."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from ntkdip import kernels, theory
from ntkdip.networks import ImageNetwork
from ntkdip.operators import LinearOperator

PRODUCTS = 100
PROBES = 4
TOLERANCE = 1e-2
"""Of Lanczos: the stop is read off a flat minimum."""

GRID = 1.06
"""Ratio of neighbouring steps that are looked at."""


def predicted_stop(
    net: ImageNetwork, A: LinearOperator, y: np.ndarray, sigma: float, params: Any, z: Any,
    rate: float, steps: int,
) -> int:  # fmt: skip
    """The step that SURE picks under the network's kernel at its start, by products only.

    Parameters
    ----------
    net, params, z
        The network, its weights and its input.
    A, y, sigma
        Operator, data and their noise level.
    rate
        Of gradient descent on ``1/2 ||A f - y||^2``.
    steps
        Where the run ends.

    Returns
    -------
    The step, to the grid's 6 %, at most ``steps``.  One Lanczos run of at most 100 products for
    the residual and each of 4 probes, and 30 products for the largest eigenvalue.

    Raises
    ------
    ValueError
        If the rate is not stable; the message names the bound.
    """
    scale = float(np.abs(np.asarray(A.adjoint(y))).max())
    settings = theory.KrylovSettings(
        jax.random.key(0), tolerance=TOLERANCE, max_products=PRODUCTS, probes=PROBES
    )
    start = np.asarray(net.apply(params, z)) * scale
    W = kernels.matrix_free(net, params, z)
    regime = theory.KernelRegime(W, A, step_size=rate, z0=start, krylov=settings)
    # One look at all steps: a search would make the products anew at every turn.
    count = int(np.log(max(steps, 2)) / np.log(GRID)) + 2
    t = np.unique(np.round(np.r_[0, np.geomspace(1, steps, count)]))
    return int(t[np.argmin(theory.sure(regime, y, sigma, t))])
