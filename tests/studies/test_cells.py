"""Cells: their keys, what is kept of them, and how they are computed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ntkdip.studies.cells import (
    Cell,
    CellError,
    Shard,
    Store,
    columns_of,
    compute,
    described,
    rows_of,
)
from ntkdip.training import Optimiser, SelfGuided, Vanilla

CALLS: list[float] = []


@dataclasses.dataclass(frozen=True)
class Number:
    value: float
    names: tuple[str, ...] = ("a",)


def halved(settings: Number) -> dict[str, object]:
    CALLS.append(settings.value)
    if settings.value < 0:
        raise FloatingPointError(f"{settings.value} is below 0")
    return {"half": settings.value / 2, "names": np.array(settings.names)}


def cell(value: float, label: str = "") -> Cell:
    return Cell(label or f"number {value}", halved, Number(value))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    CALLS.clear()
    return Store(tmp_path / "cells")


def test_what_is_stored_is_what_was_computed_and_is_not_computed_again(store: Store) -> None:
    cells = [cell(3.0), cell(5.0), cell(3.0, "the same again")]
    assert compute(cells, store, "numbers").count == 2
    assert CALLS == [3.0, 5.0]
    found = store.load(cells[1])
    assert found is not None
    assert found["half"] == 2.5
    assert found["names"].tolist() == ["a"]
    assert compute(cells, store, "numbers").count == 0
    assert compute([*cells, cell(7.0)], store, "numbers").count == 1
    assert CALLS == [3.0, 5.0, 7.0]


def test_arrays_are_read_when_they_are_asked_for(store: Store) -> None:
    saved = store.save(cell(3.0), halved(Number(3.0)))
    loaded = store.load(cell(3.0))
    for found in (saved, loaded):
        assert found is not None
        assert list(found) == ["half", "names"]
        assert found["half"] == 1.5
        with pytest.raises(KeyError):
            found["cell.json"]
    store.path(cell(3.0)).unlink()
    for found in (saved, loaded):
        assert found is not None
        with pytest.raises(FileNotFoundError):
            found["half"]


def test_the_key_is_of_function_and_settings_alone() -> None:
    assert cell(1.0, "x").key == cell(1.0, "y").key
    assert cell(1.0).key != cell(2.0).key
    assert cell(1.0).key != Cell("", test_the_key_is_of_function_and_settings_alone, Number(1)).key
    # Two methods may have the same fields.
    assert described(SelfGuided()) != described(Vanilla())
    assert described(Optimiser(rate=0.1))["rate"] == 0.1
    with pytest.raises(TypeError, match="numbers, text, tuples, dicts and dataclasses"):
        described(Number(np.zeros(2)))  # type: ignore[arg-type]


def test_the_key_is_the_same_in_another_process() -> None:
    code = (
        "from tests.studies.test_cells import cell; print(cell(0.1).key)"
    )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == cell(0.1).key


def test_a_failure_loses_no_other_cell(store: Store) -> None:
    bad = cell(-1.0, "the bad one")
    with pytest.raises(CellError, match=r"1 of 3 cells of numbers failed.*'the bad one': -1\.0"):
        compute([bad, cell(1.0), cell(2.0)], store, "numbers")
    assert bad not in store
    assert cell(1.0) in store
    assert cell(2.0) in store


def test_a_bug_ends_it_at_once(store: Store) -> None:
    broken = Cell("broken", lambda settings: {"x": settings.missing}, Number(0.0))
    with pytest.raises(AttributeError):
        compute([cell(1.0), broken, cell(2.0)], store, "numbers")
    assert cell(1.0) in store
    assert cell(2.0) not in store


def test_a_damaged_cell_is_reported_and_computed_again(store: Store) -> None:
    compute([cell(1.0)], store, "numbers")
    path = store.path(cell(1.0))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(UserWarning, match="cannot be read"):
        assert compute([cell(1.0)], store, "numbers").count == 1
    found = store.load(cell(1.0))
    assert found is not None
    assert found["half"] == 0.5
    assert [p.suffix for p in store.folder.iterdir()] == [".npz"]


def test_objects_are_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="'x' is object"):
        store.save(cell(1.0), {"x": np.array([None])})
    assert cell(1.0) not in store


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_part_the_cells(count: int) -> None:
    cells = [cell(float(i)) for i in range(5)]
    parts = [Shard(i, count).of(cells) for i in range(1, count + 1)]
    assert sorted(c.settings.value for part in parts for c in part) == [0, 1, 2, 3, 4]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [("3", "written i/n"), ("a/b", "written i/n"), ("0/2", "counted from"), ("3/2", "counted")],
)
def test_bad_shards_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shard.parse(text)
    assert Shard.parse("2/3") == Shard(2, 3)


def test_folders_of_cells_merge(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    compute([cell(1.0), cell(2.0)], store, "numbers")
    compute([cell(2.0), cell(3.0)], other, "numbers")
    assert store.merge(other.folder) == 1
    assert all(cell(value) in store for value in (1.0, 2.0, 3.0))
    with pytest.raises(OSError, match="no finished cells in"):
        store.merge(tmp_path / "nowhere")


DEVICES = """
import jax, sys
from pathlib import Path
from ntkdip.studies import cells
from tests.studies.test_cells import Number

def where(settings):
    x = jax.numpy.zeros(3) + settings.value
    return {"device": x.devices().pop().id, "sum": x.sum()}

store = cells.Store(Path(sys.argv[1]))
given = [cells.Cell(str(i), where, Number(float(i))) for i in range(8)]
assert cells.compute(given, store, "devices").count == 8
found = [store.load(c) for c in given]
assert [float(f["sum"]) for f in found] == [3.0 * i for i in range(8)]
print(*sorted({int(f["device"]) for f in found}))
"""


def test_cells_go_over_all_devices(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DEVICES, str(tmp_path)], capture_output=True, text=True, check=True,
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
    )  # fmt: skip
    assert done.stdout.split() == ["0", "1"]


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    count: int
    slope: float | None
    curve: tuple[float, ...]


def test_rows_come_back_as_they_were(store: Store) -> None:
    rows = (Row("a", 1, None, (1.0, 2.0)), Row("b", 2, 0.5, (3.0, 4.0)))
    store.save(cell(1.0), columns_of(rows))
    store.save(cell(2.0), columns_of([Row("c", 3, 1.0, (5.0,))]))
    first, second = store.load(cell(1.0)), store.load(cell(2.0))
    assert first is not None
    assert second is not None
    found = rows_of(Row, first, second)
    assert found == (*rows, Row("c", 3, 1.0, (5.0,)))
    assert isinstance(found[0].count, int)
