"""How close analytic kernels come to the machine's copy bandwidth.

The recursion does little with every number, so what it costs is the bytes that it moves.
The least that any route must move is the result, written once.  A route layer by layer,
each layer as one fused pass, reads and writes the arrays of the covariance and of the NTK
at every layer: its transfers are counted, not measured.  Both are set against a plain copy,
in which every byte is read once and written once.
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import analytic
from benchmarks.cases import Case
from benchmarks.contest import Result
from ntkdip.networks import layers

COPIED = 2**28
"""Bytes of the array that is copied: far more than a cache holds."""

KEPT_AS = 8
"""Bytes of an entry of our result: `DenseKernel` is float64 whatever it was computed in."""


@dataclasses.dataclass(frozen=True)
class Traffic:
    """One case in units of one copy of its result (float64), at the machine's bandwidth.

    ``share``: least bytes over what the machine could move in our time.  ``ours``, ``peer``:
    copies that fit the time taken.  ``plain``: copies that as many bytes take as a route
    layer by layer moves at least.
    """

    case: str
    least_bytes: int
    share: float
    ours: float
    peer: float | None
    plain: float


def copy_bandwidth(repeats: int = 7) -> float:
    """Bytes read and written per second by a large copy: the best run, on one core or on all."""
    source, target = np.ones((2, COPIED // 8))
    best = math.inf
    for threads in {1, os.cpu_count() or 1}:
        parts = [(np.array_split(a, threads)) for a in (target, source)]
        with ThreadPoolExecutor(threads) as pool:
            for _ in range(repeats):
                start = time.perf_counter()
                list(pool.map(np.copyto, *parts))
                best = min(best, time.perf_counter() - start)
    return 2 * COPIED / best


def least_bytes(case: Case) -> int:
    """Bytes of the result, which have to be written."""
    return KEPT_AS * math.prod(case.shape) ** 2


def plain_bytes(case: Case) -> int:
    """Bytes that a route layer by layer reads and writes, in the precision of the recursion.

    Before the first activation the NTK is the covariance; afterwards there are two arrays;
    of the last layer only the NTK is written.
    """
    net, z = analytic.network(case)
    shape = z.shape[:-1]
    pairs = math.prod(shape) ** 2
    arrays, moved = 1, pairs  # the input's covariance is written
    for number, layer in enumerate(net.layers, 1):
        moved += arrays * pairs
        shape = layers.output_shape((layer,), shape)
        pairs = math.prod(shape) ** 2
        if isinstance(layer, layers.Activation):
            arrays = 2
        moved += (1 if number == len(net.layers) else arrays) * pairs
    return moved * np.dtype(case.precision).itemsize


def traffic(result: Result, bandwidth: float) -> Traffic:
    """Of a measured case."""
    entry, case = result.as_dict(), result.case
    least = least_bytes(case)
    copy = 2 * least / bandwidth
    theirs = entry["peer_s"]
    return Traffic(
        case.name,
        least,
        least / (entry["ours_s"] * bandwidth),
        entry["ours_s"] / copy,
        None if theirs is None else theirs / copy,
        plain_bytes(case) / (2 * least),
    )


def of(results: Sequence[Result], bandwidth: float) -> list[Traffic]:
    """Of every dense analytic kernel that was measured."""
    return [
        traffic(result, bandwidth)
        for result in results
        if result.case.family == "analytic"
        and result.case.quantity == "kernel"
        and result.as_dict()["ours_s"] is not None
    ]
