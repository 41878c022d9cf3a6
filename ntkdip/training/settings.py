"""How a reconstruction runs, whatever the method."""

from __future__ import annotations

import dataclasses

import numpy as np

from ntkdip.training.loop import scan_by_default
from ntkdip.training.optimisers import Optimiser


@dataclasses.dataclass(frozen=True)
class Settings:
    """Steps, optimiser, records, seeds and paths through the loop.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    steps: int = 2000
    """Steps of the optimiser."""
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    """Optimiser, rates, schedule."""
    average: float = 0.99
    """Decay of the moving average of the images, a step; in the first steps it forgets sooner."""
    record_every: int = 10
    """Steps between records; the first and the last are recorded too."""
    checkpoint_every: int = 200
    """A checkpoint is written at the first record after so many steps, where a folder is given."""
    held_out: float = 0.0
    """Share of the samples that are not trained on, to judge the reconstruction by."""
    held_out_seed: int = 0
    """Of the draw of those samples."""
    seeds: int = 1
    """Runs, from keys split from the given one."""
    batch_seeds: bool | None = None
    """All seeds at once (vmap) or in turn; None: in turn on CPU, at once elsewhere."""
    scan: bool | None = None
    """Many steps a dispatch; None: not on CPU, where that is slow, but elsewhere."""
    stop_early: bool = False
    """End a run once every stopping rule has triggered."""

    def __post_init__(self) -> None:
        least = {"steps": 1, "record_every": 1, "checkpoint_every": 1, "seeds": 1}
        for name, smallest in least.items():
            if getattr(self, name) < smallest:
                raise ValueError(f"{name} is at least {smallest}; got {getattr(self, name)}")
        for name in ("average", "held_out"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} lies in [0, 1); got {getattr(self, name)}")

    def resolved(self) -> Settings:
        """With the choices that depend on the backend made; they are part of a configuration."""
        accelerated = scan_by_default()
        batch = accelerated if self.batch_seeds is None else self.batch_seeds
        scan = accelerated if self.scan is None else self.scan
        return dataclasses.replace(self, batch_seeds=batch and self.seeds > 1, scan=scan)

    @property
    def record_at(self) -> np.ndarray:
        """(T,) the recorded steps."""
        return np.unique([*range(0, self.steps, self.record_every), self.steps])
