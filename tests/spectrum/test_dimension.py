from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from ntkdip import spectrum
from tests.spectrum.kernels import CASES, random


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_all_eigenvalues_give_the_traces(shape, is_complex) -> None:
    W = random(shape, is_complex)
    matrix = W.dense()
    mu = np.array([1e-3, 1.0, 50.0])
    traces = [np.trace(scipy.linalg.solve(matrix + m * np.eye(len(matrix)), matrix)) for m in mu]
    dimension = spectrum.effective_dimension(W.eigh()[0], mu)
    np.testing.assert_allclose(dimension.lower, traces, rtol=1e-9)
    np.testing.assert_array_equal(dimension.lower, dimension.upper)
    ratio = spectrum.participation_ratio(W.eigh()[0])
    expected = np.trace(matrix) ** 2 / np.sum(matrix**2)
    assert float(ratio.lower) == pytest.approx(expected)
    assert float(ratio.upper) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [0.0, 0.5, 2.0, 6.0])
@pytest.mark.parametrize("k", [1, 5, 39])
def test_bounds_hold_and_the_trace_narrows_them(decay, k) -> None:
    values = np.arange(1, 41) ** -decay
    mu = np.logspace(-8, 2, 11)
    for measure in (lambda *a, **o: spectrum.effective_dimension(a[0], mu, **o),
                    spectrum.participation_ratio):  # fmt: skip
        exact = measure(values).lower
        wide = measure(values[:k], size=40)
        narrow = measure(values[:k], size=40, trace=values.sum())
        slack = 1e-9 * exact
        assert (wide.lower <= narrow.lower + slack).all()
        assert (narrow.lower <= exact + slack).all()
        assert (exact <= narrow.upper + slack).all()
        assert (narrow.upper <= wide.upper + slack).all()
        if decay == 0:
            np.testing.assert_allclose(narrow.lower, exact)
            np.testing.assert_allclose(narrow.upper, exact)
        if k == 39:
            np.testing.assert_allclose(narrow.upper, exact)


def test_equal_eigenvalues_are_counted() -> None:
    values = np.r_[np.full(7, 2.0), np.zeros(9)]
    assert float(spectrum.participation_ratio(values).lower) == pytest.approx(7)
    assert float(spectrum.effective_dimension(values, 2.0).lower) == pytest.approx(3.5)
    assert float(spectrum.effective_dimension(values, 1e-9).lower) == pytest.approx(7)


def test_rounding_below_zero_counts_as_zero() -> None:
    values = np.array([1.0, 0.5, 1e-17, -1e-14])
    assert float(spectrum.effective_dimension(values, 1e-13).lower) == pytest.approx(2, abs=1e-3)


def test_refusals_name_the_remedy() -> None:
    values = np.array([3.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="mu must be positive"):
        spectrum.effective_dimension(values, 0.0)
    with pytest.raises(ValueError, match="positive semidefinite; got an eigenvalue of -1"):
        spectrum.effective_dimension(np.array([3.0, -1.0]), 1.0)
    with pytest.raises(ValueError, match="got 3 eigenvalues of a kernel of size 2"):
        spectrum.effective_dimension(values, 1.0, size=2)
    for trace in (5.9, 8.1):
        with pytest.raises(ValueError, match="the 2 that are left add at most 2"):
            spectrum.participation_ratio(values, size=5, trace=trace)
    with pytest.raises(ValueError, match="zero kernel"):
        spectrum.participation_ratio(np.zeros(3))
    with pytest.raises(ValueError, match="must fall"):
        spectrum.participation_ratio(values[::-1])
