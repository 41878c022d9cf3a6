"""Pieces of a study: each is computed once, kept on disk, and found again by its settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import queue
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TypeVar, cast

import jax
import numpy as np

from ntkdip import __version__
from ntkdip.progress import track
from ntkdip.studies.files import replacing

T = TypeVar("T")

Result = Mapping[str, np.ndarray]
"""What a cell gives: arrays of numbers, booleans or text by name."""

DESCRIPTION = "cell.json"
"""Entry of a stored cell that says what it is of."""


FAULTS = (ValueError, OSError, MemoryError, ArithmeticError, ImportError)
"""What keeps one cell from being computed, but not the others; anything else is a bug."""


class CellError(ValueError):
    """Some cells of a study could not be computed."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One independent piece of work: ``run(settings)`` gives named arrays.

    Attributes
    ----------
    label
        For people; no part of the key.
    run
        A function of a module, so that its name tells it; deterministic given the settings.
    settings
        A frozen dataclass of numbers, text, tuples, dicts and such dataclasses: all that decides
        the result.  Cells of two studies with the same function and settings are the same cell.
    """

    label: str
    run: Callable[[Any], Mapping[str, Any]]
    settings: Any

    @property
    def described(self) -> dict[str, Any]:
        """What the key is made of, JSON-ready."""
        return {
            "function": f"{self.run.__module__}.{self.run.__qualname__}",
            "settings": described(self.settings),
            "ntkdip": __version__,
        }

    @property
    def key(self) -> str:
        """Hexadecimal digest of `described`."""
        text = json.dumps(self.described, sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


def described(value: Any) -> Any:
    """Settings as JSON has them; a dataclass says which one it is.

    Fields that do not count where two are compared (``compare=False``) are left out: the path of
    a file whose content is known by its digest.

    Raises
    ------
    TypeError
        If something in them is none of what `Cell` allows.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            f.name: described(getattr(value, f.name))
            for f in dataclasses.fields(value) if f.compare
        }  # fmt: skip
        return {"type": type(value).__name__} | fields
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    if isinstance(value, dict):
        return {str(key): described(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        "the settings of a cell are numbers, text, tuples, dicts and dataclasses; got "
        f"{type(value)}"
    )


@dataclasses.dataclass(frozen=True)
class Shard:
    """Part ``index`` of ``count``, counted from 1: every ``count``-th cell.

    Raises
    ------
    ValueError
        If there is no such part.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ValueError(f"shards are counted from 1/n to n/n; got {self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``2/8``: the second of eight.

        Raises
        ------
        ValueError
            If it does not read like that.
        """
        first, _, last = text.partition("/")
        if not (first.isdecimal() and last.isdecimal()):
            raise ValueError(f"a shard is written i/n, as in 2/8; got {text!r}")
        return cls(int(first), int(last))

    def of(self, cells: Sequence[Cell]) -> list[Cell]:
        """This shard's cells."""
        return list(cells[self.index - 1 :: self.count])


class Stored(Mapping[str, np.ndarray]):
    """A cell's arrays in its file, each read when it is asked for.

    A study of hundreds of images would not fit in memory otherwise.
    """

    def __init__(self, path: Path, names: Iterable[str]):
        self.path = path
        self.names = tuple(names)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return np.asarray(file[name])
        except zipfile.BadZipFile as fault:
            raise OSError(f"the cell {str(self.path)!r} was damaged meanwhile: {fault}") from fault

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Store:
    """Finished cells in a folder, a ``.npz`` file each, named by its key."""

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, cell: Cell) -> Path:
        """Where the cell is, or would be."""
        return self.folder / f"{cell.key}.npz"

    def __contains__(self, cell: Cell) -> bool:
        return self.path(cell).exists()

    def save(self, cell: Cell, result: Mapping[str, Any]) -> Result:
        """Write a cell in one step: it is there whole, or not at all; returns what was written."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays = _arrays(result)
        content: dict[str, Any] = {DESCRIPTION: np.array(json.dumps(cell.described))} | arrays
        path = self.path(cell)
        with replacing(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **content)
        return Stored(path, arrays)

    def load(self, cell: Cell) -> Result | None:
        """A cell's result; None if it is not there.

        A file that cannot be read, any array of it, is reported, and counts as not there.
        """
        path = self.path(cell)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                # Every array is read once, so that a damaged file is found out now.
                names = [name for name, _ in stored.items() if name != DESCRIPTION]
            return Stored(path, names)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as fault:
            warnings.warn(
                f"the cell {str(path)!r} cannot be read ({fault}); it is computed again",
                stacklevel=2,
            )
            return None

    def merge(self, other: Path) -> int:
        """Take over the cells of another folder; returns how many were new.

        Raises
        ------
        OSError
            If there is no such folder, or no cell in it.
        """
        found = sorted(other.glob("*.npz")) if other.is_dir() else []
        if not found:
            raise OSError(f"there are no finished cells in {str(other)!r}")
        self.folder.mkdir(parents=True, exist_ok=True)
        new = [path for path in found if not (self.folder / path.name).exists()]
        for path in new:
            with replacing(self.folder / path.name) as partial:
                partial.write_bytes(path.read_bytes())
        return len(new)


@dataclasses.dataclass(frozen=True, eq=False)
class Computed:
    """Results by key, and how many of them were computed now."""

    results: dict[str, Result]
    count: int


def compute(cells: Iterable[Cell], store: Store, name: str) -> Computed:
    """Load what is stored, and compute and store the rest.

    Each device takes one cell at a time, in a thread of its own; with one device everything
    runs in the caller's.  A cell that fails does not keep the others from being computed.

    Parameters
    ----------
    cells
        Any; the same cell twice is computed once.
    store
        Where results go.
    name
        For the progress bar.

    Raises
    ------
    CellError
        If cells failed; the others are stored by then.
    """
    unique = {cell.key: cell for cell in cells}
    stored = {key: store.load(cell) for key, cell in unique.items()}
    results = {key: found for key, found in stored.items() if found is not None}
    missing = [cell for key, cell in unique.items() if key not in results]
    devices = jax.local_devices()
    done = map(_attempt, missing) if len(devices) == 1 else _side_by_side(missing, devices)
    failed: dict[str, Exception] = {}
    for cell, result in track(done, name, total=len(unique), initial=len(unique) - len(missing)):
        if isinstance(result, Exception):
            failed[cell.label] = result
        else:
            results[cell.key] = store.save(cell, result)
    if failed:
        label, first = next(iter(failed.items()))
        raise CellError(
            f"{len(failed)} of {len(unique)} cells of {name} failed, the first of them "
            f"{label!r}: {first}. The others are stored and will not be computed again"
        ) from first
    return Computed(results, len(missing))


def _attempt(cell: Cell) -> tuple[Cell, Mapping[str, Any] | Exception]:
    try:
        return cell, cell.run(cell.settings)
    except FAULTS as fault:
        return cell, fault


def _side_by_side(
    cells: Sequence[Cell], devices: Sequence[jax.Device]
) -> Iterator[tuple[Cell, Mapping[str, Any] | Exception]]:
    free: queue.SimpleQueue[jax.Device] = queue.SimpleQueue()
    for device in devices:
        free.put(device)

    def work(cell: Cell) -> tuple[Cell, Mapping[str, Any] | Exception]:
        device = free.get()
        try:
            with jax.default_device(device):
                return _attempt(cell)
        finally:
            free.put(device)

    with ThreadPoolExecutor(len(devices)) as pool:
        tasks = {pool.submit(work, cell) for cell in cells}
        try:
            for task in as_completed(tasks):
                tasks.discard(task)  # and with it what it holds
                yield task.result()
        finally:
            for task in tasks:
                task.cancel()


def columns_of(rows: Sequence[Any]) -> dict[str, np.ndarray]:
    """Rows (dataclasses of one type, fields of one shape) as a cell's result; None is NaN."""
    names = [field.name for field in dataclasses.fields(rows[0])]
    return {
        name: np.array([np.nan if (value := getattr(row, name)) is None else value for row in rows])
        for name in names
    }


def rows_of(kind: type[T], *results: Result) -> tuple[T, ...]:
    """Rows again, of any number of results of `columns_of`; NaN is None.

    What a result holds beside the fields of ``kind`` is passed over.
    """
    names = [field.name for field in dataclasses.fields(cast(Any, kind))]
    columns = ({name: result[name] for name in names} for result in results)
    return tuple(
        kind(**{name: _plain(values[i]) for name, values in found.items()})
        for found in columns
        for i in range(len(found[names[0]]))
    )


def _plain(value: Any) -> Any:
    """A row's entry as it was: a number, text or None, or a tuple of numbers."""
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    plain = value.item()
    return None if isinstance(plain, float) and np.isnan(plain) else plain


def _arrays(result: Mapping[str, Any]) -> dict[str, np.ndarray]:
    arrays = {name: np.asarray(value) for name, value in result.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "biufcU":
            raise TypeError(f"a cell gives arrays of numbers or text; {name!r} is {array.dtype}")
    return arrays
