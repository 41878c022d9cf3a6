"""A case from beginning to end: choose the peer's best, measure memory, race."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.cases import ITERATING, PREDICT, STAX, Bound, Case
from benchmarks.measure import LEAST_RUNS, Race, WrongAnswerError, compare
from benchmarks.worker import WorkerError, run_job


class PeerFailedError(WorkerError):
    """No implementation of the peer came to an end."""


ALONE = ("eigenpairs", "spectrum", "sweep", "slice")
"""Quantities that have no peer."""

HERE = ("product", "curve", "trajectory")
"""Quantities whose peer runs in this Python always."""

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to measure.

    ``runs`` of each side; no run beyond the fifth is started after ``limit`` seconds, and
    an implementation of the peer that is not done with two calls after ``patience``
    seconds is out.  ``peer_python``: interpreter with an older JAX that runs the peer.
    """

    peer: str = "neural-tangents"
    runs: int = LEAST_RUNS
    limit: float = 300.0
    patience: float = 900.0
    peer_python: str | None = None

    @property
    def python(self) -> str:
        """The interpreter that runs the peer."""
        return self.peer_python or sys.executable


@dataclasses.dataclass(frozen=True)
class Result:
    """One case against one peer; `as_dict` is an entry of the JSON.  Seconds and bytes.

    A case in which the peer failed has ``fault`` and what ours took alone.  Without a race,
    ``residual`` is of the worst eigenpair, or of a sample of entries to the peer's.
    """

    case: Case
    peer: str
    race: Race | None = None
    ours_peak_bytes: int | None = None
    peer_peak_bytes: int | None = None
    fault: str = ""
    ours_seconds: float | None = None
    residual: float | None = None
    peer_seconds: float | None = None

    @property
    def memory_ratio(self) -> float | None:
        """Our peak bytes over the peer's."""
        if self.ours_peak_bytes is None or not self.peer_peak_bytes:
            return None
        return self.ours_peak_bytes / self.peer_peak_bytes

    @property
    def _single_ratio(self) -> float | None:
        """The peer's seconds over ours, one call of each, in interpreters of their own."""
        if self.peer_seconds is None or self.ours_seconds is None:
            return None
        return self.peer_seconds / self.ours_seconds

    @property
    def met(self) -> bool | None:
        """Whether the goal is reached, in speed and in memory.

        None if there is no goal, or the peer failed and there is nothing to hold against it.
        """
        goal = self.case.goal
        if isinstance(goal, Bound):
            return goal.kept(self.ours_peak_bytes, self.residual, self.ours_seconds)
        if goal is None or self.ours_seconds is not None:
            return None
        if self.race is None:
            return False
        ratio = self.memory_ratio
        small = goal.memory is None or (ratio is not None and ratio <= goal.memory)
        return bool(self.race.ratio >= goal.speed and small)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: medians in seconds, ``spread`` the extreme ratios of paired runs."""
        race, goal = self.race, self.case.goal
        return {
            "case": self.case.name,
            "peer": self.peer,
            "ours_s": statistics.median(race.ours) if race else self.ours_seconds,
            "peer_s": statistics.median(race.peer) if race else self.peer_seconds,
            "ratio": race.ratio if race else self._single_ratio,
            "spread": race and list(race.spread),
            "error": race.error if race else self.residual,
            "ours_peak_bytes": self.ours_peak_bytes,
            "peer_peak_bytes": self.peer_peak_bytes,
            "goal": goal and dataclasses.asdict(goal),
            "met": self.met,
        }


@dataclasses.dataclass(frozen=True)
class Peer:
    """The peer as it is installed: name, version and JAX, and what runs there."""

    version: str
    implementations: tuple[str, ...]


def installed(package: str) -> str:
    """Version in this environment, without importing it here."""
    return importlib.metadata.version(package)


def find_peer(settings: Settings) -> Peer:
    """Ask the Python that runs the peer.

    Raises
    ------
    WorkerError
        If the peer is not installed there; the message says how to install it.
    """
    about = run_job({"job": "describe", "peer": settings.peer}, settings.python)
    return Peer(about["version"], tuple(about["implementations"]))


def contest(case: Case, settings: Settings, peer: Peer, say: Say = lambda line: None) -> Result:
    """Measure one case.

    1. Every implementation of the peer in a fresh interpreter: peak memory and seconds.
       The fastest is the peer of this case, with its own memory.
    2. Ours in a fresh interpreter: peak memory.
    3. Both in one process (two, with ``peer_python``, but for what `HERE` names): the
       answers are compared, then timed in turn.

    A case that is held to bounds skips the third step: of two answers that large, a sample
    of entries is compared.  A measurement that fails is named in `Result.fault`, never left
    out.
    """
    if case.family == "training":
        from benchmarks import training_jobs

        return training_jobs.contest(case, settings, say)
    if case.quantity in HERE:
        settings = dataclasses.replace(settings, peer_python=None)
    if case.quantity in ALONE:
        return _without_peer(case, say)
    peer = peer_of(case, peer)
    name = peer.version
    bounded = isinstance(case.goal, Bound)
    try:
        with _place(case, settings) as place:
            best, theirs = _fastest(peer.implementations, place, settings, say, bounded)
            name = f"{peer.version}, {best}"
            job = {"job": "footprint", "case": case.as_dict(), "side": "ours"}
            ours = run_job(job | {"sampled": bounded})
            if bounded:
                return _side_by_side(case, name, ours, theirs)
            job = {"job": "race", "case": case.as_dict(), "side": best}
            job |= {"runs": settings.runs, "limit": settings.limit}
            if settings.peer_python is not None:
                job |= {"python": settings.peer_python, **place}
            race = run_job(job)
    except PeerFailedError as fault:
        return _alone(case, name, str(fault))
    except WorkerError as fault:
        return Result(case, name, fault=str(fault))
    times = Race(tuple(race["ours"]), tuple(race["peer"]), race["error"])
    return Result(case, name, times, ours["bytes"], theirs["bytes"])


def peer_of(case: Case, peer: Peer) -> Peer:
    """Who computes what this case asks for: the peer itself, with its ways to it, or another."""
    if case.quantity == "product":
        return Peer(f"JAX {installed('jax')}", ("vjp and jvp",))
    if case.quantity == "curve":
        return Peer(f"NumPy {installed('numpy')}", (ITERATING,))
    if case.quantity == "trajectory":
        return Peer(peer.version, (PREDICT,))
    if case.family == "analytic":
        return Peer(peer.version, (STAX,))
    return peer


@contextmanager
def _place(case: Case, settings: Settings) -> Iterator[dict[str, Any]]:
    """What a job of the peer is given: the case, or a folder that it was exported to."""
    if settings.peer_python is None:
        yield {"case": case.as_dict()}
        return
    with tempfile.TemporaryDirectory() as folder:
        run_job({"job": "export", "case": case.as_dict(), "folder": folder})
        yield {"folder": folder}


def _side_by_side(case: Case, peer: str, ours: dict[str, Any], theirs: dict[str, Any]) -> Result:
    """Both measured in interpreters of their own."""
    try:
        error = compare(ours["sample"], theirs["sample"], case.tolerance)
    except WrongAnswerError as fault:
        return Result(case, peer, fault=f"WrongAnswerError: {fault}")
    return Result(
        case, peer, None, ours["bytes"], theirs["bytes"], "", ours["seconds"], error,
        theirs["seconds"],
    )  # fmt: skip


def _without_peer(case: Case, say: Say) -> Result:
    """Ours alone in a fresh interpreter.

    The error is the worst residual of eigenpairs, or a check: of the spectrum at a small
    size, of a sweep for one mask, of estimated sensitivities.
    """
    try:
        found = run_job({"job": case.quantity, "case": case.as_dict()})
    except WorkerError as fault:
        return Result(case, "none", fault=str(fault))
    if case.quantity == "eigenpairs":
        say(f"  {found['parameters']:,} parameters, {found['products']} products")
    return Result(
        case, "none", ours_peak_bytes=found["bytes"], ours_seconds=found["seconds"],
        residual=found["residual"],
    )  # fmt: skip


def _alone(case: Case, peer: str, fault: str) -> Result:
    """What ours takes where the peer failed."""
    job = {"job": "footprint", "case": case.as_dict(), "side": "ours"}
    try:
        ours = run_job(job)
    except WorkerError as second:
        return Result(case, peer, fault=f"{fault}; ours: {second}")
    found = ours["bytes"], None, fault, ours["seconds"]
    return Result(case, peer, None, *found)


def _fastest(
    candidates: tuple[str, ...], place: dict[str, Any], settings: Settings, say: Say,
    sampled: bool = False,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """The implementation with the fewest seconds, and its footprint."""
    measured: dict[str, dict[str, Any]] = {}
    faults = []
    for side in candidates:
        job = {"job": "footprint", "side": side, "sampled": sampled, **place}
        try:
            measured[side] = run_job(job, settings.python, settings.patience)
            took, peak = measured[side]["seconds"], measured[side]["bytes"]
            say(f"  {side}: {took:.3g} s, {peak / 2**20:.0f} MiB")
        except WorkerError as fault:
            faults.append(f"{side}: {fault}")
            say(f"  {faults[-1]}")
    if not measured:
        raise PeerFailedError("; ".join(faults))
    best = min(measured, key=lambda side: measured[side]["seconds"])
    return best, measured[best]
