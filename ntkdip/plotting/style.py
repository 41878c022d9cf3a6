"""One style for every figure: Okabe-Ito colours (colour-blind safe), one colour a method."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

COLOURS = {
    "WCNN": "#0072B2",
    "Deep Decoder": "#D55E00",
    "zero-filled": "#666666",
    "truth": "#000000",
    "reference": "#009E73",
    "self-guided": "#0072B2",
    "vanilla": "#E69F00",
    "vanilla + TV": "#CC79A7",
    "reference-guided": "#009E73",
    "aSeqDIP": "#56B4E9",
}
OTHERS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"]
GREY, HEAT, CYCLIC, DIVERGING = "gray", "magma", "twilight", "RdBu_r"


def colour(method: str) -> str:
    """The colour of a method, the same in every figure."""
    return COLOURS.get(method, OTHERS[sum(map(ord, method)) % len(OTHERS)])


def colours(methods: Iterable[str]) -> dict[str, str]:
    """A colour for each method of one figure: `colour`, but no two alike while six last."""
    chosen: dict[str, str] = {}
    for method in sorted(methods, key=lambda m: m not in COLOURS):
        free = [c for c in OTHERS if c not in chosen.values()]
        wanted = colour(method)
        chosen[method] = free[0] if wanted in chosen.values() and free else wanted
    return chosen


def decimal_ticks(*axes: Axis) -> None:
    """Ticks 1, 2, 5 of every decade, written out: for logarithmic axes of few decades."""
    for axis in axes:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Scope in which figures get the package's style; matplotlib's settings stay as they are."""
    settings: Any = {
        "axes.grid": False,
        "axes.prop_cycle": cycler(color=OTHERS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "grid.alpha": 0.3,
        "grid.linewidth": 0.6,
        "image.origin": "upper",
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "pdf.fonttype": 42,
        "savefig.dpi": 160,
    }
    with mpl.rc_context(settings):
        yield
