"""Convolutions for training on CPUs: the same numbers with fewer multiplications.

XLA's own convolution multiplies at the machine's peak rate on a CPU, so nothing but a smaller
number of multiplications is faster.  Winograd's minimal filtering takes 6 products for 4
outputs of 3 taps along each axis: in 2D a quarter of the multiplications, as matrix products.

For reverse mode: `jax.jvp` refuses what is here.  The kernels need forward mode and read
`conv_general_dilated` in a network's jaxpr, so networks are built on `jax.lax`, and training
takes copies of them (`ntkdip.networks.acceleration`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from ntkdip.networks.layers import Padding

TILE = 4
"""Outputs a tile and axis."""

POINTS = (0.0, 0.5**0.5, -(0.5**0.5), 2**0.5, -(2**0.5))
"""Where polynomials are evaluated, besides infinity.

With the textbook's 0, 1, -1, 2, -2 the error in float32 is twice this choice's, which is
about that of a plain sum.
"""

LEAST_CHANNELS = 16
"""On both sides, for the products to be worth the transforms."""

LEAST_SIDE = 8
"""Pixels a side of the result."""

Pads = tuple[tuple[int, int], ...]


def convolve(
    x: Float[Array, "*pixels cin"], kernel: Float[Array, "*taps channels cout"], padding: Padding
) -> Float[Array, "*pixels cout"]:
    """Convolution of one image (in deep learning's sense: the kernel is not flipped), stride 1.

    Parameters
    ----------
    x
        Image ``(*pixels, cin)``, 1D or 2D.  A batch comes by `jax.vmap`.
    kernel
        ``(*taps, cin, cout)``; an odd number of taps an axis.
    padding
        ``zero``, ``circular`` or ``reflect``; the result has as many pixels as ``x``.

    Returns
    -------
    ``(*pixels, cout)``, of the common dtype: equal to `jax.lax.conv_general_dilated` to
    rounding (relative error about 5e-7 in float32, where that of `jax.lax` is 3e-7).

    Raises
    ------
    ValueError
        If the axes do not fit, or a number of taps is even.

    Cost and source: `conv_general_dilated`.
    """
    spatial = x.ndim - 1
    taps = kernel.shape[:-2]
    if spatial not in (1, 2) or len(taps) != spatial or kernel.shape[-2] != x.shape[-1]:
        raise ValueError(
            "an image (*pixels, cin) of 1 or 2 axes and a kernel (*taps, cin, cout) are "
            f"convolved; got {x.shape} and {kernel.shape}"
        )
    if any(k % 2 == 0 for k in taps):
        raise ValueError(f"a kernel has an odd number of taps along every axis; got {taps}")
    pads = tuple((k // 2, k // 2) for k in taps)
    if padding != "zero":
        mode = {"circular": "wrap", "reflect": "reflect"}[padding]
        x, pads = jnp.pad(x, [*pads, (0, 0)], mode=mode), ((0, 0),) * spatial
    numbers = lax.conv_dimension_numbers(x[None].shape, kernel.shape, _channels_last(spatial))
    return conv_general_dilated(x[None], kernel, (1,) * spatial, pads, dimension_numbers=numbers)[0]


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **options: Any,
) -> Array:
    """`jax.lax.conv_general_dilated`, by Winograd's algorithm where that is faster.

    That is on a CPU, for channels last, 3 taps along each of 1 or 2 axes, stride 1, without
    dilation or groups, float32 or float64, at least `LEAST_CHANNELS` channels on both sides
    and `LEAST_SIDE` pixels a side.  Everything else goes to `jax.lax` as it came.  The default
    backend decides, at trace time: a computation that is sent to another than the default
    one is right, and only not as fast as it could be.

    Cost: in 2D a quarter of the direct multiplications, for the result and both gradients
    alike, and ``9/4`` of the memory of input or output at a time.  The forward pass keeps
    nothing but its arguments.  Compilation takes longer than that of `jax.lax`: about 0.7 s
    for a layer with its gradients.

    Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (CVPR 2016),
    F(4x4, 3x3); the points and the gradients, as the transposes of the three transforms, are
    ours.
    """
    spatial = lhs.ndim - 2
    if _suits(lhs, rhs, window_strides, lhs_dilation, rhs_dilation, dimension_numbers) and (
        feature_group_count == 1 and options.get("batch_group_count", 1) == 1
    ):
        given = (
            lax.padtype_to_pads(lhs.shape[1:-1], rhs.shape[:-2], (1,) * spatial, padding)
            if isinstance(padding, str)
            else padding
        )
        pads = tuple((int(low), int(high)) for low, high in given)
        sides = [n + sum(pair) - 2 for n, pair in zip(lhs.shape[1:-1], pads, strict=True)]
        if min(sides) >= LEAST_SIDE and min(map(min, pads)) >= 0:
            return _winograd(lhs, rhs, pads)
    return lax.conv_general_dilated(
        lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
        feature_group_count, **options,
    )  # fmt: skip


def _channels_last(spatial: int) -> tuple[str, str, str]:
    axes = "HWD"[:spatial]
    return f"N{axes}C", f"{axes}IO", f"N{axes}C"


def _suits(
    lhs: Array, rhs: Array, strides: Any, lhs_dilation: Any, rhs_dilation: Any, numbers: Any
) -> bool:
    """Whether this is a convolution for `_winograd`, but for its padding and groups."""
    spatial = lhs.ndim - 2
    if jax.default_backend() != "cpu" or rhs.shape[:-2] != (3,) * spatial or spatial not in (1, 2):
        return False
    plain = lax.conv_dimension_numbers(lhs.shape, rhs.shape, _channels_last(spatial))
    given = lax.conv_dimension_numbers(lhs.shape, rhs.shape, numbers)
    ones = (strides, lhs_dilation or (1,), rhs_dilation or (1,))
    return (
        given == plain
        and all(step == 1 for steps in ones for step in steps)
        and lhs.dtype == rhs.dtype
        and lhs.dtype in (jnp.float32, jnp.float64)
        and min(rhs.shape[-2:]) >= LEAST_CHANNELS
        and lhs.shape[0] > 0
    )


@functools.cache
def _matrices() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the input (6, 6), the kernel (6, 3) and the output (4, 6), float64.

    Values of polynomials at `POINTS` and infinity, their products' interpolation, transposed.
    """
    points = np.array(POINTS)
    n = len(points) + 1
    given, kernel, result = np.zeros((n, n)), np.zeros((n, 3)), np.zeros((TILE, n))
    for j, p in enumerate(points):
        others = np.delete(points, j)
        given[j, :-1] = np.poly(others)[::-1]
        kernel[j] = p ** np.arange(3) / np.prod(p - others)
        result[:, j] = p ** np.arange(TILE)
    given[-1] = np.poly(points)[::-1]
    kernel[-1, -1] = result[-1, -1] = 1
    return given, kernel, result


def _along_all_axes(matrix: np.ndarray, spatial: int, dtype: Any, axis: int) -> Array:
    """Kronecker power; ``axis`` is that of the 6 products, where the last image axis is first."""
    power = functools.reduce(np.kron, [matrix] * spatial)
    split = np.moveaxis(power, axis, 0).reshape(*(matrix.shape[axis],) * spatial, -1)
    reversed_ = split.transpose(*range(spatial - 1, -1, -1), spatial)
    return jnp.asarray(np.moveaxis(reversed_.reshape(-1, split.shape[-1]), 0, axis), dtype)


def _combine(row: np.ndarray, parts: Sequence[Array]) -> Array:
    """Weighted sum; weights that are 0 cost nothing."""
    terms = [
        part if weight == 1 else jnp.asarray(weight, part.dtype) * part
        for weight, part in zip(row, parts, strict=True)
        if abs(weight) > 1e-12
    ]
    return functools.reduce(jnp.add, terms)


def _analyse(x: Array, matrix: np.ndarray, tiles: Sequence[int]) -> Array:
    """Every tile of ``(B, *pixels, c)`` times a matrix along each axis: ``(products, B, T, c)``.

    As many neighbouring pixels as the matrix has columns, every `TILE` pixels.
    """
    batch, channels = x.shape[0], x.shape[-1]
    for i, count in enumerate(tiles):
        axis, end = 1 + 2 * i, TILE * (count - 1) + 1
        parts = [lax.slice_in_dim(x, k, k + end, TILE, axis) for k in range(matrix.shape[1])]
        x = jnp.stack([_combine(row, parts) for row in matrix])
    return x.reshape(-1, batch * math.prod(tiles), channels)


def _overlap_add(x: Array, matrix: np.ndarray, tiles: Sequence[int], batch: int) -> Array:
    """The transpose of `_analyse` for 6 columns; pixels ``TILE * tiles + 2`` a side."""
    n = len(matrix)
    x = x.reshape(*(n,) * len(tiles), batch, *tiles, x.shape[-1])
    for i in reversed(range(len(tiles))):
        axis, count = 1 + 2 * i, tiles[i]
        parts = [_combine(column, list(x)) for column in matrix.T]
        cut = functools.partial(lax.slice_in_dim, axis=axis)
        inner = [cut(part, 1, count) for part in parts[:TILE]]
        for j in range(n - TILE):
            inner[j] = inner[j] + cut(parts[TILE + j], 0, count - 1)
        body = jnp.stack(inner, axis + 1)
        body = body.reshape(*body.shape[:axis], -1, *body.shape[axis + 2 :])
        head = [cut(part, 0, 1) for part in parts[:TILE]]
        tail = [cut(part, count - 1, count) for part in parts[TILE:]]
        x = jnp.concatenate([*head, body, *tail], axis)
    return x


def _product(a: Array, b: Array, of_a: int, of_b: int) -> Array:
    return lax.dot_general(a, b, (((of_a,), (of_b,)), ((0,), (0,))), precision="highest")


def _tiles(x: Array, pads: Pads) -> tuple[tuple[int, ...], tuple[int, ...], Array]:
    """Sides of the result, tiles a side, and the input padded to whole tiles."""
    sides = tuple(n + low + high - 2 for n, (low, high) in zip(x.shape[1:-1], pads, strict=True))
    tiles = tuple(-(-side // TILE) for side in sides)
    whole = [
        (low, high + TILE * count - side)
        for (low, high), count, side in zip(pads, tiles, sides, strict=True)
    ]
    return sides, tiles, jnp.pad(x, [(0, 0), *whole, (0, 0)])


def _transformed(kernel: Array) -> Array:
    spatial = kernel.ndim - 2
    G = _along_all_axes(_matrices()[1], spatial, kernel.dtype, 0)
    return (G @ kernel.reshape(3**spatial, -1)).reshape(-1, *kernel.shape[-2:])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _winograd(x: Array, kernel: Array, pads: Pads) -> Array:
    """Convolution of ``(B, *pixels, cin)``, padded with zeros, by `POINTS`."""
    given, _, result = _matrices()
    spatial = len(pads)
    sides, tiles, padded = _tiles(x, pads)
    products = _product(_analyse(padded, given, tiles), _transformed(kernel), 2, 1)
    A = _along_all_axes(result, spatial, x.dtype, 1)
    cut = (A @ products.reshape(products.shape[0], -1)).reshape(
        *(TILE,) * spatial, x.shape[0], *tiles, -1
    )
    pairs = itertools.chain(*((spatial + 1 + i, i) for i in range(spatial)))
    y = cut.transpose(spatial, *pairs, 2 * spatial + 1)
    y = y.reshape(x.shape[0], *(TILE * count for count in tiles), -1)
    return lax.slice(y, (0,) * y.ndim, (x.shape[0], *sides, y.shape[-1]))


def _forward(x: Array, kernel: Array, pads: Pads) -> tuple[Array, tuple[Array, Array]]:
    return _winograd(x, kernel, pads), (x, kernel)


def _backward(pads: Pads, saved: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    x, kernel = saved
    given, of_kernel, result = _matrices()
    sides, tiles, padded = _tiles(x, pads)
    fill = [(0, TILE * count - side) for count, side in zip(tiles, sides, strict=True)]
    back = _analyse(jnp.pad(g, [(0, 0), *fill, (0, 0)]), result.T, tiles)
    G = _along_all_axes(of_kernel, len(pads), kernel.dtype, 0)
    weights = _product(_analyse(padded, given, tiles), back, 1, 1)
    dk = (G.T @ weights.reshape(weights.shape[0], -1)).reshape(kernel.shape)
    dx = _overlap_add(_product(back, _transformed(kernel), 2, 2), given, tiles, x.shape[0])
    start = (0, *(low for low, _ in pads), 0)
    return lax.slice(dx, start, [a + n for a, n in zip(start, x.shape, strict=True)]), dk


_winograd.defvjp(_forward, _backward)
