"""What a check of a theorem says: hypotheses, a measurement and its bound, a verdict."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Hypothesis:
    """Something a theorem asks for, measured on the case at hand."""

    statement: str
    measured: float
    holds: bool


@dataclasses.dataclass(frozen=True)
class Check:
    """A conclusion, what was measured, and the bound it must not exceed."""

    name: str
    statement: str
    hypotheses: tuple[Hypothesis, ...]
    measured: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether every hypothesis holds and the measurement is within its bound."""
        return all(h.holds for h in self.hypotheses) and bool(self.measured <= self.bound)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with ``passed``."""
        return {**dataclasses.asdict(self), "passed": self.passed}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a theorem says about one kernel, operator and image.

    ``case`` names the part of the theorem that holds, ``applies`` whether any does, and
    ``prediction`` what it predicts in words.  ``findings`` were measured to find the case (not
    all of them must hold), ``checks`` what was predicted against what was measured.
    """

    theorem: str
    case: str
    applies: bool
    prediction: str
    findings: tuple[Hypothesis, ...]
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every prediction holds; True where the theorem does not apply."""
        return all(check.passed for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, with ``passed``, also of every check."""
        checks = [check.as_dict() for check in self.checks]
        return {**dataclasses.asdict(self), "checks": checks, "passed": self.passed}

    def __str__(self) -> str:
        lines = [f"{self.theorem}: {self.case}", f"  {self.prediction}"]
        for finding in self.findings:
            answer = "yes" if finding.holds else "no"
            lines.append(f"  - {finding.statement}: {answer} ({finding.measured:.3g})")
        for check in self.checks:
            verdict = "holds" if check.passed else "FAILS"
            lines.append(
                f"  = {check.statement}: {verdict} ({check.measured:.2e}, bound {check.bound:.0e})"
            )
        return "\n".join(lines)
