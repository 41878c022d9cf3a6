"""A reconstruction's page: one self-contained HTML file, readable offline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ntkdip import data
from ntkdip.studies.configuration_file import mapping_of
from ntkdip.studies.files import write_text
from ntkdip.studies.pages import embedded, render
from ntkdip.studies.provenance import environment
from ntkdip.studies.reconstruction_results import FORMS, Found, Row, written
from ntkdip.training.results import BEST

NARROW = ("bands", "sampling")
"""Figures of one panel."""


def write_report(found: Found, drawn: Sequence[tuple[str, str, str]], folder: Path) -> Path:
    """Write ``report.html``.

    Parameters
    ----------
    found
        The reconstruction.
    drawn
        Name, title and caption of the figures that are in the folder already.
    folder
        The output folder.
    """
    figures = [
        {"title": title, "caption": caption, "narrow": name in NARROW,
         "data": embedded(folder, name)}
        for name, title, caption in drawn
    ]  # fmt: skip
    rows = found.rows()
    page = render(
        "reconstruction.html",
        name=found.problem.record.origin.path.name,
        method=found.config.method,
        network=found.network,
        lead=_lead(found),
        fault=found.fault,
        columns=columns(rows),
        rows=[{"name": r.name, "why": r.why, "cells": cells(r, rows), "oracle": r.name == BEST}
              for r in rows],
        below=_below(found),
        notes=[*found.notes, *_about_the_file(found)],
        figures=figures,
        configuration=mapping_of(found.config),
        footer=_footer(found),
    )  # fmt: skip
    path = folder / "report.html"
    write_text(path, page)
    return path


def columns(rows: Sequence[Row]) -> list[str]:
    """Heads of the table's columns between the image and how it was chosen."""
    units = {"PSNR": "PSNR (dB)"}
    return ["step", "misfit", *(units.get(name, name) for name in rows[0].scores)]


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """What stands in them."""
    scores = (written(row.scores.get(name), FORMS[name]) for name in rows[0].scores)
    return [written(row.steps, ",.0f"), written(row.residual, ".3g"), *scores]


def _lead(found: Found) -> str:
    problem, domain = found.problem, found.problem.A.domain
    size = " x ".join(str(n) for n in domain.shape)
    kind = "complex" if domain.is_complex else "real"
    if problem.mask is None:
        what = "all of its pixels, with noise"
    elif problem.of_kspace:
        coils = problem.A.range.shape[0] if len(problem.A.range.shape) > 1 else 1
        times = f"{problem.mask.size / problem.mask.sum():.2f}"
        how = "whole k-space" if problem.mask.all() else f"k-space undersampled {times} times"
        what = f"{how}, {coils} coil{'s' if coils > 1 else ''}"
    else:
        what = f"{problem.mask.mean():.0%} of its pixels"
    seeds = len(found.run.outcomes)
    runs = "" if seeds == 1 else f", {seeds} seeds"
    return (
        f"A {kind} image of {size} pixels from {what}. "
        f"{found.run.outcomes[0].steps:,} steps{runs}. An untrained network was fitted to these "
        "data alone."
    )


def _below(found: Found) -> str:
    text = "misfit: ||A f - y|| over the samples trained on, in the data's unit. "
    if found.run.truth is None:
        return text + "The truth is not known: no image is scored."
    if len(found.run.outcomes) > 1:
        text += "Mean ± standard deviation over the seeds. "
    return text + "Scores are of magnitudes; the peak of PSNR is the truth's maximum."


def _about_the_file(found: Found) -> list[str]:
    origin = found.problem.record.origin
    lines = [f"File: {origin.format}" + (f", {origin.index + 1} of {origin.count}."
             if origin.count > 1 else ".")]  # fmt: skip
    if isinstance(found.problem.record, data.KSpace):
        lines += [f"Understood: {line}." for line in origin.understood]
    return lines + [f"Left aside: {line}." for line in origin.ignored]


def _footer(found: Found) -> str:
    facts: dict[str, Any] = environment()
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{found.seconds:.0f} s on {', '.join(facts['devices'])}. {versions}."
