"""Running a reconstruction's seeds, in turn or at once, so that nothing is lost."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkdip.progress import track
from ntkdip.training.checkpoints import Checkpoints, packed, unpacked
from ntkdip.training.interruption import InterruptedRunError, Interruption, watched
from ntkdip.training.journal import Journal
from ntkdip.training.loop import (
    DivergenceError,
    Measure,
    Record,
    State,
    Stepper,
    fault_of,
    iterate,
    steps_per_dispatch,
)
from ntkdip.training.methods import Method, Problem
from ntkdip.training.results import Outcome, Reconstruction
from ntkdip.training.settings import Settings
from ntkdip.training.stopping import Pick, StoppingRule


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A checked request; ``scale`` turns the run's units into the data's."""

    problem: Problem
    method: Method
    settings: Settings
    rules: tuple[StoppingRule, ...]
    measure: Measure | None
    scale: float
    folder: Path | None
    resume: bool
    identity: dict[str, Any]

    @property
    def batched(self) -> bool:
        """Whether several seeds run at once."""
        choice = self.settings.batch_seeds
        together = jax.default_backend() != "cpu" if choice is None else choice
        return together and self.settings.seeds > 1


def run_seeds(plan: Plan, keys: Array, template: Reconstruction) -> Reconstruction:
    """Run every seed; ``template`` is the reconstruction that outcomes are put into.

    Raises
    ------
    DivergenceError, InterruptedRunError
        With the reconstruction so far as ``run``.
    """
    settings = plan.settings
    optimiser = settings.optimiser.build(
        settings.steps, joint=plan.method.joint, trained=plan.problem.net.trained
    )
    stepper = Stepper(
        plan.method.objective(plan.problem), optimiser, steps_per_dispatch(settings.scan),
        settings.average, plan.batched, plan.measure,
    )  # fmt: skip
    groups = [keys] if plan.batched else [keys[i : i + 1] for i in range(len(keys))]
    outcomes: list[Outcome] = []
    with watched() as interruption:
        for index, group in enumerate(groups):
            run = _Group(plan, stepper, group, index, len(groups))
            with contextlib.closing(run):
                fault = run.go(interruption)
            outcomes += run.outcomes()
            complete = run.finished and index == len(groups) - 1
            found = dataclasses.replace(template, outcomes=tuple(outcomes), complete=complete)
            if fault is not None:
                raise DivergenceError(f"{run.name}: {fault}{run.where_saved()}", found)
            if interruption.signal is not None and not complete:
                raise InterruptedRunError(
                    f"{run.name}: ended at step {run.step} of {settings.steps}{run.where_saved()}",
                    found, interruption.signal,
                )  # fmt: skip
    return found


class _Group:
    """The seeds that run at once: one, or all of them."""

    def __init__(self, plan: Plan, stepper: Stepper, keys: Array, index: int, count: int):
        self.plan, self.stepper = plan, stepper
        method = type(plan.method).__name__
        self.name = method if count == 1 else f"{method}, seed {index + 1} of {count}"
        states = [self._begin(key) for key in keys]
        self.state: State = _stacked(states) if stepper.batched else states[0]
        self.journals = [self._journal(state) for state in states]
        self.step = 0
        self.checkpoints: Checkpoints | None = None
        if plan.folder is not None:
            own = plan.folder / ("seeds" if stepper.batched else f"seed-{index}")
            self.checkpoints = Checkpoints(
                own, plan.identity, self._content(self.state), resume=plan.resume
            )
            self._restore()

    def go(self, interruption: Interruption) -> str | None:
        """Run to the end, an interruption or a fault; what the fault is."""
        good, saved = (self.step, self.state), self.step
        if self.finished:
            return None
        with track(range(self.plan.settings.steps), self.name, initial=self.step) as bar:
            for step, state, record in self._snapshots(interruption, bar.update):
                if record is not None:
                    fault = fault_of(record, self._first_losses(), step, state)
                    if fault is not None:
                        self.step, self.state = good
                        self.save()
                        return fault
                    self._note(step, state, record)
                    good = (step, state)
                    bar.set_postfix_str(self._progress(record))
                self.step, self.state = step, state
                if self.finished or interruption() or self._due_after(saved):
                    self.save()
                    saved = step
                if self._triggered():
                    break
        return None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.plan.settings.steps or self._triggered()

    def save(self) -> None:
        """A checkpoint of where the run is, if it keeps any."""
        if self.checkpoints is not None:
            self.checkpoints.save(self.step, self._content(self.state))

    def where_saved(self) -> str:
        """The end of a message: where to go on from."""
        if self.checkpoints is None:
            return ""
        return f"; step {self.step} is saved in {str(self.plan.folder)!r}, resume goes on there"

    def close(self) -> None:
        if self.checkpoints is not None:
            self.checkpoints.close()

    def outcomes(self) -> list[Outcome]:
        """What has been recorded, in the data's units."""
        trained = (
            [jax.tree.map(lambda leaf, i=i: leaf[i], self.state.trained) for i in
             range(len(self.journals))] if self.stepper.batched else [self.state.trained]
        )  # fmt: skip
        scale = self.plan.scale
        return [_outcome(j, t, scale) for j, t in zip(self.journals, trained, strict=True)]

    def _triggered(self) -> bool:
        """Whether the rules end the run."""
        return self.plan.settings.stop_early and all(j.all_triggered for j in self.journals)

    def _due_after(self, saved: int) -> bool:
        every = self.plan.settings.checkpoint_every
        return self.step // every > saved // every

    def _begin(self, key: Array) -> State:
        return self.stepper.begin(*start(self.plan.method, self.plan.problem, key))

    def _journal(self, state: State) -> Journal:
        image, names = self.stepper.recorded(state)
        return Journal(self.plan.settings.record_at, names, image, _input(state), self.plan.rules)

    def _content(self, state: State) -> dict[str, Any]:
        return {"state": packed(state), "journals": [j.arrays for j in self.journals]}

    def _restore(self) -> None:
        assert self.checkpoints is not None
        found = self.checkpoints.latest()
        if found is not None:
            self.step, content = found
            self.state = unpacked(content["state"], self.state)
            for journal, arrays in zip(self.journals, content["journals"], strict=True):
                journal.arrays = jax.tree.map(np.array, arrays)

    def _snapshots(self, interruption: Interruption, moved: Any) -> Iterator[Any]:
        return iterate(
            self.stepper, self.state, self.plan.settings.record_at, start=self.step,
            interrupted=interruption, moved=moved,
        )  # fmt: skip

    def _first_losses(self) -> np.ndarray | None:
        if not int(self.journals[0].arrays["count"]):
            return None
        return np.array([journal.arrays["table"][0, 0] for journal in self.journals])

    def _note(self, step: int, state: State, record: Record) -> None:
        inputs = np.asarray(_input(state))
        for i, journal in enumerate(self.journals):
            one, z = (record.seed(i), inputs[i]) if self.stepper.batched else (record, inputs)
            numbers = {name: float(value) for name, value in one.scalars.items()}
            journal.add(step, float(one.loss), one.image, one.average, numbers, z, self.plan.scale)

    def _progress(self, record: Record) -> str:
        shown = {"loss": record.loss, "residual": record.scalars["residual"] * self.plan.scale}
        if "psnr" in record.scalars:
            shown["PSNR"] = record.scalars["psnr"]
        return ", ".join(f"{name} {float(np.mean(value)):.4g}" for name, value in shown.items())


def start(
    method: Method, problem: Problem, key: Array
) -> tuple[dict[str, Any], dict[str, Any], Array]:
    """``(trained, carried, key of the steps)`` of the seed that has this key."""
    of_start, of_steps = jax.random.split(key)
    return (*method.start(problem, of_start), of_steps)


def _input(state: State) -> Array:
    holder = state.trained if "input" in state.trained else state.carried
    return holder["input"]


def _stacked(states: list[State]) -> State:
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _outcome(journal: Journal, trained: Any, scale: float) -> Outcome:
    def in_units(pick: Pick) -> Pick:
        return dataclasses.replace(pick, image=scale * pick.image)

    numbers = journal.metrics()
    numbers["residual"] = scale * numbers["residual"]
    best = journal.best()
    steps, inputs = journal.inputs()
    return Outcome(
        final=scale * journal.arrays["final"],
        averaged=scale * journal.arrays["average"],
        stopped={name: in_units(pick) for name, pick in journal.picks().items()},
        best=None if best is None else in_units(best),
        metrics=numbers,
        input_steps=steps,
        inputs=inputs,
        trained=trained,
    )
