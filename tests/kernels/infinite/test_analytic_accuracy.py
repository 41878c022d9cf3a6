"""Analytic kernels against neural-tangents, and both against 50 digits."""

from __future__ import annotations

import functools
import importlib.util

import mpmath
import numpy as np
import pytest

from ntkdip import kernels, networks
from tests.kernels.infinite.analytic_zoo import SHARED, WIDTH, hard_input

# As README.md says, without neural-tangents what needs it is skipped.
pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("neural_tangents", "frozendict"))),
    reason="neural-tangents is not installed",
)

BARS = {"float64": 1e-8, "float32": 1e-4}
"""Measured at most: 2.1e-9 and 4.8e-5, all of it neural-tangents' (below)."""


@functools.cache
def theirs(name, precision):
    net, shape, channels = SHARED[name]
    kernel_fn = networks.to_neural_tangents(net, len(shape))[2]
    z = hard_input(shape, channels)
    return networks.stax_pixel_kernels(kernel_fn, z, dtype=np.dtype(precision).type)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("precision", BARS)
def test_agrees_with_neural_tangents(name, precision) -> None:
    net, shape, channels = SHARED[name]
    z = hard_input(shape, channels)
    for kind, expected in theirs(name, precision)._asdict().items():
        W = kernels.analytic(net, z, kind=kind, precision=precision).dense()
        error = np.linalg.norm(W - expected) / np.linalg.norm(expected)
        assert error < BARS[precision]


def fifty_digits(z, depth, size, circular):
    """NNGP and NTK of a 1D WCNN by the recursion of the design page, in 50 digits."""
    n, channels = z.shape
    z = [[mpmath.mpf(float(v)) for v in row] for row in z]
    pairs = [(i, j) for i in range(n) for j in range(n)]
    K = {(i, j): mpmath.fsum(map(mpmath.fmul, z[i], z[j])) / channels for i, j in pairs}
    T = dict.fromkeys(pairs, mpmath.mpf(0))
    steps = range(-((size - 1) // 2), size // 2 + 1)

    def convolved(M):
        def at(i, j):
            if circular:
                return M[i % n, j % n]
            return M.get((i, j), mpmath.mpf(0))

        return {(i, j): mpmath.fsum(at(i + o, j + o) for o in steps) / size for i, j in pairs}

    for layer in range(depth):
        if layer:
            angle, root = {}, {}
            for i, j in pairs:
                g = mpmath.sqrt(K[i, i] * K[j, j])
                rho = max(min(K[i, j] / g, 1), -1) if g else mpmath.mpf(1)
                angle[i, j], root[i, j] = mpmath.acos(rho), g * mpmath.sqrt(1 - rho**2)
            slope = {p: (mpmath.pi - angle[p]) / mpmath.pi for p in pairs}
            K = {p: root[p] / mpmath.pi + slope[p] * K[p] for p in pairs}
            T = {p: T[p] * slope[p] for p in pairs}
        K, T = convolved(K), convolved(T)
        T = {p: T[p] + K[p] for p in pairs}
    return [np.array([[M[i, j] for j in range(n)] for i in range(n)]) for M in (K, T)]


def near(z):
    """Pixels that differ in the last digits only, and multiples of each other."""
    z = z.copy()
    z[1] = z[0] * (1 + 3e-7)
    z[2] = z[0] + 1e-6
    z[3] = -0.3 * z[0]
    return z


INPUTS = {
    "repeated-and-zero": hard_input((8,), 2),
    "one-channel": hard_input((8,), 1),
    "nearly-parallel": near(np.random.default_rng(5).normal(size=(8, 2))),
    "constant": np.full((8, 2), 0.7),
}


@pytest.mark.parametrize("precision", BARS)
@pytest.mark.parametrize("circular", [False, True], ids=["zero", "circular"])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("name", INPUTS)
def test_no_less_accurate_than_neural_tangents(name, size, circular, precision) -> None:
    net = networks.wide_cnn(
        WIDTH, 4, size, complex_image=False, padding="circular" if circular else "zero"
    )
    z = INPUTS[name].astype(precision)
    with mpmath.workdps(50):
        exact = fifty_digits(z, 4, size, circular)
    kernel_fn = networks.to_neural_tangents(net, 1)[2]
    others = networks.stax_pixel_kernels(kernel_fn, z, dtype=np.dtype(precision).type)
    for kind, truth, other in zip(("nngp", "ntk"), exact, others, strict=True):
        ours = kernels.analytic(net, z, kind=kind, precision=precision).dense()
        unit = np.finfo(precision).eps
        error, peers = (_error(W, truth) / unit for W in (ours, other))
        # Measured: ours 1 or 2 rounding units, theirs up to 1.5e7 (float64) in the NTK.  Both
        # lose half the digits where pixels differ in the last digits only.
        assert error <= max(peers, 8)


def _error(W, truth):
    """Largest error, relative to the largest entry, taken in 50 digits."""
    with mpmath.workdps(50):
        apart = max(abs(mpmath.mpf(float(w)) - t) for w, t in zip(W.flat, truth.flat, strict=True))
        return float(apart / max(map(abs, truth.flat)))
