"""What a study is, and how it is run: cells are computed, a report is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ntkdip.studies.cells import Cell, Result, Shard, Store, compute, described
from ntkdip.studies.files import save_figure, writable_folder, write_json, write_text
from ntkdip.studies.pages import embedded, render
from ntkdip.studies.provenance import environment
from ntkdip.studies.tables import Table
from ntkdip.studies.verdicts import Verdict

C = TypeVar("C")

CELLS = "cells"
"""Folder of finished cells, shared by all studies that are written to one place."""

CONTENT = "study.json"
"""What a study found, machine-readable: the last file to be written."""


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """A figure, the name of its files, and what is written beneath it."""

    name: str
    title: str
    caption: str
    figure: Figure


@dataclasses.dataclass(frozen=True, eq=False)
class Report:
    """What a study found.

    Attributes
    ----------
    tables
        At least one.
    pictures
        Made one after another; each figure is closed when it has been written.
    verdicts
        On the claims that the study tests.
    findings
        Sentences computed from the results.
    content
        What else is stored, JSON-ready.
    """

    tables: Sequence[Table]
    pictures: Iterable[Picture]
    verdicts: Sequence[Verdict] = ()
    findings: Sequence[str] = ()
    content: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Study(Generic[C]):
    """A question, the cells that it takes, and the report that answers it.

    Attributes
    ----------
    name
        On the command line, and of its folder.
    title, question
        For people.
    presets
        A configuration each for ``smoke`` (CI), ``quick`` (minutes on two cores) and ``full``.
    cells
        A configuration's cells by a label of the study's choosing.
    report
        From a configuration and the results under the same labels.
    on_files
        A configuration on the files of a folder instead; None where a study has no such thing.
    """

    name: str
    title: str
    question: str
    presets: Mapping[str, C]
    cells: Callable[[C], Mapping[Hashable, Cell]]
    report: Callable[[C, Mapping[Hashable, Result]], Report]
    on_files: Callable[[C, Path], C] | None = None

    def configuration(self, preset: str, files: Path | None = None) -> C:
        """A preset, on files of yours if there are any.

        Raises
        ------
        ValueError
            If the study takes no files, or one of them is not what it takes; before any work.
        """
        if files is None:
            return self.presets[preset]
        if self.on_files is None:
            raise ValueError(f"the study {self.name!r} takes no data; mri and inpainting do")
        return self.on_files(self.presets[preset], files)


@dataclasses.dataclass(frozen=True, eq=False)
class Written:
    """A study that was run.

    Attributes
    ----------
    report
        What it found; its figures are closed.
    pictures
        Title, caption and file name of each figure, without the ending.
    page
        The report's path.
    computed, cells
        How many cells were computed now, of how many.
    """

    report: Report
    pictures: Sequence[tuple[str, str, str]]
    page: Path
    computed: int
    cells: int

    def sources(self) -> list[tuple[str, str, str]]:
        """Title, caption and address of each figure from the folder above the study's."""
        folder = self.page.parent.name
        return [(title, caption, f"{folder}/{name}.png") for title, caption, name in self.pictures]


def run_study(study: Study[C], configuration: C, out: Path) -> Written:
    """Compute what is missing of a study and write its report into ``out/<name>``.

    Parameters
    ----------
    study
        Which.
    configuration
        One of its presets, or one of yours.
    out
        Folder; that it can be written is tested before work.  Cells lie in ``out/cells``.

    Returns
    -------
    `Written`; on disk ``report.html``, every figure (PNG, PDF), every table (CSV, Markdown) and
    ``study.json``.
    """
    folder = writable_folder(out / study.name)
    cells = study.cells(configuration)
    computed = compute(cells.values(), Store(out / CELLS), study.name)
    found = {label: computed.results[cell.key] for label, cell in cells.items()}
    report = study.report(configuration, found)
    pictures = _draw(report, folder)
    page = _write(study, configuration, report, pictures, folder)
    return Written(report, pictures, page, computed.count, len(cells))


def run_shard(study: Study[C], configuration: C, out: Path, shard: Shard) -> tuple[int, int]:
    """Compute one shard's cells and no report.

    Returns
    -------
    How many cells the shard has, and how many the study.
    """
    writable_folder(out)
    cells = list(study.cells(configuration).values())
    mine = shard.of(cells)
    compute(mine, Store(out / CELLS), study.name)
    return len(mine), len(cells)


def require_complete(study: Study[C], configuration: C, store: Store) -> None:
    """That every cell of a study is stored: what a merge of shards ought to give.

    Raises
    ------
    ValueError
        If not; says how many are missing.
    """
    cells = study.cells(configuration)
    missing = [cell.label for cell in cells.values() if cell not in store]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(cells)} cells of the study {study.name!r} are missing, the "
            f"first of them {missing[0]!r}: run the shards that are left, with the same preset, "
            "and merge again"
        )


def _draw(report: Report, folder: Path) -> list[tuple[str, str, str]]:
    """Write every figure; returns title, caption and name of each."""
    drawn = []
    for picture in report.pictures:
        save_figure(picture.figure, folder, picture.name)
        plt.close(picture.figure)
        drawn.append((picture.title, picture.caption, picture.name))
    return drawn


def _write(
    study: Study[C],
    configuration: C,
    report: Report,
    pictures: Sequence[tuple[str, str, str]],
    folder: Path,
) -> Path:
    for table in report.tables:
        write_text(folder / f"{table.name}.csv", table.csv())
        write_text(folder / f"{table.name}.md", table.markdown())
    page, facts = folder / "report.html", environment()
    shown = [
        (title, caption, f"data:image/png;base64,{embedded(folder, name)}")
        for title, caption, name in pictures
    ]
    text = render(
        "study.html", study=study, report=report, pictures=shown, environment=facts,
        configuration=described(configuration),
    )  # fmt: skip
    write_text(page, text)
    write_json(
        folder / CONTENT,
        {
            "study": study.name,
            "configuration": described(configuration),
            "verdicts": [verdict.as_dict() for verdict in report.verdicts],
            "findings": list(report.findings),
            "tables": {t.name: {"columns": t.columns, "rows": t.texts()} for t in report.tables},
            "environment": facts,
        }
        | dict(report.content),
    )
    return page
