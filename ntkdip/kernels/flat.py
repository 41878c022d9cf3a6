"""A traced function as one flat list of equations, and an interpreter for it.

Kernels need the inputs and the pre-activations of every layer of a network that they know
nothing of.  Rather than ask each network for hooks, we read its jaxpr.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, JaxprEqn, Literal

Hook = Callable[[int, JaxprEqn, list[Any], list[Any]], list[Any]]
"""Called as ``hook(index, equation, inputs, outputs)``; returns the outputs to use."""

INLINED = frozenset({"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "remat2"})
"""Calls that only group equations."""


def flatten(function: Callable[..., Any], *args: Any) -> ClosedJaxpr:
    """Trace ``function`` and inline nested calls; custom derivatives stay as they are."""
    closed = jax.make_jaxpr(function)(*args)
    return jax.make_jaxpr(lambda *leaves: evaluate(closed, leaves))(*jax.tree.leaves(args))


def evaluate(
    closed: ClosedJaxpr,
    args: Sequence[Any],
    hook: Hook | None = None,
    step: Callable[[JaxprEqn, list[Any]], list[Any]] | None = None,
) -> list[Any]:
    """Run ``closed``: ``step`` (default `bind`) applies an equation, ``hook`` may change it."""
    jaxpr, apply = closed.jaxpr, step or bind
    values: dict[Any, Any] = dict(zip(jaxpr.constvars, closed.consts, strict=True))
    values.update(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else values[atom]

    for index, equation in enumerate(jaxpr.eqns):
        inputs = [read(atom) for atom in equation.invars]
        outputs = apply(equation, inputs)
        if hook:
            outputs = hook(index, equation, inputs, outputs)
        values.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def bind(equation: JaxprEqn, inputs: list[Any]) -> list[Any]:
    """Apply one equation to values, opening calls that only group equations."""
    if equation.primitive.name in INLINED:
        return evaluate(inner(equation), inputs)
    params = equation.primitive.get_bind_params(equation.params)
    outputs = equation.primitive.bind(*inputs, **params)
    return list(outputs) if equation.primitive.multiple_results else [outputs]


def inner(equation: JaxprEqn) -> ClosedJaxpr:
    """The jaxpr of a call, whichever parameter holds it."""
    jaxpr = next(equation.params[k] for k in ("jaxpr", "call_jaxpr") if k in equation.params)
    return jaxpr if isinstance(jaxpr, ClosedJaxpr) else ClosedJaxpr(jaxpr, ())


def shape_of(atom: Any) -> tuple[int, ...]:
    """Shape of a variable or literal of a jaxpr."""
    return tuple(atom.aval.shape)


def dtype_of(atom: Any) -> Any:
    """Dtype of a variable or literal of a jaxpr."""
    return atom.aval.dtype
