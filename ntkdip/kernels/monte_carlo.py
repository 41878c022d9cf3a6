"""Kernels of random networks: the mean over seeds, with the standard error of every entry.

The route for what has no closed form (channel normalisation, max pooling), and the check of
what has one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Float64

from ntkdip.kernels.dense import DenseKernel
from ntkdip.kernels.empirical import Precision, empirical
from ntkdip.kernels.functional import Embedded, Net, functional
from ntkdip.kernels.memory import allowed_bytes, require_memory
from ntkdip.networks import ImageNetwork
from ntkdip.progress import track
from ntkdip.spaces import Space

Init = Callable[[Array], Any]
"""Draws parameters from a PRNG key."""


class MonteCarloKernel(NamedTuple):
    """Mean of the kernels of independently drawn networks.

    ``kernel``: the mean, a `DenseKernel` on the real embedding.
    ``standard_error``: of each of its entries, ``(n, n)``, float64.  Errors of different
    entries are correlated, strongly so where one network's kernel is too large as a whole.
    Their root sum of squares is the root mean square of ``||mean - expectation||_F``.
    ``seeds``: number of networks.
    """

    kernel: DenseKernel
    standard_error: Float64[np.ndarray, "n n"]
    seeds: int


def monte_carlo(
    net: Net,
    z: Any,
    *,
    key: Array,
    seeds: int = 16,
    init: Init | None = None,
    rates: dict[str, float] | None = None,
    input_rate: float = 0.0,
    precision: Precision = "float64",
    memory_limit: int | None = None,
) -> MonteCarloKernel:
    """Mean over seeds of the empirical NTK, with its standard error.

    Parameters
    ----------
    net
        `Architecture`, Flax NNX module, or hashable function ``(params, z) -> image``.
    z
        Its input; for architectures and modules ``(*pixels, channels)``.
    key
        PRNG key.  Network ``i`` has the parameters of ``jax.random.split(key, seeds)[i]``, so
        that the same key gives the same kernel.
    seeds
        Number of networks, at least 2.  The standard error falls as ``seeds^(-1/2)``.
    init
        Draws parameters from a key, as `empirical` takes them.  None: `Architecture.init`.
        For a module: ``lambda key: nnx.state(Module(rngs=nnx.Rngs(key)), nnx.Param)``.
    rates, input_rate, precision
        As for `empirical`.
    memory_limit
        Bytes that the work may take at its peak; None: four fifths of what is available.

    Returns
    -------
    `MonteCarloKernel`: mean and standard error ``(n, n)``, float64, ``n = q`` for a real
    image and ``2q`` (ordered ``[Re; Im]``) for a complex one.

    Raises
    ------
    ValueError
        If there are fewer than 2 seeds, ``init`` is missing or draws nothing, or an argument
        is wrong (`empirical`).
    MemoryError
        If mean, standard error and one empirical kernel do not fit.

    Notes
    -----
    Cost: ``seeds`` empirical kernels; their memory and ``16 n^2`` bytes, whatever the number
    of seeds.  The mean estimates the kernel's expectation at this width, which differs from
    the infinite-width kernel by ``O(1 / width)``: no number of seeds takes that away.
    Source: design page, section 5; the updates in place are Welford's (Technometrics 1962).
    """
    limit = allowed_bytes(memory_limit, jax.devices())
    draws = _prepare(net, z, key, seeds, init, limit, rates, input_rate)
    left = limit - 16 * draws.space.real_size**2

    def sample(params: Any) -> np.ndarray:
        return empirical(
            net, params, z, rates=rates, input_rate=input_rate, precision=precision,
            memory_limit=left,
        ).matrix  # fmt: skip

    return _average(sample, draws)


def monte_carlo_nngp(
    net: Net,
    z: Any,
    *,
    key: Array,
    seeds: int = 1024,
    init: Init | None = None,
    memory_limit: int | None = None,
) -> MonteCarloKernel:
    """Mean over seeds of ``f f^T``, the NNGP kernel of a random network's output ``f(z)``.

    Parameters
    ----------
    net, z, key, init, memory_limit
        As for `monte_carlo`.
    seeds
        Number of networks, at least 2.  One network's ``f f^T`` scatters by as much as the
        kernel's diagonal and more, at any width: 3 to 5 % of it remain at 1,024 seeds.

    Returns
    -------
    `MonteCarloKernel` on the real embedding of the image.

    Raises
    ------
    ValueError, MemoryError
        As `monte_carlo`.

    Notes
    -----
    The second moment of the output: its covariance, as an output of mean 0 has under weights
    and biases drawn symmetrically.  Cost: ``seeds`` forward passes and ``O(n^2)`` each;
    ``24 n^2`` bytes.  Source: design page, section 1 (the kernel as a Gaussian process).
    """
    draws = _prepare(net, z, key, seeds, init, allowed_bytes(memory_limit))

    def sample(params: Any) -> np.ndarray:
        drawn = functional(net, params, z)
        with jax.default_matmul_precision("highest"):
            f = np.asarray(_output(drawn.embedded, drawn.leaves), np.float64)
        return np.outer(f, f).T

    return _average(sample, draws)


@functools.partial(jax.jit, static_argnums=0)
def _output(embedded: Embedded, leaves: list[Array]) -> Float[Array, " n"]:
    return embedded(leaves)


class _Draws(NamedTuple):
    """Networks to be drawn, and the space of their images."""

    draw: Init
    keys: Array
    space: Space
    name: str


def _prepare(
    net: Net,
    z: Any,
    key: Array,
    seeds: int,
    init: Init | None,
    limit: int,
    rates: dict[str, float] | None = None,
    input_rate: float = 0.0,
) -> _Draws:
    """Find all that can be wrong, on the first network."""
    if seeds < 2:
        raise ValueError(
            f"a standard error needs at least 2 seeds, and about 16 to be trusted; got {seeds}"
        )
    if init is None and not isinstance(net, ImageNetwork):
        raise ValueError(
            "only a description of a network knows how to draw its parameters; give init, for a "
            "module lambda key: nnx.state(Module(rngs=nnx.Rngs(key)), nnx.Param)"
        )

    def draw(key: Array) -> Any:
        params = init(key) if init is not None else net.init(z, key=key)  # type: ignore[union-attr]
        if params is None:
            # A module would quietly keep its own parameters for every seed.
            raise ValueError("init draws parameters from a key; it returned None")
        return params

    keys = jax.random.split(key, seeds)
    first = functional(net, draw(keys[0]), z, rates, input_rate)
    require_memory(
        24 * first.space.real_size**2,
        f"mean, standard error and one kernel of {first.name} on {first.space}",
        limit,
        "use a smaller image",
    )
    return _Draws(draw, keys, first.space, first.name)


def _average(sample: Callable[[Any], np.ndarray], draws: _Draws) -> MonteCarloKernel:
    n, seeds = draws.space.real_size, len(draws.keys)
    # The empirical kernel's layout: sums of arrays of two layouts are slow.
    mean, spread = np.zeros((n, n), order="F"), np.zeros((n, n), order="F")
    for count, key in enumerate(track(draws.keys, f"{draws.name}: seeds"), 1):
        # No name is kept for the sample, so that it is gone before the next one is made.
        _include(sample(draws.draw(key)), mean, spread, count)
    spread /= seeds * (seeds - 1)
    np.sqrt(spread, out=spread)
    return MonteCarloKernel(DenseKernel(mean, draws.space), spread, seeds)


def _include(W: np.ndarray, mean: np.ndarray, spread: np.ndarray, count: int) -> None:
    """Welford's update with sample number ``count``; ``W`` is used up as the only scratch."""
    W -= mean
    W /= count
    mean += W
    W *= W
    W *= count * (count - 1)
    spread += W
