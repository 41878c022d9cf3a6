"""One measurement in a fresh interpreter: ``python -m benchmarks.worker JOB`` (JSON).

The last line of standard output is the answer (JSON).  Jobs on a folder rather than a
case run under any Python with JAX and the peer: of ntkdip only the loader of neural-tangents
is imported, and no Flax.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.measure import Side

ROOT = Path(__file__).parents[1]

PLAIN_TOLERANCE = 1e-6
"""Relative distance between Flax's image and the plain network's."""


class WorkerError(Exception):
    """A measurement that did not come back; the message is its last words."""


def run_job(job: dict[str, Any], python: str = sys.executable, limit: float | None = None) -> Any:
    """Run a job in a fresh interpreter and return its answer.

    Raises
    ------
    WorkerError
        If it fails, or is not done after ``limit`` seconds; the text names the exception,
        or the signal that ended it.
    """
    with started(job, python) as process:
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired as fault:
            raise WorkerError(f"not done after {limit:.0f} s") from fault
    return _answer(out, err, process.returncode)


def _answer(out: str, err: str, status: int) -> Any:
    if status < 0:
        raise WorkerError(f"ended by signal {-status}, which for 9 means out of memory")
    if status:
        lines = err.strip().splitlines()
        raise WorkerError(lines[-1] if lines else f"exit status {status}")
    return json.loads(out.strip().splitlines()[-1])


@contextlib.contextmanager
def started(job: dict[str, Any], python: str) -> Iterator[subprocess.Popen[str]]:
    """The process of a job; it ends with the context."""
    # Our own packages' path is of no use to another Python.
    inherited = os.environ.get("PYTHONPATH") if python == sys.executable else None
    path = os.pathsep.join([str(ROOT)] + [inherited] * bool(inherited))
    environment = os.environ | {"PYTHONPATH": path}
    with subprocess.Popen(
        [python, "-m", "benchmarks.worker", json.dumps(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def conversation(process: subprocess.Popen[str]) -> Callable[[str], Any]:
    """A callable that sends a line to a started job and returns its reply (JSON)."""

    def ask(line: str) -> Any:
        if process.stdin is not None and process.stdout is not None:
            with contextlib.suppress(BrokenPipeError):
                print(line, file=process.stdin, flush=True)
            if reply := process.stdout.readline():
                return json.loads(reply)
        return _answer(*process.communicate(), process.returncode or 1)

    return ask


def export(case: dict[str, Any], folder: str) -> None:
    """Write the case for a Python without Flax."""
    from benchmarks import analytic, empirical
    from benchmarks.cases import Case

    built = Case.from_dict(case)
    family = analytic if built.family == "analytic" else empirical
    family.export(built, Path(folder))


def describe(peer: str) -> dict[str, Any]:
    """The peer's version, and its implementations that run here."""
    from benchmarks import peers

    return {"version": peers.version(peer), "implementations": peers.implementations(peer)}


def footprint(
    side: str, case: dict[str, Any] | None = None, folder: str | None = None, repeats: int = 1,
    sampled: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Peak bytes of a first call and seconds of later ones; ``side`` is ours or a peer's.

    With ``sampled`` also some entries of the answer, to compare what no race holds in memory.
    """
    from benchmarks import measure

    call, array, scale = _side(side, case, folder)
    sample: list[float] = []

    def call_and_sample() -> None:
        sample[:] = measure.sample(array(call()))

    _wake_compiler()
    # If memory runs out, it is this process that the system ends, not its parent.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    peak, seconds = measure.footprint(call_and_sample if sampled else call, repeats)
    return {"bytes": peak, "seconds": scale * seconds, "sample": sample}


def _wake_compiler() -> None:
    """Compile something small, so that a footprint holds no one-time cost of JAX itself."""
    import jax
    import jax.numpy as jnp

    x = jnp.ones((1, 4, 4))
    jax.block_until_ready(jax.jit(lambda x: jax.lax.conv(x, x, (1,), "SAME") @ x[0])(x))


def eigenpairs(case: dict[str, Any]) -> dict[str, Any]:
    """Leading eigenpairs of a matrix-free kernel: seconds and peak bytes of the one call."""
    from benchmarks import empirical
    from benchmarks.cases import Case

    call, parameters = empirical.eigenpairs(Case.from_dict(case))
    pairs, once = _once(call)
    return {
        **once,
        "residual": float(pairs.residuals.max() / pairs.values[0]),
        "products": pairs.products,
        "parameters": parameters,
    }


def sweep(case: dict[str, Any]) -> dict[str, Any]:
    """A sweep of theory: seconds and peak bytes of the one call, compilation included."""
    from benchmarks import theory
    from benchmarks.cases import Case

    built = Case.from_dict(case)
    _, once = _once(theory.sweep(built))
    return {**once, "residual": theory.sweep_error(built)}


def raw_slice(case: dict[str, Any]) -> dict[str, Any]:
    """A file to its operator: seconds and peak bytes of the one call, compilation included."""
    from benchmarks import raw_data
    from benchmarks.cases import Case

    built = Case.from_dict(case)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slice.h5"
        raw_data.write(built, path)
        ready, once = _once(lambda: raw_data.read(path))
    return {**once, "residual": raw_data.mismatch(built, ready)}


def _once(call: Callable[[], Any]) -> tuple[Any, dict[str, Any]]:
    """The answer of one call, and its peak bytes and seconds."""
    from benchmarks import measure

    _wake_compiler()
    found: list[Any] = []
    seconds: list[float] = []
    run = measure.timed(lambda: found.append(call()))
    peak, _ = measure.footprint(lambda: seconds.append(run()), repeats=0)
    return found[0], {"bytes": peak, "seconds": seconds[0]}


def spectrum(case: dict[str, Any]) -> dict[str, Any]:
    """The spectrum of a stationary kernel: peak bytes of a first call, seconds of later ones.

    Its residual is the distance to a dense kernel's, at a size where there is one.
    """
    from benchmarks import analytic, measure
    from benchmarks.cases import Case

    built = Case.from_dict(case)
    call = analytic.spectrum(built)
    _wake_compiler()
    peak, seconds = measure.footprint(call, repeats=measure.LEAST_RUNS)
    error = analytic.spectrum_error(built)
    return {"bytes": peak, "seconds": seconds, "residual": error}


def race(
    case: dict[str, Any], side: str, runs: int, limit: float, folder: str | None = None,
    python: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Ours against the peer in turn: here, or the peer's half under another Python."""
    import dataclasses

    from benchmarks import measure

    ours, array, _ = _side("ours", case, None)
    answer = array(ours())  # compiles
    with contextlib.ExitStack() as stack:
        if python is None:
            peer = _side(side, case, None)
            theirs = peer.array(peer.call())
            again = measure.timed(peer.call, peer.scale)
        else:
            if case["family"] != "analytic":
                _require_same_image(case, str(folder))
            theirs, again = stack.enter_context(_served(str(folder), side, python))
        error = measure.compare(answer, theirs, case["tolerance"])
        del answer, theirs
        result = measure.race(measure.timed(ours), again, error, runs=runs, limit=limit)
    return dataclasses.asdict(result)


@contextlib.contextmanager
def _served(folder: str, side: str, python: str) -> Iterator[tuple[Any, Callable[[], float]]]:
    """The peer's kernel from another Python, and a callable that runs it once more there."""
    import numpy as np

    with (
        tempfile.TemporaryDirectory() as answers,
        started({"job": "serve", "folder": folder, "side": side, "answers": answers}, python)
        as process,
    ):  # fmt: skip
        ask = conversation(process)
        ask("ready")
        yield np.load(Path(answers) / "kernel.npy"), lambda: float(ask("run"))
        with contextlib.suppress(BrokenPipeError):
            process.communicate("stop\n")


def _require_same_image(case: dict[str, Any], folder: str) -> None:
    """Both on this JAX: another version of it rounds differently in the last digits."""
    import numpy as np

    from benchmarks import empirical, measure, plain_networks
    from benchmarks.cases import Case

    problems = empirical.problem(Case.from_dict(case)), plain_networks.load(Path(folder))
    flax, plain = (np.asarray(problem.f(problem.params, problem.z)) for problem in problems)
    distance = np.linalg.norm(plain - flax) / np.linalg.norm(flax)
    if not distance <= PLAIN_TOLERANCE:
        raise measure.WrongAnswerError(
            f"the plain network's image differs from Flax's by {distance:.1e}, and at most "
            f"{PLAIN_TOLERANCE:.0e} is rounding; nothing was timed"
        )


def serve(folder: str, side: str, answers: str) -> None:
    """Compute once and write the kernel; then once more for every line ``run``."""
    import numpy as np

    from benchmarks import measure

    call, array, _ = _side(side, None, folder)
    np.save(Path(answers) / "kernel.npy", array(call()))
    run = measure.timed(call)
    for line in sys.stdin:
        if line.strip() == "stop":
            return
        print(json.dumps(run() if line.strip() == "run" else "ready"), flush=True)


def _side(side: str, case: dict[str, Any] | None, folder: str | None) -> Side:
    """What computes the answer: ours, or an implementation of the peer."""
    from benchmarks import peers, plain_networks
    from benchmarks.cases import ITERATING, STAX, Case
    from benchmarks.measure import Side

    if side not in ("ours", "vjp and jvp", ITERATING):
        peers.implementations("jacobian" if side == "rows" else "neural-tangents")
    if folder is not None:
        if side == STAX:
            from benchmarks import stax_peer

            return stax_peer.load(Path(folder))
        return Side(peers.kernel(side, plain_networks.load(Path(folder))))
    from benchmarks import analytic, empirical, theory

    built = Case.from_dict(case or {})
    if built.family in ("analytic", "theory"):
        family = analytic if built.family == "analytic" else theory
        return family.ours(built) if side == "ours" else family.peer(built)
    if side == "ours":
        return Side(empirical.ours(built))
    return Side(peers.kernel(side, empirical.problem(built)))


JOBS: dict[str, Callable[..., Any]] = {
    "describe": describe, "export": export, "footprint": footprint, "race": race, "serve": serve,
    "eigenpairs": eigenpairs, "spectrum": spectrum, "sweep": sweep,
    "slice": raw_slice,
}  # fmt: skip


def main() -> int:
    """Run the job on the command line; what went wrong is standard error's last line."""
    warnings.simplefilter("ignore")  # nobody reads them, and a full pipe would block
    from benchmarks import training_jobs

    arguments = json.loads(sys.argv[1])
    name = arguments.pop("job")
    try:
        result = (JOBS | training_jobs.JOBS)[name](**arguments)
    except Exception as fault:
        traceback.print_exc()
        print(f"{type(fault).__name__}: {' '.join(str(fault).split())[:500]}", file=sys.stderr)
        return 1
    if not name.endswith("serve"):
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
