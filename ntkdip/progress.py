"""Progress bars: on a terminal only, and only for work longer than a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


def track(items: Iterable[T], description: str, *, total: int | None = None) -> tqdm[T]:
    """Iterate over ``items`` with a progress bar on standard error.

    Silent where standard error is no terminal (pipes, logs) and for the first second.
    """
    return tqdm(items, desc=description, total=total, disable=None, delay=1.0, leave=False)
