"""Spectral densities against the smoothed eigenvalues of LAPACK."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip.kernels import DenseKernel, Estimate
from ntkdip.spaces import Space
from ntkdip.spectrum import spectral_density
from tests.kernels.matrices import Single, with_spectrum

N = 60
VALUES = np.geomspace(1e-2, 1.0, N)
W = with_spectrum(VALUES)
KEYS = [jax.random.key(seed) for seed in range(30)]


def _bells(values: np.ndarray, axis: np.ndarray, width: float) -> np.ndarray:
    bells = np.exp(-((axis[:, None] - values) ** 2) / (2 * width**2))
    return bells.sum(1) / (len(values) * width * np.sqrt(2 * np.pi))


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_density_and_its_error(scale: str) -> None:
    grid = np.linspace(0.05, 0.95, 7) if scale == "linear" else np.geomspace(2e-2, 1, 7)
    width = 0.1 if scale == "linear" else 0.5
    change = np.log if scale == "log" else np.asarray
    exact = _bells(change(VALUES), change(grid), width)
    found = [
        spectral_density(W, key=key, probes=16, order=24, grid=grid, scale=scale, width=width)
        for key in KEYS
    ]
    sigmas = np.array([(d.density - exact) / d.standard_error for d in found])
    assert (np.mean(np.abs(sigmas) < 1, axis=0) > 0.45).all()
    assert (np.mean(np.abs(sigmas) < 1, axis=0) < 0.88).all()
    assert np.mean(np.abs(sigmas) < 4) > 0.97


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_density_counts_every_eigenvalue_once(scale: str) -> None:
    grid = np.linspace(-0.5, 1.5, 400) if scale == "linear" else np.geomspace(1e-6, 1e2, 400)
    found = spectral_density(W, key=KEYS[0], order=N, grid=grid, scale=scale)
    axis = np.log(grid) if scale == "log" else grid
    assert np.trapezoid(found.density, axis) == pytest.approx(1, abs=1e-3)
    assert found.width == pytest.approx((axis[-1] - axis[0]) / 20)
    assert found.below == Estimate(0.0, 0.0, 0.0, 16 * N)


def test_what_a_log_axis_cannot_show_is_counted() -> None:
    values = np.append(np.zeros(45), np.linspace(0.5, 1.0, 15))
    found = spectral_density(with_spectrum(values), key=KEYS[0], probes=64)
    assert found.grid[0] == pytest.approx(1e-7)
    assert found.grid[-1] == pytest.approx(2)
    assert abs(found.below.value - 0.75) < 4 * found.below.standard_error
    assert 0 < found.below.standard_error < 0.02
    shown = np.trapezoid(found.density, np.log(found.grid))
    # Half of a bell's width at the upper end may lie beyond the grid.
    assert shown == pytest.approx(1 - found.below.value, abs=0.06)


def test_the_identity_is_one_bell() -> None:
    found = spectral_density(
        DenseKernel(np.eye(N), Space((N,), False)), key=KEYS[0], scale="linear", width=0.2
    )
    np.testing.assert_allclose(found.density, _bells(np.ones(1), found.grid, 0.2), rtol=1e-9)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-12)
    np.testing.assert_allclose(found.truncation_error, 0, atol=1e-12)


@pytest.mark.parametrize("order", [6, 12, 24])
@pytest.mark.parametrize("lowest", [1e-2, 1e-5])
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_truncation_error_covers_the_truncation(order: int, lowest: float, scale: str) -> None:
    """The same probes, iterated to the end, differ by the truncation alone."""
    V = with_spectrum(np.geomspace(lowest, 1.0, N))
    grid = np.linspace(0, 1, 40) if scale == "linear" else np.geomspace(lowest, 1, 40)
    short, whole = (
        spectral_density(V, key=KEYS[0], probes=8, order=m, grid=grid, scale=scale)
        for m in (order, N)
    )
    error = np.abs(short.density - whole.density)
    assert (error <= 1.5 * short.truncation_error + 1e-9).all()
    assert short.truncation_error.max() < 5 * whole.density.max()
    share = abs(short.below.value - whole.below.value)
    assert share <= short.below.truncation_error + 1e-9


def test_a_finer_iteration_has_a_smaller_truncation_error() -> None:
    errors = [
        spectral_density(W, key=KEYS[0], probes=4, order=m).truncation_error.max()
        for m in (10, 20, 30, N)
    ]
    assert (np.diff(errors) < 0).all()
    assert errors[-1] < 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, "width is a positive number"),
        ({"grid": np.array([1.0, 1.0])}, "do not rise"),
        ({"grid": np.array([1.0, np.nan])}, "do not rise"),
        ({"grid": np.array([1.0, np.inf])}, "not finite"),
        ({"grid": np.array([0.0, 1.0])}, r"starts at 0.*scale='linear'"),
        ({"order": 1}, r"2 to 60.*got 1"),
        ({"probes": 1}, r"at least 2 probes.*got 1"),
    ],
)
def test_senseless_requests_cost_nothing(options: dict, message: str) -> None:
    single = Single(W)
    with pytest.raises(ValueError, match=message):
        spectral_density(single, **{"key": KEYS[0], **options})
    assert single.products == 0


def test_a_zero_kernel_has_no_grid() -> None:
    with pytest.raises(ValueError, match=r"the kernel is zero.*pass grid="):
        spectral_density(with_spectrum(np.zeros(N)), key=KEYS[0])
