"""The family ``training``: steps of Adam on a U-Net.  Builds our side and what both start from."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from benchmarks.cases import Case
from benchmarks.empirical import KEY
from ntkdip.networks import UNet
from ntkdip.networks import layers as describe
from ntkdip.networks.acceleration import accelerated

RATE = 1e-4
"""Of Adam, with the moments 0.9, 0.999 and 1e-8 that both sides have by default.

Small, for the loss after one step to be comparable: the first step is the rate times the
gradient's sign, which rounding turns where the gradient is almost 0.  At 1e-3 the losses of
PyTorch's own two memory formats are 6e-5 apart after it, at 1e-4 they are 1e-6.
"""


class Problem(NamedTuple):
    """A network, its input and its target: two channels each, random normal."""

    net: UNet
    z: jax.Array
    target: jax.Array


def problem(case: Case) -> Problem:
    """The case's U-Net with its default settings, for one image."""
    weights, drawn = jax.random.split(jax.random.key(KEY))
    net = UNet(
        case.width, in_channels=case.inputs, complex_image=case.outputs == 2,
        rngs=nnx.Rngs(params=weights),
    )  # fmt: skip
    z, target = (
        jax.random.normal(key, (*case.shape, channels))
        for key, channels in zip(jax.random.split(drawn), (case.inputs, case.outputs), strict=True)
    )
    return Problem(net, z, target)


def export(case: Case, folder: Path) -> None:
    """Write the problem for PyTorch (`benchmarks.torch_peer`): JSON and npz, nothing pickled."""
    net, z, target = problem(case)
    about = {
        "case": case.as_dict(), "channels": case.width, "inputs": case.inputs,
        "outputs": case.outputs, "epsilon": describe.ChannelNorm().epsilon, "rate": RATE,
    }  # fmt: skip
    (folder / "training.json").write_text(json.dumps(about))
    state = nnx.to_flat_state(nnx.state(net, nnx.Param))
    named = {"/".join(map(str, path)): np.asarray(leaf[...]) for path, leaf in state}
    np.savez(folder / "training.npz", z=np.asarray(z), target=np.asarray(target), **named)


def stepper(case: Case) -> Callable[[], float]:
    """One step of Adam in one jitted call; returns the loss before it."""
    update, state = _step(problem(case))
    jitted = jax.jit(update, donate_argnums=0)

    def step() -> float:
        nonlocal state
        state, loss = jitted(state)
        return float(loss)

    return step


def _step(given: Problem, *, fast: bool = True) -> tuple[Callable[[Any], tuple[Any, Any]], Any]:
    """A pure step ``state -> (state, loss)`` and the first state."""
    net, z, target = given
    graph, params = nnx.split(accelerated(net) if fast else net, nnx.Param)
    optimiser = optax.adam(RATE)

    def loss(params: Any) -> jax.Array:
        return ((nnx.merge(graph, params)(z) - target) ** 2).mean()

    def step(state: Any) -> tuple[Any, Any]:
        params, moments = state
        value, gradient = jax.value_and_grad(loss)(params)
        with jax.numpy_dtype_promotion("standard"):  # optax counts on it
            updates, moments = optimiser.update(gradient, moments)
            params = optax.apply_updates(params, updates)
        return (params, moments), value

    return step, (params, optimiser.init(params))


def loops(case: Case, steps: int = 10) -> list[dict[str, Any]]:
    """Seconds a step of a Python loop over one jitted step, and of ``jax.lax.fori_loop``.

    For the network's own convolutions and for accelerated ones, on the default backend;
    compilation is in no time.  ``error``: relative distance of the two loops' parameters.
    """
    found = []
    for fast in (False, True):
        step, start = _step(problem(case), fast=fast)
        jitted = jax.jit(lambda state, step=step: step(state)[0])

        @functools.partial(jax.jit, static_argnums=0)
        def scanned(step: Any, state: Any) -> Any:
            return jax.lax.fori_loop(0, steps, lambda _, state: step(state)[0], state)

        def looped(state: Any, jitted: Any = jitted) -> Any:
            for _ in range(steps):
                state = jitted(state)
            return state

        (loop, one), (scan, other) = (
            _timed(call, start) for call in (looped, functools.partial(scanned, step))
        )
        a, b = (jnp.concatenate([x.ravel() for x in jax.tree.leaves(s[0])]) for s in (one, other))
        found.append(
            {
                "backend": jax.default_backend(),
                "convolutions": "accelerated" if fast else "jax.lax",
                "loop_s": loop / steps,
                "scan_s": scan / steps,
                "error": float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a)),
            }
        )
    return found


def _timed(call: Callable[[Any], Any], state: Any) -> tuple[float, Any]:
    """Seconds of a second call, and the answer."""
    jax.block_until_ready(call(state))
    start = time.perf_counter()
    answer = jax.block_until_ready(call(state))
    return time.perf_counter() - start, answer
