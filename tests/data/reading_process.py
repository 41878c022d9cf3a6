"""Reads files named on standard input, one a line, and says what came of each.

Run as ``python -m tests.data.reading_process``.  Its memory is limited where the system can,
and it ends itself if one file takes it too long.
"""

from __future__ import annotations

import faulthandler
import sys

import numpy as np

from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from ntkdip.data.records import KSpace

FILE_LIMIT = 2**26
PROCESS_LIMIT = 2**32
SECONDS = 60


def limit_memory() -> None:
    """Let allocations fail that no small file justifies."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (PROCESS_LIMIT, PROCESS_LIMIT))


def outcome(path: str) -> str:
    """``"record"``, ``"DataError"``, or what should not be."""
    try:
        found = load(path, memory_limit=FILE_LIMIT)
    except DataError:
        return "DataError"
    except BaseException as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    values = found.samples if isinstance(found, KSpace) else found.pixels
    return "record" if np.isfinite(values).all() else "not finite"


if __name__ == "__main__":
    limit_memory()
    for line in sys.stdin:
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        print(outcome(line.removesuffix("\n")), flush=True)
        faulthandler.cancel_dump_traceback_later()
