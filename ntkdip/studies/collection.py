"""Studies by name: each computes, and gives tables to print, rows to store and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.table import Table

from ntkdip.studies import joint, methods, self_guidance, stopping, width
from ntkdip.studies.configuration import JOINT_PRESETS, STOPPING_PRESETS, WIDTH_PRESETS
from ntkdip.studies.files import save_figure, writable_folder, write_json


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What a study found: tables for a terminal, JSON-ready content, and its figures by name."""

    tables: list[Table]
    content: dict[str, Any]
    figures: Iterator[tuple[str, Figure]]


def run_study(name: str, preset: str, out: Path) -> list[Table]:
    """Run a study and write ``<name>.json`` and its figures (PNG, PDF) to a folder.

    Parameters
    ----------
    name
        One of `STUDIES`.
    preset
        ``smoke``, ``quick`` or ``full``.
    out
        Folder; that it can be written is tested before work.

    Returns
    -------
    Tables for a terminal.
    """
    writable_folder(out)
    outcome = STUDIES[name](preset)
    write_json(out / f"{name}.json", outcome.content)
    for figure_name, figure in outcome.figures:
        save_figure(figure, out, figure_name)
    return outcome.tables


def _width(preset: str) -> Outcome:
    law = width.width_law(WIDTH_PRESETS[preset])
    tables = [_width_table(law, problem) for problem in WIDTH_PRESETS[preset]]
    return Outcome(tables, dataclasses.asdict(law), width.width_figures(law))


def _width_table(law: width.WidthLaw, problem: str) -> Table:
    table = Table("method", "width", "seeds", *width.QUANTITIES.values(),
                  title=f"{problem}: geometric means over seeds")  # fmt: skip
    for method in dict.fromkeys(row.method for row in law.rows):
        found = {q: law.values(problem, method, q) for q in width.QUANTITIES}
        for channels, values in found["distance"].items():
            means = [law.geometric_mean(problem, method, q, channels) for q in found]
            cells = (f"{mean:.2%}" for mean in means)
            table.add_row(method, str(channels), str(len(values)), *cells)
        fits = [law.fit(problem, method, q) for q in found]
        exponents = (_exponent(fit) for fit in fits)
        table.add_row(method, "exponent", "", *exponents, end_section=True)
    return table


def _exponent(fit: width.WidthFit) -> str:
    known = fit.standard_error is not None
    return f"{fit.exponent:.2f} ± {fit.standard_error:.2f}" if known else f"{fit.exponent:.2f}"


def _joint(preset: str) -> Outcome:
    study = joint.joint_study(JOINT_PRESETS[preset])
    table = Table(
        "activation", "input rate", "seed", "share of the first step", "movement at the end",
        "distance at the end", "slope of the error", "error / movement",
        "movement at 10 % distance", "movement at half of the effect",
        title=f"joint training of weights and input, width {study.configuration.width}",
    )  # fmt: skip
    for row in (r for r in study.rows if r.input_rate > 0):
        table.add_row(
            row.activation, f"{row.input_rate:g}", str(row.seed), f"{row.input_share:.1%}",
            f"{row.movements[-1]:.3g}", f"{row.distances[-1]:.1%}", _number(row.slope),
            _number(row.factor), _number(row.ends_at), _number(row.effect_ends_at),
        )  # fmt: skip
    return Outcome([table], dataclasses.asdict(study), joint.joint_figures(study))


def _number(value: float | None) -> str:
    return "not reached" if value is None else f"{value:.3g}"


def _self_guidance(preset: str) -> Outcome:
    seeds = self_guidance.PRESETS[preset]
    rows = self_guidance.guidance_study(seeds)
    table = Table(
        "size", "mask", "A⁺y", "self-guided", "gain", "iterate", "best iterate",
        "from the true image", title="kernel self-guidance, PSNR (dB)",
    )  # fmt: skip
    for size in seeds:
        for row in (r for r in rows if r.size == size):
            table.add_row(
                str(size), str(row.seed), f"{row.start_psnr:.2f}", f"{row.chosen_psnr:.2f}",
                f"{row.gain:+.2f}", f"{row.chosen} of {row.iterations}",
                f"{row.best_psnr:.2f}", f"{row.truth_input_psnr:.2f}",
            )  # fmt: skip
        median = f"{self_guidance.median_gain(rows, size):+.2f}"
        table.add_row(str(size), "median", "", "", median, "", "", "", end_section=True)
    content = {"rows": [dataclasses.asdict(row) for row in rows]}
    return Outcome([table], content, self_guidance.guidance_figures(rows))


def _stopping(preset: str) -> Outcome:
    study = stopping.stopping_study(**STOPPING_PRESETS[preset])
    table = Table("sigma", "assumed", "rule", "t", "expected squared error", "over the best",
                  title="stopping rules: MRI slice, kernel of a WCNN")  # fmt: skip
    for row in study.rows:
        told = "known" if row.assumed_sigma == row.sigma else f"{row.assumed_sigma:.3g}"
        table.add_row(
            f"{row.sigma:g}", told, row.rule, f"{row.t:.6g}", f"{row.mse:.4g}",
            f"{row.excess - 1:+.1%}", end_section=row.rule == "GSURE",
        )  # fmt: skip
    content = {"rows": [dataclasses.asdict(row) for row in study.rows]}
    return Outcome([table], content, stopping.stopping_figures(study))


def _methods(preset: str) -> Outcome:
    study = methods.methods_study(methods.PRESETS[preset])
    return Outcome(
        methods.methods_tables(study), methods.content(study), methods.methods_figures(study)
    )


STUDIES: dict[str, Callable[[str], Outcome]] = {
    "width": _width,
    "joint": _joint,
    "self-guidance": _self_guidance,
    "stopping": _stopping,
    "methods": _methods,
}
