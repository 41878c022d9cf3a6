"""The training loop: one for every method, on every backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Inexact, Int, PyTree

from ntkdip.progress import track
from ntkdip.training.objectives import Evaluation, Objective

STEPS_PER_DISPATCH = 50
"""Steps in one call of the device where they are scanned."""

GROWTH = 1e3
"""A loss above so many times its start counts as divergence."""

RAMP = 9
"""The average looks back over about ``1 / RAMP`` of the run until its decay looks back less."""

Measure = Callable[[Inexact[Array, "..."]], dict[str, Array]]
"""Numbers to record of an image, on the device: ``ntkdip.metrics.on_device``."""


class State(NamedTuple):
    """All that a step changes or needs, a pytree; with a leading axis of seeds if batched.

    ``trained`` and ``carried``: the objective's; ``optimiser``: its state; ``average``: moving
    average of the image, ``()`` without one; ``key``: of the run, from which every step's is
    derived, so that a run that goes on from here draws the same numbers.
    """

    trained: PyTree
    carried: PyTree
    optimiser: PyTree
    average: PyTree
    key: Array


class Record(NamedTuple):
    """What was recorded at a step, on the host; with a leading axis of seeds if batched."""

    loss: np.ndarray
    image: np.ndarray
    average: np.ndarray | None
    scalars: dict[str, np.ndarray]

    def seed(self, i: int) -> Record:
        """One seed's share of a batch."""
        return jax.tree.map(lambda values: values[i], self)


class Snapshot(NamedTuple):
    """The state after so many steps, and the record, None where a run was interrupted."""

    step: int
    state: State
    record: Record | None


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """What training recorded.

    ``steps`` (T,) and ``images`` (T, ...): the image at each recorded step, 0 being the
    start; ``losses`` (T,): the loss there; ``params``: what was trained, at the end;
    ``scalars``: what else the objective measures there, (T,) each.
    """

    steps: Int[np.ndarray, " T"]
    images: Inexact[np.ndarray, "T ..."]
    losses: Inexact[np.ndarray, " T"]
    params: PyTree
    scalars: dict[str, Inexact[np.ndarray, " T"]] = dataclasses.field(default_factory=dict)


class DivergenceError(FloatingPointError):
    """Training left the finite numbers, or its loss grew a thousandfold.

    ``run`` holds all that was recorded before: a `Run`, or a `Reconstruction`.
    """

    def __init__(self, message: str, run: Any = None):
        super().__init__(message)
        self.run = run


@dataclasses.dataclass(frozen=True, eq=False)
class Stepper:
    """Takes steps and records, compiled.

    Parameters
    ----------
    objective, optimiser
        What is minimised, and by what.
    chunk
        Steps a dispatch, above 1 through a `jax.lax` loop.
    decay
        Of the moving average of the image, in [0, 1); None keeps no average.
    batched
        Whether states have a leading axis of seeds.
    measure
        Numbers to record of the image, and of the average as ``average_...``.
    """

    objective: Objective
    optimiser: optax.GradientTransformation
    chunk: int = 1
    decay: float | None = None
    batched: bool = False
    measure: Measure | None = None

    @cached_property
    def _compiled_record(self) -> Callable[..., tuple[Any, ...]]:
        record = self._record
        return jax.jit(jax.vmap(record, in_axes=(0, None, None)) if self.batched else record)

    @cached_property
    def _compiled_finish(self) -> Callable[..., State]:
        # The gradient is compiled once an objective, and the runs that minimise it share it.
        return jax.jit(self._over_seeds(self._finish))

    @cached_property
    def _compiled_many(self) -> Callable[..., State]:
        return jax.jit(self._many)

    def _over_seeds(self, finish: Callable[..., State]) -> Callable[..., State]:
        return jax.vmap(finish, in_axes=(0, 0, 0, None, None)) if self.batched else finish

    def begin(self, trained: PyTree, carried: PyTree, key: Array) -> State:
        """The state before the first step, of one seed."""
        average: Any = ()
        if self.decay is not None:
            seen = jax.eval_shape(
                self.objective.evaluate, trained, carried, self.objective.data, key
            )
            average = jnp.zeros(seen.image.shape, seen.image.dtype)
        return State(trained, carried, self.optimiser.init(trained), average, key)

    def advance(self, state: State, step: int, size: int) -> State:
        """The state ``size`` steps (at most ``chunk``) after ``step``."""
        if self.chunk > 1:
            return self._compiled_many(state, self.objective.data, step, size)
        data, number = self.objective.data, jnp.int32(step)
        gradient, seen = self._gradient(state, data, _step_key(state.key, number, self.batched))
        return self._compiled_finish(state, gradient, seen.image, data, number)

    def record(self, state: State, step: int) -> Record:
        """Loss, image, average and numbers after ``step`` steps."""
        found = self._compiled_record(state, self.objective.data, jnp.int32(step))
        return Record(*jax.device_get(found))

    def recorded(self, state: State) -> tuple[jax.ShapeDtypeStruct, list[str]]:
        """Shape and dtype of the image, and names of the numbers, of one seed's record."""
        _, image, _, scalars = jax.eval_shape(
            self._record, state, self.objective.data, jnp.int32(0)
        )
        return image, sorted(scalars, key=lambda name: name.startswith("average_"))

    def _gradient(self, state: State, data: Any, key: Array) -> tuple[Any, Evaluation]:
        gradient = self.objective.batched_gradient if self.batched else (
            self.objective.compiled_gradient
        )  # fmt: skip
        return gradient(state.trained, state.carried, data, key)

    def _finish(self, state: State, gradient: Any, image: Any, data: Any, step: Array) -> State:
        """The optimiser's step, the objective's update, the average."""
        # optax's Adam does not trace where callers have made promotion strict.
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = self.optimiser.update(gradient, state.optimiser, state.trained)
        trained = optax.apply_updates(state.trained, updates)
        carried = self.objective.update(state.carried, data, image, step + 1)
        average = state.average
        if self.decay is not None:
            # The first image starts the average, and early ones, still far off, soon leave it.
            early = jnp.float32(RAMP) / (RAMP + step).astype(jnp.float32)
            share = jnp.maximum(early, jnp.float32(1 - self.decay))
            average = average + share.astype(image.dtype) * (image - average)
        return State(trained, carried, memory, average, state.key)

    def _many(self, state: State, data: Any, step: Any, size: Any) -> State:
        # The length is traced, so that chunks of every size share one compilation.
        def one(i: Array, state: State) -> State:
            key = _step_key(state.key, i, self.batched)
            gradient = self.objective.gradient
            if self.batched:
                gradient = jax.vmap(gradient, in_axes=(0, 0, None, 0))
            found, seen = gradient(state.trained, state.carried, data, key)
            return self._over_seeds(self._finish)(state, found, seen.image, data, i)

        return jax.lax.fori_loop(jnp.int32(step), jnp.int32(step + size), one, state)

    def _record(self, state: State, data: Any, step: Array) -> tuple[Any, ...]:
        key = jax.random.fold_in(state.key, step)
        seen = self.objective.evaluate(state.trained, state.carried, data, key)
        scalars = dict(seen.scalars)
        average = None if self.decay is None else jnp.where(step == 0, seen.image, state.average)
        if self.measure is not None:
            # Both at once: measures take longer to compile than to run.
            both = [seen.image] if average is None else [seen.image, average]
            for name, values in jax.vmap(self.measure)(jnp.stack(both)).items():
                scalars |= dict(zip((name, f"average_{name}"), values, strict=False))
        return seen.loss, seen.image, average, scalars


def iterate(
    stepper: Stepper,
    state: State,
    record_at: np.ndarray,
    *,
    start: int = 0,
    interrupted: Callable[[], bool] = lambda: False,
    moved: Callable[[int], object] = lambda _: None,
) -> Iterator[Snapshot]:
    """Take steps, and stop for breath where something is to be recorded.

    Parameters
    ----------
    stepper, state
        What takes steps, and from where.
    record_at
        Steps at which a record is still due, rising, none before ``start``; the last ends the
        run.
    start
        Steps that ``state`` is after.
    interrupted
        Asked after every dispatch; once it says so, the state is given out and the run ends.
    moved
        Told how many steps each dispatch took.

    Yields
    ------
    `Snapshot`, in order.
    """
    done = start
    for stop in map(int, record_at):
        while done < stop:
            size = min(stepper.chunk, stop - done)
            state = stepper.advance(state, done, size)
            done += size
            moved(size)
            if done < stop and interrupted():
                yield Snapshot(done, state, None)
                return
        yield Snapshot(done, state, stepper.record(state, done))
        if interrupted():
            return


def fault_of(
    record: Record, first: np.ndarray | None, step: int, state: State | None = None
) -> str | None:
    """What is wrong with a record, and the likely cause; None if it is fine.

    ``first`` is the loss at the start, above whose `GROWTH`-fold a run counts as diverged.
    """
    loss = np.atleast_1d(record.loss)
    bad = ~np.isfinite(loss)
    if first is not None:
        bad |= (np.atleast_1d(first) > 0) & (loss > GROWTH * np.atleast_1d(first))
    if not bad.any():
        return None
    seed = f" (seed {int(np.argmax(bad)) + 1} of the batch)" if loss.size > 1 else ""
    return f"the loss is {loss[bad][0]:.4g} at step {step}{seed}; {_cause(state)}"


def train(
    objective: Objective,
    params: PyTree,
    optimiser: optax.GradientTransformation,
    record_at: Sequence[float] | np.ndarray,
    *,
    key: Array | None = None,
    scan: bool | None = None,
    name: str = "training",
) -> Run:
    """Minimise an objective and record the image at chosen steps.

    Parameters
    ----------
    objective
        What to minimise; one whose steps carry nothing but what is trained.
    params
        Where to start, the pytree that the objective takes (left as it is).
    optimiser
        An optax transformation; ``optax.sgd(eta)`` is plain gradient descent.
    record_at
        Steps to record, non-negative, rising; training ends with the last.
    key
        PRNG key, for an objective that is random.
    scan
        Many steps a dispatch through a `jax.lax` loop (True) or one (False).  None does so
        on accelerators and not on CPU, where a convolution inside such a loop runs some
        twenty times slower (design page, section 3).
    name
        Shown on the progress bar and in errors.

    Returns
    -------
    `Run`.

    Raises
    ------
    ValueError
        If ``record_at`` is empty, negative or not rising, or a random objective has no key.
    DivergenceError
        If the loss at a recorded step is not finite, or a thousand times that of the first;
        it carries what was recorded before.
    """
    stops = checked_steps(record_at)
    if objective.random and key is None:
        raise ValueError("this objective is random: give train a key")
    stepper = Stepper(objective, optimiser, steps_per_dispatch(scan))
    state = stepper.begin(params, (), jax.random.key(0) if key is None else key)
    records: list[Record] = []
    with track(range(int(stops[-1])), name) as bar:
        for step, now, record in iterate(stepper, state, stops, moved=bar.update):
            assert record is not None
            fault = fault_of(record, records[0].loss if records else None, step, now)
            if fault is not None:
                kept = _run(stops[: len(records)], records, state.trained)
                raise DivergenceError(f"{name}: {fault}", kept)
            records.append(record)
            state = now
    return _run(stops, records, state.trained)


def checked_steps(record_at: Sequence[float] | np.ndarray) -> Int[np.ndarray, " T"]:
    """Steps to record as int64.

    Raises
    ------
    ValueError
        If there are none, or they are negative, not whole or not rising.
    """
    stops = np.asarray(record_at)
    whole = np.array_equal(stops, np.round(stops))
    if stops.size == 0 or not whole or stops[0] < 0 or (np.diff(stops) <= 0).any():
        raise ValueError(
            f"record_at must hold rising, non-negative whole steps; got {list(record_at)}"
        )
    return stops.astype(np.int64)


def scan_by_default() -> bool:
    """Whether steps are scanned, and seeds batched, on this backend: everywhere but on CPU."""
    return jax.default_backend() != "cpu"


def steps_per_dispatch(scan: bool | None) -> int:
    """Steps in one call of the device; None decides by backend."""
    return STEPS_PER_DISPATCH if (scan_by_default() if scan is None else scan) else 1


def _step_key(key: Array, step: Array, batched: bool) -> Array:
    if batched:
        return jax.vmap(jax.random.fold_in, in_axes=(0, None))(key, step)
    return jax.random.fold_in(key, step)


def _cause(state: State | None) -> str:
    """The likely cause: which part of what is trained ran away."""
    if state is None or not isinstance(state.trained, dict) or "input" not in state.trained:
        return "use a smaller step size"
    ran_away = {
        name: any(not bool((jnp.abs(leaf) < GROWTH).all()) for leaf in jax.tree.leaves(part))
        for name, part in state.trained.items()
    }
    if ran_away["input"] and not ran_away["params"]:
        return "the network's input ran away before its weights: use a smaller input_rate"
    return "use a smaller step size (rate, or input_rate)"


def _run(steps: np.ndarray, records: list[Record], params: PyTree) -> Run:
    names = records[0].scalars if records else ()
    return Run(
        np.asarray(steps),
        np.asarray([r.image for r in records]),
        np.asarray([r.loss for r in records]),
        params,
        {name: np.asarray([r.scalars[name] for r in records]) for name in names},
    )
