"""Progress: on a terminal only, and only for work longer than a second."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

DELAY = 1.0
"""Seconds before anything is shown."""


def track(
    items: Iterable[T], description: str, *, total: int | None = None, initial: int = 0
) -> tqdm[T]:
    """Iterate over ``items`` with a progress bar on standard error, ``initial`` of them done.

    Silent where standard error is no terminal (pipes, logs) and for the first second.
    """
    return tqdm(
        items, desc=description, total=total, initial=initial, disable=None, delay=DELAY,
        leave=False,
    )  # fmt: skip


@contextlib.contextmanager
def counting(description: str, *, total: int | None = None) -> Iterator[Callable[[int], object]]:
    """A bar that is moved on by calling what is given, for work whose loop is not ours.

    Silent where standard error is no terminal and for the first second.
    """
    with tqdm(desc=description, total=total, disable=None, delay=DELAY, leave=False) as bar:
        yield bar.update


@contextlib.contextmanager
def ticking(description: str) -> Iterator[None]:
    """A line with the time elapsed, for work that has no steps to count.

    Silent where standard error is no terminal and for the first second.
    """
    line = tqdm(
        desc=description, disable=None, delay=DELAY, leave=False, bar_format="{desc} [{elapsed}]"
    )
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            line.refresh()

    thread = threading.Thread(target=tick, daemon=True)
    if not line.disable:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if thread.ident is not None:
            thread.join()
        line.close()
