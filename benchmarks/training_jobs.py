"""Racing steps of training against PyTorch: jobs for `benchmarks.worker`, and the contest.

Light to import: neither JAX nor PyTorch, of which each side's Python may lack the other.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import worker
from benchmarks.cases import Case
from benchmarks.worker import WorkerError, run_job
from ntkdip.allocation import keep_freed_memory, prepare_for_training

if TYPE_CHECKING:
    from benchmarks.contest import Result, Settings

STEPS = 10
"""Steps in one timed run: after a pause the first are slower, on both sides."""

INSTALL = 'pip install torch deepinv, or name a Python that has them by "--peer-python"'


def threads() -> int:
    """Processors that this process may use: PyTorch is given as many threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """What `benchmarks.torch_peer` runs on here.

    Raises
    ------
    ModuleNotFoundError
        Without PyTorch; the message says how to install it.
    """
    try:
        from benchmarks import torch_peer
    except ModuleNotFoundError as fault:
        raise ModuleNotFoundError(f"no {fault.name} in this Python: {INSTALL}") from fault
    return torch_peer.describe()


def export(case: dict[str, Any], folder: str) -> None:
    """Write what both sides start from."""
    from benchmarks import training

    training.export(Case.from_dict(case), Path(folder))


def _stepper(side: str, folder: str) -> Callable[[], float]:
    """Steps of one side; ours as the command line takes them."""
    if side == "ours":
        from benchmarks import training

        prepare_for_training()
        about = json.loads((Path(folder) / "training.json").read_text())
        return training.stepper(Case.from_dict(about["case"]))
    from benchmarks import torch_peer

    return torch_peer.stepper(Path(folder), side, threads())


def footprint(side: str, folder: str, repeats: int = 5) -> dict[str, Any]:
    """Peak bytes of the process, libraries and compilation included, and seconds a step.

    ``rise``: of the peak over what was resident before the first step.  The peer's memory is
    measured as it comes, its time with freed memory kept, as on our side.
    """
    from benchmarks import measure

    step = _stepper(side, folder)
    rise, seconds = measure.footprint(lambda: (step(), step()), 0)
    keep_freed_memory()
    seconds = statistics.median(measure.timed(step)() for _ in range(repeats))
    return {"bytes": measure.peak_bytes(), "rise": rise, "seconds": seconds}


def serve(side: str, folder: str) -> None:
    """The losses before and after one step; then `STEPS` steps for every line ``run``."""
    from benchmarks import measure

    step = _stepper(side, folder)
    losses = [step(), step()]
    keep_freed_memory()
    run = measure.timed(lambda: [step() for _ in range(STEPS)], 1 / STEPS)
    for line in worker.sys.stdin:
        if line.strip() == "stop":
            return
        print(json.dumps(run() if line.strip() == "run" else losses), flush=True)


def race(side: str, folder: str, runs: int, limit: float, python: str) -> dict[str, Any]:
    """Ours and PyTorch's in turn, in a process each; the losses are compared first.

    ``error``: relative, the larger of that before the first step and that after it.
    """
    import dataclasses

    from benchmarks import measure

    about = json.loads((Path(folder) / "training.json").read_text())
    step = _stepper("ours", folder)
    losses = [step(), step()]
    ours = measure.timed(lambda: [step() for _ in range(STEPS)], 1 / STEPS)
    with _served(folder, side, python) as ask:
        pairs = zip(losses, ask("losses"), strict=True)
        error = max(measure.compare([a], [b], about["case"]["tolerance"]) for a, b in pairs)
        result = measure.race(ours, lambda: float(ask("run")), error, runs=runs, limit=limit)
    return dataclasses.asdict(result)


@contextlib.contextmanager
def _served(folder: str, side: str, python: str) -> Iterator[Callable[[str], Any]]:
    job = {"job": "training_serve", "folder": folder, "side": side}
    with worker.started(job, python) as process:
        yield worker.conversation(process)
        with contextlib.suppress(BrokenPipeError):
            process.communicate("stop\n")


def deep_image_prior(folder: str) -> dict[str, Any]:
    """deepinv's own, on its own network."""
    from benchmarks import torch_peer

    return torch_peer.deep_image_prior(Path(folder), threads())


def loops(case: dict[str, Any]) -> list[dict[str, Any]]:
    """A Python loop against ``jax.lax.fori_loop`` on the default backend."""
    from benchmarks import training

    return training.loops(Case.from_dict(case))


JOBS: dict[str, Callable[..., Any]] = {
    "training_describe": describe, "training_export": export, "training_footprint": footprint,
    "training_serve": serve, "training_race": race, "training_deepinv": deep_image_prior,
    "training_loops": loops,
}  # fmt: skip


def contest(case: Case, settings: Settings, say: Callable[[str], None]) -> Result:
    """Choose PyTorch's faster memory format, measure memory, compare losses, race."""
    from benchmarks.contest import Result
    from benchmarks.measure import Race

    name = "PyTorch"
    try:
        about = run_job({"job": "training_describe"}, settings.python)
        name = about["version"]
        with tempfile.TemporaryDirectory() as folder:
            run_job({"job": "training_export", "case": case.as_dict(), "folder": folder})
            sides = dict.fromkeys(about["layouts"], settings.python)
            measured = {}
            for side, python in {**sides, "ours": None}.items():
                job = {"job": "training_footprint", "side": side, "folder": folder}
                arguments = () if python is None else (python, settings.patience)
                measured[side] = run_job(job, *arguments)
                say(f"  {side}: {_line(measured[side])}")
            ours = measured.pop("ours")
            best = min(measured, key=lambda side: measured[side]["seconds"])
            name = f"{name}, {best}, {threads()} threads"
            job = {"job": "training_race", "side": best, "folder": folder}
            job |= {"runs": settings.runs, "limit": settings.limit, "python": settings.python}
            raced = run_job(job)
            if about["deepinv"]:
                say(f"  {_beside(about['deepinv'], folder, settings)}")
    except WorkerError as fault:
        return Result(case, name, fault=str(fault))
    times = Race(tuple(raced["ours"]), tuple(raced["peer"]), raced["error"])
    return Result(case, name, times, ours["bytes"], measured[best]["bytes"])


def _line(found: dict[str, Any]) -> str:
    peak, rise = (found[key] / 2**20 for key in ("bytes", "rise"))
    rate = 1 / found["seconds"]
    return f"{rate:.2f} steps/s, peak {peak:.0f} MiB, of which the steps' {rise:.0f} MiB"


def _beside(name: str, folder: str, settings: Settings) -> str:
    """For information: another network, so nothing is held against it."""
    try:
        found = run_job({"job": "training_deepinv", "folder": folder}, settings.python)
    except WorkerError as fault:
        return f"{name}: {fault}"
    rate, size = 1 / found["seconds"], found["parameters"]
    return f"{name}, DeepImagePrior on its ConvDecoder, {size:,} parameters: {rate:.2f} steps/s"
