"""Tables: one content, several forms."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from rich.console import Console

from ntkdip.studies.tables import Spread, Table

TABLE = Table(
    "psnr", "PSNR (dB)", ("method", "PSNR", "step"),
    (("a|b", Spread((1.0, 2.0, 3.0), 1), 40), ("[c]", 1.25, None)),
)  # fmt: skip


def test_csv_has_full_precision_and_the_spread_apart() -> None:
    rows = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert rows[0] == {"method": "a|b", "PSNR": "2.0", "PSNR: sd": "1.0", "PSNR: n": "3",
                       "step": "40"}  # fmt: skip
    assert rows[1]["PSNR"] == "1.25"
    assert rows[1]["step"] == ""


def test_markdown_and_terminal_show_the_same() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[0] == "**PSNR (dB)**"
    assert lines[3] == "| --- | --: | --: |"
    assert lines[4] == r"| a\|b | 2.0 ± 1.0 | 40 |"
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(TABLE.terminal())
    shown = console.export_text()
    assert "2.0 ± 1.0" in shown
    assert "[c]" in shown


def test_what_is_missing_is_said() -> None:
    assert str(Spread((1.0, np.nan, 3.0), 0)) == "2 ± 1 (2 of 3)"
    assert str(Spread((np.nan,))) == "not reached"
    assert str(Spread((1.25,), 1)) == "1.2"


def test_ragged_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="3 columns; got the row"):
        Table("x", "x", ("a", "b", "c"), (("1", "2"),))
