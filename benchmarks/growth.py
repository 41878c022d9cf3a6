"""How time and memory grow with pixels, width and depth, ours and the peer's."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, Literal

import numpy as np

from benchmarks.cases import Case, analytic, wcnn
from benchmarks.contest import Peer, Say, Settings, peer_of
from benchmarks.worker import WorkerError, run_job

Axis = Literal["pixels", "width", "depth", "pixels (analytic)"]

SWEEPS: dict[Axis, list[tuple[int, Case]]] = {
    "pixels": [(n * n, wcnn((n, n), 32, 4, None)) for n in (8, 12, 16, 24, 32)],
    "width": [(w, wcnn((16, 16), w, 4, None)) for w in (16, 32, 64, 128, 256)],
    "depth": [(d, wcnn((16, 16), 32, d, None)) for d in (2, 3, 4, 6, 8)],
    "pixels (analytic)": [(n * n, analytic((n, n), None)) for n in (16, 24, 32, 48, 64)],
}
"""What is varied; the rest is a WCNN of 4 convolutions with 32 channels on 16², and an
analytic one of 5 convolutions."""

SMALL_SWEEPS: dict[Axis, list[tuple[int, Case]]] = {
    "pixels": [(n * n, wcnn((n, n), 2, 2, None)) for n in (4, 6)],
    "pixels (analytic)": [(n * n, analytic((n, n), None, depth=2)) for n in (4, 6)],
}

REPEATS = 3
"""Calls after the first, of which the median counts."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """One side along one axis: median seconds and peak bytes at each size."""

    axis: str
    side: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    bytes: tuple[int, ...]

    def exponent(self, what: Literal["seconds", "bytes"]) -> float:
        """Least-squares slope of log(what) against log(size); NaN below two sizes."""
        values = np.array(getattr(self, what), float)
        if len(values) < 2 or not (values > 0).all():
            return float("nan")
        return float(np.polyfit(np.log(self.sizes), np.log(values), 1)[0])


def growth(
    settings: Settings, peer: Peer, families: Collection[str], *, small: bool = False,
    say: Say = lambda line: None,
) -> list[Curve]:  # fmt: skip
    """Measure every sweep of some families, each point in a fresh interpreter.

    The peer is at each size the faster of its implementations on this JAX; where it
    fails, its curve ends there, said through ``say``.
    """
    curves = []
    for axis, points in (SMALL_SWEEPS if small else SWEEPS).items():
        first = points[0][1]
        if first.family not in families:
            continue
        sides = {"ntkdip": ("ours",), settings.peer: peer_of(first, peer).implementations}
        for name, implementations in sides.items():
            say(f"growth with {axis}: {name}")
            measured: list[tuple[int, float, int]] = []
            for size, case in points:
                best = _best(case, implementations, settings, say)
                if best is None:
                    break
                measured.append((size, best["seconds"], best["bytes"]))
            if measured:
                columns = zip(*measured, strict=True)
                curves.append(Curve(axis, name, *(tuple(column) for column in columns)))
    return curves


def _best(
    case: Case, implementations: tuple[str, ...], settings: Settings, say: Say
) -> dict[str, Any] | None:
    found = []
    for side in implementations:
        job = {"job": "footprint", "case": case.as_dict(), "side": side, "repeats": REPEATS}
        try:
            found.append(run_job(job, limit=settings.patience))
        except WorkerError as fault:
            say(f"  {case.name}, {side}: {fault}")
    return min(found, key=lambda answer: answer["seconds"], default=None)
