"""Running a reconstruction's seeds, in turn or at once, so that nothing is lost."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from ntkdip.metrics import Against
from ntkdip.networks import ImageNetwork
from ntkdip.progress import track
from ntkdip.training.checkpoints import Checkpoints, claim, packed, unpacked
from ntkdip.training.interruption import InterruptedRunError, Interruption, watched
from ntkdip.training.journal import Journal
from ntkdip.training.loop import DivergenceError, fault_of, iterate, steps_per_dispatch
from ntkdip.training.methods import Method, Problem
from ntkdip.training.optimisers import Optimiser
from ntkdip.training.results import Outcome, Reconstruction
from ntkdip.training.settings import Settings
from ntkdip.training.steps import PROGRAMS, Record, State, Stepper
from ntkdip.training.stopping import Pick, StoppingRule


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """A checked request; ``scale`` turns the run's units into the data's."""

    problem: Problem
    method: Method
    settings: Settings
    rules: tuple[StoppingRule, ...]
    measure: Against | None
    scale: float
    folder: Path | None
    resume: bool
    identity: dict[str, Any]

    @property
    def groups(self) -> int:
        """How many runs there are: one, or one a seed."""
        return 1 if self.settings.batch_seeds else self.settings.seeds

    def folder_of(self, group: int) -> Path | None:
        """Where a group keeps its checkpoints."""
        if self.folder is None:
            return None
        return self.folder / ("seeds" if self.settings.batch_seeds else f"seed-{group}")


def run_seeds(plan: Plan, keys: Array, template: Reconstruction) -> Reconstruction:
    """Run every seed; ``template`` is the reconstruction that outcomes are put into.

    Raises
    ------
    CheckpointError
        Before anything is computed: if a folder cannot be used.
    DivergenceError, InterruptedRunError
        With the reconstruction so far as ``run``.
    """
    settings = plan.settings
    # What a method refuses leaves no trace in the folders.
    jax.eval_shape(lambda key: start(plan.method, plan.problem, key), keys[0])
    for index in range(plan.groups):
        folder = plan.folder_of(index)
        if folder is not None:
            claim(folder, plan.identity, resume=plan.resume)
    optimiser = _optimiser(settings.optimiser, settings.steps, plan.method.joint, plan.problem.net)
    objective = plan.method.objective(plan.problem)
    stepper = Stepper(
        objective, optimiser, steps_per_dispatch(settings.scan), settings.average,
        bool(settings.batch_seeds), plan.measure,
    )  # fmt: skip
    groups = [keys] if stepper.batched else [keys[i : i + 1] for i in range(len(keys))]
    outcomes: list[Outcome] = []
    with watched() as interruption:
        for index, group in enumerate(groups):
            run = _Group(plan, stepper, group, index)
            with contextlib.closing(run):
                fault = run.go(interruption)
            outcomes += run.outcomes()
            complete = run.finished and index == len(groups) - 1
            found = dataclasses.replace(template, outcomes=tuple(outcomes), complete=complete)
            if fault is not None:
                raise DivergenceError(f"{run.name}: {fault}{run.where_saved(fault=True)}", found)
            if interruption.signal is not None:
                raise InterruptedRunError(
                    f"{run.name}: ended at step {run.step} of {settings.steps}{run.where_saved()}",
                    found, interruption.signal,
                )  # fmt: skip
    return found


class _Group:
    """The seeds that run at once: one, or all of them."""

    def __init__(self, plan: Plan, stepper: Stepper, keys: Array, index: int):
        self.plan, self.stepper = plan, stepper
        method = type(plan.method).__name__
        alone = plan.groups == 1
        self.name = method if alone else f"{method}, seed {index + 1} of {plan.groups}"
        states = [self._begin(key) for key in keys]
        self.state: State = _stacked(states) if stepper.batched else states[0]
        self.journals = [self._journal(state) for state in states]
        self.step = 0
        self.saved: int | None = None
        self.checkpoints: Checkpoints | None = None
        folder = plan.folder_of(index)
        if folder is not None:
            self.checkpoints = Checkpoints(
                folder, self._content(self.state), runs=plan.groups - index
            )
            if plan.resume:
                self._restore()

    def go(self, interruption: Interruption) -> str | None:
        """Run to the end, an interruption or a fault; what the fault is."""
        good = (self.step, self.state)
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
                if self.finished or self._due():
                    self.save()
                if self._triggered():
                    break
        if interruption():
            self.save()
        return None

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.step >= self.plan.settings.steps or self._triggered()

    def save(self) -> None:
        """A checkpoint of where the run is, if it keeps any and has none of this step."""
        if self.checkpoints is None or self.saved == self.step:
            return
        if self.checkpoints.save(self.step, self._content(self.state)):
            self.saved = self.step

    def where_saved(self, *, fault: bool = False) -> str:
        """The end of a message: what is kept, and how to go on."""
        if self.checkpoints is None:
            return ""
        folder = repr(str(self.plan.folder))
        if self.saved is None:
            return f"; nothing could be saved in {folder}"
        if fault:
            return f"; the last good state, step {self.saved}, is saved in {folder}; start anew"
        return f"; step {self.saved} is saved in {folder}, resume goes on there"

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

    def _due(self) -> bool:
        every = self.plan.settings.checkpoint_every
        return self.step // every > (self.saved or 0) // every

    def _begin(self, key: Array) -> State:
        return self.stepper.begin(*start(self.plan.method, self.plan.problem, key))

    def _journal(self, state: State) -> Journal:
        image, names = self.stepper.recorded(state)
        return Journal(
            self.plan.settings.record_at, names, image, _input(state), self.plan.rules,
            input_changes=self.plan.method.joint or self.stepper.objective.updates,
        )  # fmt: skip

    def _content(self, state: State) -> dict[str, Any]:
        return {"state": packed(state), "journals": [j.arrays for j in self.journals]}

    def _restore(self) -> None:
        assert self.checkpoints is not None
        found = self.checkpoints.latest()
        if found is not None:
            self.step, content = found
            self.saved = self.step
            self.state = unpacked(content["state"], self.state)
            for journal, arrays in zip(self.journals, content["journals"], strict=True):
                journal.arrays = jax.tree.map(np.array, arrays)

    def _snapshots(self, interruption: Interruption, moved: Any) -> Iterator[Any]:
        # The journal knows what was recorded, at step 0 too.
        due = self.plan.settings.record_at[int(self.journals[0].arrays["count"]) :]
        return iterate(
            self.stepper, self.state, due, start=self.step, interrupted=interruption, moved=moved
        )

    def _first_losses(self) -> np.ndarray | None:
        if not int(self.journals[0].arrays["count"]):
            return None
        return np.array([journal.arrays["table"][0, 0] for journal in self.journals])

    def _note(self, step: int, state: State, record: Record) -> None:
        inputs = np.asarray(_input(state)) if self.journals[0].wants_input(step) else None
        for i, journal in enumerate(self.journals):
            one, z = record, inputs
            if self.stepper.batched:
                one, z = record.seed(i), None if inputs is None else inputs[i]
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


@functools.lru_cache(maxsize=PROGRAMS)
def _optimiser(
    optimiser: Optimiser, steps: int, joint: bool, net: ImageNetwork
) -> optax.GradientTransformation:
    """The same object for the same settings, by which compiled steps are found again."""
    return optimiser.build(steps, joint=joint, trained=net.trained)


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
