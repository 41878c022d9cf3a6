"""What share of the machine's matrix-product rate our dense route attains.

The work counted is what any route through a compressed Jacobian has to multiply: for a
layer with ``c`` output channels, ``q`` pixels and patches of ``d`` entries the Jacobian's
``n x c min(d, q)`` block times its transpose, one half of it (the kernel is symmetric).
Backward passes are not counted, nor is what a route saves beyond this, so the share is
comparable between cases and from version to version, and not a hardware counter.
"""

from __future__ import annotations

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import empirical
from benchmarks.cases import Case


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
    """Multiplications and additions of the contraction, counted from the traced network."""
    problem = empirical.problem(case)
    traced = jax.make_jaxpr(problem.f)(problem.params, problem.z)
    n = math.prod(traced.out_avals[0].shape)
    return n**2 * sum(_columns(traced.jaxpr))


def _columns(jaxpr: Any) -> list[int]:
    """``c min(d, q)`` of every convolution and dense layer, calls inside included."""
    columns = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            output, kernel = equation.outvars[0].aval.shape, equation.invars[1].aval.shape
            channels = output[equation.params["dimension_numbers"].out_spec[1]]
            patch = math.prod(kernel) // channels
            columns.append(channels * min(patch, math.prod(output) // channels))
        elif equation.primitive.name == "dot_general" and _is_dense(equation):
            columns.append(equation.outvars[0].aval.size)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                columns += _columns(inner)
    return columns


def _is_dense(equation: Any) -> bool:
    """A vector times a matrix; the products of an upsampling have images on the left."""
    return [v.aval.ndim for v in equation.invars] == [1, 2]


def share(case: Case, seconds: float, rate: float) -> float:
    """Work of the case over what the machine could multiply in that time."""
    return contraction_work(case) / (seconds * rate)
