"""What data say of a claim: computed from effects and their spread, never typed."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import scipy.stats

Answer = Literal["agrees", "disagrees", "inconclusive"]

CONFIDENCE = 0.95
"""Of the interval that has to lie on one side of what is claimed."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim, the effects measured for it, and what follows from them.

    Attributes
    ----------
    claim
        One sentence that says which number is meant and in which direction.
    effects
        The number, once for each independent repetition (seeds, masks, images).
    bar
        The claim is that the mean of the effects is above this.
    unit
        Of effects and bar; empty for a ratio.
    repetitions
        What the repetitions are: ``seeds``, say.
    """

    claim: str
    effects: tuple[float, ...]
    bar: float = 0.0
    unit: str = ""
    repetitions: str = "seeds"

    def __post_init__(self) -> None:
        if not self.effects or not np.isfinite(self.effects).all():
            raise ValueError(
                f"a verdict needs finite effects, one at least; got {self.effects} for "
                f"{self.claim!r}"
            )

    @property
    def mean(self) -> float:
        """Mean of the effects."""
        return float(np.mean(self.effects))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's interval of the mean at `CONFIDENCE`; infinite for one effect."""
        n = len(self.effects)
        if n == 1:
            return -np.inf, np.inf
        error = np.std(self.effects, ddof=1) / np.sqrt(n)
        half = float(scipy.stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error)
        return self.mean - half, self.mean + half

    @property
    def answer(self) -> Answer:
        """Whether the whole interval lies above the bar, below it, or neither."""
        low, high = self.interval
        if low > self.bar:
            return "agrees"
        return "disagrees" if high < self.bar else "inconclusive"

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        n = len(self.effects)
        if n == 1:
            measured = f"{self.mean:+.3g}{unit}, one of {self.repetitions} only: no spread"
        else:
            low, high = self.interval
            measured = (
                f"{self.mean:+.3g}{unit}, {CONFIDENCE:.0%} interval {low:+.3g} to {high:+.3g} "
                f"over {n} {self.repetitions}"
            )
        return f"{self.answer}: {self.claim} ({measured}; bar {self.bar:+.3g}{unit})"

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        low, high = self.interval
        return dataclasses.asdict(self) | {
            "mean": self.mean, "low": low, "high": high, "answer": self.answer
        }  # fmt: skip


def paired(first: Sequence[float], second: Sequence[float]) -> tuple[float, ...]:
    """Differences ``first - second``, repetition by repetition.

    Raises
    ------
    ValueError
        If there are not as many of both.
    """
    if len(first) != len(second):
        raise ValueError(f"pairs need equal numbers of both; got {len(first)} and {len(second)}")
    return tuple(float(a) - float(b) for a, b in zip(first, second, strict=True))
