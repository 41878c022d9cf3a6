"""Drift and alignment against their definitions, written out on dense matrices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip.kernels import DenseKernel, alignment, drift, estimated_drift
from ntkdip.spaces import Space
from tests.kernels.matrices import Single, with_spectrum

N = 150  # two blocks of columns and a part
W_0 = with_spectrum(1 / np.arange(1.0, N + 1))
W_T = with_spectrum(1 / np.arange(1.0, N + 1) ** 2, seed=1)
COMPLEX = DenseKernel(with_spectrum(np.arange(1.0, 13)).matrix, Space((2, 3), True))
IMAGE = np.random.default_rng(5).standard_normal((2, 3)) + 1j


def test_drift_is_the_ratio_of_norms() -> None:
    exact = np.linalg.norm(W_T.matrix - W_0.matrix) / np.linalg.norm(W_0.matrix)
    assert drift(W_T, W_0) == pytest.approx(exact, rel=1e-12)
    assert drift(Single(W_T), W_0) == pytest.approx(exact, rel=1e-6)
    assert drift(W_0, W_0) == 0
    assert drift(Single(W_0), W_0) < 1e-6


def test_drift_knows_its_direction() -> None:
    assert drift(DenseKernel(3 * W_0.matrix, W_0.space), W_0) == pytest.approx(2)
    assert drift(W_0, DenseKernel(3 * W_0.matrix, W_0.space)) == pytest.approx(2 / 3)


def test_estimated_drift_covers_the_exact_one() -> None:
    """The interval of one standard error holds it in about 2 of 3 draws, not in nearly all."""
    exact = drift(W_T, W_0)
    draws = [estimated_drift(W_T, W_0, key=jax.random.key(s), probes=24) for s in range(150)]
    errors = np.array([(d.value - exact) / d.standard_error for d in draws])
    assert 0.55 < np.mean(np.abs(errors) < 1) < 0.8
    assert np.mean(np.abs(errors) < 4) > 0.97
    assert draws[0].products == 48


def test_estimated_drift_is_exact_for_multiples() -> None:
    found = estimated_drift(
        DenseKernel(1.5 * W_0.matrix, W_0.space), W_0, key=jax.random.key(0), probes=2
    )
    assert found.value == pytest.approx(0.5)
    assert found.standard_error < 1e-12


def test_alignment_is_the_inner_product_of_matrices() -> None:
    x = np.concatenate([IMAGE.real.ravel(), IMAGE.imag.ravel()])
    target = np.outer(x, x)
    exact = np.sum(COMPLEX.matrix * target) / np.linalg.norm(COMPLEX.matrix)
    exact /= np.linalg.norm(target)
    assert alignment(COMPLEX, IMAGE) == pytest.approx(exact, rel=1e-12)
    assert alignment(Single(COMPLEX), IMAGE) == pytest.approx(exact, rel=1e-5)
    assert alignment(COMPLEX, jnp.asarray(IMAGE)) == pytest.approx(exact, rel=1e-5)
    assert alignment(COMPLEX, -1e-100 * IMAGE) == pytest.approx(exact, rel=1e-12)


def test_alignment_is_one_for_the_target_itself_and_zero_for_its_complement() -> None:
    x = COMPLEX.space.embed(IMAGE)
    assert alignment(DenseKernel(7 * np.outer(x, x), COMPLEX.space), IMAGE) == pytest.approx(1)
    projector = np.eye(12) - np.outer(x, x) / (x @ x)
    assert abs(alignment(DenseKernel(projector, COMPLEX.space), IMAGE)) < 1e-15
    identity = DenseKernel(np.eye(12), COMPLEX.space)
    assert alignment(identity, IMAGE) == pytest.approx(1 / np.sqrt(12))
    assert alignment(COMPLEX, IMAGE) < 0.99


def test_what_cannot_be_compared_is_refused() -> None:
    zero = DenseKernel(np.zeros((12, 12)), COMPLEX.space)
    other = DenseKernel(COMPLEX.matrix, Space((12,), False))
    key = jax.random.key(0)
    for measure in (drift, lambda a, b: estimated_drift(a, b, key=key)):
        with pytest.raises(ValueError, match=r"got R\^12 and C\^2x3"):
            measure(other, COMPLEX)
        with pytest.raises(ValueError, match="W_0 is zero"):
            measure(COMPLEX, zero)
        broken = Single(COMPLEX)
        broken.single[0, 0] = np.nan
        with pytest.raises(ValueError, match="W_t: 1"):
            measure(broken, COMPLEX)
    with pytest.raises(ValueError, match=r"at least 2 probes.*got 1"):
        estimated_drift(COMPLEX, COMPLEX, key=key, probes=1)
    with pytest.raises(ValueError, match="the image is zero"):
        alignment(COMPLEX, 0 * IMAGE)
    with pytest.raises(ValueError, match="W is zero"):
        alignment(zero, IMAGE)
    with pytest.raises(ValueError, match="image: 6 of 6"):
        alignment(COMPLEX, np.nan * IMAGE)
    with pytest.raises(ValueError, match="image: expected shape"):
        alignment(COMPLEX, IMAGE.T)
