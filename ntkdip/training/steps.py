"""One step: compiled, and shared by the runs that take the same."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree

from ntkdip.metrics import Against
from ntkdip.training.objectives import Evaluate, Evaluation, Objective, Update

RAMP = 9
"""The average looks back over about ``1 / RAMP`` of the run until its decay looks back less."""

PROGRAMS = 8
"""Compiled sets of functions that are kept for the next run with the same network and settings."""


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
    measure: Against | None = None

    @cached_property
    def _program(self) -> _Program:
        # Looked up once: a run keeps what it compiled, whatever others compile meanwhile.
        return _program(
            self.objective.evaluate, self.objective.update, self.optimiser, self.decay, self.batched
        )

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
        program, data = self._program, self.objective.data
        if self.chunk > 1:
            return program.many(state, data, step, size)
        number = jnp.int32(step)
        gradient, seen = program.gradient(state.trained, state.carried, state.key, data, number)
        return program.finish(state, gradient, seen.image, data, number)

    def record(self, state: State, step: int) -> Record:
        """Loss, image, average and numbers after ``step`` steps."""
        measure, data = self.measure, self.objective.data
        return Record(*jax.device_get(self._program.record(state, data, measure, jnp.int32(step))))

    def recorded(self, state: State) -> tuple[jax.ShapeDtypeStruct, list[str]]:
        """Shape and dtype of the image, and names of the numbers, of one seed's record."""
        _, image, _, scalars = jax.eval_shape(
            self._program.record_one, state, self.objective.data, self.measure, jnp.int32(0)
        )
        return image, sorted(scalars, key=lambda name: name.startswith("average_"))


@functools.lru_cache(maxsize=PROGRAMS)
def _gradient(evaluate: Evaluate, batched: bool) -> Callable[..., tuple[Any, Evaluation]]:
    """Compiled apart from the rest: runs that differ in their optimiser share it too."""

    def with_image(*arguments: Any) -> tuple[Array, Evaluation]:
        seen = evaluate(*arguments)
        return seen.loss, seen

    def one(
        trained: Any, carried: Any, key: Array, data: Any, step: Array
    ) -> tuple[Any, Evaluation]:
        here = jax.random.fold_in(key, step)
        return jax.grad(with_image, has_aux=True)(trained, carried, data, here)

    return jax.jit(jax.vmap(one, in_axes=(0, 0, 0, None, None)) if batched else one)


@functools.lru_cache(maxsize=PROGRAMS)
def _program(
    evaluate: Evaluate, update: Update, optimiser: optax.GradientTransformation,
    decay: float | None, batched: bool,
) -> _Program:  # fmt: skip
    return _Program(evaluate, update, optimiser, decay, batched)


@dataclasses.dataclass(frozen=True, eq=False)
class _Program:
    """The compiled functions of a `Stepper`: all of it but data and truth, which they take."""

    evaluate: Evaluate
    update: Update
    optimiser: optax.GradientTransformation
    decay: float | None
    batched: bool

    @cached_property
    def gradient(self) -> Callable[..., tuple[Any, Evaluation]]:
        """``(trained, carried, key, data, step) -> (gradient, Evaluation)``."""
        return _gradient(self.evaluate, self.batched)

    @cached_property
    def finish(self) -> Callable[..., State]:
        """``(state, gradient, image, data, step) -> State``."""
        return jax.jit(self._finish)

    @cached_property
    def many(self) -> Callable[..., State]:
        """``(state, data, step, size) -> State``."""
        return jax.jit(self._many)

    @cached_property
    def record(self) -> Callable[..., tuple[Any, ...]]:
        """``(state, data, measure, step) -> (loss, image, average, numbers)``."""
        one = self.record_one
        return jax.jit(jax.vmap(one, in_axes=(0, None, None, None)) if self.batched else one)

    def _finish(self, state: State, gradient: Any, image: Any, data: Any, step: Array) -> State:
        """The optimiser's step, the objective's update, the average."""

        def one(state: State, gradient: Any, image: Any) -> State:
            # optax's Adam does not trace where callers have made promotion strict.
            with jax.numpy_dtype_promotion("standard"):
                updates, memory = self.optimiser.update(gradient, state.optimiser, state.trained)
            trained = optax.apply_updates(state.trained, updates)
            carried = self.update(state.carried, data, image, step + 1)
            average = state.average
            if self.decay is not None:
                # The first image starts the average, and early ones, still far off, soon leave it.
                early = jnp.float32(RAMP) / (RAMP + step).astype(jnp.float32)
                share = jnp.maximum(early, jnp.float32(1 - self.decay))
                average = average + share.astype(image.dtype) * (image - average)
            return State(trained, carried, memory, average, state.key)

        return (jax.vmap(one) if self.batched else one)(state, gradient, image)

    def _many(self, state: State, data: Any, step: Any, size: Any) -> State:
        # The length is traced, so that chunks of every size share one compilation.
        def one(i: Array, state: State) -> State:
            found, seen = self.gradient(state.trained, state.carried, state.key, data, i)
            return self._finish(state, found, seen.image, data, i)

        return jax.lax.fori_loop(jnp.int32(step), jnp.int32(step + size), one, state)

    def record_one(
        self, state: State, data: Any, measure: Against | None, step: Array
    ) -> tuple[Any, ...]:
        """What `record` compiles, of one seed."""
        key = jax.random.fold_in(state.key, step)
        seen = self.evaluate(state.trained, state.carried, data, key)
        scalars = dict(seen.scalars)
        average = None if self.decay is None else jnp.where(step == 0, seen.image, state.average)
        if measure is not None:
            # Both at once: measures take longer to compile than to run.
            both = [seen.image] if average is None else [seen.image, average]
            for name, values in jax.vmap(measure)(jnp.stack(both)).items():
                scalars |= dict(zip((name, f"average_{name}"), values, strict=False))
        return seen.loss, seen.image, average, scalars
