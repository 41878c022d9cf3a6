"""Networks of the 1D square signal: predicted and trained, one network and input at a time.

Both networks of the design page's reference problem (section 1), each with every input:

- ``random``: `CHANNELS` channels of noise with mean 0 and variance 1
  (`ntkdip.networks.random_input`).
- ``zero-filled``: the zero-filled image ``A* y``.
- ``self-guided``: the image that `ntkdip.theory.self_guidance` chooses without the truth, with
  the same network's infinitely wide kernel; its limit is one more iteration, without a ridge.
- ``reference``: another contrast of the same object (`reference_scan`) and a channel of ones.
  It has the true edges exactly where they are, and one that the truth does not have.
- ``bare reference``: the same without the ones.  Networks without biases are homogeneous,
  ``f(c z) = c f(z)``: what they make of two flat parts keeps the ratio that these have in the
  input, so that another contrast has to be told from a constant first.

A WCNN takes an image as it is.  A Deep Decoder is made for noise on its coarse grid; an image
enters it cell by cell, the 16 pixels of a coarse cell as that cell's channels.  This is ours.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from ntkdip import kernels, metrics, networks, spectrum, theory
from ntkdip.studies.comparison import LEADING, train_centred
from ntkdip.studies.width import reference_problem, reference_wcnn

DECODER, WCNN = "Deep Decoder", "WCNN"
RANDOM, ZERO_FILLED, GUIDED = "random", "zero-filled", "self-guided"
REFERENCE, BARE = "reference", "bare reference"
INPUTS = (RANDOM, ZERO_FILLED, GUIDED, REFERENCE, BARE)

CHANNELS = 128
"""Of the random input."""

RIDGE = 1e-10
"""Of self-guidance, over the mean eigenvalue of ``W``: larger ones stall earlier."""

RANK_TOLERANCE = 1e-10
"""Eigenvalues of ``W`` below so much of the largest do not count towards its rank."""

HORIZON = np.unique(np.round(np.geomspace(1, 1e8, 90)))
"""Iterations of the predicted curve."""

RECORDS = 25
"""Of a training."""


@dataclasses.dataclass(frozen=True)
class Given:
    """A network, an input and what decides both."""

    network: str
    """`DECODER` or `WCNN`."""
    input: str
    """One of `INPUTS`."""
    mask: int
    """Seed of the mask."""
    seed: int
    """Of the random input, and of a finite network's weights."""
    guidance: int
    """Iterations of self-guidance, at most."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finite network and its training."""

    given: Given
    width: int
    """Channels."""
    steps: int
    """Of gradient descent."""


def architecture(name: str, width: int) -> networks.Architecture:
    """The Deep Decoder (16 pixels, 4 blocks, no normalisation, circular upsampling) or WCNN."""
    if name == WCNN:
        return reference_wcnn(width)
    return networks.deep_decoder(
        width, 4, complex_image=False, normalisation=False, upsampling="circular"
    )


def reference_scan(truth: Float64[np.ndarray, " q"]) -> Float64[np.ndarray, " q"]:
    """Another contrast of the same object: of its support, the second half at half the level."""
    support = np.flatnonzero(truth)
    scan = truth.copy()
    scan[support[support.size // 2 :]] *= 0.5
    return scan


def network_input(given: Given) -> Array | Float64[np.ndarray, "pixels channels"]:
    """The input as the module's docstring defines it: ``(256, c)``, of a decoder ``(16, 16 c)``."""
    truth, _, _, zero_filled = reference_problem(given.mask)
    # Neither an input nor an infinitely wide kernel depends on the width.
    net = architecture(given.network, 1)
    if given.input == RANDOM:
        key = jax.random.key(given.seed)
        return networks.random_input(net, truth.shape, CHANNELS, key=key)
    if given.input == ZERO_FILLED:
        return _cells(net, zero_filled)
    if given.input == GUIDED:
        return _cells(net, _guided(given.network, given.mask, given.guidance))
    scan = reference_scan(truth)
    return _cells(net, scan) if given.input == BARE else _cells(net, scan, np.ones_like(scan))


@functools.cache
def _guided(network: str, mask: int, iterations: int) -> Float64[np.ndarray, " q"]:
    """Kept, because the kernel and every trained network of a mask see the same image."""
    _, A, y, _ = reference_problem(mask)
    net = architecture(network, 1)
    run = theory.self_guidance(
        lambda z: kernels.analytic(net, _cells(net, z)), A, y, ridge=RIDGE, iterations=iterations
    )
    return run.image


def _cells(
    net: networks.Architecture, *images: Float64[np.ndarray, " q"]
) -> Float64[np.ndarray, "pixels channels"]:
    (coarse,) = net.input_shape(images[0].shape)
    return np.stack(images, axis=-1).reshape(coarse, -1)


def predict(given: Given) -> dict[str, Any]:
    """The infinitely wide network: its kernel, its limit and the way there.

    Returns
    -------
    ``limit`` (256,); ``limit_rmse`` and ``zero_filled_rmse``; ``rmse`` (T,) at `HORIZON`;
    ``rank``; ``coherence``, how strongly the kernel couples frequencies
    (`ntkdip.spectrum.KernelContent.mean_coherence`); and the fields of
    `ntkdip.spectrum.EigenvectorContent` of the leading eigenvectors, up to the rank and
    `LEADING`.  A second, and a tenth for each iteration of self-guidance.
    """
    truth, A, y, zero_filled = reference_problem(given.mask)
    W = kernels.analytic(architecture(given.network, 1), network_input(given))
    regime = theory.KernelRegime(W, A)
    values, vectors = W.eigh()
    rank = int(np.sum(values > RANK_TOLERANCE * values[0]))
    content = spectrum.eigenvector_content(vectors[:, : min(rank, LEADING)], W.space)
    limit = regime.limit(y)
    return {
        "limit": limit,
        "limit_rmse": metrics.rmse(limit, truth),
        "zero_filled_rmse": metrics.rmse(zero_filled, truth),
        "rmse": _rmses(regime.trajectory(y, HORIZON), truth),
        "rank": rank,
        "coherence": spectrum.kernel_content(W).mean_coherence,
    } | content._asdict()


def train(settings: Trained) -> dict[str, Any]:
    """A finite, centred network under gradient descent, and what its own kernel predicts.

    Returns
    -------
    ``step``, ``predicted`` and ``trained`` (T,), the RMSE of both there; ``image`` (256,), the
    last trained one; ``distance``, relative, from it to the last predicted one;
    ``limit_rmse`` of the network's own kernel; ``zero_filled_rmse``.
    """
    given = settings.given
    truth, A, y, zero_filled = reference_problem(given.mask)
    net = architecture(given.network, settings.width)
    z = jnp.asarray(network_input(given), jnp.float32)
    params = net.init(z, key=jax.random.key(given.seed))
    regime = theory.KernelRegime(kernels.empirical(net, params, z), A)
    record_at = np.unique(np.round(np.geomspace(1, settings.steps, RECORDS)))
    run = train_centred(net, params, z, A, y, regime.step_size, record_at, net.name)
    predicted = regime.trajectory(y, run.steps)
    return {
        "step": run.steps,
        "predicted": _rmses(predicted, truth),
        "trained": _rmses(run.images, truth),
        "image": run.images[-1],
        "distance": metrics.relative_distance(run.images[-1], predicted[-1]),
        "limit_rmse": metrics.rmse(regime.limit(y), truth),
        "zero_filled_rmse": metrics.rmse(zero_filled, truth),
    }


def _rmses(images: Float[np.ndarray, "T q"], truth: np.ndarray) -> Float64[np.ndarray, " T"]:
    return np.array([metrics.rmse(image, truth) for image in images])
