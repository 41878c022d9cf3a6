"""Studies: theory against training, each ending in figures and tables."""

from ntkdip.studies.compare import Comparison, compare
from ntkdip.studies.demo import DemoConfiguration, DemoResult, run_demo
from ntkdip.studies.environment import environment

__all__ = [
    "Comparison",
    "DemoConfiguration",
    "DemoResult",
    "compare",
    "environment",
    "run_demo",
]
