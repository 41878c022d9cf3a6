"""Dual activations: what a nonlinearity does to the kernel of a wide layer.

For Gaussian pre-activations ``u, v`` with variances ``d1, d2`` and covariance ``K`` every
function here gives ``E[phi(u) phi(v)]`` and ``E[phi'(u) phi'(v)]``, which is its derivative
by ``K`` (Price's theorem).  Elementwise; ``d1`` and ``d2`` broadcast against ``K``.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkdip.networks import layers

Field = Float[Array, "..."]

ROUNDING = 4
"""Correlations of two pixels this many rounding units from 1 or -1 count as 1 or -1."""

ARCTAN = {
    "float32": (
        0.9999999993712282, -0.33333306893048514, 0.19998183041083206, -0.14239532669648974,
        0.10569828806414448, -0.06026305227658459,
    ),
    "float64": (
        1.0, -0.3333333333333312, 0.19999999999940893, -0.14285714279250245,
        0.11111110744919658, -0.09090896809064027, 0.07692045330902225, -0.06662951813629191,
        0.05846878297330872, -0.05035102456601552, 0.03796525745386593, -0.017805397205419446,
    ),
}  # fmt: skip
"""``arctan(sqrt(u)) / sqrt(u)`` for ``u`` up to ``(sqrt(2) - 1)^2``: interpolation at
Chebyshev nodes in 60 digits, to 6e-10 and 1e-18."""


def dual(layer: layers.Activation, K: Field, d1: Field, d2: Field) -> tuple[Field, Field]:
    """``E[phi phi]`` and ``E[phi' phi']`` of an activation.

    Finite everywhere, with finite derivatives: at correlations of exactly 1 and -1, and at
    zero variance, derivatives that do not exist are taken as 0.  Rectifiers use the atan2
    form, exact where ``K`` equals both variances.  float32 and float64.

    Source: Cho and Saul, "Kernel methods for deep learning" (NIPS 2009); Williams, "Computing
    with infinite networks" (NIPS 1996); Gaussian integrals.
    """
    match layer:
        case layers.ReLU():
            return _rectifier(0.0, K, d1, d2)
        case layers.LeakyReLU(slope):
            return _rectifier(slope, K, d1, d2)
        case layers.Abs():
            return _rectifier(-1.0, K, d1, d2)
        case layers.Erf():
            det = (1 + 2 * d1) * (1 + 2 * d2) - 4 * K**2
            root = jnp.sqrt(det)
            return 2 / math.pi * jnp.arctan2(2 * K, root), 4 / math.pi / root
        case layers.Sine(frequency, phase):
            square, mean = frequency**2, (d1 + d2) / 2
            near = jnp.exp(square * (K - mean)) / 2
            far = jnp.exp(-square * (K + mean)) * (math.cos(2 * phase) / 2)
            return near - far, square * (near + far)
        case layers.Gaussian(rate):
            det = (1 + 2 * rate * d1) * (1 + 2 * rate * d2) - 4 * rate**2 * K**2
            root = jnp.sqrt(det)
            return 1 / root, 4 * rate**2 * K / (det * root)


def _rectifier(slope: float, K: Field, d1: Field, d2: Field) -> tuple[Field, Field]:
    """``x`` where positive, ``slope * x`` where negative."""
    s, theta = _wedge(K, _geometric_mean(d1, d2))
    bent = (1 - slope) ** 2 / (2 * math.pi)
    derivative = bent * (math.pi - theta) + slope
    return bent * s + derivative * K, derivative


@jax.custom_jvp
def _geometric_mean(d1: Field, d2: Field) -> Field:
    """``sqrt(d1 d2)``: exactly ``d`` for ``d1 = d2 = d``; flat where it is zero."""
    return jnp.sqrt(d1 * d2)


@_geometric_mean.defjvp
def _geometric_mean_jvp(
    primals: tuple[Field, Field], tangents: tuple[Field, Field]
) -> tuple[Field, Field]:
    (d1, d2), (t1, t2) = primals, tangents
    g = _geometric_mean(d1, d2)
    return g, _ratio(d2 * t1 + d1 * t2, 2 * g)


@jax.custom_jvp
def _wedge(K: Field, g: Field) -> tuple[Field, Field]:
    """``s = sqrt(g^2 - K^2)`` and the angle ``arccos(K / g)`` between 0 and pi.

    What is within rounding of a correlation of 1 or -1 counts as such: there the angle,
    about ``sqrt(1 - rho^2)``, would magnify one unit in the last place to half the digits.
    """
    apart, sum_ = g - K, g + K
    least = ROUNDING * float(jnp.finfo(K.dtype).eps) * g
    s = jnp.where((apart > least) & (sum_ > least), jnp.sqrt(jnp.abs(apart * sum_)), 0)
    return s, _angle(s, K)


def _angle(s: Field, K: Field) -> Field:
    """``arctan2(s, K)`` for ``s >= 0``, to one unit in the last place or two.

    Own polynomials, because XLA calls the C library's function entry by entry on CPU, 20
    times slower than all the rest of a dual activation.
    """
    size = jnp.abs(K)
    larger, smaller = jnp.maximum(size, s), jnp.minimum(size, s)
    far = smaller > (math.sqrt(2) - 1) * larger
    below = jnp.where(far, smaller + larger, larger)
    t = jnp.where(far, smaller - larger, smaller) / jnp.where(below == 0, 1, below)
    square = t * t
    value = jnp.full_like(t, ARCTAN[K.dtype.name][-1])
    for coefficient in ARCTAN[K.dtype.name][-2::-1]:
        value = value * square + coefficient
    angle = t * value + jnp.where(far, math.pi / 4, 0)
    angle = jnp.where(s > size, math.pi / 2 - angle, angle)
    return jnp.where(K < 0, math.pi - angle, angle)


@_wedge.defjvp
def _wedge_jvp(
    primals: tuple[Field, Field], tangents: tuple[Field, Field]
) -> tuple[tuple[Field, Field], tuple[Field, Field]]:
    (K, g), (tK, tg) = primals, tangents
    s, theta = _wedge(K, g)
    return (s, theta), (_ratio(g * tg - K * tK, s), _ratio(_ratio(K * tg, g) - tK, s))


def _ratio(a: Field, b: Field) -> Field:
    """``a / b``, and 0 where ``b`` is 0."""
    return jnp.where(b == 0, 0, a / jnp.where(b == 0, 1, b))
