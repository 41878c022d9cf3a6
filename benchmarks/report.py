"""Results as a table and as a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator
from rich.table import Table

from benchmarks.cases import Bound, Goal
from benchmarks.contest import Result
from benchmarks.growth import Curve
from benchmarks.traffic import Traffic
from ntkdip import plotting

MEBI = 2**20
MET, MISSED = plotting.colour("WCNN"), plotting.colour("Deep Decoder")


def table(results: Sequence[Result], shares: dict[str, float]) -> Table:
    """One row a case: medians, ratio with its spread, memory, goal and whether it is met.

    ``shares``: by case, of the machine's matrix-product rate (`benchmarks.rate`) or of its
    copy bandwidth (`benchmarks.traffic`).
    """
    shown = Table(title="ntkdip against its peers; s: median, x: ratio, in brackets: spread")
    for head in ("case", "peer", "ours", "peer's", "faster", "memory", "error", "rate", "goal", ""):
        shown.add_column(head, no_wrap=head not in ("peer", "case"))
    for result in results:
        goal = result.case.goal
        wanted = _goal(goal)
        verdict = {True: "[green]met[/]", False: "[bold red]missed[/]", None: ""}[result.met]
        cells = _lonely(result, shares) if result.race is None else _cells(result, shares)
        shown.add_row(result.case.name, result.peer, *cells, wanted, verdict)
    return shown


def _goal(goal: Goal | Bound | None) -> str:
    if isinstance(goal, Bound):
        parts = [f"<={goal.bytes / MEBI:.0f} MiB"]
        parts += [] if goal.seconds is None else [f"<={goal.seconds:g} s"]
        parts += [] if goal.residual is None else [f"residual <={goal.residual:.0e}"]
        return ", ".join(parts)
    if goal is None:
        return ""
    memory = "" if goal.memory is None else f" <={goal.memory:g}x"
    return f">={goal.speed:.4g}x{memory}"


def _lonely(result: Result, shares: dict[str, float]) -> list[str]:
    """Without a race: our own seconds and bytes, and the peer's where it came to an end."""
    entry, peak = result.as_dict(), result.ours_peak_bytes
    ours = "[red]failed[/]" if entry["ours_s"] is None else f"{entry['ours_s']:.3g} s"
    theirs = "[red]failed[/]" if result.fault else ""
    if entry["peer_s"] is not None:
        theirs = f"{entry['peer_s']:.3g} s"
    faster = "" if entry["ratio"] is None else f"{entry['ratio']:.2f}x (once)"
    memory = _memory(result) or ("" if peak is None else f"{peak / MEBI:.0f} MiB")
    error = "" if result.residual is None else f"{result.residual:.0e}"
    return [ours, theirs, faster, memory, error, _share(result, shares)]


def _cells(result: Result, shares: dict[str, float]) -> list[str]:
    if result.race is None:
        return []
    entry, (low, high) = result.as_dict(), result.race.spread
    return [
        f"{entry['ours_s']:.3g} s",
        f"{entry['peer_s']:.3g} s",
        f"{_times(result.race.ratio)}x ({_times(low)} to {_times(high)})",
        _memory(result),
        f"{result.race.error:.0e}",
        _share(result, shares),
    ]


def _times(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:,.0f}"


def _share(result: Result, shares: dict[str, float]) -> str:
    share = shares.get(result.case.name)
    if share is None:
        return ""
    return f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"


def _memory(result: Result) -> str:
    if result.memory_ratio is None or not result.ours_peak_bytes or not result.peer_peak_bytes:
        return ""
    ours, peer = result.ours_peak_bytes / MEBI, result.peer_peak_bytes / MEBI
    return f"{result.memory_ratio:.2f}x ({ours:.0f}/{peer:.0f} MiB)"


def traffic_table(rows: Sequence[Traffic]) -> Table:
    """How close analytic kernels come to the copy bandwidth (`benchmarks.traffic`)."""
    head = ("case", "result", "rate", "ours", "peer's", "layer by layer, counted")
    shown = Table(*head, title="time in copies of the result (float64, read and written once)")
    for row in rows:
        theirs = "" if row.peer is None else f"{row.peer:.1f}"
        size, share = f"{row.least_bytes / MEBI:.0f} MiB", f"{row.share:.1%}"
        shown.add_row(row.case, size, share, f"{row.ours:.1f}", theirs, f"{row.plain:.1f}")
    return shown


def loops_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Steps of training in a Python loop and in ``jax.lax.fori_loop``."""
    head = ("backend", "convolutions", "loop", "fori_loop", "slower", "apart")
    shown = Table(*head, title="one step of training, in a loop over a jitted step and in lax")
    for row in rows:
        loop, scan = row["loop_s"], row["scan_s"]
        times = (f"{1e3 * loop:.3g} ms", f"{1e3 * scan:.3g} ms", f"{scan / loop:.2f}x")
        shown.add_row(row["backend"], row["convolutions"], *times, f"{row['error']:.0e}")
    return shown


def growth_table(curves: Sequence[Curve]) -> Table:
    """Fitted exponents of time and memory."""
    head = ("with", "side", "from", "to", "time ~ size^", "memory ~ size^")
    shown = Table(*head, title="growth: exponents of least-squares lines in log-log")
    for curve in curves:
        ends = (str(curve.sizes[0]), str(curve.sizes[-1]))
        exponents = (f"{curve.exponent('seconds'):.2f}", f"{curve.exponent('bytes'):.2f}")
        shown.add_row(curve.axis, curve.side, *ends, *exponents)
    return shown


def save_plot(path: Path, results: Sequence[Result], curves: Sequence[Curve]) -> None:
    """Speed and memory of every case with goals, and the growth, as one picture.

    The file's ending chooses its format (PNG, PDF, SVG).
    """
    with plotting.style():
        figure = _figure(results, curves)
        figure.savefig(path)
        plt.close(figure)


def _figure(results: Sequence[Result], curves: Sequence[Curve]) -> Figure:
    measured = [result for result in results if result.race is not None]
    columns = list(dict.fromkeys(curve.axis for curve in curves))
    heights = [1.2 + 0.42 * max(len(measured), 1)] + [5.6] * bool(curves)
    figure = plt.figure(figsize=(11, sum(heights)))
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    speed, memory = parts[0].subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _bars(speed, memory, measured)
    if curves:
        axes = parts[1].subplots(2, len(columns), sharex="col", squeeze=False)
        for (upper, lower), axis in zip(axes.T, columns, strict=True):
            chosen = [curve for curve in curves if curve.axis == axis]
            _growth(upper, chosen, "seconds")
            _growth(lower, chosen, "bytes")
            lower.set_xlabel(axis)
    return figure


def _bars(speed: Axes, memory: Axes, measured: Sequence[Result]) -> None:
    for y, result in enumerate(measured):
        if result.race is None:
            continue
        colour = MISSED if result.met is False else MET
        speed.barh(y, result.race.ratio - 1, left=1, color=colour, height=0.6)
        speed.plot(result.race.spread, [y, y], color="black", linewidth=1)
        if result.memory_ratio is not None:
            memory.barh(y, result.memory_ratio - 1, left=1, color=colour, height=0.6)
        if isinstance(result.case.goal, Goal):
            goals = ((speed, result.case.goal.speed), (memory, result.case.goal.memory))
            for ax, value in goals:
                if value is None:
                    continue
                ax.plot([value, value], [y - 0.4, y + 0.4], color="black", linewidth=2.2)
    speed.set_yticks(range(len(measured)), [result.case.name for result in measured])
    speed.invert_yaxis()
    speed.set(xscale="log", xlabel="times faster than the peer (line: spread; mark: goal)")
    memory.set(xscale="log", xlabel="peak memory over the peer's (mark: goal)")
    if measured:
        speed.set_title(", ".join(dict.fromkeys(_package(result.peer) for result in measured)))
        memory.set_title("orange: goal missed")
    for ax in (speed, memory):
        ax.axvline(1, color="black", linewidth=0.8)
        _plain_numbers(ax.xaxis)


def _package(peer: str) -> str:
    """Name, version and JAX of a peer, without its implementation."""
    return ", ".join(peer.split(", ")[:2])


def _growth(ax: Axes, curves: Sequence[Curve], what: Literal["seconds", "bytes"]) -> None:
    for curve in curves:
        values = [s if what == "seconds" else s / MEBI for s in getattr(curve, what)]
        exponent = curve.exponent(what)
        fitted = "" if math.isnan(exponent) else f", exponent {exponent:.2f}"
        marker = "o" if curve.side == "ntkdip" else "s"
        ax.plot(curve.sizes, values, marker=marker, label=f"{curve.side}{fitted}")
    ax.set(xscale="log", yscale="log")
    ax.set_ylabel("time (s)" if what == "seconds" else "peak memory (MiB)")
    ax.set_xticks(curves[0].sizes, [str(size) for size in curves[0].sizes])
    ax.xaxis.set_minor_locator(NullLocator())
    _plain_numbers(ax.yaxis)
    ax.legend()


def _plain_numbers(axis: Axis) -> None:
    """Numbers as 0.5 and 20, a few a decade."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
