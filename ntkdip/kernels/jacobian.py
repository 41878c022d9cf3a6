"""Rows of the compressed Jacobian: backward passes, contracted with patches.

For a tap with patches ``X`` (p x d) and signals ``B`` (n x p x c) the Jacobian is
``J = B . X`` and its share of the kernel ``sum_c B_c (X X^T) B_c^T`` (design page, section
3).  With any factor ``R R^T = X X^T`` the share is ``(B R)(B R)^T``; we take the narrower
of ``X`` itself and a square root of the ``p x p`` Gram matrix, so a wide layer costs no more
than its pixels.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg.lapack import dpstrf

from ntkdip.kernels.flat import dtype_of, evaluate
from ntkdip.kernels.functional import Functional
from ntkdip.kernels.plan import Plan
from ntkdip.kernels.stages import Stage
from ntkdip.kernels.taps import Tap

GRAM_COLUMNS = 4096
"""Columns of patches that are lifted to float64 at a time."""


class Piece(NamedTuple):
    """Some channels of one tap, or (``tap`` is None) a plain leaf."""

    tap: int | None
    leaf: int
    channels: tuple[int, int]
    columns: int


Sweep = tuple[Piece, ...]
"""What one round of backward passes collects."""


class Leg(NamedTuple):
    """One stage of a sweep (None: a single stage that reaches every tap).

    ``pieces``: whose rows it collects; ``goes_on``: whether another stage follows.
    """

    stage: int | None
    pieces: tuple[Piece, ...]
    goes_on: bool


def legs(plan: Plan, sweep: Sweep, staged: bool) -> list[Leg]:
    """How a sweep's rows are collected: stage by stage, as far down as it needs."""
    if not staged or len(plan.stages) == 1:
        return [Leg(None, sweep, False)]
    mine = [tuple(piece for piece in sweep if piece.tap in stage.taps) for stage in plan.stages]
    last = max(k for k, some in enumerate(mine) if some)
    return [Leg(k, mine[k], k < last) for k in range(last + 1)]


def pieces(plan: Plan, most_columns: int) -> list[Piece]:
    """Every column of the Jacobian once, in pieces of at most ``most_columns`` if possible."""
    result = []
    for k, tap in enumerate(plan.taps):
        if tap.kind == "input":
            result.append(Piece(k, tap.leaf, (0, tap.channels), tap.columns))
            continue
        each = tap.groups * tap.rank
        step = max(1, min(tap.channels, most_columns // each))
        for start in range(0, tap.channels, step):
            stop = min(start + step, tap.channels)
            result.append(Piece(k, tap.leaf, (start, stop), each * (stop - start)))
    return result + [Piece(None, leaf, (0, 0), plan.leaf_sizes[leaf]) for leaf in plan.plain]


def sweeps(plan: Plan, most_columns: int) -> list[Sweep]:
    """Pieces gathered into rounds of at most ``most_columns`` (one piece at least)."""
    rounds: list[list[Piece]] = [[]]
    width = 0
    for piece in pieces(plan, most_columns):
        if rounds[-1] and width + piece.columns > most_columns:
            rounds.append([])
            width = 0
        rounds[-1].append(piece)
        width += piece.columns
    return [tuple(r) for r in rounds if r]


def factors(plan: Plan, net: Functional) -> list[Array]:
    """One factor ``R`` (p, g, r) a tap, times the root of its rate; 1 for the input's tap."""
    patches = plan.compiled("patches", _patches)(net.leaves)
    result = []
    for tap, X in zip(plan.taps, patches, strict=True):
        scale = tap.factor * math.sqrt(net.all_rates[tap.leaf])
        R = _narrow_factor(np.asarray(X)) if tap.rank < tap.patch else X
        result.append(jnp.asarray(R) * jnp.asarray(scale, R.dtype))
    return result


def _patches(plan: Plan, leaves: list[Array]) -> list[Array]:
    found: dict[int, Array] = {}

    def hook(index: int, equation: Any, inputs: list[Any], outputs: list[Any]) -> list[Any]:
        for k, tap in enumerate(plan.taps):
            if tap.equation == index:
                found[k] = tap.patches(equation, inputs, dtype_of(equation.outvars[0]))
        return outputs

    evaluate(plan.closed, leaves, hook)
    for k, tap in enumerate(plan.taps):
        if tap.kind == "input":
            found[k] = tap.patches(None, [], leaves[-1].dtype)
    return [found[k] for k in range(len(plan.taps))]


def _narrow_factor(X: Float[np.ndarray, "p 1 d"]) -> Float[np.ndarray, "p 1 p"]:
    """A square root of the Gram matrix, in float64, rounded to the patches' precision.

    By Cholesky, with pivots if the matrix is singular (both are far faster than an
    eigenproblem): what they leave out is below rounding.
    """
    gram = np.zeros((len(X), len(X)))
    for start in range(0, X.shape[2], GRAM_COLUMNS):
        block = X[:, 0, start : start + GRAM_COLUMNS].astype(np.float64)
        gram += block @ block.T
    with contextlib.suppress(np.linalg.LinAlgError):
        return np.linalg.cholesky(gram).astype(X.dtype)[:, None]
    triangle, pivots, rank, _ = dpstrf(gram.T, lower=1)
    root = np.zeros(triangle.shape, X.dtype)
    root[pivots - 1, :rank] = np.tril(triangle)[:, :rank]
    return root[:, None]


Windows = list[tuple[Array, Array] | None]


def windows(plan: Plan) -> Windows:
    """Positions and masks of every tap's windows on the device; None where there is none."""
    return [
        None if w is None else (jnp.asarray(w.index), jnp.asarray(w.mask))
        for w in plan.locality.windows
    ]


def jacobian_rows(plan: Plan, leg: Leg, rates: tuple[float, ...]) -> Callable[..., Any]:
    """A jitted function ``(leaves, factors, windows, outputs, kept) -> rows, kept``: `_rows`."""
    return functools.partial(
        plan.compiled("rows", _rows, static_argnames=("leg", "rates")), leg, rates
    )


def _rows(
    plan: Plan,
    leg: Leg,
    rates: tuple[float, ...],
    leaves: list[Array],
    factors: list[Array],
    windows: Windows,
    outputs: Int[Array, "m s"],
    kept: Float[Array, "n w g c"] | None,
) -> tuple[list[Array], Float[Array, "ms w2 g2 c2"] | None]:
    """Rows of the outputs of ``m`` backward passes, ``(m * s, columns)`` a piece.

    ``outputs`` holds positions in the image's real embedding, -1 for padding, whose rows
    are to be thrown away.  ``kept``: windows of the signals at the tap where the stage
    begins, of all outputs; None at the image.  Those at its frontier are returned, None
    where there is none.
    """
    stage = plan.stage(leg.stage)
    used = sorted({piece.tap for piece in leg.pieces if piece.tap is not None})
    frontier = stage.frontier if leg.goes_on else None
    used += [frontier] if frontier is not None and frontier not in used else []
    plain = [piece.leaf for piece in leg.pieces if piece.tap is None]
    forward = _forward(plan, stage, used, plain, leaves)
    zeros = [jnp.zeros(plan.taps[k].shape, _dtype(plan, plan.taps[k], leaves)) for k in used]
    _, pullback = jax.vjp(forward, zeros, [leaves[k] for k in plain])
    seeds = _seeds(plan, stage, windows, outputs, kept)
    signals, plain_rows = jax.vmap(pullback)(seeds)
    pixels = outputs % plan.space.size

    def signal(k: int) -> Array:
        return jax.vmap(plan.taps[k].signals)(signals[used.index(k)])

    rows = []
    for piece in leg.pieces:
        if piece.tap is None:
            row = plain_rows[plain.index(piece.leaf)]
            rows.append(row * jnp.asarray(math.sqrt(rates[piece.leaf]), row.dtype))
        else:
            tap, B = plan.taps[piece.tap], signal(piece.tap)[..., slice(*piece.channels)]
            rows.append(_contract(tap, B, factors[piece.tap], windows[piece.tap], pixels))
    rows = [row.reshape(outputs.size, -1) for row in rows]
    if frontier is None:
        return rows, None
    seen = _seen(signal(frontier), windows[frontier], pixels)
    return rows, seen.reshape(outputs.size, *seen.shape[2:])


def _forward(
    plan: Plan, stage: Stage, used: list[int], plain: list[int], leaves: list[Array]
) -> Callable[[list[Array], list[Array]], Array]:
    """What the stage starts from, as a function of what is added at taps, and plain leaves."""
    start = None if stage.start is None else plan.taps[stage.start].equation

    def forward(deltas: list[Array], trained: list[Array]) -> Array:
        arguments = list(leaves)
        for leaf, value in zip(plain, trained, strict=True):
            arguments[leaf] = value
        at: dict[int, list[Array]] = {}
        for k, delta in zip(used, deltas, strict=True):
            at.setdefault(plan.taps[k].equation, []).append(delta)
        for delta in at.get(-1, []):
            arguments[-1] = arguments[-1] + delta
        started: list[Array] = []

        def hook(index: int, equation: Any, inputs: list[Any], outs: list[Any]) -> list[Any]:
            if index == start:
                started.append(outs[0])
            for delta in at.get(index, []):
                outs = [outs[0] + delta]
            return outs

        (image,) = evaluate(plan.closed, arguments, hook)
        return started[0] if started else plan.space.embed(image)

    return forward


def _seeds(
    plan: Plan, stage: Stage, windows: Windows, outputs: Array, kept: Array | None
) -> Float[Array, "m ..."]:
    """What the backward passes begin with: ones at their outputs, or the windows kept."""
    real = outputs >= 0
    if stage.start is None or kept is None:
        passes = jnp.arange(outputs.shape[0])[:, None]
        seeds = jnp.zeros((outputs.shape[0], plan.space.real_size), plan.real_dtype)
        return seeds.at[passes, outputs].add(real.astype(plan.real_dtype))
    tap, window = plan.taps[stage.start], windows[stage.start]
    assert window is not None
    index = window[0][outputs % plan.space.size]
    values = kept[outputs] * real[..., None, None, None].astype(kept.dtype)
    shape = (outputs.shape[0], tap.pixels, tap.groups, tap.channels)
    passes = jnp.arange(outputs.shape[0])[:, None, None]
    seeds = jnp.zeros(shape, kept.dtype).at[passes, index].add(values)
    return jax.vmap(tap.output)(seeds)


def _dtype(plan: Plan, tap: Tap, leaves: list[Array]) -> Any:
    if tap.kind == "input":
        return leaves[-1].dtype
    return dtype_of(plan.closed.jaxpr.eqns[tap.equation].outvars[0])


def _contract(
    tap: Tap, B: Array, R: Array, window: tuple[Array, Array] | None, pixels: Array
) -> Array:
    """``sum_p B[p] R[p]`` over each output's window: (m, p, g, c) -> (m, s, g, c, r)."""
    if tap.kind == "input":
        return _restrict(B, R, window, pixels)
    if window is None:
        return jnp.einsum("mpgc,pgr->mgcr", B, R)
    return jnp.einsum("mswgc,mswgr->msgcr", _seen(B, window, pixels), R[window[0][pixels]])


def _seen(B: Array, window: tuple[Array, Array] | None, pixels: Array) -> Array:
    """The signal in each output's window: (m, p, g, c) -> (m, s, w, g, c)."""
    assert window is not None
    index, mask = (array[pixels] for array in window)
    return jax.vmap(lambda b, i: b[i])(B, index) * mask[..., None, None].astype(B.dtype)


def _restrict(B: Array, R: Array, window: tuple[Array, Array] | None, pixels: Array) -> Array:
    """The signal at the input itself, 0 outside each output's window: (m, s, p, c)."""
    if window is None:
        return B[:, :, 0] * R[None, :, 0]
    index, mask = (array[pixels] for array in window)
    inside = jnp.zeros((*pixels.shape, B.shape[1]), B.dtype)
    passes, members = jnp.ix_(*(jnp.arange(n) for n in pixels.shape))
    inside = inside.at[passes[..., None], members[..., None], index].max(mask.astype(B.dtype))
    return B[:, None, :, 0] * (inside * R[None, None, :, 0, 0])[..., None]
