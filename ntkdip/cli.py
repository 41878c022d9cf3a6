"""The command line: argument parsing and what is printed; the work is elsewhere."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkdip.studies.configuration import WIDTH_PRESETS, DemoConfiguration, KernelConfiguration


def main() -> None:
    """Entry point of ``ntkdip``.  Bad input ends in one line and exit status 2."""
    commands: dict[str, Callable[..., int]] = {
        "demo": demo,
        "verify": verify,
        "study": study,
        "kernel": kernel,
        "info": info,
    }
    try:
        status: int = tyro.extras.subcommand_cli_from_dict(
            commands, prog="ntkdip", description="Theory and training of untrained networks."
        )
    except (ValueError, MemoryError, OSError, FloatingPointError) as fault:
        Console(stderr=True).print(f"[bold red]error:[/] {escape(str(fault))}", soft_wrap=True)
        sys.exit(2)
    sys.exit(status)


def demo(
    config: Annotated[DemoConfiguration, tyro.conf.arg(name="")],
    out: Path = Path("ntkdip-demo"),
) -> int:
    """Reconstruct a real MRI slice: prediction and training side by side.

    Args:
        config: what to run.
        out: output folder for the report, figures and numbers.
    """
    from ntkdip.studies.demo import run_demo
    from ntkdip.studies.report import findings

    result = run_demo(out, config)
    console = Console()
    table = Table("", "predicted", "trained", "distance", "limit", title="PSNR (dB)")
    zero_filled = result.numbers["zero_filled"]["psnr_db"]
    table.add_row("zero-filled", f"{zero_filled:.2f}", "", "", "")
    for c in result.comparisons:
        table.add_row(
            f"[bold]{c.name}[/]",
            f"{c.predicted_psnr[-1]:.2f}",
            f"{c.trained_psnr[-1]:.2f}",
            f"{c.distance[-1]:.1%}",
            f"{c.limit_psnr:.2f}",
        )
    console.print(table)
    for line in findings(result.numbers):
        console.print("-", escape(line), highlight=False)
    failed = [check.name for check in result.checks if not check.passed]
    if failed:
        console.print(f"[bold red]failed checks: {', '.join(failed)}[/]")
    seconds = result.numbers["seconds"]["total"]
    report = escape(str(out / "report.html"))
    console.print(f"[green]report: {report}[/] ({seconds:.0f} s)", soft_wrap=True)
    return 1 if failed else 0


def verify(json: Path | None = None, seed: int = 0, inject_fault: bool = False) -> int:
    """Check Theorems 1 and 2 and Corollary 1 numerically; exit status 1 if a check fails.

    Args:
        json: write the checks to this file.
        seed: seed of the random cases.
        inject_fault: corrupt one kernel entry, to see checks fail.
    """
    from ntkdip.studies.files import writable_file, write_json
    from ntkdip.theory import verify as run_checks

    if json is not None:
        writable_file(json)
    checks = run_checks(seed=seed, inject_fault=inject_fault)
    if json is not None:
        write_json(json, {"checks": [check.as_dict() for check in checks]})
    table = Table("check", "statement", "measured", "bound", "")
    for check in checks:
        verdict = "[green]holds[/]" if check.passed else "[bold red]fails[/]"
        broken = "".join(
            f"\n[red]not met: {h.statement}[/]" for h in check.hypotheses if not h.holds
        )
        table.add_row(
            check.name, check.statement + broken, f"{check.measured:.2e}", f"{check.bound:.0e}",
            verdict,
        )  # fmt: skip
    console = Console()
    console.print(table)
    passed = sum(check.passed for check in checks)
    console.print(f"{passed} of {len(checks)} checks hold")
    return 0 if passed == len(checks) else 1


def study(
    name: Annotated[Literal["width"], tyro.conf.Positional],
    preset: Literal["smoke", "quick", "full"] = "quick",
    json: Path | None = None,
) -> int:
    """Run a study. ``width``: distance between training and prediction against width.

    Args:
        name: which study.
        preset: how many widths and seeds.
        json: write every row to this file.
    """
    from ntkdip.studies.files import writable_file, write_json
    from ntkdip.studies.width import STEPS, width_law

    if json is not None:
        writable_file(json)
    law = width_law(WIDTH_PRESETS[preset])
    if json is not None:
        write_json(json, dataclasses.asdict(law))
    headers = [f"after {step} steps: mean (smallest to largest)" for step in STEPS]
    table = Table("width", "seeds", *headers, title=f"{name}: relative distance")
    for width, seeds in WIDTH_PRESETS[preset].items():
        cells = []
        for step in STEPS:
            low, high = law.extremes(width, step)
            cells.append(f"{law.geometric_mean(width, step):.2%} ({low:.2%} to {high:.2%})")
        table.add_row(str(width), str(seeds), *cells)
    table.add_row("exponent", "", *(f"{e:.2f}" for e in law.exponents))
    Console().print(table)
    return 0


def kernel(
    config: Annotated[KernelConfiguration, tyro.conf.arg(name="")],
    out: Path = Path("kernel.h5"),
    memory_limit: Annotated[float | None, tyro.conf.arg(metavar="GIB")] = None,
    dry_run: bool = False,
    overwrite: bool = False,
) -> int:
    """Compute a dense kernel, save and picture it, or say what every route to it would cost.

    Args:
        config: which kernel.
        out: HDF5 file for the kernel, its architecture and seed; the picture lies beside it.
        memory_limit: GiB that the work may take; four fifths of what is available if not set.
        dry_run: print bytes and operations of every route, and do nothing.
        overwrite: replace the file if it exists.
    """
    from ntkdip.studies.kernel import costs, kernel_to_file

    limit = None if memory_limit is None else round(memory_limit * 2**30)
    console = Console()
    if not dry_run:
        W = kernel_to_file(config, out, limit, overwrite)
        console.print(f"[green]{escape(str(out))}[/]: {W.matrix.shape}, float64, on {W.space}")
        console.print(f"[green]{escape(str(out.with_suffix('.png')))}[/]: its spectrum")
        return 0
    cost = costs(config, limit)
    title = f"kernel on {cost.space}: {cost.parameters:,} parameters, {cost.passes:,} passes"
    table = Table("route", "peak memory", "GFLOP", "fits", title=title)
    for route in cost.routes:
        fits = "[green]yes[/]" if route.fits else "[red]no[/]"
        table.add_row(
            route.name, f"{route.bytes / 2**30:,.2f} GiB", f"{route.flops / 1e9:,.1f}", fits
        )
    console.print(table)
    console.print(f"memory allowed: {cost.limit / 2**30:.1f} GiB", highlight=False)
    return 0


def info() -> int:
    """Show versions, devices and memory."""
    from ntkdip.studies.provenance import environment

    facts = environment()
    table = Table("what", "value")
    for name, version in facts.pop("versions").items():
        table.add_row(name, version)
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else str(value)
        if name.endswith("_bytes"):
            shown = f"{value / 2**30:.1f} GiB"
        table.add_row(name.removesuffix("_bytes").replace("_", " "), shown)
    Console().print(table)
    return 0
