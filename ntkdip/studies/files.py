"""Writing results so that a crash leaves the old file or the new one, never half of one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure


def writable_folder(path: Path, option: str = "--out") -> Path:
    """Make a folder and prove that it can be written, before any work starts.

    Raises
    ------
    OSError
        If it is a file, cannot be made, or cannot be written; ``option`` is what the user
        should change.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as fault:
        raise OSError(
            f"the output folder {str(path)!r} cannot be written ({fault.strerror}); "
            f"name another with {option}"
        ) from fault
    return path


def writable_file(path: Path, option: str = "--json") -> Path:
    """The same for one file: its folder is made and can be written, and it is no folder."""
    if path.is_dir():
        raise OSError(f"{str(path)!r} is a folder; name a file with {option}")
    writable_folder(path.parent, option)
    return path


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, which takes its place in one step at the end."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step; NumPy values become numbers, infinities strings.

    Raises
    ------
    ValueError
        If a NaN is among the values: nothing is written then.
    """
    write_text(path, json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Write ``name.png`` and ``name.pdf``."""
    # Embedding a font whose creation date is unset makes fontTools warn on standard error.
    fonts = logging.getLogger("fontTools")
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        figure.savefig(folder / f"{name}.png")
        figure.set_layout_engine("none")  # what the PNG settled holds for the PDF
        figure.savefig(folder / f"{name}.pdf")
    finally:
        fonts.setLevel(level)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and np.isinf(value):
        return str(value)
    return value


def read_array(path: Path) -> np.ndarray:
    """An array from a ``.npy`` file; pickles are refused.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it holds no array of numbers or booleans.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as fault:
        raise ValueError(f"{str(path)!r} is no .npy file of an array ({fault})") from fault
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "bifcu":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{str(path)!r} must hold one array of numbers or booleans; got {kind}")
    return array
