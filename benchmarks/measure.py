"""Measuring: two callables side by side, and what one call takes in memory.

Both sides are warmed up first, so compilation is in no time below; it is in the memory.
"""

from __future__ import annotations

import dataclasses
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SAMPLE = 10_000
"""Entries of a kernel that are compared where it is too large to be compared as a whole."""

LEAST_RUNS = 5
"""Runs of each side, however slow they are."""

TOLERANCE = 1e-5
"""Largest relative Frobenius distance between two kernels."""

Call = Callable[[], Any]
Timed = Callable[[], float]


class Side(NamedTuple):
    """One side of a contest.

    ``call`` is what is measured.  ``array`` gives its answer as an array without a copy: a
    matrix ``(n, n)``, or pairs of pixels ``(*pixels, *pixels)``; it is in no time below.
    ``scale``: seconds of all the work over those of the part of it that ``call`` does.
    """

    call: Call
    array: Callable[[Any], np.ndarray] = np.asarray
    scale: float = 1.0


class WrongAnswerError(Exception):
    """The two sides disagree: nothing is timed then."""


@dataclasses.dataclass(frozen=True)
class Race:
    """Seconds of every run, in order, and how far the answers are apart.

    ``error``: relative Frobenius distance, ours to the peer's.
    """

    ours: tuple[float, ...]
    peer: tuple[float, ...]
    error: float

    @property
    def ratio(self) -> float:
        """Median of the peer's seconds over the median of ours: above 1, ours is faster."""
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float]:
        """Smallest and largest ratio among the runs, each paired with its neighbour."""
        ratios = [p / o for o, p in zip(self.ours, self.peer, strict=True)]
        return min(ratios), max(ratios)


def compare(ours: Any, peer: Any, tolerance: float = TOLERANCE) -> float:
    """Relative Frobenius distance of two answers, also where one comes as pairs of pixels.

    Raises
    ------
    WrongAnswerError
        If it is above ``tolerance`` or not a number, or the shapes differ.
    """
    ours, peer = (np.asarray(matrix, np.float64) for matrix in (ours, peer))
    if peer.ndim > 2 and peer.size == ours.size:
        peer = peer.reshape(ours.shape)
    if ours.shape != peer.shape:
        raise WrongAnswerError(
            f"answers of shapes {ours.shape} (ours) and {peer.shape} (peer) cannot be compared"
        )
    error = float(np.linalg.norm(ours - peer) / np.linalg.norm(peer))
    if not error <= tolerance:  # also when it is not a number
        raise WrongAnswerError(
            f"the answers differ by {error:.2e} (relative Frobenius norm), and at most "
            f"{tolerance:.0e} is rounding; nothing was timed"
        )
    return error


def sample(kernel: np.ndarray) -> list[float]:
    """Some entries, always the same ones, whether it is a matrix or pairs of pixels."""
    chosen = np.random.default_rng(0).integers(kernel.size, size=SAMPLE)
    return kernel[np.unravel_index(chosen, kernel.shape)].tolist()


def race(
    ours: Timed, peer: Timed, error: float, *, runs: int = LEAST_RUNS, limit: float = 300.0
) -> Race:
    """Time both sides in turn: ours, peer, ours, peer, ...

    Parameters
    ----------
    ours, peer
        Run once, warmed up, and return the seconds it took.
    error
        What `compare` said; a race without a comparison has no meaning.
    runs
        Runs of each side; at least `LEAST_RUNS` are made.
    limit
        Seconds after which no run beyond `LEAST_RUNS` is started.
    """
    seconds: tuple[list[float], list[float]] = ([], [])
    start = time.perf_counter()
    for run in range(max(runs, LEAST_RUNS)):
        if run >= LEAST_RUNS and time.perf_counter() - start > limit:
            break
        for side, call in zip(seconds, (ours, peer), strict=True):
            side.append(call())
    return Race(tuple(seconds[0]), tuple(seconds[1]), error)


def timed(call: Call, scale: float = 1.0) -> Timed:
    """A callable that runs ``call`` and returns its wall-clock seconds, times ``scale``."""

    def run() -> float:
        gc.collect()
        start = time.perf_counter()
        call()
        return scale * (time.perf_counter() - start)

    return run


def footprint(call: Call, repeats: int = 1) -> tuple[int, float]:
    """Peak memory of the first call and median seconds of ``repeats`` calls after it.

    Meant for a fresh interpreter.  The bytes are the rise of this process's peak
    resident memory over its resident memory just before the call, compilation
    included; host memory, so on an accelerator what the device holds is not in it.
    On Linux the peak is the kernel's ``VmHWM``, reset just before: ``ru_maxrss`` is
    inherited from the parent process there.  Elsewhere it is ``ru_maxrss``.
    """
    gc.collect()
    before = _reset_peak()
    call()
    peak = peak_bytes() - before
    seconds = [timed(call)() for _ in range(repeats)]
    return max(peak, 0), statistics.median(seconds) if seconds else 0.0


def _reset_peak() -> int:
    """Forget the peak so far; resident bytes now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_bytes()
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """Peak resident bytes of this process, since the last reset."""
    if Path("/proc/self/status").exists():
        return _status_bytes("VmHWM")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


def _status_bytes(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
