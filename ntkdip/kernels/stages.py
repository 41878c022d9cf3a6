"""Backward passes in stages: shared by many outputs near the image, by fewer below.

An output's window is one pixel at the last layer and grows with every layer below, so that
near the image many outputs fit into one backward pass, and at the first layer few.  Where
everything below a layer reaches the image through that layer alone, the passes stop there:
every output's window of the signal is kept, and the windows are dealt out anew into passes for
the layers below.  A Deep Decoder with four doublings and without normalisation at 64x64 pixels
then needs 16, 100, 484 and 2,116 passes from its largest layer to its smallest instead of
2,116 through all.  Ours.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.extend.core import Literal as JaxprLiteral

from ntkdip.kernels.flat import shape_of
from ntkdip.kernels.locality import Locality, shared_passes
from ntkdip.kernels.taps import Tap

WORTH = 0.7
"""Share of the work in one leg that several legs may take to be worth their trouble."""


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One leg of the backward passes.

    ``start``: tap whose kept signals it begins with; None: the image itself.
    ``taps``: those that it reaches; their rows of the Jacobian are read off here.
    ``frontier``: the tap among them whose windows begin the next stage; None in the last.
    ``groups`` (passes, members): output pixels that share a pass, padded with -1.
    """

    start: int | None
    taps: tuple[int, ...]
    frontier: int | None
    groups: np.ndarray


def make_stages(
    closed: ClosedJaxpr, taps: tuple[Tap, ...], places: Locality, shape: tuple[int, ...]
) -> tuple[Stage, ...]:
    """Stages of a network's backward passes, from the image down; at least one.

    ``shape``: of the image.
    """
    frontiers = [k for k in _bottlenecks(closed, taps) if _worth_it(taps[k], places.widths[k])]
    frontiers.sort(key=lambda k: -taps[k].equation)
    stages, start = [], None
    top = math.inf
    for frontier in [*frontiers, None]:
        bottom = -math.inf if frontier is None else taps[frontier].equation
        mine = tuple(k for k, tap in enumerate(taps) if bottom <= tap.equation < top)
        if mine:
            groups = shared_passes([places.supports[k] for k in mine], shape)
            stages.append(Stage(start, mine, frontier, groups))
        start, top = frontier, bottom
    stages[-1] = dataclasses.replace(stages[-1], frontier=None)
    whole = single_stage(taps, places)
    worth = backward_flops(closed, taps, stages) < WORTH * backward_flops(closed, taps, [whole])
    return tuple(stages) if worth else (whole,)


def single_stage(taps: tuple[Tap, ...], places: Locality) -> Stage:
    """Passes that reach every tap."""
    return Stage(None, tuple(range(len(taps))), None, places.groups)


def backward_flops(closed: ClosedJaxpr, taps: tuple[Tap, ...], stages: Sequence[Stage]) -> float:
    """Operations in convolutions and products of the passes that serve one output channel."""

    def equation(tap: int | None, otherwise: float) -> float:
        return otherwise if tap is None else taps[tap].equation

    return sum(
        len(stage.groups)
        * forward_flops(closed, equation(stage.frontier, -1), equation(stage.start, math.inf))
        for stage in stages
    )


def forward_flops(closed: ClosedJaxpr, after: float = -1, until: float = math.inf) -> float:
    """Operations in convolutions and products of a forward pass, of equations in a range."""
    total = 0.0
    for index, equation in enumerate(closed.jaxpr.eqns):
        if not after < index <= until:
            continue
        size = math.prod(shape_of(equation.outvars[0]))
        if equation.primitive.name == "conv_general_dilated":
            kernel = shape_of(equation.invars[1])
            outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2.0 * size * math.prod(kernel) / outputs
        elif equation.primitive.name == "dot_general":
            (axes, _), _ = equation.params["dimension_numbers"]
            shape = shape_of(equation.invars[0])
            total += 2.0 * size * math.prod(shape[a] for a in axes)
    return total


def _worth_it(tap: Tap, width: int | None) -> bool:
    """Whether windows of a tap are small enough to be dealt out anew: two or more to a pass."""
    return tap.kind == "convolution" and width is not None and 2 * width <= tap.pixels


def _bottlenecks(closed: ClosedJaxpr, taps: tuple[Tap, ...]) -> list[int]:
    """Taps through whose equation alone every tap below reaches the image."""
    jaxpr = closed.jaxpr
    made_by = {var: i for i, equation in enumerate(jaxpr.eqns) for var in equation.outvars}
    made_by[jaxpr.invars[-1]] = -1

    def reached(without: int) -> set[int]:
        seen: set[int] = set()
        waiting = list(jaxpr.outvars)
        while waiting:
            var = waiting.pop()
            index = None if isinstance(var, JaxprLiteral) else made_by.get(var)
            if index is None or index == without or index in seen:
                continue
            seen.add(index)
            if index >= 0:
                waiting += jaxpr.eqns[index].invars
        return seen

    equations = {tap.equation for tap in taps}
    return [
        k
        for k, tap in enumerate(taps)
        if tap.equation >= 0
        and not any(e < tap.equation for e in equations & reached(tap.equation))
        and sum(other.equation == tap.equation for other in taps) == 1
    ]
