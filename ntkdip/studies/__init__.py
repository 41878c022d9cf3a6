"""Studies: theory against training, each ending in figures and tables."""

from ntkdip.studies.compare import Comparison, compare
from ntkdip.studies.demo import DemoConfiguration, DemoResult, run_demo
from ntkdip.studies.environment import environment
from ntkdip.studies.width import WidthLaw, reference_problem, width_law

__all__ = [
    "Comparison",
    "DemoConfiguration",
    "DemoResult",
    "WidthLaw",
    "compare",
    "environment",
    "reference_problem",
    "run_demo",
    "width_law",
]
