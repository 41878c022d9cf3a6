"""Lanczos and its quadrature against LAPACK on the whole matrix."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip.kernels.lanczos import Tridiagonal, lanczos
from tests.kernels.matrices import with_spectrum

N = 30
VALUES = np.geomspace(1e-3, 1.0, N)
W = with_spectrum(VALUES)
START = np.random.default_rng(2).standard_normal(N)


def _form(power: float) -> float:
    """``z^T W^power z / z^T z`` from LAPACK."""
    values, vectors = W.eigh()
    weights = (vectors.T @ START) ** 2
    return float(values**power @ weights / weights.sum())


def test_the_whole_space_holds_the_whole_spectrum() -> None:
    T = lanczos(lambda v: W @ v, START, N)
    nodes, weights = T.quadrature()
    np.testing.assert_allclose(nodes, VALUES, rtol=1e-9)
    np.testing.assert_allclose(weights @ np.sqrt(nodes), _form(0.5), rtol=1e-12)
    assert T.offdiagonal[-1] == 0


@pytest.mark.parametrize("order", [1, 2, 4])
def test_gauss_and_radau_are_exact_for_their_polynomials(order: int) -> None:
    T = lanczos(lambda v: W @ v, START, order)
    for (nodes, weights), degree in ((T.quadrature(), 2 * order - 1), (T.radau(0.0), 2 * order)):
        moments = [weights @ nodes**power for power in range(degree + 1)]
        np.testing.assert_allclose(moments, [_form(p) for p in range(degree + 1)], rtol=1e-11)
        assert weights @ nodes ** (degree + 1) != pytest.approx(_form(degree + 1), rel=1e-11)
    assert T.radau(0.0)[0][0] == pytest.approx(0, abs=1e-14)


def test_a_shorter_iteration_is_a_part_of_the_longer() -> None:
    longer, shorter = (lanczos(lambda v: W @ v, START, m) for m in (9, 4))
    for part, whole in zip(longer.leading(4), shorter, strict=True):
        np.testing.assert_allclose(part, whole, rtol=1e-12)


def test_an_invariant_space_ends_the_iteration() -> None:
    low = with_spectrum(np.append(np.zeros(N - 2), [1.0, 2.0]))
    T = lanczos(lambda v: low @ v, START, 10)
    assert len(T.diagonal) == 3
    np.testing.assert_allclose(T.quadrature()[0], [0, 1, 2], atol=1e-12)
    np.testing.assert_array_equal(T.radau(-1.0)[0], T.quadrature()[0])
    zero = lanczos(np.zeros_like, START, 5)
    assert zero == Tridiagonal(np.zeros(1), np.zeros(1))
