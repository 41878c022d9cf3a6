"""Studies: theory against training, each ending in figures and tables.  Each loads on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntkdip.studies.comparison import Comparison, compare
    from ntkdip.studies.configuration import DemoConfiguration
    from ntkdip.studies.demo import DemoResult, run_demo
    from ntkdip.studies.provenance import environment
    from ntkdip.studies.reconstruction import run_reconstruction
    from ntkdip.studies.scaling import WidthLaw, width_law
    from ntkdip.studies.width import reference_problem

_HOMES = {
    "Comparison": "comparison",
    "compare": "comparison",
    "environment": "provenance",
    "DemoConfiguration": "configuration",
    "DemoResult": "demo",
    "WidthLaw": "scaling",
    "reference_problem": "width",
    "run_demo": "demo",
    "run_reconstruction": "reconstruction",
    "width_law": "scaling",
}

__all__ = [
    "Comparison",
    "DemoConfiguration",
    "DemoResult",
    "WidthLaw",
    "compare",
    "environment",
    "reference_problem",
    "run_demo",
    "run_reconstruction",
    "width_law",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"ntkdip.studies.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ntkdip.studies' has no attribute {name!r}")
