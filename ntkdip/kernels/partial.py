"""The few largest eigenvalues of a kernel that is known by its products alone."""

from __future__ import annotations

import functools
import math
import warnings
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from jaxtyping import Array, Float64

from ntkdip.kernels.lanczos import lanczos
from ntkdip.kernels.probing import Counted, Products
from ntkdip.progress import counting

Route = Literal["auto", "host", "device"]

SCALE_PRODUCTS = 8
"""Products spent on the size of the largest eigenvalue; a factor of 2 is all that is needed."""

DEVICE_GROWTH = 1.6
"""Factor between one Krylov dimension and the next on the device."""


class ConvergenceWarning(UserWarning):
    """Some of the eigenpairs that were asked for did not reach the tolerance."""


class Eigenpairs(NamedTuple):
    """Largest eigenvalues of a symmetric matrix and what they are worth.

    ``values`` (m,): falling.  ``m`` is the ``k`` asked for, or fewer after a
    `ConvergenceWarning`.
    ``vectors`` (n, m): orthonormal columns.
    ``residuals`` (m,): ``||W v - value v||``, from explicit products.  An eigenvalue of
    ``W`` lies within its residual of each value.
    ``converged``: whether all ``k`` are there with residuals within the tolerance.
    ``products``: products with ``W`` that were spent.
    """

    values: Float64[np.ndarray, " m"]
    vectors: Float64[np.ndarray, "n m"]
    residuals: Float64[np.ndarray, " m"]
    converged: bool
    products: int


def leading_eigenpairs(
    W: Products,
    k: int,
    *,
    key: Array,
    tolerance: float = 1e-6,
    max_products: int | None = None,
    route: Route = "auto",
) -> Eigenpairs:
    """The ``k`` largest eigenvalues of a symmetric PSD kernel, from products.

    Parameters
    ----------
    W
        The kernel: ``W @ v`` and ``W.space`` are all that the host needs.  The device
        needs ``W.product``: a function of one float32 JAX array ``(n,)`` to the same,
        traceable.
    k
        How many, ``1 <= k <= n``.
    key
        PRNG key of the start vector; the same key gives the same result.
    tolerance
        Largest residual ``||W v - value v||`` relative to the largest eigenvalue.
        Float32 products end near 1e-7 (measured on small networks), worse on accelerators
        that round more.
    max_products
        Products after which to give up; 50 Krylov dimensions of ``2 k + 20`` if None.
    route
        ``host``: SciPy's ARPACK around ``W @ v``.  ``device``: matfree's Lanczos with full
        reorthogonalisation, one compiled loop for each Krylov dimension tried.
        ``auto``: the host on CPU, where a convolution inside a compiled loop is some 22
        times slower (design page, section 3), or where ``W.product`` is missing; the
        device otherwise.

    Returns
    -------
    `Eigenpairs`, float64.  Where an eigenvalue is repeated exactly, a Krylov method may
    miss copies of it; residuals do not show that.

    Raises
    ------
    ValueError
        If ``k``, ``tolerance`` or ``max_products`` make no sense, the device is asked for
        and ``W.product`` is missing, or a product is NaN or infinite.

    Warns
    -----
    ConvergenceWarning
        If fewer than ``k`` pairs reached the tolerance within ``max_products``.

    Notes
    -----
    Cost: often 1 to 3 Krylov dimensions of products, the more the closer the eigenvalues;
    ``k`` of them are the explicit residuals.  ``2 k + 20 >= n`` takes ``n`` products for
    the dense matrix, and LAPACK.  Memory: ``8 n (2 k + 20)`` bytes on the host;
    ``4 n`` times the last Krylov dimension on the device.  Source: Lehoucq, Sorensen and
    Yang, "ARPACK Users' Guide" (1998); the shift is ours (`_arpack`).
    """
    n = W.space.real_size
    _require(k, tolerance, n)
    order = min(2 * k + 20, n)
    least = n if order == n else SCALE_PRODUCTS + 1 + 2 * order
    budget = max(50 * order, least) if max_products is None else max_products
    if budget < least:
        raise ValueError(
            f"{k} eigenpairs of a kernel of size {n} take at least {least} products; "
            f"got max_products={max_products}. Allow more, or ask for fewer eigenpairs"
        )
    device = _on_device(W, route)
    start_key, restart_key = jax.random.split(key)
    start = np.asarray(jax.random.normal(start_key, (n,)), np.float64)
    with counting(f"{k} eigenpairs, products") as step:
        product = Counted(W, step)
        if order == n:
            return _dense(product, n, k, tolerance)
        V = _matfree(product, W, start, k, order, tolerance, budget - k) if device else None
        if V is None:
            V = _arpack(product, start, k, order, tolerance, budget - k, restart_key)
        return _finish(product, V, k, tolerance)


def _require(k: int, tolerance: float, n: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(
            f"a kernel of size {n} has {n} eigenpairs; got k={k}. Ask for 1 to {n} of them"
        )
    if not 0 < tolerance < 1:
        raise ValueError(
            f"tolerance is a residual relative to the largest eigenvalue, between 0 and 1; "
            f"got {tolerance}. Use 1e-6 for float32 products"
        )


def _on_device(W: Products, route: Route) -> bool:
    """Where the loop runs: the one place that knows of the trap (design page, section 3)."""
    if route not in ("auto", "host", "device"):
        raise ValueError(f"route is 'auto', 'host' or 'device'; got {route!r}")
    traceable = hasattr(W, "product")
    if route == "device" and not traceable:
        raise ValueError(
            f"route='device' needs {type(W).__name__}.product, a traceable float32 product, "
            "and there is none; use route='host' or 'auto'"
        )
    return route == "device" or (route == "auto" and traceable and jax.default_backend() != "cpu")


def _dense(product: Counted, n: int, k: int, tolerance: float) -> Eigenpairs:
    """Every column of the matrix, and LAPACK: the Krylov space would be all of it anyway."""
    matrix = np.stack([product(column) for column in np.eye(n)], axis=1)
    values, V = scipy.linalg.eigh((matrix + matrix.T) / 2, subset_by_index=[n - k, n - 1])
    values, V = values[::-1], V[:, ::-1]
    residuals = np.linalg.norm(matrix @ V - V * values, axis=0)
    return _report(values, V, residuals, k, tolerance, product.count)


def _arpack(
    product: Counted,
    start: np.ndarray,
    k: int,
    order: int,
    tolerance: float,
    budget: int,
    key: Array,
) -> np.ndarray:
    """Eigenvectors of ``W + s I``, ``s`` about the largest eigenvalue of ``W``.

    ARPACK stops when each error is small beside *its own* eigenvalue: for the small ones
    of a float32 product that is below the noise, and every restart is wasted.  The shift
    leaves the Krylov spaces as they are and makes every error relative to the largest.
    """
    shift = lanczos(product, start, SCALE_PRODUCTS).quadrature()[0][-1]
    if not shift > 0:  # the zero kernel, of which any vectors are eigenvectors
        return np.eye(start.size, k)
    # ARPACK takes one product for the start, `order`, then up to `order - k` a restart.
    restarts = (budget - product.count - 1 - order) // (order - k)
    operator = scipy.sparse.linalg.LinearOperator(
        (start.size, start.size), matvec=lambda v: product(v) + shift * v, dtype=np.float64
    )
    try:
        return scipy.sparse.linalg.eigsh(
            operator,
            k,
            which="LA",
            v0=start,
            ncv=order,
            maxiter=restarts,
            tol=tolerance / 10,  # the explicit residual has the product's noise on top
            rng=np.random.default_rng(np.asarray(jax.random.bits(key, (2,)))),
        )[1]
    except scipy.sparse.linalg.ArpackNoConvergence as fault:
        return np.asarray(fault.eigenvectors)


def _matfree(
    product: Counted,
    W: Any,
    start: np.ndarray,
    k: int,
    order: int,
    tolerance: float,
    budget: int,
) -> np.ndarray | None:
    """Ritz vectors of a Krylov space that grows until their error estimates pass.

    None where the space is invariant before it holds ``k`` vectors: matfree then divides
    by zero, and ARPACK knows how to go on.
    """
    from matfree import decomp

    while True:
        iterate = decomp.tridiag_sym(order, materialize=False, custom_vjp=False)
        with jax.default_matmul_precision("highest"):
            run = jax.jit(functools.partial(iterate, W.product))
            Q, (diagonal, offdiagonal), rest, _ = run(jnp.asarray(start, jnp.float32))
        product.spend(order)
        whole = int(np.isfinite(np.asarray(Q)).all(1).sum())
        if whole < k:
            return None
        values, S = scipy.linalg.eigh_tridiagonal(
            np.asarray(diagonal, np.float64)[:whole],
            np.asarray(offdiagonal, np.float64)[: whole - 1],
            select="i",
            select_range=(whole - k, whole - 1),
        )
        beta = float(jnp.linalg.norm(rest)) if whole == order else 0.0
        larger = min(math.ceil(DEVICE_GROWTH * order), start.size, budget - product.count)
        passed = beta * np.abs(S[-1]).max() <= tolerance / 2 * values[-1]
        if passed or larger <= order:
            Q64 = np.asarray(Q, np.float64)[:whole].T
            return np.linalg.qr(Q64 @ S[:, ::-1])[0]
        order = larger


def _finish(product: Counted, V: np.ndarray, k: int, tolerance: float) -> Eigenpairs:
    """Rayleigh quotients and residuals from explicit products."""
    WV = np.stack([product(v) for v in V.T], axis=1) if V.size else V
    values = np.einsum("nk,nk->k", V, WV)
    order = np.argsort(-values, kind="stable")
    values, V, WV = values[order], V[:, order], WV[:, order]
    residuals = np.linalg.norm(WV - V * values, axis=0)
    return _report(values, V, residuals, k, tolerance, product.count)


def _report(
    values: np.ndarray, V: np.ndarray, residuals: np.ndarray, k: int, tolerance: float, count: int
) -> Eigenpairs:
    bound = tolerance * values[0] if values.size else 0.0
    reached = int((residuals <= bound).sum())
    if reached < k:
        worst = f"the largest is {residuals.max():.2g}; " if residuals.size else ""
        warnings.warn(
            f"{reached} of {k} eigenpairs have a residual of at most {bound:.2g} (tolerance "
            f"{tolerance:.0e}) after {count} products ({worst}{values.size} are returned). Allow "
            "more max_products, a larger tolerance (float32 products end near 1e-7), or ask "
            "for fewer",
            ConvergenceWarning,
            stacklevel=4,
        )
    return Eigenpairs(values, V, residuals, reached == k, count)
