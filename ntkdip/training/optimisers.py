"""How steps are taken: settings that optax's transformations are built from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import optax
from jaxtyping import PyTree

OptimiserName = Literal["adam", "adamw", "momentum", "gd"]
Schedule = Literal["constant", "cosine", "warmup-cosine", "exponential"]


@dataclasses.dataclass(frozen=True)
class Optimiser:
    """An optimiser, its rates and their schedule.

    Raises
    ------
    ValueError
        If a number is out of its range, or a decay is asked of what has none.
    """

    name: OptimiserName = "adam"
    """Adam, AdamW, gradient descent with momentum (heavy ball), or plain gradient descent."""
    rate: float = 3e-3
    """Learning rate of the weights."""
    input_rate: float | None = None
    """Learning rate of the network's input, where it is trained; ten times the weights' if None."""
    schedule: Schedule = "constant"
    """Of both rates; cosine and exponential fall to ``final_share`` at the last step."""
    final_share: float = 0.0
    """Last rate over first; above 0 for exponential."""
    warmup: int = 0
    """Steps of linear rise before the cosine of ``warmup-cosine``."""
    momentum: float = 0.9
    """Of gradient descent with momentum."""
    weight_decay: float = 0.0
    """Of the weights, decoupled from the gradient (AdamW); the input does not decay."""
    clip: float | None = None
    """Largest global norm of the gradient (weights and input apart); larger ones are scaled."""

    def __post_init__(self) -> None:
        positive = {"rate": self.rate, "clip": self.clip, "input_rate": self.input_rate}
        for name, value in positive.items():
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name} is a finite number above 0; got {value}")
        if not 0 <= self.final_share <= 1:
            raise ValueError(f"final_share lies between 0 and 1; got {self.final_share}")
        if self.schedule == "exponential" and not self.final_share:
            raise ValueError(
                "an exponential never falls to 0: set final_share to the last rate over the first, "
                "such as 0.01"
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is at least 0 and below 1; got {self.momentum}")
        if not 0 <= self.weight_decay < np.inf:
            raise ValueError(f"weight_decay is 0 or more; got {self.weight_decay}")
        if self.weight_decay and self.name != "adamw":
            raise ValueError(f"weight_decay belongs to adamw; got {self.name}")
        if self.warmup < 0 or (self.warmup > 0) != (self.schedule == "warmup-cosine"):
            raise ValueError(
                "warmup is at least 1 for the schedule warmup-cosine and 0 for the others; got "
                f"{self.warmup} for {self.schedule}"
            )

    def build(
        self, steps: int, *, joint: bool, trained: Callable[[PyTree], PyTree] | None = None
    ) -> optax.GradientTransformation:
        """The optax transformation.

        Parameters
        ----------
        steps
            Of the whole run, for schedules.
        joint
            Whether it is for ``{"params": ..., "input": ...}``, each with its rate, or for
            ``{"params": ...}``.
        trained
            Which parameters decay, as `ntkdip.networks.ImageNetwork.trained` tells; None: all.

        Raises
        ------
        ValueError
            If the warm-up is as long as the run.
        """
        if self.warmup >= steps and self.warmup:
            raise ValueError(f"warmup ({self.warmup}) must be shorter than the run ({steps} steps)")

        def decays(part: PyTree) -> PyTree:
            mask = jax.tree.map(lambda _: True, part)
            return mask if trained is None else mask | {"params": trained(part["params"])}

        parts = {"params": self._part(self.rate, steps, self.weight_decay, decays)}
        if joint:
            rate = 10 * self.rate if self.input_rate is None else self.input_rate
            parts["input"] = self._part(rate, steps, 0.0, None)
        return optax.partition(parts, {name: name for name in parts})

    def _part(
        self, rate: float, steps: int, decay: float, decays: Callable[[PyTree], PyTree] | None
    ) -> optax.GradientTransformation:
        scheduled = self._schedule(rate, steps)
        match self.name:
            case "adam":
                made = optax.adam(scheduled)
            case "adamw":
                made = optax.adamw(scheduled, weight_decay=decay, mask=decays)
            case "momentum":
                made = optax.sgd(scheduled, momentum=self.momentum)
            case "gd":
                made = optax.sgd(scheduled)
        if self.clip is None:
            return made
        return optax.chain(optax.clip_by_global_norm(self.clip), made)

    def _schedule(self, rate: float, steps: int) -> Any:
        match self.schedule:
            case "constant":
                return rate
            case "cosine":
                return optax.cosine_decay_schedule(rate, max(steps, 1), self.final_share)
            case "exponential":
                return optax.exponential_decay(rate, max(steps, 1), self.final_share)
            case "warmup-cosine":
                return optax.warmup_cosine_decay_schedule(
                    0.0, rate, self.warmup, steps, self.final_share * rate
                )
