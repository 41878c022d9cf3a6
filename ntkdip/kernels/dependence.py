"""Which pixels of a tap an output may depend on, read off a network's jaxpr.

The jaxpr is run on stand-ins: arrays whose axis is either kept or of length 1 (all its
entries treated as one), with convolutions of all-ones kernels and sums for every other
operation.  What the stand-in's backward pass reaches is a superset of what the network's
does.  An equation without a rule makes everything depend on everything: slower, never wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jaxtyping import Array

from ntkdip.kernels.flat import INLINED, bind, dtype_of, evaluate, flatten, inner, shape_of
from ntkdip.kernels.taps import Tap

# fmt: off
ELEMENTWISE = frozenset({
    "abs", "add", "add_any", "and", "atan2", "cbrt", "ceil", "clamp",
    "complex", "conj", "convert_element_type", "copy", "copy_p", "cos", "cosh", "div",
    "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor",
    "ge", "gt", "imag", "integer_pow", "is_finite", "le", "lgamma", "log",
    "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg",
    "nextafter", "not", "optimization_barrier", "or", "pow", "real", "reduce_precision", "rem",
    "round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square",
    "stop_gradient", "sub", "tan", "tanh", "xor",
})
# fmt: on

REDUCTIONS = ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or")


class _Stand:
    """Stand-in for an array that depends on a tap: each axis has its length, or 1."""

    def __init__(self, values: Array):
        self.values = _boolean(values)


@jax.custom_vjp
def _boolean(x: Array) -> Array:
    """Identity; what flows back is turned to 0 and 1, so that nothing over- or underflows."""
    return x


_boolean.defvjp(lambda x: (x, None), lambda _, g: ((g > 0).astype(g.dtype),))

_UNRELATED = object()
"""A value that depends on parameters or input but on no tap."""


def axis_supports(
    closed: ClosedJaxpr, taps: tuple[Tap, ...], shape: tuple[int, ...]
) -> list[list[np.ndarray]]:
    """For each tap and each axis of the image: (n_axis, pixels) booleans of dependence."""

    def run(tangents: list[Array]) -> list[list[Array]]:
        def forward(deltas: list[Array]) -> Array:
            return jnp.broadcast_to(_run_taps(closed, taps, deltas), shape)

        _, pullback = jax.vjp(forward, tangents)
        supports = []
        for axis, n in enumerate(shape):
            rows = jnp.eye(n).reshape(n, *(n if a == axis else 1 for a in range(len(shape))))
            (reached,) = jax.vmap(pullback)(jnp.broadcast_to(rows, (n, *shape)))
            supports.append([r > 0 for r in reached])
        return supports

    zeros = [jnp.zeros(_kept(tap)) for tap in taps]
    by_axis = jax.jit(run)(zeros)
    return [
        [np.asarray(axis[k]).reshape(n, tap.pixels) for axis, n in zip(by_axis, shape, strict=True)]
        for k, tap in enumerate(taps)
    ]


def _kept(tap: Tap) -> tuple[int, ...]:
    return tuple(n if a in tap.pixel_axes else 1 for a, n in enumerate(tap.shape))


def _run_taps(closed: ClosedJaxpr, taps: tuple[Tap, ...], deltas: list[Array]) -> Array:
    """The stand-in of the image."""
    at: dict[int, Array] = {}
    for tap, delta in zip(taps, deltas, strict=True):
        at[tap.equation] = at.get(tap.equation, 0) + delta

    def hook(index: int, equation: JaxprEqn, inputs: list[Any], outputs: list[Any]) -> list[Any]:
        if index not in at:
            return outputs
        before = outputs[0]
        return [_Stand(before.values + at[index] if isinstance(before, _Stand) else at[index])]

    args: list[Any] = [_UNRELATED] * len(closed.jaxpr.invars)
    if -1 in at:
        args[-1] = _Stand(at[-1])
    (image,) = evaluate(closed, args, hook, _step)
    return image.values if isinstance(image, _Stand) else jnp.zeros(())


def _step(equation: JaxprEqn, inputs: list[Any]) -> list[Any]:
    stands = [v for v in inputs if isinstance(v, _Stand)]
    if not stands:
        if any(v is _UNRELATED for v in inputs):
            return [_UNRELATED] * len(equation.outvars)
        return bind(equation, inputs)
    name = equation.primitive.name
    if name in INLINED:
        return evaluate(inner(equation), inputs, step=_step)
    if name == "custom_jvp_call" and (tangents := _custom_jvp(equation, inputs)) is not None:
        return tangents
    if name in ELEMENTWISE and len(equation.outvars) == 1:
        total = sum((v.values for v in stands[1:]), stands[0].values)
        rank = len(shape_of(equation.outvars[0]))
        return [_Stand(total.reshape((1,) * rank) if total.ndim < rank else total)]
    rule = RULES.get(name)
    known = rule and len(stands) == 1 and isinstance(inputs[0], _Stand)
    result = rule(equation, inputs) if rule and (known or name in SEVERAL) else None
    if result is not None and not all(map(_fits, result, equation.outvars)):
        result = None
    if result is None:
        everything = sum((v.values.sum() for v in stands[1:]), stands[0].values.sum())
        return [_Stand(jnp.full((1,) * len(shape_of(v)), everything)) for v in equation.outvars]
    return [_Stand(r) for r in result]


def _fits(values: Array, var: Any) -> bool:
    """Whether each axis has its length, or 1."""
    shape = shape_of(var)
    return values.ndim == len(shape) and all(
        m in (1, n) for m, n in zip(values.shape, shape, strict=True)
    )


def _custom_jvp(equation: JaxprEqn, inputs: list[Any]) -> list[Any] | None:
    """By its own rule for derivatives: what flows depends on that, not on the function."""
    avals = [jax.ShapeDtypeStruct(shape_of(v), dtype_of(v)) for v in equation.invars]
    if not all(jnp.issubdtype(a.dtype, jnp.floating) for a in avals):
        return None

    def tangents(primals: list[Any], tangents: list[Any]) -> Any:
        return jax.jvp(lambda *x: bind(equation, list(x)), primals, tangents)[1]

    closed = flatten(tangents, avals, avals)
    primals = [_UNRELATED if isinstance(x, _Stand) else x for x in inputs]
    moving = [
        x if isinstance(x, _Stand) else jnp.zeros(a.shape, a.dtype)
        for x, a in zip(inputs, avals, strict=True)
    ]
    return evaluate(closed, [*primals, *moving], step=_step)


Result = list[Array] | None


def _convolution(equation: JaxprEqn, inputs: list[Any]) -> Result:
    p, x = equation.params, inputs[0].values
    numbers = p["dimension_numbers"]
    if p["batch_group_count"] != 1:
        return None
    batch, feature, *spatial = numbers.lhs_spec
    x = x.sum(feature, keepdims=True).transpose((batch, feature, *spatial))
    true = [shape_of(equation.invars[0])[a] for a in spatial]
    if list(x.shape[2:]) != true:
        return None
    kernel = shape_of(equation.invars[1])
    y = jax.lax.conv_general_dilated(
        x, jnp.ones((1, 1, *(kernel[a] for a in numbers.rhs_spec[2:]))),
        p["window_strides"], p["padding"], p["lhs_dilation"], p["rhs_dilation"],
    )  # fmt: skip
    order = np.argsort(numbers.out_spec)
    return [y.transpose(tuple(int(a) for a in order))]


def _product(equation: JaxprEqn, inputs: list[Any]) -> Result:
    stands = [k for k in (0, 1) if isinstance(inputs[k], _Stand)]
    if len(stands) == 2:
        return None
    me, other = stands[0], 1 - stands[0]
    (contracted, batch), values = equation.params["dimension_numbers"], inputs[me].values
    shape = shape_of(equation.invars[other])
    weights = inputs[other]
    if weights is _UNRELATED:
        # Its own free axes are treated as one, the others are needed to meet ours.
        free = [a for a in range(len(shape)) if a not in (*contracted[other], *batch[other])]
        weights = jnp.ones([1 if a in free else n for a, n in enumerate(shape)])
    weights = (jnp.abs(jnp.asarray(weights)) > 0).astype(values.dtype)
    for pairs in (contracted, batch):
        for mine, its in zip(pairs[me], pairs[other], strict=True):
            if values.shape[mine] == 1 and weights.shape[its] != 1:
                weights = weights.sum(its, keepdims=True)
    operands = (values, weights) if me == 0 else (weights, values)
    return [jax.lax.dot_general(operands[0], operands[1], equation.params["dimension_numbers"])]


def _reduction(equation: JaxprEqn, inputs: list[Any]) -> Result:
    return [inputs[0].values.sum(tuple(equation.params["axes"]))]


def _reshape(equation: JaxprEqn, inputs: list[Any]) -> Result:
    before, after = shape_of(equation.invars[0]), shape_of(equation.outvars[0])
    values = inputs[0].values
    if 0 in before or equation.params["dimensions"] is not None:
        return None
    new: list[int] = []
    for mine, its in _matched(before, after):
        if any(values.shape[a] != before[a] for a in mine):
            values = values.sum(tuple(mine), keepdims=True) if mine else values
            new += [1] * len(its)
        else:
            new += [after[a] for a in its]
    return [values.reshape(new)]


def _matched(before: tuple[int, ...], after: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """Shortest runs of axes with equal products, in order."""
    runs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(before) or j < len(after):
        mine, its = [], []
        if i < len(before):
            mine, i = [i], i + 1
        if j < len(after):
            its, j = [j], j + 1
        while math.prod(before[a] for a in mine) != math.prod(after[a] for a in its):
            if math.prod(before[a] for a in mine) < math.prod(after[a] for a in its):
                mine, i = [*mine, i], i + 1
            else:
                its, j = [*its, j], j + 1
        runs.append((mine, its))
    return runs


def _broadcast(equation: JaxprEqn, inputs: list[Any]) -> Result:
    shape = [1] * len(equation.params["shape"])
    for size, axis in zip(
        inputs[0].values.shape, equation.params["broadcast_dimensions"], strict=True
    ):
        shape[axis] = size
    return [inputs[0].values.reshape(shape)]


def _transpose(equation: JaxprEqn, inputs: list[Any]) -> Result:
    return [inputs[0].values.transpose(equation.params["permutation"])]


def _squeeze(equation: JaxprEqn, inputs: list[Any]) -> Result:
    return [inputs[0].values.squeeze(tuple(equation.params["dimensions"]))]


def _reverse(equation: JaxprEqn, inputs: list[Any]) -> Result:
    return [jnp.flip(inputs[0].values, equation.params["dimensions"])]


def _slice(equation: JaxprEqn, inputs: list[Any]) -> Result:
    p, values = equation.params, inputs[0].values
    strides = p["strides"] or (1,) * values.ndim
    cut = tuple(
        slice(None) if values.shape[a] == 1 else slice(*bounds)
        for a, bounds in enumerate(
            zip(p["start_indices"], p["limit_indices"], strides, strict=True)
        )
    )
    return [values[cut]]


def _pad(equation: JaxprEqn, inputs: list[Any]) -> Result:
    values, true = inputs[0].values, shape_of(equation.invars[0])
    config = [
        (0, 0, 0) if values.shape[a] != n else tuple(c)
        for a, (n, c) in enumerate(zip(true, equation.params["padding_config"], strict=True))
    ]
    return [jax.lax.pad(values, jnp.zeros((), values.dtype), config)]


def _concatenate(equation: JaxprEqn, inputs: list[Any]) -> Result:
    axis, shape = equation.params["dimension"], shape_of(equation.outvars[0])
    stands = [v.values for v in inputs if isinstance(v, _Stand)]
    sizes = [max(v.shape[a] for v in stands) if a != axis else 1 for a in range(len(shape))]
    true = [shape_of(v)[axis] for v in equation.invars]
    whole = all(
        not isinstance(v, _Stand) or v.values.shape[axis] == n
        for v, n in zip(inputs, true, strict=True)
    )
    if not whole:
        first, *rest = (v.sum(axis, keepdims=True) for v in stands)
        return [sum(rest, first)]
    parts = []
    for v, n in zip(inputs, true, strict=True):
        size = [n if a == axis else s for a, s in enumerate(sizes)]
        values = v.values if isinstance(v, _Stand) else jnp.zeros((1,) * len(size))
        parts.append(jnp.broadcast_to(values, size))
    return [jnp.concatenate(parts, axis)]


def _stack(equation: JaxprEqn, inputs: list[Any]) -> Result:
    stands = [v.values for v in inputs if isinstance(v, _Stand)]
    size = np.broadcast_shapes(*(v.shape for v in stands))
    zero = jnp.zeros((1,) * len(size))
    parts = [jnp.broadcast_to(v.values if isinstance(v, _Stand) else zero, size) for v in inputs]
    return [jnp.stack(parts, equation.params["axis"])]


def _window_reduction(equation: JaxprEqn, inputs: list[Any]) -> Result:
    p, values = equation.params, inputs[0].values
    if values.shape != shape_of(equation.invars[0]):
        return _collapsed_window(equation, values)
    return [
        jax.lax.reduce_window(
            values, np.zeros((), values.dtype), jax.lax.add, p["window_dimensions"],
            p["window_strides"], p["padding"], p["base_dilation"], p["window_dilation"],
        )
    ]  # fmt: skip


def _collapsed_window(equation: JaxprEqn, values: Array) -> Result:
    """Where an axis is treated as one, its window is too."""
    p, true = equation.params, shape_of(equation.invars[0])
    kept = [values.shape[a] == n for a, n in enumerate(true)]

    def on_kept(name: str, otherwise: Any) -> list[Any]:
        return [x if keep else otherwise for x, keep in zip(p[name], kept, strict=True)]

    return [
        jax.lax.reduce_window(
            values, np.zeros((), values.dtype), jax.lax.add, on_kept("window_dimensions", 1),
            on_kept("window_strides", 1), on_kept("padding", (0, 0)),
            on_kept("base_dilation", 1), on_kept("window_dilation", 1),
        )
    ]  # fmt: skip


RULES: dict[str, Callable[[JaxprEqn, list[Any]], Result]] = {
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "reshape": _reshape,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "rev": _reverse,
    "slice": _slice,
    "pad": _pad,
    "concatenate": _concatenate,
    "stack": _stack,
    "reduce_window_sum": _window_reduction,
    "reduce_window_max": _window_reduction,
    "reduce_window_min": _window_reduction,
} | dict.fromkeys(REDUCTIONS, _reduction)

SEVERAL = frozenset({"concatenate", "dot_general", "stack"})
"""Rules that look themselves which of their operands depend on a tap."""
