"""Studies by name; each module loads when its study is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ntkdip.studies.cells import CellError, Shard, Store
from ntkdip.studies.files import writable_folder, write_text
from ntkdip.studies.pages import render
from ntkdip.studies.study import CELLS, Study, Written, require_complete, run_shard, run_study

STUDIES = {
    "fig1": "fig1",
    "fig2": "fig2",
    "fig3": "fig3",
    "fig4": "fig4",
    "overfitting": "overfitting",
    "width": "scaling",
    "drift": "drift",
    "joint": "joint",
    "self-guidance": "self_guidance",
    "stopping": "stopping",
    "mri": "mri",
    "inpainting": "inpainting",
    "ablation": "ablation",
    "supervised": "supervised",
    "robustness": "robustness",
}
"""Module of every study."""

ALL = "all"


def find(name: str) -> list[Study[Any]]:
    """The study of this name, or all of them.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name != ALL and name not in STUDIES:
        raise ValueError(f"studies are {', '.join(STUDIES)} and {ALL}; got {name!r}")
    names = STUDIES if name == ALL else (name,)
    return [importlib.import_module(f"ntkdip.studies.{STUDIES[n]}").STUDY for n in names]


def run_studies(
    name: str,
    preset: str,
    out: Path,
    *,
    files: Path | None = None,
    merge: Sequence[Path] = (),
    tell: Callable[[Study[Any], Written], object] | None = None,
) -> list[Written]:
    """Run one study or all, each into a folder of its own, and write ``index.html`` over them.

    Parameters
    ----------
    name
        One of `STUDIES`, or ``all``.
    preset
        ``smoke``, ``quick`` or ``full``.
    out
        Folder; finished cells lie in ``out/cells``, and what is there is not computed again.
    files
        Folder of data for studies that take some (`Study.on_files`), instead of what ships.
    merge
        Folders of shards (their ``out``): their cells are taken over, and nothing is computed.
    tell
        Called after each study.

    Returns
    -------
    What each found.

    Raises
    ------
    OSError
        If a folder cannot be written, or one to be merged holds no cells; before any work.
    ValueError
        If cells are missing after a merge, or as `Study.configuration`.
    CellError
        If cells could not be computed; the other studies are written by then.
    """
    studies = [(study, study.configuration(preset, files)) for study in find(name)]
    store = Store(writable_folder(out) / CELLS)
    for folder in merge:
        store.merge(folder / CELLS)
    if merge:
        for study, configuration in studies:
            require_complete(study, configuration, store)
    done: list[tuple[Study[Any], Written]] = []
    failed: list[CellError] = []
    for study, configuration in studies:
        try:
            done.append((study, run_study(study, configuration, out)))
        except CellError as fault:
            failed.append(fault)
            continue
        if tell is not None:
            tell(*done[-1])
    parts = [{"study": study, "written": written} for study, written in done]
    write_text(out / "index.html", render("studies.html", parts=parts, preset=preset))
    if failed:
        raise CellError("; ".join(map(str, failed))) from failed[0]
    return [written for _, written in done]


def run_shards(
    name: str, preset: str, out: Path, shard: Shard, *, files: Path | None = None
) -> tuple[int, int]:
    """Compute one shard of one study or all, and no report.

    Returns
    -------
    How many cells the shard has, and how many there are.
    """
    counts = [run_shard(s, s.configuration(preset, files), out, shard) for s in find(name)]
    return sum(mine for mine, _ in counts), sum(total for _, total in counts)
