"""The command line: argument parsing and what is printed; the work is elsewhere."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ntkdip.studies.configuration import DemoConfiguration, KernelConfiguration

if TYPE_CHECKING:
    from ntkdip.studies.reconstruction_configuration import ReconstructionConfiguration
    from ntkdip.studies.reconstruction_results import Found
    from ntkdip.studies.study import Study, Written
    from ntkdip.theory import Check

RECONSTRUCT = "reconstruct"


def main() -> None:
    """Entry point of ``ntkdip``.  Bad input ends in one line and exit status 2."""
    commands: dict[str, Callable[..., int]] = {
        "demo": demo,
        RECONSTRUCT: _listed,
        "verify": verify,
        "study": study,
        "kernel": kernel,
        "data": data,
        "info": info,
    }
    try:
        if sys.argv[1:2] == [RECONSTRUCT]:
            sys.exit(reconstruct(sys.argv[2:]))
        status: int = tyro.extras.subcommand_cli_from_dict(
            commands, prog="ntkdip", description="Theory and training of untrained networks."
        )
    except KeyboardInterrupt:
        Console(stderr=True).print("[bold red]interrupted[/]")
        sys.exit(128 + signal.SIGINT)
    except (ValueError, MemoryError, OSError, FloatingPointError, ImportError) as fault:
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


def _listed() -> int:
    """Reconstruct an image from measurements of yours by training a network on them."""
    return reconstruct([])


def reconstruct(arguments: Sequence[str]) -> int:
    """``ntkdip reconstruct``: its options depend on the method and on a file of options.

    Returns the exit status, ``128 + signal`` if a signal ended the run.
    """
    from ntkdip.allocation import prepare_for_training
    from ntkdip.studies.reconstruction import run_reconstruction
    from ntkdip.studies.reconstruction_configuration import Command
    from ntkdip.training import InterruptedRunError

    given = tyro.cli(
        Command, args=arguments, default=Command(_named(arguments)), prog=f"ntkdip {RECONSTRUCT}"
    )
    prepare_for_training()
    try:
        found = run_reconstruction(given.configuration, given.out, resume=given.resume)
    except InterruptedRunError as ended:
        Console(stderr=True).print(
            f"[bold yellow]interrupted:[/] {escape(str(ended))}. What there is was written; go on "
            f"with: ntkdip {RECONSTRUCT} --resume --out {escape(shlex.quote(str(given.out)))}",
            soft_wrap=True,
        )
        return 128 + ended.signal
    console = Console()
    console.print(_image_table(found))
    console.print(escape(found.notes[0]), highlight=False)
    report = escape(str(given.out / "report.html"))
    console.print(f"[green]report: {report}[/] ({found.seconds:.0f} s)", soft_wrap=True)
    return 0


def _named(arguments: Sequence[str]) -> ReconstructionConfiguration:
    """Where options start from: a file's, a resumed run's, or the defaults of the method."""
    from ntkdip.studies import configuration_file
    from ntkdip.studies import reconstruction_configuration as known

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--config", "--method", "--out"):
        parser.add_argument(option)
    parser.add_argument("--resume", action="store_true")
    try:
        named, _ = parser.parse_known_args(arguments)
    except argparse.ArgumentError:  # tyro says what is wrong, and how it should be
        return known.with_method("self-guided")
    file = None if named.config in (None, "None") else Path(named.config)
    if file is None and named.resume:
        kept = Path(named.out or known.OUT) / known.CONFIGURATION
        file = kept if kept.exists() else None
    start = None if file is None else configuration_file.read_configuration(file)
    if named.method in known.OPTIONS and (start is None or start.method != named.method):
        fresh = known.with_method(named.method)
        if start is None:
            return fresh
        return dataclasses.replace(start, method=named.method, options=fresh.options)
    return start or known.with_method("self-guided")


def _image_table(found: Found) -> Table:
    from ntkdip.studies.reconstruction_report import cells, columns

    rows = found.rows()
    table = Table(title=f"{found.config.method}, {found.network}")
    table.add_column("image", no_wrap=True, min_width=max(len(row.name) for row in rows))
    for column in columns(rows):
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(f"[bold]{escape(row.name)}[/]", *cells(row, rows))
    return table


@dataclasses.dataclass(frozen=True)
class Given:
    """Your own case for ``verify``; give all three files or none."""

    kernel: Path | None = None
    """Kernel, as ``ntkdip kernel`` writes it."""
    mask: Path | None = None
    """Sampling mask (.npy), zero frequency at n // 2."""
    image: Path | None = None
    """True image (.npy)."""
    sigma: float = 0.05
    """Noise level."""


def verify(
    given: Annotated[Given, tyro.conf.arg(name="")],
    json: Path | None = None,
    seed: int = 0,
    inject_fault: bool = False,
) -> int:
    """Check Theorems 1 and 2 and Corollary 1 numerically; exit status 1 if a check fails.

    Args:
        given: a kernel, a mask and an image of yours instead of the built-in cases.
        json: write the checks and verdicts to this file.
        seed: seed of the random cases and of the noise.
        inject_fault: corrupt one kernel entry, to see checks fail.
    """
    from ntkdip.studies.files import writable_file, write_json
    from ntkdip.studies.verification import verdicts_of_files
    from ntkdip.theory import examine, examples
    from ntkdip.theory import verify as run_checks

    if json is not None:
        writable_file(json)
    if not (given.kernel or given.mask or given.image):
        checks = run_checks(seed=seed, inject_fault=inject_fault)
        cases = {
            name: examine(case.given, case.A, case.image, given.sigma, seed=seed)
            for name, case in examples(seed).items()
        }
    elif given.kernel and given.mask and given.image:
        checks = []
        found = verdicts_of_files(given.kernel, given.mask, given.image, given.sigma, seed)
        cases = {"your case": found}
    else:
        raise ValueError("verify needs --kernel, --mask and --image, or none of them")
    verdicts = {name: [v.as_dict() for v in found] for name, found in cases.items()}
    if json is not None:
        write_json(json, {"checks": [check.as_dict() for check in checks], "verdicts": verdicts})
    console = Console()
    for name, found in cases.items():
        console.print(f"[bold]{name}[/]")
        for verdict in found:
            console.print(escape(str(verdict)), highlight=False, soft_wrap=True)
    passed = [check.passed for check in checks] + [v.passed for f in cases.values() for v in f]
    if checks:
        console.print(_check_table(checks))
        console.print(f"{sum(c.passed for c in checks)} of {len(checks)} checks hold")
    return 0 if all(passed) else 1


def _check_table(checks: Sequence[Check]) -> Table:
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
    return table


StudyName = Literal[
    "fig1", "fig2", "fig3", "fig4", "overfitting", "width", "drift", "joint", "self-guidance",
    "stopping", "mri", "inpainting", "ablation", "supervised", "robustness", "all",
]  # fmt: skip
"""Those of `ntkdip.studies.collection`, which is not imported for the sake of its names."""


def study(
    name: Annotated[StudyName, tyro.conf.Positional],
    preset: Literal["smoke", "quick", "full"] = "quick",
    out: Path = Path("ntkdip-study"),
    data: Path | None = None,
    shard: str | None = None,
    merge: tuple[Path, ...] = (),
) -> int:
    """Run a study and write its report: page, figures (PNG, PDF), tables (CSV, Markdown).

    Args:
        name: ``fig1``: the 1D square signal, Deep Decoder and WCNN, input by input.
            ``fig2``: error by bands of frequency, measured and as Theorem 2 has it.
            ``fig3``: self-guided deep image prior with and without its regulariser.
            ``fig4``: the input of self-guided deep image prior, and what its kernel sees.
            ``overfitting``: self-guided and vanilla in long runs.
            ``width``: training against its prediction, and NTK drift, against width, with
            momentum and Adam too. ``drift``: the NTK and the distance on the way, step by step.
            ``joint``: training the input too, against its movement.
            ``self-guidance``: the kernel's own reconstruction as its input, mask by mask.
            ``stopping``: rules that do not see the truth beside the best iteration.
            ``mri``: deep image priors side by side on undersampled slices, beside compressed
            sensing. ``inpainting``: the same on photographs of which a share is known.
            ``ablation``: what each part of self-guided deep image prior gives.
            ``supervised``: a taught network and a self-guided one, in and out of distribution.
            ``robustness``: more noise, other lines and an unexpected detail.
            ``all``: every one of them, and one page over all.
        preset: how many widths, seeds and masks.
        out: output folder. What was finished in it is not computed again.
        data: for ``mri`` a folder of fully sampled k-space, for ``inpainting`` one of photographs,
            instead of the samples that ship.
        shard: i/n, to compute the i-th of n parts and no report, on one of n machines.
        merge: output folders of all shards, to make the report from.
    """
    from ntkdip.allocation import prepare_for_training
    from ntkdip.studies import collection
    from ntkdip.studies.cells import Shard

    prepare_for_training()
    console = Console()
    if shard is not None:
        if merge:
            raise ValueError("--shard computes a part and --merge makes the report: give one")
        mine, total = collection.run_shards(name, preset, out, Shard.parse(shard), files=data)
        console.print(f"{mine} of {total} cells are in {escape(str(out))}", soft_wrap=True)
        return 0

    def tell(which: Study[Any], found: Written) -> None:
        for table in found.report.tables:
            console.print(table.terminal())
        for line in (*map(str, found.report.verdicts), *found.report.findings):
            console.print("-", escape(line), highlight=False, soft_wrap=True)
        again = found.cells - found.computed
        known = f", {again} of {found.cells} cells were there" if again else ""
        page = escape(str(found.page))
        console.print(f"[green]{which.name}: {page}[/]{known}", soft_wrap=True)

    collection.run_studies(name, preset, out, files=data, merge=merge, tell=tell)
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


def data(
    action: Annotated[Literal["info"], tyro.conf.Positional, tyro.conf.arg(metavar="info")],
    file: Annotated[Path, tyro.conf.Positional],
    index: int | None = None,
    kind: Literal["kspace", "image"] | None = None,
    out: Path = Path("ntkdip-preview.png"),
) -> int:
    """Say what is in a file of k-space or images, and draw a preview.

    Args:
        action: the word info: shape, coils, acceleration, dynamic range; what was understood and
            what was ignored.
        file: fastMRI or ISMRMRD HDF5, NIfTI, .npy or .npz, BART's .cfl, a photograph (PNG,
            JPEG, TIFF) or a folder of photographs.
        index: slice of a volume or image of a folder; by default a volume's middle one, a
            folder's first.
        kind: what a complex array holds, where its file does not say.
        out: PNG file for the preview.
    """
    from ntkdip.studies.inspection import inspect

    table = Table("what", "value", title=escape(str(file)), title_style="bold")
    for name, value in inspect(file, out, index=index, kind=kind).items():
        table.add_row(name, escape(value))
    console = Console()
    console.print(table)
    console.print(f"[green]preview: {escape(str(out))}[/]", soft_wrap=True)
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
