"""Trace and log-determinant of a kernel, from products with random probes.

Stochastic Lanczos quadrature (Ubaru, Chen and Saad, SIAM J. Matrix Anal. Appl. 38, 2017):
``z^T f(W) z`` is an integral over the spectral measure of ``z``, and Lanczos started at
``z`` gives its Gauss rule.  Every result states its two errors apart: the standard error
over the probes, and what the short Lanczos iteration leaves out.  matfree has the same
estimators in compiled loops; why ours run on the host: `ntkdip.kernels.lanczos`.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Array

from ntkdip.kernels import Estimate, Products
from ntkdip.kernels.lanczos import Tridiagonal, lanczos
from ntkdip.kernels.probing import Counted, rademacher, require_probes, standard_error
from ntkdip.progress import counting


def trace(W: Products, *, key: Array, probes: int = 32) -> Estimate:
    """Trace by Hutchinson's estimate, the mean of ``z^T W z`` over random signs ``z``.

    Parameters
    ----------
    W
        The kernel.
    key
        PRNG key of the probes.
    probes
        Number of probes, at least 2; one product each.

    Returns
    -------
    `Estimate`; no truncation error.  The variance of one probe is twice the sum of the
    squared entries off the diagonal: none for a diagonal kernel.

    Raises
    ------
    ValueError
        If there are fewer than 2 probes, or a product is NaN or infinite.

    Source: Hutchinson, Commun. Stat. Simul. Comput. 19 (1990).
    """
    require_probes(probes)
    signs = rademacher(key, W.space.real_size, probes)
    with counting("trace, products", total=probes) as step:
        product = Counted(W, step)
        forms = np.array([z @ product(z) for z in signs.T])
    return Estimate(float(forms.mean()), float(standard_error(forms)), 0.0, probes)


def log_determinant(
    W: Products, shift: float, *, key: Array, probes: int = 32, order: int = 40
) -> Estimate:
    """``ln det(W + shift I)`` of a PSD kernel that may be singular.

    Parameters
    ----------
    W
        The kernel.
    shift
        Positive.  Rounding in the products enters relative to it: keep it well above 1e-6
        of the largest eigenvalue for float32 products.
    key
        PRNG key of the probes.
    probes
        Number of probes, at least 2.
    order
        Products a probe, at least 2 and at most ``n``; more than the root of
        ``largest eigenvalue / shift`` makes the truncation error small.

    Returns
    -------
    `Estimate`.  Its truncation error is a bracket, not a guess: the logarithm's even
    derivatives are negative and its odd ones positive, so that Gauss's rule is too large
    and Radau's, with a node at 0, too small.  The value is their mean.

    Raises
    ------
    ValueError
        If ``shift`` is not positive, the kernel has eigenvalues below ``-shift`` or so, or
        ``probes`` or ``order`` make no sense.

    Notes
    -----
    Cost: ``probes * order`` products.  Source: Bai and Golub, "Bounds for the trace of the
    inverse and the determinant" (Ann. Numer. Math. 4, 1997).
    """
    if not 0 < shift < math.inf:
        raise ValueError(
            f"shift is a positive number, because the kernel may be singular; got {shift}"
        )
    n = W.space.real_size
    tridiagonals, products = krylov(W, key, probes, order, "log-determinant")
    above, below = np.empty(probes), np.empty(probes)
    for i, T in enumerate(tridiagonals):
        nodes, weights = T.quadrature()
        noise = max(-nodes[0], 1e-14 * nodes[-1])  # keeps Radau's node below Gauss's
        if 2 * noise >= shift:
            raise ValueError(
                f"the kernel has an eigenvalue near {nodes[0]:.3g}, so ln det(W + shift I) is "
                f"not safe with shift={shift:.3g}; use a shift above {10 * noise:.1g}, or a "
                "kernel of higher precision"
            )
        lower_nodes, lower_weights = T.radau(-2 * noise)
        above[i] = n * weights @ np.log(nodes + shift)
        below[i] = n * lower_weights @ np.log(lower_nodes + shift)
    middle = (above + below) / 2
    gap = float(np.mean(above - below)) / 2
    return Estimate(float(middle.mean()), float(standard_error(middle)), max(gap, 0.0), products)


def krylov(
    W: Products, key: Array, probes: int, order: int, what: str
) -> tuple[list[Tridiagonal], int]:
    """One Lanczos iteration a probe, and the products they took."""
    n = W.space.real_size
    require_probes(probes)
    if not min(2, n) <= order <= n:
        raise ValueError(
            f"order is the number of products a probe, 2 to {n} for a kernel of this size; "
            f"got {order}"
        )
    signs = rademacher(key, n, probes)
    with counting(f"{what}, products", total=probes * order) as step:
        product = Counted(W, step)
        return [lanczos(product, z, order) for z in signs.T], product.count
