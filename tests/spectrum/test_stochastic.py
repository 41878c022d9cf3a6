"""Stochastic estimates against eigenvalues from LAPACK: values, and whether errors are honest."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip.kernels import DenseKernel, Estimate
from ntkdip.spaces import Space
from ntkdip.spectrum import log_determinant, trace
from tests.kernels.matrices import Single, with_spectrum

N = 60
VALUES = np.geomspace(1e-2, 1.0, N)
W = with_spectrum(VALUES)
SHIFT = 1e-2
LOG_DETERMINANT = np.log(VALUES + SHIFT).sum()
KEYS = [jax.random.key(seed) for seed in range(50)]


def _honest(estimates: list[Estimate], exact: float) -> None:
    """Errors as a normal law of the stated size has them: neither too small nor too large."""
    sigmas = np.array([(e.value - exact) / e.standard_error for e in estimates])
    assert 0.45 < np.mean(np.abs(sigmas) < 1) < 0.88
    assert np.abs(sigmas).max() < 4


def test_the_trace_and_its_error() -> None:
    estimates = [trace(W, key=key, probes=16) for key in KEYS]
    _honest(estimates, VALUES.sum())
    assert estimates[0].products == 16
    assert estimates[0].truncation_error == 0


def test_the_log_determinant_and_its_error() -> None:
    estimates = [log_determinant(W, SHIFT, key=key, probes=16, order=12) for key in KEYS]
    assert max(e.truncation_error for e in estimates) < 0.01 * estimates[0].standard_error
    _honest(estimates, LOG_DETERMINANT)


def test_more_probes_do_not_hide_what_a_short_iteration_leaves_out() -> None:
    found = log_determinant(W, SHIFT, key=KEYS[0], probes=400, order=4)
    error = abs(found.value - LOG_DETERMINANT)
    assert error < found.truncation_error + 4 * found.standard_error
    assert found.truncation_error > 4 * found.standard_error
    assert found.truncation_error < 0.2 * abs(LOG_DETERMINANT)


@pytest.mark.parametrize("order", [2, 5, 12, 30])
def test_the_truncation_error_is_a_bracket(order: int) -> None:
    """With the same probes the only difference to the whole iteration is the truncation."""
    short, whole = (log_determinant(W, SHIFT, key=KEYS[0], probes=8, order=m) for m in (order, N))
    assert abs(short.value - whole.value) <= short.truncation_error + 1e-9
    assert whole.truncation_error < 1e-9


def test_the_whole_iteration_gives_exact_quadratic_forms() -> None:
    signs = np.asarray(jax.random.rademacher(KEYS[1], (5, N)), float)
    values, vectors = W.eigh()
    forms = ((signs @ vectors) ** 2) @ np.log(values + SHIFT)
    found = log_determinant(W, SHIFT, key=KEYS[1], probes=5, order=N)
    assert found.value == pytest.approx(forms.mean(), rel=1e-11)
    assert found.standard_error == pytest.approx(forms.std(ddof=1) / np.sqrt(5), rel=1e-9)


def test_the_identity_has_no_variance() -> None:
    identity = DenseKernel(3 * np.eye(N), Space((5, 6), True))
    found = trace(identity, key=KEYS[0])
    assert found == Estimate(3.0 * N, 0.0, 0.0, 32)
    found = log_determinant(identity, 1.0, key=KEYS[0], probes=3, order=10)
    assert found.value == pytest.approx(N * np.log(4))
    assert found.standard_error == pytest.approx(0, abs=1e-12)
    assert found.truncation_error == pytest.approx(0, abs=1e-12)
    assert found.products == 3  # the space is invariant after one product


def test_a_singular_kernel_and_float32_products() -> None:
    values = np.append(np.zeros(N // 2), np.geomspace(1e-3, 1, N // 2))
    single = Single(with_spectrum(values))
    found = log_determinant(single, 1e-2, key=KEYS[0], probes=64)
    exact = np.log(values + 1e-2).sum()
    assert abs(found.value - exact) < 4 * found.standard_error + found.truncation_error
    assert found.products == single.products == 64 * 40
    assert (
        abs(trace(single, key=KEYS[0]).value - values.sum())
        < 4 * trace(single, key=KEYS[0]).standard_error
    )


@pytest.mark.parametrize(
    ("estimate", "options", "message"),
    [
        (trace, {"probes": 1}, "at least 2 probes.*got 1"),
        (log_determinant, {"shift": 0.0}, "shift is a positive number.*got 0.0"),
        (log_determinant, {"shift": np.nan}, "got nan"),
        (log_determinant, {"shift": 1.0, "order": 1}, "2 to 60.*got 1"),
        (log_determinant, {"shift": 1.0, "order": 61}, "got 61"),
        (log_determinant, {"shift": 1.0, "probes": 0}, "got 0"),
    ],
)
def test_senseless_requests_cost_nothing(estimate, options: dict, message: str) -> None:
    single = Single(W)
    with pytest.raises(ValueError, match=message):
        estimate(single, **{"key": KEYS[0], **options})
    assert single.products == 0


def test_a_kernel_that_is_not_psd_is_refused() -> None:
    with pytest.raises(ValueError, match=r"eigenvalue near -0.5.*use a shift above 5"):
        log_determinant(with_spectrum(np.append(-0.5, np.ones(9))), 0.1, key=KEYS[0], order=10)
    single = Single(W)
    single.single[0, 0] = np.nan
    with pytest.raises(ValueError, match="product with the kernel: 1 of 60"):
        trace(single, key=KEYS[0])
