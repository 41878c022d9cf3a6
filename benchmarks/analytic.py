"""The family ``analytic``: infinite-width kernels in closed form.  Builds both sides of a case."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

from benchmarks import stax_peer
from benchmarks.cases import Case
from benchmarks.empirical import KEY
from benchmarks.measure import Side
from ntkdip import kernels, networks
from ntkdip.kernels.infinite.stationary import stationary

CHECKED = 8
"""Pixels a side at which a spectrum is checked."""


def network(case: Case) -> tuple[networks.Architecture, jax.Array]:
    """The case's architecture and its input, float32."""
    key = jax.random.key(KEY)
    if case.network == "deep_decoder":
        net = networks.deep_decoder(
            case.width[0], case.depth, complex_image=False, normalisation=False
        )
        return net, networks.decoder_input(net, case.shape, case.inputs, key=key)
    net = networks.wide_cnn(case.width[0], case.depth, 3, complex_image=False, padding=case.padding)
    return net, jax.random.normal(key, (*case.shape, case.inputs))


def ours(case: Case) -> Side:
    """Our kernel of the case as its user gets it: a `DenseKernel`, float64."""
    net, z = network(case)
    return Side(lambda: kernels.analytic(net, z, precision=case.precision), lambda W: W.matrix)


def peer(case: Case) -> Side:
    """The kernel of `neural_tangents.stax` for the same network and input."""
    return stax_peer.kernel(case, network(case)[1])


def export(case: Case, folder: Path) -> None:
    """Write the case for a Python without ntkdip (`benchmarks.stax_peer.load`)."""
    stax_peer.save(folder, case, network(case)[1])


def spectrum(case: Case) -> Callable[[], np.ndarray]:
    """The whole spectrum of the stationary kernel for white input, kernel included."""
    net, _ = network(case)
    return lambda: stationary(net, case.shape, "white").eigenvalues()


def spectrum_error(case: Case) -> float:
    """Relative distance of a small spectrum to that of the dense kernel of the same network.

    As many channels as pixels, each of them one pixel, are white input.
    """
    small = dataclasses.replace(case, shape=(CHECKED,) * len(case.shape))
    net, _ = network(small)
    q = math.prod(small.shape)
    white = math.sqrt(q) * np.eye(q).reshape(*small.shape, q)
    dense = np.linalg.eigvalsh(kernels.analytic(net, white).dense())[::-1]
    return float(np.linalg.norm(spectrum(small)() - dense) / np.linalg.norm(dense))
