"""Which architectures and inputs make kernels that circular shifts leave as they are."""

from __future__ import annotations

import math
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import scipy.fft
from jaxtyping import Float

from ntkdip.kernels.infinite.recursion import channels_last
from ntkdip.kernels.memory import require_memory
from ntkdip.networks import Architecture, input_shape, layers
from ntkdip.networks.architecture import require_input
from ntkdip.spaces import require_finite

NamedInput = Literal["white", "constant"]

ADVICE = "ntkdip.kernels.analytic (dense) and ntkdip.kernels.low_rank take any layer and input"


def shift_period(net: Architecture, shape: tuple[int, ...], z: Any = "white") -> tuple[int, ...]:
    """Shifts that leave the kernel of a network as it is; an error where there are none.

    Parameters
    ----------
    net
        The architecture.
    shape
        Shape of its image, 1D or 2D.
    z
        As for `stationary`.

    Returns
    -------
    Pixels along every axis: 1 for a network at one resolution, its upsampling factor for a
    decoder.

    Raises
    ------
    ValueError
        If there are none: the layer or the input that breaks the invariance, and what to use
        instead.

    Notes
    -----
    Holds for the distribution of the network's outputs, and so for its mean kernel, at any
    width.  Cost: none, but for the test of an array ``z`` (see `stationary`).  Source: design
    page, section 1, Corollary 1.
    """
    z = given_input(z)
    start, end = invariance(net, tuple(shape), z)
    input_row(z, start.grid)
    return end.period


class Invariance(NamedTuple):
    """What shifts do at some place in a network.

    ``grid``: sides of the image there; ``period``: shifts along each that change nothing;
    ``entries``: the most that a kernel's rows have had up to there.
    """

    grid: tuple[int, ...]
    period: tuple[int, ...]
    entries: int


def given_input(z: Any) -> str | Float[np.ndarray, "*pixels channels"]:
    """A named input, or an array with channels last, finite, on the host."""
    if isinstance(z, str):
        layers.require_one_of(NamedInput, z=z)
        return z
    require_finite(z, "network input")
    with jax.enable_x64(True):
        array = np.asarray(channels_last(np.asarray(z)))
    require_input(array)
    return array


def invariance(
    net: Architecture, shape: tuple[int, ...], z: str | np.ndarray
) -> tuple[Invariance, Invariance]:
    """At the network's input and at its output, for images of ``shape``."""
    if len(shape) not in (1, 2) or min(shape) < 1:
        raise ValueError(f"an image has one or two sides of at least one pixel; got {shape}")
    grid = input_shape(net, shape) if isinstance(z, str) else z.shape[:-1]
    made = layers.output_shape(net.layers, grid)
    if made != shape:
        raise ValueError(
            f"{net.name} makes images of {made} from an input of {grid} pixels; its kernel was "
            f"asked for on {shape}"
        )
    start = Invariance(grid, (1,) * len(grid), math.prod(grid))
    return start, _walk(net, net.layers, start)


def _walk(net: Architecture, chain: tuple[layers.Layer, ...], at: Invariance) -> Invariance:
    for layer in chain:
        most = at.entries
        if isinstance(layer, layers.Residual):
            body, shortcut = (_walk(net, part, at) for part in (layer.body, layer.shortcut))
            grid, period = body.grid, tuple(map(math.lcm, body.period, shortcut.period))
            most = max(body.entries, shortcut.entries)
        else:
            grid, period = _step(net, layer, at)
        at = Invariance(grid, period, max(most, math.prod(period) * math.prod(grid)))
    return at


def _step(
    net: Architecture, layer: layers.Layer, at: Invariance
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sides and periods after a layer."""

    def refuse(why: str) -> ValueError:
        return ValueError(
            f"the kernel of {net.name} is not invariant under shifts: {layer} {why}. {ADVICE}"
        )

    step = 1
    match layer:
        case layers.Upsample(convention, factor):
            if convention not in ("circular", "nearest") and factor > 1:
                raise refuse("holds the edges; upsampling 'circular' or 'nearest' does not")
            return tuple(factor * n for n in at.grid), tuple(factor * m for m in at.period)
        case layers.Conv():
            step = layer.stride
            if any(n % step for n in at.grid):
                raise refuse(f"meets sides {at.grid}, which are no multiples of its stride")
            pads = [layers.same_padding(n, layer.kernel_size, step) for n in at.grid]
            if layer.padding != "circular" and any(map(any, pads)):
                raise refuse("does not wrap around; with padding='circular' it does")
        case layers.AveragePool() | layers.MaxPool():
            step = layer.size
    grid = layers.output_shape((layer,), at.grid)
    return grid, tuple(math.lcm(m, step) // step for m in at.period)


def input_row(
    z: str | np.ndarray, grid: tuple[int, ...], limit: int | None = None
) -> tuple[Float[np.ndarray, "..."], int]:
    """Row 0 of the input's Gram matrix ``z z^T / c``, float64 of shape ``grid``, and ``c``.

    Raises `ValueError` if other rows are not that one moved, and `MemoryError` if telling
    takes more than ``limit`` bytes.
    """
    if isinstance(z, str):
        row = np.full(grid, float(z == "constant"))
        row.flat[0] = 1
        return row, 1
    pixels = z.reshape(-1, z.shape[-1]).astype(np.float64)
    if (pixels != pixels[0]).any():
        tolerance = float(np.finfo(z.dtype).eps) ** 0.75
        _require_invariant(pixels.reshape(z.shape), tolerance, limit)
    return (pixels @ pixels[0] / z.shape[-1]).reshape(grid), z.shape[-1]


def _require_invariant(
    z: Float[np.ndarray, "*grid c"], tolerance: float, limit: int | None
) -> None:
    """Raise `ValueError` unless ``z z^T`` is invariant under circular shifts to rounding.

    That is where its Fourier transform is diagonal: where the ``c``-vectors of different
    frequencies are orthogonal, so that no more than ``c`` of them differ from 0.
    """
    grid, c = z.shape[:-1], z.shape[-1]
    most = min(c, math.prod(grid))
    needed = 16 * (3 * z.size + 3 * most**2)
    require_memory(needed, f"the test that an input of shape {z.shape} looks alike everywhere",
                   limit, "use ntkdip.kernels.low_rank, or fewer channels")  # fmt: skip
    squares = np.sum(z * z, axis=-1)
    modes = scipy.fft.fftn(z, axes=range(len(grid)), norm="ortho").reshape(-1, c)
    energy = np.sum(np.abs(modes) ** 2, axis=-1)
    largest, rest = np.split(np.argsort(-energy), [most])
    products = modes[largest] @ modes[largest].conj().T
    np.fill_diagonal(products, 0)
    # What is left of the others is multiplied with everything at most.
    coupling = np.linalg.norm(products) + math.sqrt(2 * energy[rest].sum() * energy.sum())
    defect = max(np.ptp(squares) / squares.max(), coupling / np.linalg.norm(energy))
    if defect > tolerance:
        raise ValueError(
            f"the Gram matrix of this input of shape {z.shape} is not invariant under circular "
            f"shifts: it misses that by {defect:.2g} of its size (rounding: {tolerance:.1g}). "
            f"z='white' is the limit of ever more independent random channels; {ADVICE}"
        )
