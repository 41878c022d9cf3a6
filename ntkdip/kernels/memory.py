"""What a dense kernel costs in memory, known before anything is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from ntkdip.kernels.flat import shape_of
from ntkdip.kernels.gram import COLUMNS_PER_CONTRACTION
from ntkdip.kernels.jacobian import Sweep, pieces, sweeps
from ntkdip.kernels.plan import Plan
from ntkdip.kernels.stages import Stage
from ntkdip.memory import available_bytes
from ntkdip.spaces import Space

CHUNK_BYTES = 64 * 2**20
"""Bytes that one chunk of backward passes, and the rows read off it, may take at most."""

DEFAULT_SHARE = 0.8
"""Share of the available memory that a kernel takes at most if no limit is given."""


class Budget(NamedTuple):
    """How a dense kernel is computed within a limit.

    ``sweeps``: what each round of backward passes collects; ``chunk``: passes at once;
    ``bytes``: the peak, estimated; ``staged``: whether the passes run in stages.
    """

    sweeps: list[Sweep]
    chunk: int
    bytes: int
    staged: bool


def allowed_bytes(memory_limit: int | None, devices: Sequence[jax.Device] = ()) -> int:
    """The limit to keep: what was asked for, or a share of what is available, on the host
    and (where they have memory of their own) on all devices together.

    Raises `ValueError` if the limit is no positive number of bytes.
    """
    if memory_limit is None:
        # Only a process's own devices tell; the others are taken to be like them.
        own = [d for d in devices if d.process_index == jax.process_index()]
        statistics = [device.memory_stats() for device in own]
        free = [s["bytes_limit"] - s["bytes_in_use"] for s in statistics if s]
        on_devices = sum(free) * len(devices) / len(own) if free else math.inf
        return int(DEFAULT_SHARE * min(available_bytes(), on_devices))
    if memory_limit <= 0:
        raise ValueError(f"memory_limit is a positive number of bytes; got {memory_limit}")
    return int(memory_limit)


def require_memory(needed: int, what: str, limit: int | None = None, advice: str = "") -> None:
    """Raise `MemoryError` with the figure and the advice unless ``needed`` bytes fit."""
    allowed = available_bytes() if limit is None else limit
    if needed > allowed:
        raise MemoryError(
            f"{what} needs about {gibibytes(needed)}, but {gibibytes(allowed)} of memory are "
            f"available or allowed; {advice or 'use a smaller image, or fewer channels'}"
        )


def require_dense(name: str, space: Space, needed: int, limit: int) -> None:
    """`require_memory` for a dense kernel, with the way that needs none."""
    require_memory(
        needed,
        f"the dense kernel of {name} on {space}",
        limit,
        "ntkdip.kernels.matrix_free multiplies with it in the memory of a few images and finds "
        "its leading eigenpairs, or use a smaller image",
    )


def budget(plan: Plan, name: str, limit: int) -> Budget:
    """Sweeps and chunk of a dense kernel within ``limit`` bytes.

    Raises `MemoryError` if no choice fits.
    """
    require_dense(name, plan.space, least_bytes(plan), limit)
    spare = limit - fixed_bytes(plan)
    chunk = chunk_passes(plan, min(CHUNK_BYTES, spare // 4))
    n = plan.space.real_size
    chunk = max(1, min(chunk, (limit - dense_bytes(plan, 0, _widest(plan))) // pass_bytes(plan)))
    most = max(1, (limit - dense_bytes(plan, chunk, 0)) // (plan.itemsize * n))
    rounds = sweeps(plan, most)
    widest = max(sum(piece.columns for piece in sweep) for sweep in rounds)
    peak = dense_bytes(plan, chunk, widest)
    staged = peak + kept_bytes(plan) <= limit
    return Budget(rounds, chunk, peak + kept_bytes(plan) * staged, staged)


def gibibytes(size: float) -> str:
    """``size`` bytes for people: GiB, or MiB below one."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


def pass_bytes(plan: Plan, stage: Stage | None = None, members: int | None = None) -> int:
    """Bytes of one backward pass: signals, what is gathered from them, and its rows.

    Of one that reaches every tap, or of a stage; ``members``: outputs that share it.
    """
    stage = stage or plan.whole
    members = members or stage.groups.shape[1]
    entries = 3 * max(
        (math.prod(shape_of(v)) for e in plan.closed.jaxpr.eqns for v in e.outvars), default=0
    )
    for k in stage.taps:
        tap, width = plan.taps[k], plan.locality.widths[k]
        entries += 3 * tap.pixels * tap.groups * tap.channels
        gathered = 0
        if width is not None and tap.kind != "input":
            gathered = width * tap.groups * (tap.channels + tap.rank)
        entries += members * (gathered + tap.columns)
    entries += sum(plan.leaf_sizes[k] for k in plan.plain)
    return plan.itemsize * max(entries, 1)


def kept_bytes(plan: Plan) -> int:
    """Windows of every output's signal, kept from one stage to the next: both, and a copy."""
    widest = 0
    for stage in plan.stages:
        if stage.frontier is not None:
            tap, width = plan.taps[stage.frontier], plan.locality.widths[stage.frontier] or 0
            widest = max(widest, width * tap.groups * tap.channels)
    return 3 * plan.itemsize * plan.space.real_size * widest


def fitting_passes(plan: Plan, stage: Stage, spare: int) -> np.ndarray:
    """Passes of a stage in chunks that take ``spare`` bytes, (chunks, passes, members).

    A pass with too many members is taken apart.
    """
    passes = plan.outputs(stage.groups)
    while passes.shape[1] > 1 and pass_bytes(plan, stage, passes.shape[1]) > spare:
        passes = split_passes(passes, 2 * len(passes))
    return in_chunks(passes, max(1, spare // pass_bytes(plan, stage, passes.shape[1])))


def split_passes(passes: np.ndarray, least: int) -> np.ndarray:
    """At least ``least`` passes, by taking groups apart: padding costs as much as real rows."""
    parts = min(-(-least // len(passes)), passes.shape[1])
    width = -(-passes.shape[1] // parts)
    padding = ((0, 0), (0, parts * width - passes.shape[1]))
    return np.pad(passes, padding, constant_values=-1).reshape(-1, width)


def in_chunks(passes: np.ndarray, most: int, multiple: int = 1) -> np.ndarray:
    """Chunks of equal size, (chunks, passes, members), of about ``most`` passes or fewer.

    Sizes are multiples of ``multiple``; the last chunk is padded with -1.
    """
    count = -(-len(passes) // most)
    chunk = -(-len(passes) // (count * multiple)) * multiple
    padding = ((0, count * chunk - len(passes)), (0, 0))
    padded = np.pad(passes, padding, constant_values=-1)
    return padded.reshape(count, chunk, -1).astype(np.int32)


def chunk_passes(plan: Plan, spare: int) -> int:
    """How many backward passes run at once, within ``spare`` bytes (at least one)."""
    return max(1, min(len(plan.passes), spare // pass_bytes(plan)))


def fixed_bytes(plan: Plan) -> int:
    """The kernel, one lifted block of columns, patches and the largest Gram matrix of them."""
    n = plan.space.real_size
    kernel = 8 * n**2 + 8 * n * min(COLUMNS_PER_CONTRACTION, plan.columns)
    patches = sum(plan.itemsize * t.pixels * t.groups * t.patch for t in plan.taps)
    roots = [24 * t.pixels**2 for t in plan.taps if t.rank < t.patch]
    windows = 8 * plan.space.size * sum(w for w in plan.locality.widths if w is not None)
    return kernel + patches + max(roots, default=0) + windows


def dense_bytes(plan: Plan, chunk: int, columns: int) -> int:
    """Peak bytes of a dense kernel with so many passes at once and columns held."""
    rows = plan.itemsize * plan.space.real_size * columns
    return fixed_bytes(plan) + chunk * pass_bytes(plan) + rows


def least_bytes(plan: Plan) -> int:
    """The same with one pass at once and the widest piece that cannot be divided."""
    return dense_bytes(plan, 1, _widest(plan))


def _widest(plan: Plan) -> int:
    return max(piece.columns for piece in pieces(plan, 1))
