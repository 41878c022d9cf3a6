"""What is asked of a reader, and the ways in which it may say no."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ntkdip.data.errors import DataError

SHOWN = 60
"""Characters of a file's own text, and names of its parts, that a message repeats at most."""


@dataclasses.dataclass(frozen=True)
class Request:
    """One slice or image of a file.

    Attributes: ``path``; ``index`` of the slice, or None for the reader's choice; ``kind``,
    ``"kspace"``, ``"image"`` or None; ``memory_limit`` in bytes.
    """

    path: Path
    index: int | None
    kind: str | None
    memory_limit: int

    def error(self, field: str, problem: str) -> DataError:
        """The error to raise for this file."""
        return DataError(self.path, field, problem)

    def at(self, path: Path) -> Request:
        """The same request of another file (one in a folder, or a file's second half)."""
        return dataclasses.replace(self, path=path)

    def choose(self, count: int, items: str, default: int | None = None) -> int:
        """The index asked for, or ``default`` (the middle); `DataError` if there is none such."""
        if count < 1:
            raise self.error(items, "there are none in it")
        if self.index is None:
            return count // 2 if default is None else default
        if not 0 <= self.index < count:
            raise self.error(
                "index",
                f"it has {count} {items}, so that index is 0 to {count - 1}; got {self.index}",
            )
        return self.index

    def require_kind(self, held: str, advice: str) -> None:
        """Refuse a file that holds something else than what ``kind`` asks for."""
        if self.kind not in (None, held):
            names = {"kspace": "k-space", "image": "an image"}
            raise self.error(
                "kind", f"it holds {names[held]}, but kind={self.kind!r} was asked for; {advice}"
            )

    def require_memory(self, field: str, needed: int) -> None:
        """Refuse what does not fit, before anything is allocated."""
        if needed > self.memory_limit:
            raise self.error(
                field,
                f"reading one slice of it takes {size_text(needed)}, more than the "
                f"{size_text(self.memory_limit)} allowed; if its dimensions are right, give "
                "load(..., memory_limit=bytes), by default half of what is available",
            )

    def package(self, name: str, extra: str) -> Any:
        """An optional package; `DataError` with the way to install it if it is missing."""
        try:
            # Importing ismrmrd resets the filters of warnings, of the whole process.
            with warnings.catch_warnings():
                return importlib.import_module(name)
        except ImportError as missing:
            top, _, _ = name.partition(".")
            raise self.error(
                "", f'reading it needs {top}: pip install "ntkdip[{extra}]"'
            ) from missing

    @contextlib.contextmanager
    def parsing(self, field: str, library: str) -> Iterator[list[str]]:
        """Around a library that parses bytes of the file: whatever it raises is a `DataError`.

        Parsers raise nearly anything on damaged files, `MemoryError` and `RecursionError`
        included.  Yields the list to which their warnings go.
        """
        said: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield said
            except DataError:
                raise
            except Exception as error:
                reason = brief(str(error)) or "no reason given"
                raise self.error(
                    field,
                    f"{library} cannot read it ({type(error).__name__}: {reason}); the file is "
                    "damaged or incomplete: copy or download it again",
                ) from error
        said.extend(f"{library} warns: {brief(str(w.message))}" for w in caught)


def brief(text: str) -> str:
    """The beginning of a file's or library's own text, on one printable line."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= 3 * SHOWN else line[: 3 * SHOWN] + "..."


def listing(names: list[str]) -> str:
    """Some of many names."""
    shown = ", ".join(repr(brief(name)) for name in names[:8])
    return shown + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def size_text(size: int) -> str:
    """``size`` bytes for people."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            # Integer division: a declared size may be too large for a float.
            return f"{size // unit:,}.{size % unit * 10 // unit} {name}"
    return f"{size:,} bytes"
