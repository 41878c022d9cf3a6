"""ntkdip: what can an untrained network recover from undersampled measurements, and why?

Rooms, in the order in which data flows: `operators`, `networks`, `data`,
`baselines`, `metrics`, `kernels`, `spectrum`, `theory`, `training`, `plotting`, `studies`.
Each loads on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ntkdip import (
        baselines,
        data,
        kernels,
        metrics,
        networks,
        operators,
        plotting,
        spectrum,
        studies,
        theory,
        training,
    )

__version__ = "0.1.0"

__all__ = [
    "baselines",
    "data",
    "kernels",
    "metrics",
    "networks",
    "operators",
    "plotting",
    "spectrum",
    "studies",
    "theory",
    "training",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return importlib.import_module(f"ntkdip.{name}")
    raise AttributeError(f"module 'ntkdip' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
