"""What a dense kernel costs in memory, known before anything is allocated."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import psutil
from flax import nnx
from jaxtyping import Array

from ntkdip.kernels.locality import locality
from ntkdip.networks import Architecture, Convolution

CHUNK_BYTES = 256 * 2**20
"""Bytes that one chunk of backward passes, and the rows read off it, may take."""

COLUMNS_PER_CONTRACTION = 4096
"""Jacobian columns that are lifted to float64 at a time."""

CONTROL_GROUP = Path("/sys/fs/cgroup")
"""Where Linux says what a container may take (version 2)."""


@dataclasses.dataclass(frozen=True)
class ConvShape:
    """Sizes that decide a convolution's cost.

    ``pixels`` of its output, ``channels`` of its output, ``patch`` entries of one input
    patch (input channels times kernel area).
    """

    pixels: int
    channels: int
    patch: int

    @property
    def columns(self) -> int:
        """Columns of the compressed Jacobian (see `ntkdip.kernels.empirical`)."""
        return self.channels * min(self.pixels, self.patch)


def convolution_shapes(net: Architecture, input_shape: tuple[int, ...]) -> list[ConvShape]:
    """Sizes of every convolution of ``net``, first to last; traces, allocates nothing."""
    shapes: list[ConvShape] = []

    def tap(layer: Convolution, x: Array, y: Array) -> Array:
        patch = math.prod(layer.conv.kernel_shape[:-1])
        shapes.append(ConvShape(math.prod(y.shape[:-1]), y.shape[-1], patch))
        return y

    def trace(z: Array) -> Array:
        return net.module(z, rngs=nnx.Rngs(params=jax.random.key(0)))(z, tap)

    jax.eval_shape(trace, jax.ShapeDtypeStruct(input_shape, jnp.float32))
    return shapes


def passes_per_chunk(net: Architecture, input_shape: tuple[int, ...]) -> int:
    """How many backward passes run at once, within `CHUNK_BYTES` (at least one)."""
    plan = locality(net, input_shape)
    entries = 0
    for shape, window in zip(convolution_shapes(net, input_shape), plan.windows, strict=True):
        entries += 3 * shape.pixels * shape.channels
        narrow = min(shape.pixels, shape.patch)
        gathered = 0 if window is None else window.index.shape[1] * (shape.channels + narrow)
        entries += plan.groups.shape[1] * (gathered + shape.columns)
    return max(1, CHUNK_BYTES // (4 * entries))


def empirical_bytes(net: Architecture, input_shape: tuple[int, ...]) -> int:
    """Peak bytes of `ntkdip.kernels.empirical`, estimated; nothing is allocated.

    Parameters
    ----------
    net
        The architecture.
    input_shape
        Shape of its input, ``(*pixels, channels)``.

    Returns
    -------
    Bytes: compressed Jacobian (float32), patch factors, one chunk, one lifted block of
    columns, and three matrices of the kernel's size (float64).
    """
    shapes = convolution_shapes(net, input_shape)
    space = net.image_space(jax.ShapeDtypeStruct(input_shape, jnp.float32))
    n = space.real_size
    jacobian = 4 * n * sum(s.columns for s in shapes)
    factors = sum(4 * s.pixels * s.patch for s in shapes) + max(24 * s.pixels**2 for s in shapes)
    return jacobian + factors + CHUNK_BYTES + 8 * n * COLUMNS_PER_CONTRACTION + 24 * n**2


def available_bytes() -> int:
    """Memory that this process may still take: the machine's, or its control group's if less."""
    available = psutil.virtual_memory().available
    limit = CONTROL_GROUP / "memory.max"
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int((CONTROL_GROUP / "memory.current").read_text())
        # File pages that nobody is using count as used, but are given up on demand.
        statistics = dict(
            line.split() for line in (CONTROL_GROUP / "memory.stat").read_text().splitlines()
        )
        used -= int(statistics["inactive_file"])
        available = min(available, max(int(text) - used, 0))
    return int(available)


def require_memory(needed: int, what: str) -> None:
    """Raise `MemoryError` with the estimate unless ``needed`` bytes are available."""
    available = available_bytes()
    if needed > available:
        raise MemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB, but {available / 2**30:.1f} GiB of "
            "memory are available; use a smaller image, or fewer channels"
        )
