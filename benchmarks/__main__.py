"""``python -m benchmarks``: every measured comparison with other packages, one command."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.markup import escape

from benchmarks.cases import FAMILIES, SMALL, Case, Family
from benchmarks.contest import Peer, Result, Settings, contest, find_peer
from benchmarks.peers import PeerName
from benchmarks.worker import WorkerError, run_job

console = Console()
if not console.is_terminal:
    console = Console(width=170)  # a log file takes the whole table


NO_JACOBIAN: dict[Family, str] = {
    "analytic": "there is no Jacobian at infinite width",
    "theory": "a Jacobian predicts no training",
    "data": "a Jacobian reads no file",
    "training": "a Jacobian trains nothing",
}
"""Families that have nothing to hold against plain rows, and why."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Benchmarks of ntkdip against other packages: speed, memory and growth.

    Answers are compared before anything is timed.  Compilation counts in memory, and on
    neither side in time.  Run it on a quiet machine.
    """

    only: Family | None = None
    """One family of cases; the peer of training is PyTorch, if it is installed."""

    case: str = ""
    """Only cases whose name contains this (any case of letters); without growth."""

    json: Path | None = None
    """Write the results to this file."""

    plot: Path = Path("benchmarks.png")
    """Write the plot to this file (PNG, PDF or SVG)."""

    runs: int = 5
    """Runs of each side of a case; at least 5 are made."""

    limit: float = 300.0
    """Seconds a case, after which no run beyond the fifth is started."""

    patience: float = 900.0
    """Seconds after which an implementation of the peer is out."""

    peer: PeerName = "neural-tangents"
    """Whom to compare with; jacobian is J J^T from plain rows by jax.vjp."""

    peer_python: Path | None = None
    """Python of another environment in which the peer runs instead: with JAX 0.5.3 for kernels,
    with torch (and deepinv) for training."""

    small: bool = False
    """Tiny sizes without goals: does everything run?"""

    growth: bool = True
    """Measure growth with pixels, width and depth as well."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; exit status 1 if a case could not be measured."""
    options = tyro.cli(Options, prog="python -m benchmarks", args=arguments)
    from ntkdip.studies.files import writable_file, write_json

    for path, option in ((options.json, "--json"), (options.plot, "--plot")):
        if path is not None:
            writable_file(path, option)
    settings = _settings(options)
    cases = _runnable(_chosen(options), settings)
    if cases:
        alone = all(case.family == "training" for case in cases)
        peer = Peer("", ()) if alone else find_peer(settings)
        results = _results(cases, settings, peer, options.json)
    else:
        results = []
        if options.json is not None:
            write_json(options.json, [])
    if cases:
        _show(results, options, settings, peer)
    return 1 if any(result.fault for result in results) else 0


def _settings(options: Options) -> Settings:
    python = options.peer_python
    return Settings(
        options.peer,
        options.runs,
        options.limit,
        options.patience,
        None if python is None else str(python.absolute()),
    )


def _chosen(options: Options) -> list[Case]:
    """The cases asked for; families without a case say so."""
    families: list[Family] = [options.only] if options.only else list(FAMILIES)
    chosen = []
    for family in families:
        if options.peer == "jacobian" and family in NO_JACOBIAN:
            console.print(f"{family}: left out, for {NO_JACOBIAN[family]}")
            continue
        chosen += SMALL.get(family, ()) if options.small else FAMILIES[family]
    named = [case for case in chosen if options.case.lower() in case.name.lower()]
    if chosen and not named:
        names = "; ".join(case.name for case in chosen)
        raise ValueError(f"no case's name contains {options.case!r}; there are: {names}")
    return named


def _runnable(cases: list[Case], settings: Settings) -> list[Case]:
    """Without the cases of training where PyTorch is missing, which is said."""
    if not any(case.family == "training" for case in cases):
        return cases
    try:
        run_job({"job": "training_describe"}, settings.python)
    except WorkerError as fault:
        _say(f"training: left out, for {fault}")
        return [case for case in cases if case.family != "training"]
    return cases


def _results(cases: list[Case], settings: Settings, peer: Peer, out: Path | None) -> list[Result]:
    """Every case in turn; the file is written anew after each, so that none is lost."""
    from ntkdip.studies.files import write_json

    results: list[Result] = []
    for number, case in enumerate(cases, 1):
        _say(f"{number}/{len(cases)} {case.name}")
        results.append(contest(case, settings, peer, _say))
        if results[-1].fault:
            _say(f"  failed: {results[-1].fault}")
        if out is not None:
            write_json(out, [result.as_dict() for result in results])
    return results


def _show(results: list[Result], options: Options, settings: Settings, peer: Peer) -> None:
    """Tables, growth and plot."""
    from benchmarks import growth, rate, report, traffic

    families = {result.case.family for result in results}
    shares = {}
    speed = bandwidth = 0.0
    moved = []
    if "empirical" in families:
        speed = rate.machine_rate()
        shares |= rate.shares(results, speed)
    if "analytic" in families:
        bandwidth = traffic.copy_bandwidth()
        moved = traffic.of(results, bandwidth)
        shares |= {row.case: row.share for row in moved}
    console.print(report.table(results, shares))
    if speed:
        console.print(f"rate of empirical cases: of {speed / 1e9:.1f} GFLOP/s in matrix products")
    if moved:
        console.print(
            f"rate of analytic cases: the result written once, of {bandwidth / 1e9:.1f} GB/s "
            "that a copy reads and writes"
        )
        console.print(report.traffic_table(moved))
    if "training" in families:
        small = SMALL["training"][0].as_dict()
        console.print(report.loops_table(run_job({"job": "training_loops", "case": small})))
    curves = []
    if options.growth and not options.case and settings.peer_python is None:
        curves = growth.growth(settings, peer, families, small=options.small, say=_say)
        if curves:
            console.print(report.growth_table(curves))
    report.save_plot(options.plot, results, curves)
    goals = [result.met for result in results if result.met is not None]
    console.print(f"goals met: {sum(goals)} of {len(goals)}")
    console.print(f"plot: {escape(str(options.plot))}", soft_wrap=True)


def _say(line: str) -> None:
    console.print(escape(line), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    try:
        status = main()
    except (ValueError, OSError, WorkerError) as fault:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(fault))}", soft_wrap=True)
        status = 2
    sys.exit(status)
