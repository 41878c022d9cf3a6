"""How much memory this process may still take."""

from __future__ import annotations

from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take (version 2)."""


def available_bytes() -> int:
    """Memory that this process may still take: the machine's, or its control group's if less."""
    available = psutil.virtual_memory().available
    limit = CONTROL_GROUP / "memory.max"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int((CONTROL_GROUP / "memory.current").read_text())
        # File pages that nobody is using count as used, but are given up on demand.
        statistics = dict(
            line.split() for line in (CONTROL_GROUP / "memory.stat").read_text().splitlines()
        )
        used -= int(statistics["inactive_file"])
        available = min(available, max(int(text) - used, 0))
    return int(available)
