"""The one error that reading a file may end in."""

from __future__ import annotations

import os


class DataError(ValueError):
    """A file cannot be used: which file, which field of it, what was found, what to do.

    `ntkdip.data.load` raises nothing else for what is wrong with a file.  Attributes:
    ``path``, as given; ``field``, the part of the file that is at fault, or ``""``.
    """

    def __init__(self, path: str | os.PathLike[str], field: str, problem: str) -> None:
        self.path, self.field = os.fspath(path), field
        place = f"{self.path!r}: {field}" if field else repr(self.path)
        super().__init__(f"{place}: {problem}")
