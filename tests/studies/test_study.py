"""How a study is run: cells, files, shards, one page over all."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from ntkdip.studies import collection
from ntkdip.studies.cells import Cell, CellError, Shard, Store
from ntkdip.studies.study import CELLS, Picture, Report, Study, run_study
from ntkdip.studies.tables import Spread, Table
from ntkdip.studies.verdicts import Verdict

FAILING: set[int] = set()
RUN: list[int] = []


@dataclasses.dataclass(frozen=True)
class Draw:
    seed: int


def draw(given: Draw) -> dict[str, Any]:
    RUN.append(given.seed)
    if given.seed in FAILING:
        raise FloatingPointError("diverged")
    return {"x": np.random.default_rng(given.seed).normal(1.0, 0.1)}


def report(seeds: int, results) -> Report:
    values = tuple(float(found["x"]) for found in results.values())
    table = Table("draws", "Draws", ("what", "value"), (("x", Spread(values, 3)),))

    def pictures():
        figure, ax = plt.subplots()
        ax.plot(values)
        yield Picture("values", "Values", "All <of> them.", figure)

    return Report([table], pictures(), [Verdict("x is above 0", values)], ["A finding."])


TOY: Study[int] = Study(
    "toy", "A toy", "Is x above 0?", {"smoke": 3, "quick": 5},
    lambda seeds: {s: Cell(f"seed {s}", draw, Draw(s)) for s in range(seeds)}, report,
)  # fmt: skip


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    FAILING.clear()
    RUN.clear()
    monkeypatch.setattr(collection, "find", lambda name: [TOY])


def test_everything_that_was_promised_is_written(tmp_path: Path) -> None:
    open_before = plt.get_fignums()
    (written,) = collection.run_studies("toy", "smoke", tmp_path)
    assert (written.computed, written.cells) == (3, 3)
    names = {path.name for path in (tmp_path / "toy").iterdir()}
    assert names == {
        "report.html", "study.json", "draws.csv", "draws.md", "values.png", "values.pdf"
    }  # fmt: skip
    stored = json.loads((tmp_path / "toy" / "study.json").read_text())
    assert stored["verdicts"][0]["answer"] == "agrees"
    assert stored["configuration"] == 3
    page = (tmp_path / "toy" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "All &lt;of&gt; them." in page
    index = (tmp_path / "index.html").read_text()
    assert 'src="toy/values.png"' in index
    assert "x is above 0" in index
    assert plt.get_fignums() == open_before


def test_a_second_run_computes_nothing_and_writes_the_same_tables(tmp_path: Path) -> None:
    collection.run_studies("toy", "smoke", tmp_path / "a")
    collection.run_studies("toy", "smoke", tmp_path / "b")
    first, second = ((tmp_path / f / "toy" / "draws.csv").read_bytes() for f in "ab")
    assert first == second
    RUN.clear()
    (again,) = collection.run_studies("toy", "quick", tmp_path / "a")
    assert RUN == [3, 4]
    assert (again.computed, again.cells) == (2, 5)


def test_an_interrupted_study_resumes_where_it_was(tmp_path: Path) -> None:
    FAILING.add(1)
    with pytest.raises(CellError, match="1 of 3 cells of toy failed"):
        collection.run_studies("toy", "smoke", tmp_path)
    FAILING.clear()
    RUN.clear()
    collection.run_studies("toy", "smoke", tmp_path)
    assert RUN == [1]


def test_a_study_that_fails_does_not_take_the_others_along(tmp_path: Path, monkeypatch) -> None:
    other = dataclasses.replace(
        TOY, name="other",
        cells=lambda seeds: {s: Cell(f"seed {s}", draw, Draw(s + 9)) for s in range(seeds)},
    )  # fmt: skip
    monkeypatch.setattr(collection, "find", lambda name: [TOY, other])
    FAILING.add(1)
    told: list[str] = []
    with pytest.raises(CellError, match="1 of 3 cells of toy failed"):
        collection.run_studies("all", "smoke", tmp_path, tell=lambda s, w: told.append(s.name))
    assert told == ["other"]
    assert (tmp_path / "other" / "report.html").exists()
    assert 'src="other/values.png"' in (tmp_path / "index.html").read_text()


def test_shards_merge_to_what_one_machine_makes(tmp_path: Path) -> None:
    collection.run_studies("toy", "quick", tmp_path / "whole")
    parts = [tmp_path / "first", tmp_path / "second"]
    assert collection.run_shards("toy", "quick", parts[0], Shard(1, 2)) == (3, 5)
    with pytest.raises(ValueError, match="2 of 5 cells of the study 'toy' are missing"):
        collection.run_studies("toy", "quick", tmp_path / "merged", merge=parts[:1])
    assert collection.run_shards("toy", "quick", parts[1], Shard(2, 2)) == (2, 5)
    RUN.clear()
    collection.run_studies("toy", "quick", tmp_path / "merged", merge=parts)
    assert RUN == []
    whole, merged = ((tmp_path / f / "toy" / "draws.csv").read_bytes() for f in ("whole", "merged"))
    assert whole == merged


def test_the_report_is_of_the_preset_alone(tmp_path: Path) -> None:
    """Cells of another preset may lie beside."""
    run_study(TOY, 5, tmp_path)
    run_study(TOY, 3, tmp_path)
    row = next(csv.DictReader((tmp_path / "toy" / "draws.csv").read_text().splitlines()))
    assert row["value: n"] == "3"


def test_two_processes_share_the_work_of_one_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.studies.test_study import TOY; "
        "from ntkdip.studies.cells import Shard; from ntkdip.studies.study import run_shard; "
        "run_shard(TOY, 5, Path(sys.argv[1]), Shard.parse(sys.argv[2]))"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), f"{i}/2"], env=os.environ)
        for i in (1, 2)
    ]
    assert [run.wait() for run in runs] == [0, 0]
    assert all(cell in Store(tmp_path / CELLS) for cell in TOY.cells(5).values())
    run_study(TOY, 5, tmp_path)
    assert RUN == []
