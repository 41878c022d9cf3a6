"""Empirical NTK of a finite network, dense.

The Jacobian's columns are collected in sweeps, as many at a time as memory allows, and
contracted at once: the Jacobian is never held whole.  Its entries are float32 (a float64
convolution is very slow on CPU), contracted in float64: the kernel is symmetric and PSD to
float64 rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ntkdip.kernels import gram
from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.functional import Functional, Net, functional
from ntkdip.kernels.jacobian import Leg, Piece, factors, jacobian_rows, legs, windows
from ntkdip.kernels.memory import (
    Budget,
    allowed_bytes,
    budget,
    fitting_passes,
    in_chunks,
    pass_bytes,
    require_dense,
    split_passes,
)
from ntkdip.kernels.plan import Plan, make_plan
from ntkdip.progress import track

Precision = Literal["float64", "float32"]


def empirical(
    net: Net,
    params: Any,
    z: Any,
    *,
    rates: dict[str, float] | None = None,
    input_rate: float = 0.0,
    precision: Precision = "float64",
    memory_limit: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> DenseKernel:
    """Empirical NTK ``W = sum_l eta_l J_l J_l^T`` of ``f_theta(z)``, at ``params``.

    Parameters
    ----------
    net
        `Architecture`, Flax NNX module, or hashable function ``(params, z) -> image``.
    params
        Its parameters: of an architecture `Architecture.init`; of a module
        ``nnx.state(module, nnx.Param)``, or None for the module's own.
    z
        Its input; for architectures and modules ``(*pixels, channels)``.
    rates
        Relative learning rates of parameter groups, by pattern over their paths, for
        example ``{"*/bias": 0.0, "layers/0/*": 2.0}``; 1 where no pattern matches.
    input_rate
        Relative rate of the input, ``eta_z / eta_theta``: adds ``input_rate J_z J_z^T``.
    precision
        In which Jacobians are contracted.  ``float32`` is up to twice as fast and leaves
        negative eigenvalues of about -1e-7 of the largest.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.
        Less memory costs more backward passes, never accuracy.
    devices
        Rows are spread over these; None: all devices of the default backend, of every
        process.

    Returns
    -------
    Kernel on the real embedding of the network's images: ``(n, n)`` with ``n = q`` for a
    real image, ``2q`` (ordered ``[Re; Im]``) for a complex one; held as float64, accurate
    to float32 (about 1e-6 relative).

    Raises
    ------
    ValueError
        If input or parameters are not finite, or a rate or pattern is wrong.
    MemoryError
        If the kernel cannot be had within the limit: what it needs, and what to do instead.
        Nothing is allocated before.

    Notes
    -----
    Cost: backward passes, each shared by outputs whose windows do not meet, then ``n^2``
    times the columns of the compressed Jacobian multiplications (`estimate` counts both).
    Parameters of convolutions, dense layers, biases and scales have structure to use; others
    get plain rows, which `StructureWarning` says once.  Source: design page, section 3; the
    factored contraction and the sharing of passes are ours.
    """
    if precision not in ("float64", "float32"):
        raise ValueError(f"precision is float64 or float32; got {precision!r}")
    devices = list(jax.devices() if devices is None else devices)
    if not devices:
        raise ValueError("devices is empty; give at least one, or None for all there are")
    problem = functional(net, params, z, rates, input_rate)
    limit = allowed_bytes(memory_limit, devices)
    # A float32 kernel lies beside the float64 one that it becomes.
    each = 8 if precision == "float64" else 12
    require_dense(problem.name, problem.space, each * problem.space.real_size**2, limit)
    plan = make_plan(problem)
    limits = budget(plan, problem.name, limit)
    with jax.default_matmul_precision("highest"):
        if len(devices) == 1 and devices[0].platform == "cpu":
            with jax.default_device(devices[0]):
                moved = problem._replace(
                    params=jax.device_put(problem.params, devices[0]),
                    z=jax.device_put(problem.z, devices[0]),
                )
                W = _on_host(plan, moved, limits, np.dtype(precision))
        else:
            W = _on_devices(plan, problem, limits, np.dtype(precision), devices)
    return DenseKernel(W, problem.space)


def _on_host(plan: Plan, net: Functional, limits: Budget, dtype: np.dtype) -> np.ndarray:
    """Rows contracted by BLAS, which computes one triangle only."""
    n = plan.space.real_size
    W = np.zeros((n, n), dtype, order="F")
    inputs = [jnp.asarray(x) for x in net.leaves], factors(plan, net), windows(plan)
    for sweep in limits.sweeps:
        found: dict[Piece, gram.Rows] = {piece: [] for piece in sweep}
        kept = None
        for leg in legs(plan, sweep, limits.staged):
            kept = _collect(plan, net, leg, limits, inputs, kept, found)
        W = gram.accumulate(W, list(found.values()), net.name)
    return gram.mirrored(W.astype(np.float64, order="F", copy=False))


def _collect(
    plan: Plan,
    net: Functional,
    leg: Leg,
    limits: Budget,
    inputs: tuple[Any, ...],
    kept: jax.Array | None,
    found: dict[Piece, gram.Rows],
) -> jax.Array | None:
    """One leg of a sweep: its rows go into ``found``, its frontier's windows are returned."""
    passes = fitting_passes(plan, plan.stage(leg.stage), limits.chunk * pass_bytes(plan))
    rows = jacobian_rows(plan, leg, net.all_rates)
    seen: np.ndarray | None = None
    for outputs in track(passes, f"{net.name}: Jacobian"):
        blocks, windows_seen = rows(*inputs, jnp.asarray(outputs), kept)
        # Waiting keeps the temporaries of one chunk, not of all, in memory.
        order = outputs.ravel()
        for piece, block in zip(leg.pieces, blocks, strict=True):
            found[piece].append((order, np.asarray(block)))
        if windows_seen is not None:
            if seen is None:
                seen = np.empty((plan.space.real_size, *windows_seen.shape[1:]), windows_seen.dtype)
            seen[order[order >= 0]] = np.asarray(windows_seen)[order >= 0]
    return None if seen is None else jnp.asarray(seen)


def _on_devices(
    plan: Plan, net: Functional, limits: Budget, dtype: np.dtype, devices: list[jax.Device]
) -> np.ndarray:
    """Backward passes and row blocks of the kernel spread over devices."""
    spread = gram.Spread(devices)
    passes = split_passes(plan.passes, len(devices))
    passes = in_chunks(passes, limits.chunk, multiple=len(devices))
    R, leaves, places = spread.everywhere((factors(plan, net), net.leaves, windows(plan)))
    W: jax.Array | None = None
    for sweep in limits.sweeps:
        (leg,) = legs(plan, sweep, staged=False)
        rows = jacobian_rows(plan, leg, net.all_rates)
        chunks = [
            rows(leaves, R, places, spread.rows(outputs), None)[0]
            for outputs in track(passes, f"{net.name}: Jacobian")
        ]
        W = spread.accumulate(W, chunks, dtype)
    assert W is not None
    whole = spread.to_host(W).astype(np.float64)
    order = passes.ravel()
    real = np.flatnonzero(order >= 0)
    place = real[np.argsort(order[real])]
    return gram.mirrored(np.asfortranarray(whole[np.ix_(place, place)]))
