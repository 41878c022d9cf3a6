"""Empirical NTK of a finite network, dense, layer by layer.

For a convolution with input patches ``X`` (q' x d) and backpropagated signals
``B = s df/d(pre-activation)`` (n x q' x c), the weights' Jacobian is ``J = B . X`` and its
share of the kernel ``sum_c B_c (X X^T) B_c^T`` (design page, section 3).  With any factor
``R R^T = X X^T`` the share is ``(B R)(B R)^T``; we take the narrower of ``X`` itself and
a square root of the ``q' x q'`` Gram matrix, so a wide layer costs no more than its
pixels.  Factors are float32 (a float64 convolution is very slow on CPU), contracted in
float64: the kernel is symmetric and PSD to float64 rounding.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from flax import nnx
from jaxtyping import Array, Float
from scipy.linalg.blas import dsyrk

from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.locality import locality
from ntkdip.kernels.memory import (
    COLUMNS_PER_CONTRACTION,
    convolution_shapes,
    empirical_bytes,
    passes_per_chunk,
    require_memory,
)
from ntkdip.networks import Architecture, Convolution, to_image
from ntkdip.progress import track
from ntkdip.spaces import Space, require_finite


def empirical(
    net: Architecture, params: nnx.State, z: Float[Array, "*pixels channels"]
) -> DenseKernel:
    """Empirical NTK ``W = J J^T`` of ``f_theta(z)`` over all parameters, at ``params``.

    Parameters
    ----------
    net
        The architecture.
    params
        Its parameters (`Architecture.init`).
    z
        Its input, ``(*pixels, channels)``.

    Returns
    -------
    Kernel on the real embedding of the network's images: ``(q, q)`` for one output
    channel, ``(2q, 2q)`` ordered ``[Re; Im]`` for two; float64, PSD to rounding,
    accurate to float32 (about 1e-6 relative).

    Raises
    ------
    ValueError
        If the input has a wrong shape, or input or parameters are not finite.
    MemoryError
        If the work would not fit in the memory that is available; nothing is
        allocated before.

    Notes
    -----
    Cost: backward passes, each shared by outputs whose windows do not meet
    (`ntkdip.kernels.locality`), then ``n^2 sum_l c_l min(d_l, q_l)`` float64
    multiplications.  Memory: `ntkdip.kernels.empirical_bytes`.  Source: design page,
    section 3; the factored contraction is ours.
    """
    require_finite(z, "network input")
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        require_finite(leaf, f"parameter {jax.tree_util.keystr(path)}")
    space = net.image_space(z)
    require_memory(empirical_bytes(net, z.shape), f"the dense kernel of {net.name} on {space}")

    with jax.default_matmul_precision("highest"):
        rows = _all_rows(net, params, z)
    return DenseKernel(_gram(rows, net.name), space)


def _all_rows(net: Architecture, params: nnx.State, z: Array) -> list[np.ndarray]:
    """The compressed Jacobian, ``(n, columns)`` float32, one block a layer."""
    space = net.image_space(z)
    factors = [jnp.asarray(_narrow_factor(np.asarray(X))) for X in _patches(net, params, z)]
    plan = locality(net, z.shape)
    windows = [w and (jnp.asarray(w.index), jnp.asarray(w.mask)) for w in plan.windows]
    passes = _passes(plan.groups, space)
    chunk = min(passes_per_chunk(net, z.shape), len(passes))
    rows: list[np.ndarray] = []
    for start in track(range(0, len(passes), chunk), f"{net.name}: Jacobian"):
        outputs = np.full((chunk, passes.shape[1]), -1, np.int32)
        outputs[: len(passes) - start] = passes[start : start + chunk]
        blocks = _jacobian_rows(net, params, z, factors, windows, jnp.asarray(outputs))
        rows = rows or [np.empty((space.real_size, b.shape[1]), np.float32) for b in blocks]
        real = outputs.ravel() >= 0
        for row, block in zip(rows, blocks, strict=True):
            row[outputs.ravel()[real]] = np.asarray(block)[real]
    return rows


def _passes(groups: np.ndarray, space: Space) -> np.ndarray:
    """Outputs of every backward pass: the groups of pixels, once a channel, -1 is padding."""
    offsets = [0, space.size] if space.is_complex else [0]
    return np.concatenate([np.where(groups >= 0, groups + k, -1) for k in offsets])


@functools.partial(jax.jit, static_argnames="net")
def _patches(net: Architecture, params: nnx.State, z: Array) -> list[Array]:
    """Input patches of every convolution, ``(q_l, d_l)``, first to last."""
    seen: list[Array] = []

    def tap(layer: Convolution, x: Array, y: Array) -> Array:
        seen.append(layer.patches(x))
        return y

    net.merge(params, z)(z, tap)
    return seen


def _narrow_factor(X: np.ndarray) -> np.ndarray:
    """A factor ``R`` (q' x r) with ``R R^T = X X^T`` and ``r = min(q', d)``, float32."""
    if X.shape[1] <= X.shape[0]:
        return X
    X64 = X.astype(np.float64)
    values, vectors = scipy.linalg.eigh(X64 @ X64.T, driver="evd")
    return (vectors * np.sqrt(np.clip(values, 0.0, None))).astype(np.float32)


@functools.partial(jax.jit, static_argnames="net")
def _jacobian_rows(
    net: Architecture,
    params: nnx.State,
    z: Array,
    factors: list[Array],
    windows: list[tuple[Array, Array] | None],
    outputs: Array,
) -> list[Array]:
    """Compressed Jacobian rows of the outputs of some backward passes.

    ``outputs`` (passes, g) -> one ``(passes * g, columns)`` block a convolution, and one
    for every other parameter (scales and shifts of normalisations, where ``g`` is 1).
    Rows of padding are to be thrown away.
    """
    space = net.image_space(z)
    kernels, others = nnx.split_state(params, nnx.PathContains("conv"), ...)

    def forward(deltas: list[Array], others: nnx.State) -> Array:
        pending = iter(deltas)

        def tap(layer: Convolution, x: Array, y: Array) -> Array:
            return y + layer.scale * next(pending).reshape(y.shape)

        module = net.merge(nnx.merge_state(kernels, others), z)
        return space.embed(to_image(module(z, tap)))

    shapes = convolution_shapes(net, z.shape)
    zeros = [jnp.zeros((s.pixels, s.channels), z.dtype) for s in shapes]
    _, pullback = jax.vjp(forward, zeros, others)
    one_hot = jax.nn.one_hot(outputs, space.real_size, dtype=z.dtype)
    signals, plain = jax.vmap(pullback)(one_hot.sum(1))
    pixels = outputs % space.size
    blocks = [
        _contract(B, R, window, pixels)
        for B, R, window in zip(signals, factors, windows, strict=True)
    ]
    return [block.reshape(outputs.size, -1) for block in blocks + jax.tree.leaves(plain)]


def _contract(B: Array, R: Array, window: tuple[Array, Array] | None, pixels: Array) -> Array:
    """``sum_p B[p] R[p]`` over each output's window: (passes, q', c) -> (passes, g, c, r)."""
    if window is None:
        return jnp.einsum("mpc,pr->mcr", B, R)
    index, mask = (array[pixels] for array in window)
    signal = jax.vmap(lambda b, i: b[i])(B, index) * mask[..., None]
    return jnp.einsum("mgwc,mgwr->mgcr", signal, R[index])


def _gram(blocks: list[np.ndarray], name: str) -> np.ndarray:
    """``sum_l J_l J_l^T`` in float64: exactly symmetric, PSD to rounding."""
    n = blocks[0].shape[0]
    W = np.zeros((n, n), order="F")
    pieces = [
        block[:, start : start + COLUMNS_PER_CONTRACTION]
        for block in blocks
        for start in range(0, block.shape[1], COLUMNS_PER_CONTRACTION)
    ]
    for piece in track(pieces, f"{name}: kernel"):
        J = np.ascontiguousarray(piece, dtype=np.float64)
        W = dsyrk(1.0, J.T, beta=1.0, c=W, trans=1, overwrite_c=1)
    return np.triu(W) + np.triu(W, 1).T
