"""Ctrl-C and SIGTERM end a run after the step that is under way, not in the middle of it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptedRunError(KeyboardInterrupt):
    """A run was ended from outside; ``run`` holds what was computed, ``signal`` says by what.

    A `KeyboardInterrupt`, so that no ``except Exception`` swallows it.
    """

    def __init__(self, message: str, run: Any, number: int):
        super().__init__(message)
        self.run = run
        self.signal = number


class Interruption:
    """Whether, and by which signal, an end was asked for."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextlib.contextmanager
def watched() -> Iterator[Interruption]:
    """Scope in which the first signal is only noted; the second one acts as it always does.

    Outside the main thread signals cannot be caught and nothing changes.
    """
    found = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    # What is ignored (nohup) stays so, and a handler of another language cannot be put back.
    before = {
        n: handler for n, handler in handlers.items() if handler not in (None, signal.SIG_IGN)
    }

    def note(number: int, frame: FrameType | None) -> None:
        found.signal = number
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
