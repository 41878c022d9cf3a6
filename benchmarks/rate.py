"""What share of the machine's matrix-product rate our dense route attains.

The work counted is what any route through a compressed Jacobian has to multiply: for a
layer with ``c`` output channels, ``q`` pixels and patches of ``d`` entries the Jacobian's
``n x c min(d, q)`` block times its transpose, one half of it (the kernel is symmetric);
a bias or a scale has ``c`` columns.
Backward passes are not counted, nor is what a route saves beyond this, so the share is
comparable between cases and from version to version, and not a hardware counter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import empirical
from benchmarks.cases import Case
from benchmarks.contest import Result
from ntkdip import kernels


def machine_rate(size: int = 2048, repeats: int = 5) -> float:
    """Float32 multiplications and additions per second in a square product, the best of
    JAX and NumPy."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((size, size), np.float32)
    on_device = jnp.asarray(A)
    product = jax.jit(lambda A: jnp.matmul(A, A, precision="highest"))
    calls = [lambda: A @ A, lambda: jax.block_until_ready(product(on_device))]
    seconds = []
    for call in calls:
        call()
        for _ in range(repeats):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def contraction_work(case: Case) -> int:
    """Multiplications and additions of the contraction, from the columns that are counted
    before a kernel is computed."""
    net, params, z = empirical.network(case)
    cost = kernels.estimate(net, z, params)
    return cost.space.real_size**2 * cost.columns


def share(case: Case, seconds: float, rate: float) -> float:
    """Work of the case over what the machine could multiply in that time."""
    return contraction_work(case) / (seconds * rate)


def shares(results: Sequence[Result], rate: float) -> dict[str, float]:
    """By case, of every dense empirical kernel that was raced."""
    return {
        result.case.name: share(result.case, result.as_dict()["ours_s"], rate)
        for result in results
        if result.race is not None
        and result.case.family == "empirical"
        and result.case.quantity == "kernel"
    }
