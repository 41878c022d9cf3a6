"""The training loop: one for every method, on every backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Inexact, Int, PyTree

from ntkdip.progress import track
from ntkdip.training.objectives import Objective
from ntkdip.training.steps import Record, State, Stepper

STEPS_PER_DISPATCH = 50
"""Steps in one call of the device where they are scanned."""

GROWTH = 1e3
"""A loss above so many times its start counts as divergence."""


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
    observe: Callable[[PyTree], Mapping[str, float]] | None = None,
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
    observe
        Called with what is trained at every recorded step; its numbers join ``scalars``.

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
            seen = {} if observe is None else observe(now.trained)
            scalars = record.scalars | {key: np.asarray(value) for key, value in seen.items()}
            records.append(record._replace(scalars=scalars))
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
