"""Axes in the package's style, drawn in the end: what cannot be drawn fails."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest

from ntkdip import plotting


@pytest.fixture
def columns() -> int:
    """Axes of a figure; a file that wants another number says so."""
    return 4


@pytest.fixture
def axes(columns):
    with plotting.style():
        figure, grid = plt.subplots(1, columns)
        yield list(grid)
        figure.canvas.draw()
        plt.close(figure)


@pytest.fixture
def ax(axes):
    return axes[0]
