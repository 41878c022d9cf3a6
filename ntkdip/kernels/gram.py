"""``J J^T`` in float64 (or float32), on the host or spread over devices."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from scipy.linalg.blas import dsyrk, ssyrk

from ntkdip.progress import track

COLUMNS_PER_CONTRACTION = 4096
"""Jacobian columns that are contracted at a time (lifted to float64, on the host)."""


Rows = list[tuple[np.ndarray, np.ndarray]]
"""Some columns of the Jacobian: outputs (-1 for padding) and their rows, chunk by chunk."""


def accumulate(W: np.ndarray, blocks: list[Rows], name: str) -> np.ndarray:
    """``W + J J^T``, upper triangle only; ``W`` (Fortran order) is used up.

    Columns are gathered into one panel, used again and again: the first touch of fresh
    memory costs more than the copy.
    """
    n, syrk = len(W), dsyrk if W.dtype == np.float64 else ssyrk
    widths = [rows[0][1].shape[1] for rows in blocks]
    panels = [
        (block, start, min(start + COLUMNS_PER_CONTRACTION, width))
        for block, width in enumerate(widths)
        for start in range(0, width, COLUMNS_PER_CONTRACTION)
    ]
    buffer = np.empty(n * min(max(widths), COLUMNS_PER_CONTRACTION), W.dtype)
    for block, start, stop in track(panels, f"{name}: kernel"):
        panel = buffer[: n * (stop - start)].reshape(n, stop - start)
        for outputs, rows in blocks[block]:
            real = outputs >= 0
            some = rows[:, start:stop]
            panel[outputs[real]] = some if real.all() else some[real]
        W = syrk(1.0, panel.T, beta=1.0, c=W, trans=1, overwrite_c=1)
    return W


def mirrored(W: np.ndarray) -> np.ndarray:
    """``W`` with its upper triangle copied onto the lower one, in place."""
    n, step = len(W), 512
    for start in range(0, n, step):
        stop = min(start + step, n)
        block = np.triu(W[start:stop, start:stop])
        W[start:stop, start:stop] = block + np.triu(block, 1).T
        W[stop:, start:stop] = W[start:stop, stop:].T
    return W


class Spread:
    """Rows spread over devices, of one or several processes."""

    def __init__(self, devices: list[jax.Device]):
        self.mesh = Mesh(np.array(devices), ("rows",))
        self._rows = NamedSharding(self.mesh, PartitionSpec("rows"))
        self._everywhere = NamedSharding(self.mesh, PartitionSpec())

    def everywhere(self, tree: Any) -> Any:
        """Arrays copied to every device; every process must hold the same ones."""
        return jax.tree.map(lambda x: self._put(x, self._everywhere), tree)

    def rows(self, outputs: np.ndarray) -> jax.Array:
        """An array whose first axis is spread over the devices."""
        return self._put(outputs, self._rows)

    def _put(self, x: Any, sharding: NamedSharding) -> jax.Array:
        if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.device_put(x, sharding)
        host = np.asarray(x)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    def accumulate(
        self, W: jax.Array | None, chunks: list[list[jax.Array]], dtype: np.dtype
    ) -> jax.Array:
        """``W + J J^T``, row blocks spread over the devices."""
        with jax.enable_x64(dtype == np.float64):
            for blocks in zip(*chunks, strict=True):
                added = _gram(list(blocks), dtype, self._rows)
                W = added if W is None else W + added
        assert W is not None
        return W

    def to_host(self, W: jax.Array) -> np.ndarray:
        """All of ``W``, in every process."""
        if W.is_fully_addressable:
            return np.asarray(W)
        with jax.enable_x64(W.dtype == np.float64):
            return np.asarray(multihost_utils.process_allgather(W, tiled=True))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _gram(blocks: list[jax.Array], dtype: np.dtype, rows: NamedSharding) -> jax.Array:
    J = jax.lax.with_sharding_constraint(jnp.concatenate(blocks).astype(dtype), rows)
    W = jnp.matmul(J, J.T, precision="highest")
    return jax.lax.with_sharding_constraint(W, rows)
