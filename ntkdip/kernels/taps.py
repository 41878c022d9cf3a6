"""Where a network's parameters enter, found by reading its jaxpr.

Every parameter that enters linearly through one convolution, product, sum or scaling has a
Jacobian of one form.  With ``B = df/dy`` the backpropagated signal at the equation's output
``y`` (pixels p, groups g, channels c) and patches ``X`` of its other operand,

    J[(g, c, d)] = sum_p B[p, g, c] X[p, g, d].

Parameters that enter in another way are left to plain backward passes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, JaxprEqn
from jax.extend.core import Literal as JaxprLiteral
from jaxtyping import Array, Float

from ntkdip.kernels.flat import dtype_of, shape_of

Kind = Literal["convolution", "product", "sum", "scale", "input"]


@dataclasses.dataclass(frozen=True)
class Tap:
    """One equation through which one parameter enters.

    ``equation``: its index in the flat jaxpr; -1 for the network's input itself.
    ``leaf``: index of the parameter.
    ``operand``: which operand is not the parameter.
    ``factor``: constant that multiplies the parameter before it enters.
    ``shape``: of the equation's output, whose axes are pixels, groups and channels.
    ``groups``, ``patch``: lengths of the indices g and d above.
    """

    kind: Kind
    equation: int
    leaf: int
    operand: int
    factor: float
    shape: tuple[int, ...]
    pixel_axes: tuple[int, ...]
    group_axes: tuple[int, ...]
    channel_axes: tuple[int, ...]
    groups: int
    patch: int

    @property
    def pixels(self) -> int:
        """Length of the index p."""
        return math.prod(self.shape[a] for a in self.pixel_axes)

    @property
    def channels(self) -> int:
        """Length of the index c."""
        return math.prod(self.shape) // (self.pixels * self.groups)

    @property
    def columns(self) -> int:
        """Columns of the compressed Jacobian: the narrower of patches and their Gram root."""
        if self.kind == "input":
            return math.prod(self.shape)
        return self.groups * self.channels * self.rank

    @property
    def rank(self) -> int:
        """Length of the index d once compressed."""
        return min(self.pixels, self.patch) if self.groups == 1 else self.patch

    def signals(self, B: Float[Array, "..."]) -> Float[Array, "p g c"]:
        """Backpropagated signal, brought to the common form."""
        axes = (*self.pixel_axes, *self.group_axes, *self.channel_axes)
        return B.transpose(axes).reshape(self.pixels, self.groups, self.channels)

    def output(self, signals: Float[Array, "p g c"]) -> Float[Array, "..."]:
        """Inverse of `signals`: an array like the equation's output."""
        axes = (*self.pixel_axes, *self.group_axes, *self.channel_axes)
        ordered = signals.reshape([self.shape[a] for a in axes])
        return ordered.transpose([axes.index(a) for a in range(len(axes))])

    def patches(
        self, equation: JaxprEqn | None, inputs: list[Any], dtype: Any
    ) -> Float[Array, "p g d"]:
        """Patches of the other operand, brought to the common form."""
        if self.kind in ("sum", "input"):
            return jnp.ones((self.pixels, 1, 1), dtype)
        assert equation is not None
        x = inputs[self.operand]
        if self.kind == "convolution":
            X = _convolution_patches(equation, x, inputs[1].shape)
        elif self.kind == "product":
            contracted, batch = (pair[self.operand] for pair in _dimension_numbers(equation))
            free = [a for a in range(x.ndim) if a not in (*contracted, *batch)]
            X = x.transpose((*free, *batch, *contracted))
        else:
            if equation.primitive.name == "div":
                x = 1 / x
            X = jnp.broadcast_to(x, self.shape).transpose((*self.pixel_axes, *self.group_axes))
        return X.reshape(self.pixels, self.groups, self.patch)


@dataclasses.dataclass(frozen=True)
class _View:
    """A value whose entries are those of one parameter, rearranged, times a factor."""

    leaf: int
    rearrange: Callable[[np.ndarray], np.ndarray]
    bijective: bool = True
    factor: float = 1.0


def _identity(index: np.ndarray) -> np.ndarray:
    return index


def find_taps(
    closed: ClosedJaxpr, trained: tuple[bool, ...]
) -> tuple[tuple[Tap, ...], tuple[int, ...]]:
    """Taps of a flat jaxpr, and the trained leaves that plain backward passes must serve.

    A parameter that enters twice, or in a way not listed above, is among the latter.
    """
    jaxpr = closed.jaxpr
    views: dict[Any, _View] = {
        var: _View(i, _identity) for i, var in enumerate(jaxpr.invars) if trained[i]
    }
    found: dict[int, list[Tap | None]] = {view.leaf: [] for view in views.values()}
    for number, equation in enumerate(jaxpr.eqns):
        tracked = [
            (k, views[v])
            for k, v in enumerate(equation.invars)
            if not isinstance(v, JaxprLiteral) and v in views
        ]
        if not tracked:
            continue
        moved = _moved(equation, tracked[0][1])
        if moved is not None and len(tracked) == 1:
            views[equation.outvars[0]] = moved
            continue
        tap = None
        if len(tracked) == 1:
            operand, view = tracked[0]
            tap = _tap(number, equation, operand, view, shape_of(jaxpr.invars[view.leaf]))
        for _, view in tracked:
            found[view.leaf].append(tap)
    for var in jaxpr.outvars:
        if not isinstance(var, JaxprLiteral) and var in views:
            found[views[var].leaf].append(None)
    taps = [uses[0] for uses in found.values() if len(uses) == 1 and uses[0] is not None]
    plain = [leaf for leaf, uses in found.items() if uses and (len(uses) > 1 or uses[0] is None)]
    return tuple(sorted(taps, key=lambda t: t.equation)), tuple(plain)


def _moved(equation: JaxprEqn, view: _View) -> _View | None:
    """The view after an equation that only rearranges or scales a parameter, else None."""
    name = equation.primitive.name
    if name in ("mul", "div"):
        constants = [v for v in equation.invars if isinstance(v, JaxprLiteral)]
        if not constants or (name == "div" and constants[0] is equation.invars[0]):
            return None
        constant = float(constants[0].val)
        factor = view.factor * (constant if name == "mul" else 1 / constant)
        return dataclasses.replace(view, factor=factor)
    move = _move(equation)
    if move is None:
        return None
    entries = math.prod(shape_of(equation.outvars[0]))
    same = entries == math.prod(shape_of(equation.invars[0]))
    before = view.rearrange
    return dataclasses.replace(
        view, rearrange=lambda index: move(before(index)), bijective=view.bijective and same
    )


def _move(equation: JaxprEqn) -> Callable[[np.ndarray], np.ndarray] | None:
    """What an equation that rearranges a parameter does to an array of positions."""
    name, params = equation.primitive.name, equation.params
    if name == "convert_element_type":
        same = params["new_dtype"] == dtype_of(equation.invars[0])
        return _identity if same else None
    if name == "reshape" and params["dimensions"] is not None:
        return None
    moves: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "copy": _identity,
        "copy_p": _identity,
        "neg": _identity,
        "reshape": lambda index: index.reshape(params["new_sizes"]),
        "transpose": lambda index: index.transpose(params["permutation"]),
        "squeeze": lambda index: index.squeeze(tuple(params["dimensions"])),
        "rev": lambda index: np.flip(index, params["dimensions"]),
        "broadcast_in_dim": lambda index: _broadcast(index, params),
    }
    return moves.get(name)


def _broadcast(index: np.ndarray, params: dict[str, Any]) -> np.ndarray:
    kept = [1] * len(params["shape"])
    for size, axis in zip(index.shape, params["broadcast_dimensions"], strict=True):
        kept[axis] = size
    return np.broadcast_to(index.reshape(kept), params["shape"])


def _tap(
    number: int, equation: JaxprEqn, operand: int, view: _View, leaf_shape: tuple[int, ...]
) -> Tap | None:
    """The tap of a parameter (operand ``operand`` of the equation), or None if unknown."""
    name = equation.primitive.name
    kinds = {dtype_of(atom) for atom in (*equation.invars, *equation.outvars)}
    if len(kinds) > 1 or not jnp.issubdtype(kinds.pop(), jnp.floating):
        return None
    if name == "conv_general_dilated" and operand == 1 and view.bijective:
        return _convolution(number, equation, view)
    if name == "dot_general" and view.bijective:
        return _product(number, equation, operand, view)
    if name in ("add", "add_any", "sub", "mul") or (name == "div" and operand == 0):
        return _elementwise(number, equation, operand, view, leaf_shape)
    return None


def _convolution(number: int, equation: JaxprEqn, view: _View) -> Tap | None:
    params = equation.params
    if params["batch_group_count"] != 1:
        return None
    numbers, shape = params["dimension_numbers"], shape_of(equation.outvars[0])
    batch, feature, *spatial = numbers.out_spec
    _, in_feature, *window = numbers.rhs_spec
    kernel = shape_of(equation.invars[1])
    patch = kernel[in_feature] * math.prod(kernel[a] for a in window)
    return Tap(
        "convolution", number, view.leaf, 0, view.factor, shape,
        (batch, *spatial), (), (feature,), params["feature_group_count"], patch,
    )  # fmt: skip


def _product(number: int, equation: JaxprEqn, operand: int, view: _View) -> Tap:
    contracted, batch = _dimension_numbers(equation)
    shape, other = shape_of(equation.outvars[0]), 1 - operand
    axes = list(range(len(shape)))
    x = shape_of(equation.invars[other])
    groups = len(batch[0])
    left = len(shape_of(equation.invars[0])) - len(contracted[0]) - groups
    frees = (tuple(axes[groups : groups + left]), tuple(axes[groups + left :]))
    return Tap(
        "product", number, view.leaf, other, view.factor, shape,
        frees[other], tuple(axes[:groups]), frees[operand],
        math.prod(shape[a] for a in axes[:groups]),
        math.prod(x[a] for a in contracted[other]),
    )  # fmt: skip


def _elementwise(
    number: int, equation: JaxprEqn, operand: int, view: _View, leaf_shape: tuple[int, ...]
) -> Tap | None:
    shape, size = shape_of(equation.outvars[0]), math.prod(leaf_shape)
    index = view.rearrange(np.arange(size).reshape(leaf_shape))
    index = np.broadcast_to(index, shape)
    pixels = [a for a in range(len(shape)) if (index == index.take([0], axis=a)).all()]
    varying = tuple(a for a in range(len(shape)) if a not in pixels)
    if math.prod(shape[a] for a in varying) != size:
        return None
    scale = equation.primitive.name in ("mul", "div")
    return Tap(
        "scale" if scale else "sum", number, view.leaf, 1 - operand, view.factor, shape,
        tuple(pixels), varying if scale else (), () if scale else varying,
        size if scale else 1, 1,
    )  # fmt: skip


def input_tap(leaf: int, shape: tuple[int, ...]) -> Tap:
    """The network's input as if it were a parameter added to itself."""
    axes = tuple(range(len(shape)))
    return Tap("input", -1, leaf, -1, 1.0, shape, axes[:-1], (), axes[-1:], 1, 1)


def _dimension_numbers(equation: JaxprEqn) -> tuple[Any, Any]:
    """``((lhs, rhs) contracted, (lhs, rhs) batch)`` axes of a product."""
    contracted, batch = equation.params["dimension_numbers"]
    return contracted, batch


def _convolution_patches(equation: JaxprEqn, x: Array, kernel: tuple[int, ...]) -> Array:
    """Input patches, ``(batch, *pixels, features * window)``, features slowest."""
    params = equation.params
    numbers = params["dimension_numbers"]
    batch, feature, *spatial = numbers.lhs_spec
    letters = "HWD"[: len(spatial)]
    return jax.lax.conv_general_dilated_patches(
        x.transpose((batch, *spatial, feature)),
        tuple(kernel[a] for a in numbers.rhs_spec[2:]),
        params["window_strides"],
        params["padding"],
        params["lhs_dilation"],
        params["rhs_dilation"],
        dimension_numbers=(f"N{letters}C", f"{letters}IO", f"N{letters}C"),
        precision=jax.lax.Precision.HIGHEST,
    )
