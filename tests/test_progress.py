"""Progress goes to a terminal and nowhere else."""

from __future__ import annotations

import io
import sys

import pytest

from ntkdip import progress


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _work() -> list[int]:
    with progress.counting("stepping", total=1) as step:
        step(1)
    with progress.ticking("waiting"):
        return list(progress.track(range(3), "counting"))


@pytest.mark.parametrize("delay", [0.0, 3600.0])
def test_a_terminal_sees_long_work(monkeypatch: pytest.MonkeyPatch, delay: float) -> None:
    monkeypatch.setattr(progress, "DELAY", delay)
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    assert _work() == [0, 1, 2]
    assert ("waiting [00:00]" in screen.getvalue()) == (delay == 0)
    assert ("stepping" in screen.getvalue()) == (delay == 0)
    assert ("counting" in screen.getvalue()) == (delay == 0)


def test_a_pipe_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "DELAY", 0.0)
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stderr", pipe)
    assert _work() == [0, 1, 2]
    assert pipe.getvalue() == ""
