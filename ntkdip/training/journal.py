"""What a run has recorded so far: numbers, picks of the rules, the input's evolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkdip.training.stopping import Observation, Pick, StoppingRule

INPUTS = 6
"""Inputs that are kept, evenly spread on a logarithmic scale of steps, first and last included."""


class Journal:
    """The host's side of one seed's run, as arrays of fixed shapes: ``arrays`` is a pytree.

    Parameters
    ----------
    record_at
        (T,) steps at which something will be recorded.
    columns
        Names of the numbers recorded there, beside ``loss``.
    image
        An image as the run makes it; of its shape and dtype only.
    network_input
        The network's input at the start.
    rules
        Stopping rules that watch.
    input_changes
        Whether the input moves; if not, only its start is kept.
    """

    def __init__(
        self,
        record_at: np.ndarray,
        columns: Sequence[str],
        image: Any,
        network_input: Any,
        rules: Sequence[StoppingRule],
        *,
        input_changes: bool = True,
    ):
        self.record_at = record_at
        self.columns = ("loss", *columns)
        self.rules = tuple(rules)
        self.inputs_at = _spread(record_at) if input_changes else record_at[:1]
        blank = np.zeros(image.shape, image.dtype)
        self.arrays: dict[str, Any] = {
            "count": np.array(0, np.int64),
            "table": np.full((len(record_at), len(self.columns)), np.nan),
            "rules": [rule.start(blank.shape, blank.dtype) for rule in self.rules],
            "best_step": np.array(-1, np.int64),
            "best_psnr": np.array(-np.inf),
            "best": blank.copy(),
            "final": blank.copy(),
            "average": blank.copy(),
            "inputs": np.zeros((len(self.inputs_at), *network_input.shape), np.float32),
        }

    def add(
        self, step: int, loss: float, image: np.ndarray, average: np.ndarray | None,
        numbers: dict[str, float], network_input: np.ndarray | None, scale: float,
    ) -> None:  # fmt: skip
        """One record; ``scale`` turns the run's units into the data's.

        The input is needed only where `wants_input` says so.
        """
        a = self.arrays
        row = [loss, *(numbers[name] for name in self.columns[1:])]
        a["table"][int(a["count"])] = row
        a["count"] = a["count"] + 1
        seen = Observation(
            step, image, scale * numbers["residual"], numbers.get("held_out", float("nan"))
        )
        a["rules"] = [
            rule.observe(state, seen) for rule, state in zip(self.rules, a["rules"], strict=True)
        ]
        a["final"] = image
        a["average"] = image if average is None else average
        if numbers.get("psnr", -np.inf) > a["best_psnr"]:
            a["best_step"], a["best_psnr"] = np.array(step), np.array(numbers["psnr"], np.float64)
            a["best"] = image
        if network_input is not None:
            a["inputs"][self.inputs_at == step] = network_input

    def wants_input(self, step: int) -> bool:
        """Whether the network's input after ``step`` steps is kept."""
        return step in self.inputs_at

    @property
    def all_triggered(self) -> bool:
        """Whether there are rules and every one has said to stop."""
        states = self.arrays["rules"]
        return bool(states) and all(bool(state["triggered"]) for state in states)

    def metrics(self) -> dict[str, np.ndarray]:
        """``step`` and every number recorded so far, by name, (t,) each."""
        count = int(self.arrays["count"])
        table = self.arrays["table"][:count]
        found = {name: table[:, i].copy() for i, name in enumerate(self.columns)}
        return {"step": self.record_at[:count].copy()} | found

    def picks(self) -> dict[str, Pick]:
        """Every rule's pick, where it has one."""
        pairs = zip(self.rules, self.arrays["rules"], strict=True)
        found = {rule.name: rule.pick(state) for rule, state in pairs}
        return {name: pick for name, pick in found.items() if pick is not None}

    def best(self) -> Pick | None:
        """The recorded image of highest PSNR, which only the truth can tell."""
        a = self.arrays
        if a["best_step"] < 0:
            return None
        reason = f"highest PSNR of those recorded, {float(a['best_psnr']):.2f} dB; needs the truth"
        return Pick(int(a["best_step"]), a["best"], False, reason)

    def inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps (k,) and the network's input there, (k, *pixels, channels)."""
        count = int(self.arrays["count"])
        last = self.record_at[count - 1] if count else -1
        seen = self.inputs_at <= last
        return self.inputs_at[seen], self.arrays["inputs"][seen]


def _spread(record_at: np.ndarray) -> np.ndarray:
    """Some of the recorded steps: the first, the last, and between them as times of ten go."""
    places = np.geomspace(1, max(int(record_at[-1]), 1), INPUTS - 1)
    nearest = [record_at[np.argmin(np.abs(record_at - place))] for place in places]
    return np.unique([record_at[0], *nearest, record_at[-1]])
