"""What every route to a kernel costs, before any of it is begun."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ntkdip.kernels.flat import dtype_of, shape_of
from ntkdip.kernels.functional import Net, functional
from ntkdip.kernels.memory import allowed_bytes, budget, dense_bytes, least_bytes
from ntkdip.kernels.plan import Plan, make_plan
from ntkdip.kernels.stages import backward_flops, forward_flops
from ntkdip.networks import ImageNetwork
from ntkdip.spaces import Space

LEADING = 64
"""Eigenpairs that the estimate of a partial spectrum is for."""

KRYLOV = 2.5
"""Products that a partial spectrum takes, over the number of pairs (measured: 2 to 3)."""


class Route(NamedTuple):
    """One way to a kernel: peak bytes, floating-point operations, whether it fits."""

    name: str
    bytes: int
    flops: float
    fits: bool


class CostEstimate(NamedTuple):
    """Cost of every route to one kernel.

    ``space``: of its images; ``parameters``: trained entries; ``columns``: of the compressed
    Jacobian; ``passes``: backward passes; ``sweeps``: how often they run within the limit
    (0: the dense kernel does not fit); ``limit``: bytes allowed; ``routes``: see `estimate`.
    """

    space: Space
    parameters: int
    columns: int
    passes: int
    sweeps: int
    limit: int
    routes: tuple[Route, ...]


def estimate(
    net: Net, z: Any, params: Any = None, *, memory_limit: int | None = None
) -> CostEstimate:
    """Bytes and FLOPs of every route to the kernel of a network; nothing is computed.

    Parameters
    ----------
    net
        As for `empirical`.
    z
        Its input, or its shape as a `jax.ShapeDtypeStruct`.
    params
        Parameters or their shapes; not needed for an architecture or a module.
    memory_limit
        Bytes allowed; None: as for `empirical`.

    Returns
    -------
    `CostEstimate` with the routes ``dense`` (`empirical` as it would run), ``dense, least
    memory``, ``full Jacobian`` (what a library without structure holds), ``one product`` and
    ``leading 64 eigenpairs`` (`matrix_free`).  Convolutions and products are counted, pixel
    by pixel work is not.

    Raises
    ------
    ValueError
        If the network is a function and no parameters are given.
    """
    if params is None and isinstance(net, ImageNetwork):
        key = jax.random.key(0)
        params = jax.eval_shape(lambda x: net.init(x, key=key), z)
    elif params is None and not isinstance(net, nnx.Module):
        raise ValueError("estimate: give params (or their shapes) of a network function")
    problem = functional(net, params, z)
    limit = allowed_bytes(memory_limit, jax.devices())
    plan = make_plan(problem)
    trained = sum(
        math.prod(leaf.shape)
        for leaf, rate in zip(problem.leaves, problem.all_rates, strict=True)
        if rate
    )
    least = least_bytes(plan)
    rounds = budget(plan, problem.name, limit) if least <= limit else None
    best = rounds.bytes if rounds else dense_bytes(plan, 1, plan.columns)
    repeats = len(rounds.sweeps) if rounds else 1
    n, forward = plan.space.real_size, forward_flops(plan.closed)
    free = _product_bytes(plan, trained)
    vectors = 8 * n * (2 * LEADING + LEADING)
    table = (
        ("dense", best, dense_flops(plan, repeats)),
        ("dense, least memory", least, dense_flops(plan, plan.columns)),
        ("full Jacobian", 4 * n * trained + 8 * n * n, n * (2 * forward + n * trained)),
        ("one product", free, 5 * forward),
        (f"leading {LEADING} eigenpairs", free + vectors, KRYLOV * LEADING * 5 * forward),
    )
    routes = tuple(
        Route(name, int(size), float(flops), size <= limit) for name, size, flops in table
    )
    count = len(rounds.sweeps) if rounds else 0
    return CostEstimate(plan.space, trained, plan.columns, len(plan.passes), count, limit, routes)


def dense_flops(plan: Plan, sweeps: int) -> float:
    """Operations of a dense kernel: backward passes, contraction with patches, Gram matrix."""
    n = plan.space.real_size
    rows = 0.0
    for tap, width in zip(plan.taps, plan.locality.widths, strict=True):
        if tap.kind != "input":
            rows += 2.0 * (width or tap.pixels) * tap.columns
    channels = n / plan.space.size
    backward = channels * backward_flops(plan.closed, plan.taps, plan.stages)
    return sweeps * backward + n * rows + float(n) * n * plan.columns


def _product_bytes(plan: Plan, trained: int) -> int:
    """Every intermediate value and its tangent once, and the parameters three times."""
    values = sum(
        math.prod(shape_of(var)) for e in plan.closed.jaxpr.eqns for var in e.outvars
        if jnp.issubdtype(dtype_of(var), jnp.inexact)
    )  # fmt: skip
    return 4 * (2 * values + 3 * trained)
