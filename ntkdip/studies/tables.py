"""Tables of studies: one content, written as CSV, Markdown, HTML rows and for a terminal."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

import numpy as np
from rich.markup import escape
from rich.table import Table as TerminalTable


@dataclasses.dataclass(frozen=True)
class Spread:
    """Repetitions of one number, written as ``mean ± standard deviation``.

    NaN, where a repetition has no such number, is left out and counted.
    """

    values: tuple[float, ...]
    digits: int = 2

    @property
    def known(self) -> np.ndarray:
        """The values that are there."""
        values = np.asarray(self.values, float)
        return values[~np.isnan(values)]

    def __str__(self) -> str:
        known, missing = self.known, len(self.values) - self.known.size
        if not known.size:
            return "not reached"
        text = f"{known.mean():,.{self.digits}f}"
        if known.size > 1:
            text += f" ± {known.std(ddof=1):,.{self.digits}f}"
        return text + (f" ({known.size} of {len(self.values)})" if missing else "")


Entry = str | float | int | Spread | None
"""What stands in a table; None is written as a dash."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table under a name for its files, with a title that says what it is of.

    Raises
    ------
    ValueError
        If a row is not as long as the columns are many.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Entry, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"table {self.name!r} has {len(self.columns)} columns; got the row {row}"
                )

    def texts(self) -> list[list[str]]:
        """Every entry as people read it."""
        return [[_text(entry) for entry in row] for row in self.rows]

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers, to be set flush right."""
        return [
            any(not isinstance(row[i], str | None) for row in self.rows)
            for i in range(len(self.columns))
        ]

    def csv(self) -> str:
        """Comma-separated values in full precision; a `Spread` takes three columns."""
        spread = [any(isinstance(row[i], Spread) for row in self.rows)
                  for i in range(len(self.columns))]  # fmt: skip
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [name for column, wide in zip(self.columns, spread, strict=True)
             for name in ((column, f"{column}: sd", f"{column}: n") if wide else (column,))]
        )  # fmt: skip
        for row in self.rows:
            writer.writerow(
                [value for entry, wide in zip(row, spread, strict=True)
                 for value in _values(entry, wide)]
            )  # fmt: skip
        return out.getvalue()

    def markdown(self) -> str:
        """The title in bold and a pipe table."""
        align = ("--:" if number else "---" for number in self.numeric)
        lines = [_row(self.columns), _row(align), *map(_row, self.texts())]
        return f"**{self.title}**\n\n" + "\n".join(lines) + "\n"

    def terminal(self) -> TerminalTable:
        """For rich to print."""
        table = TerminalTable(title=self.title)
        for column, number in zip(self.columns, self.numeric, strict=True):
            table.add_column(column, justify="right" if number else "left")
        for row in self.texts():
            table.add_row(*map(escape, row))
        return table


def _text(entry: Entry) -> str:
    if entry is None:
        return "-"
    return f"{entry:.4g}" if isinstance(entry, float) else str(entry)


def _values(entry: Entry, wide: bool) -> Iterator[object]:
    if isinstance(entry, Spread):
        known = entry.known
        yield float(known.mean()) if known.size else ""
        yield float(known.std(ddof=1)) if known.size > 1 else ""
        yield known.size
        return
    yield "" if entry is None else entry
    if wide:
        yield from ("", "")


def _row(texts: Sequence[str] | Iterator[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"
