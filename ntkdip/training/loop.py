"""The training loop: one for every method, on every backend."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Inexact, Int, PyTree

from ntkdip.progress import track
from ntkdip.training.objectives import Objective

STEPS_PER_DISPATCH = 50


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
    """Training left the finite numbers; ``run`` holds all that was recorded before."""

    def __init__(self, message: str, run: Run):
        super().__init__(message)
        self.run = run


def train(
    objective: Objective,
    params: PyTree,
    optimiser: optax.GradientTransformation,
    record_at: Sequence[float] | np.ndarray,
    *,
    scan: bool | None = None,
    name: str = "training",
) -> Run:
    """Minimise an objective and record the image at chosen steps.

    Parameters
    ----------
    objective
        What to minimise.
    params
        Where to start, the pytree that the objective takes (left as it is).
    optimiser
        An optax transformation; ``optax.sgd(eta)`` is plain gradient descent.
    record_at
        Steps to record, non-negative, rising; training ends with the last.
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
        If ``record_at`` is empty, negative or not rising.
    DivergenceError
        If the loss at a recorded step is not finite; it carries what was recorded before.
    """
    stops = np.asarray(record_at)
    whole = np.array_equal(stops, np.round(stops))
    if stops.size == 0 or not whole or stops[0] < 0 or (np.diff(stops) <= 0).any():
        raise ValueError(
            f"record_at must hold rising, non-negative whole steps; got {list(record_at)}"
        )
    stops = stops.astype(np.int64)
    chunk = STEPS_PER_DISPATCH if (scan_by_default() if scan is None else scan) else 1
    advance = _advance(objective, optimiser, chunk)
    records: list[_Record] = []
    state = (params, optimiser.init(params))
    bar = track(range(int(stops[-1])), name)
    done = 0
    for i, stop in enumerate(stops):
        while done < stop:
            size = min(chunk, int(stop) - done)
            state = advance(state, size)
            done += size
            bar.update(size)
        record = _Record(*jax.device_get(objective.record(state[0])))
        if not np.isfinite(record.loss):
            bar.close()
            kept = _run(stops[:i], records, state[0])
            raise DivergenceError(
                f"{name}: the loss is {record.loss} at step {stop}; use a smaller step size", kept
            )
        records.append(record)
    bar.close()
    return _run(stops, records, state[0])


class _Record(NamedTuple):
    image: np.ndarray
    loss: np.ndarray
    scalars: dict[str, np.ndarray]


def scan_by_default() -> bool:
    """Whether steps are scanned on this backend: everywhere but on CPU."""
    return jax.default_backend() != "cpu"


def _advance(
    objective: Objective, optimiser: optax.GradientTransformation, chunk: int
) -> Callable[[Any, int], Any]:
    """A function that takes ``size`` steps (at most ``chunk``) in one dispatch."""

    def update(gradient: Any, state: Any) -> Any:
        params, memory = state
        # optax's Adam does not trace where callers have made promotion strict.
        with jax.numpy_dtype_promotion("standard"):
            updates, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory

    if chunk == 1:
        # Compiling the gradient takes as long as many steps, and optimisers share it.
        apply = jax.jit(update)
        return lambda state, size: apply(objective.gradient(state[0]), state)

    def step(_: Any, state: Any) -> Any:
        return update(jax.grad(objective.loss)(state[0]), state)

    # The length is traced, so that chunks of every size share one compilation.
    return jax.jit(lambda state, size: jax.lax.fori_loop(0, size, step, state))


def _run(steps: np.ndarray, records: list[_Record], params: PyTree) -> Run:
    names = records[0].scalars if records else ()
    return Run(
        np.asarray(steps),
        np.asarray([r.image for r in records]),
        np.asarray([r.loss for r in records]),
        params,
        {name: np.asarray([r.scalars[name] for r in records]) for name in names},
    )
