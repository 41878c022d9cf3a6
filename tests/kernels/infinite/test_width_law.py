"""Analytic kernels against finite networks: their mean, and how fast one network nears it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
import pytest

from ntkdip import kernels, networks
from ntkdip.kernels import pixel_kernels

pytestmark = pytest.mark.slow


class Case(NamedTuple):
    """A family of networks by width, and the shape of its input."""

    family: Callable[[int], networks.Architecture]
    input_shape: tuple[int, ...]


decoder = functools.partial(
    networks.deep_decoder, blocks=2, complex_image=False, normalisation=False
)
cnn = functools.partial(networks.wide_cnn, depth=3, complex_image=False)

CASES = {
    "decoder-1d": Case(decoder, (8, 16)),
    "decoder-2d": Case(functools.partial(decoder, upsampling="circular"), (2, 2, 16)),
    "wcnn-1d": Case(functools.partial(cnn, kernel_size=5), (28, 2)),
    "wcnn-2d": Case(functools.partial(cnn, padding="zero"), (5, 6, 2)),
}
"""Images of 32, 8 x 8, 28 and 5 x 6 pixels; both linear upsamplings, two paddings."""

WIDTHS = (32, 96, 288)
SEEDS = 64


def samples(net: networks.Architecture, z: jax.Array, key: jax.Array, seeds: int) -> np.ndarray:
    """Empirical NTKs of independent networks, (seeds, q, q)."""
    draws = (net.init(z, key=k) for k in jax.random.split(key, seeds))
    return np.stack([kernels.empirical(net, params, z).dense() for params in draws])


def standard_error(values: np.ndarray) -> np.ndarray:
    return values.std(axis=0, ddof=1) / math.sqrt(len(values))


def typical_distance(found: np.ndarray, exact: np.ndarray) -> float:
    """Geometric mean over networks of the relative Frobenius distance."""
    distances = np.linalg.norm(found - exact, axis=(1, 2)) / np.linalg.norm(exact)
    return float(np.exp(np.log(distances).mean()))


def measure(case: Case, key: jax.Array) -> tuple[float, dict[str, float], float]:
    """Exponent against width; at the largest, the mean in standard errors, and the relative one."""
    z = jax.random.normal(jax.random.key(7), case.input_shape)
    exact = np.asarray(pixel_kernels(case.family(1), z).ntk, np.float64)
    distances = []
    for width in WIDTHS:
        found = samples(case.family(width), z, jax.random.fold_in(key, width), SEEDS)
        distances.append(typical_distance(found, exact))
    exponent = np.polyfit(np.log(WIDTHS), np.log(distances), 1)[0]
    apart = found - exact
    error = np.linalg.norm(standard_error(apart))
    traces, totals = np.trace(apart, axis1=1, axis2=2), apart.sum((1, 2))
    scores = {
        "norm": np.linalg.norm(apart.mean(0)) / error,
        "trace": traces.mean() / standard_error(traces),
        "total": totals.mean() / standard_error(totals),
    }
    return exponent, scores, error / np.linalg.norm(exact)


@pytest.mark.parametrize("name", CASES)
def test_networks_near_the_analytic_kernel_as_they_widen(name: str) -> None:
    exponent, scores, error = measure(CASES[name], jax.random.key(0))
    # Measured over base keys 0 to 7 (theory: -1/2): Deep Decoder -0.447 to -0.557 in 1D and
    # -0.475 to -0.542 in 2D, WCNN -0.475 to -0.522 in 1D and -0.468 to -0.529 in 2D.
    assert -0.6 <= exponent <= -0.4
    # Measured over the same: norm 0.4 to 1.7, trace and total -1.6 to 2.3 with mean 0.2.
    assert all(abs(score) <= 3 for score in scores.values()), scores
    # The bar tells something: one standard error is 1.2 to 2.2 % of the kernel.  The bias of
    # a finite width, of order 1 / width, is still hidden behind it.
    assert error <= 0.025
