from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from ntkdip import spectrum
from tests.spectrum.kernels import MatrixFree, stationary


def test_an_exact_power_law_is_found() -> None:
    values = 3.0 * np.arange(1, 51) ** -2.5
    fit = spectrum.fit_power_law(values)
    assert fit.exponent == pytest.approx(2.5, rel=1e-12)
    assert fit.prefactor == pytest.approx(3.0, rel=1e-12)
    assert fit.standard_error < 1e-12
    assert fit.r_squared == pytest.approx(1.0)
    assert (fit.first, fit.last) == (1, 50)
    np.testing.assert_allclose(fit(np.array([1.0, 7.0, 50.0])), values[[0, 6, 49]])


def test_only_the_stated_ranks_are_fitted() -> None:
    i = np.arange(1.0, 41)
    values = np.where(i <= 10, i**-1.0, 10**2.0 * i**-3.0)
    assert spectrum.fit_power_law(values, 1, 10).exponent == pytest.approx(1)
    tail = spectrum.fit_power_law(values, 11, 40)
    assert tail.exponent == pytest.approx(3)
    assert tail.prefactor == pytest.approx(100)
    assert spectrum.fit_power_law(values).r_squared < 0.99


def test_a_noisy_fit_is_the_regression_of_scipy() -> None:
    values = np.sort(np.arange(1.0, 31) ** -2 * np.random.default_rng(0).uniform(0.5, 2, 30))[::-1]
    fit = spectrum.fit_power_law(values, 3, 28)
    expected = scipy.stats.linregress(np.log(np.arange(3, 29)), np.log(values[2:28]))
    assert fit.exponent == pytest.approx(-expected.slope, rel=1e-10)
    assert fit.prefactor == pytest.approx(np.exp(expected.intercept), rel=1e-10)
    assert fit.standard_error == pytest.approx(expected.stderr, rel=1e-10)
    assert fit.r_squared == pytest.approx(expected.rvalue**2, rel=1e-10)


def test_leading_eigenvalues_of_a_matrix_free_kernel() -> None:
    q = 32
    k = np.abs(np.fft.fftfreq(q, 1 / q))
    W = stationary((1 + k) ** -2.0, False)
    expected = spectrum.fit_power_law(W.eigh()[0][:12], 3, 12)
    found = spectrum.fit_power_law(MatrixFree(W).eigh(12)[0], 3, 12)
    assert found.exponent == pytest.approx(expected.exponent, rel=1e-9)
    np.testing.assert_allclose(np.sort((1 + k) ** -2.0)[::-1], W.eigh()[0], atol=1e-14)


def test_a_flat_spectrum_has_no_explained_variance() -> None:
    fit = spectrum.fit_power_law(np.full(10, 0.3))
    assert fit.exponent == pytest.approx(0.0, abs=1e-14)
    assert np.isnan(fit.r_squared)


def test_refusals_name_the_remedy() -> None:
    with pytest.raises(ValueError, match=r"rank 4 holds 0.*choose last <= 3"):
        spectrum.fit_power_law(np.array([1.0, 0.5, 0.1, 0.0, -1e-17]))
    with pytest.raises(ValueError, match="at least three ranks within 1 to 5; got first=4, last=5"):
        spectrum.fit_power_law(np.ones(5), 4)
    with pytest.raises(ValueError, match="first=0"):
        spectrum.fit_power_law(np.ones(5), 0)
    with pytest.raises(ValueError, match="last=9"):
        spectrum.fit_power_law(np.ones(5), 1, 9)
    with pytest.raises(ValueError, match="must fall"):
        spectrum.fit_power_law(np.arange(1.0, 6.0))
