"""What a reconstruction gives back, each image under the name of how it was chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Inexact, Int, PyTree

from ntkdip import metrics
from ntkdip.training.stopping import Pick

FINAL, AVERAGED, BEST = "final", "averaged", "oracle best"


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """One seed's reconstruction, in the data's units.

    Attributes
    ----------
    final
        The network's image after the last step.
    averaged
        The moving average of its images over the last steps.
    stopped
        What each stopping rule picked, by its name; none of them saw the truth.
    best
        The recorded image of highest PSNR: an oracle, None where no truth was given.
    metrics
        ``step`` (t,) and every number recorded there by name (t,); ``residual`` is
        ``||A f - y||`` in the data's unit over what was trained on.
    input_steps, inputs
        Steps (k,) and the network's input there (k, *pixels, channels), in units in which the
        zero-filled image has maximum 1.
    trained
        What was trained, on the device, after the last step; in a run that was interrupted
        that may be past the last record, which the images are of.
    """

    final: Inexact[np.ndarray, "..."]
    averaged: Inexact[np.ndarray, "..."]
    stopped: dict[str, Pick]
    best: Pick | None
    metrics: dict[str, np.ndarray]
    input_steps: Int[np.ndarray, " k"]
    inputs: Float[np.ndarray, "k ..."]
    trained: PyTree

    @property
    def steps(self) -> int:
        """Steps up to the last record."""
        return int(self.metrics["step"][-1])

    @property
    def images(self) -> dict[str, Inexact[np.ndarray, "..."]]:
        """Every image by name: final, averaged, each rule's, and the oracle's."""
        found = {FINAL: self.final, AVERAGED: self.averaged}
        found |= {name: pick.image for name, pick in self.stopped.items()}
        return found if self.best is None else found | {BEST: self.best.image}


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """The outcomes of all seeds, and what they are compared with.

    Attributes
    ----------
    outcomes
        One a seed that was begun.
    zero_filled
        ``A* y``, where every reconstruction starts from.
    truth
        The true image, where one was given.
    scale
        Units of the data over those of the run: the maximum of the zero-filled image.
    complete
        Whether every seed ran to its end.
    """

    outcomes: tuple[Outcome, ...]
    zero_filled: Inexact[np.ndarray, "..."]
    truth: Inexact[np.ndarray, "..."] | None
    scale: float
    complete: bool

    @property
    def final(self) -> Inexact[np.ndarray, "..."]:
        """The first seed's final image."""
        return self.outcomes[0].final

    @property
    def averaged(self) -> Inexact[np.ndarray, "..."]:
        """The first seed's averaged image."""
        return self.outcomes[0].averaged

    def scores(
        self, metric: Callable[[Any, Any], float] = metrics.psnr
    ) -> dict[str, Float[np.ndarray, " seeds"]]:
        """A metric of every kind of image against the truth, one entry a seed; NaN if missing.

        Parameters
        ----------
        metric
            ``(image, truth) -> float`` on the host, as in `ntkdip.metrics`.

        Raises
        ------
        ValueError
            If no truth was given.
        """
        if self.truth is None:
            raise ValueError("scores compare with the truth; give reconstruct a truth")
        names = list(dict.fromkeys(n for outcome in self.outcomes for n in outcome.images))
        return {
            name: np.array(
                [
                    metric(outcome.images[name], self.truth) if name in outcome.images else np.nan
                    for outcome in self.outcomes
                ]
            )
            for name in names
        }

    def picked_steps(self) -> dict[str, Float[np.ndarray, " seeds"]]:
        """The step of every kind of image, one entry a seed; NaN if missing."""
        found: dict[str, list[float]] = {}
        for seed, outcome in enumerate(self.outcomes):
            steps: dict[str, float] = {FINAL: outcome.steps, AVERAGED: outcome.steps}
            steps |= {name: pick.step for name, pick in outcome.stopped.items()}
            if outcome.best is not None:
                steps[BEST] = outcome.best.step
            for name, step in steps.items():
                found.setdefault(name, [np.nan] * len(self.outcomes))[seed] = step
        return {name: np.array(steps, np.float64) for name, steps in found.items()}
