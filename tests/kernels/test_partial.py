"""Leading eigenpairs from float32 products against LAPACK on the float64 matrix."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip.kernels import ConvergenceWarning, DenseKernel, leading_eigenpairs
from ntkdip.spaces import Space
from tests.kernels.matrices import Single, Traceable, with_spectrum

N = 120
KEY = jax.random.key(3)
SPECTRA = {
    "power": 1 / np.arange(1.0, N + 1) ** 1.5,
    "exponential": np.exp(-0.3 * np.arange(N)),
    "flat": np.linspace(1.0, 0.5, N),
    "pairs": np.repeat(1 / np.arange(1.0, N // 2 + 1), 2),
    "low rank": np.append([3.0, 2.0, 1.0], np.zeros(N - 3)),
    "identity": np.ones(N),
    "zero": np.zeros(N),
}


@pytest.mark.parametrize(
    ("name", "route"),
    [(name, "host") for name in SPECTRA]
    + [(name, "device") for name in ("power", "flat", "low rank", "zero")],
)
def test_pairs_are_those_of_the_dense_matrix(name: str, route: str) -> None:
    exact = np.sort(SPECTRA[name])[::-1]
    dense = with_spectrum(exact)
    W = Traceable(dense)
    found = leading_eigenpairs(W, 6, key=KEY, route=route)
    assert found.converged
    np.testing.assert_allclose(found.values, exact[:6], atol=1e-6 * exact[0])
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(6), atol=1e-12)
    true = np.linalg.norm(dense @ found.vectors - found.vectors * found.values, axis=0)
    assert true.max() <= 1.2e-6 * exact[0]
    np.testing.assert_allclose(found.residuals, true, atol=2e-7 * exact[0])
    if route == "host":
        assert found.products == W.products


def test_well_separated_eigenvectors_are_found() -> None:
    dense = with_spectrum(SPECTRA["power"])
    found = leading_eigenpairs(Single(dense), 4, key=KEY)
    overlap = np.abs(np.sum(found.vectors * dense.eigh(4)[1], axis=0))
    np.testing.assert_allclose(overlap, 1, atol=1e-6)


@pytest.mark.parametrize("tail", [0.0, 1e-9, 1e-6])
def test_eigenvalues_below_the_noise_cost_no_restarts(tail: float) -> None:
    """ARPACK's own rule, relative to each eigenvalue, would work on the noise."""
    W = Single(with_spectrum(np.append([3.0, 2.0, 1.0], tail * np.linspace(1.0, 0.9, N - 3))))
    found = leading_eigenpairs(W, 8, key=KEY)
    assert found.converged
    assert found.products <= 8 + 1 + (2 * 8 + 20) + 8


def test_the_same_key_gives_the_same_and_another_key_another_start() -> None:
    W = Single(with_spectrum(SPECTRA["flat"]))
    first, again = (leading_eigenpairs(W, 3, key=KEY) for _ in range(2))
    other = leading_eigenpairs(W, 3, key=jax.random.key(4))
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert np.abs(first.vectors - other.vectors).max() > 0
    np.testing.assert_allclose(first.values, other.values, atol=1e-5)


@pytest.mark.parametrize("k", [N - 1, N, 60])
def test_nearly_all_pairs_take_n_products(k: int) -> None:
    W = Single(with_spectrum(SPECTRA["power"]))
    found = leading_eigenpairs(W, k, key=KEY)
    assert found.products == W.products == N
    assert found.values.shape == (k,)
    np.testing.assert_allclose(found.values, SPECTRA["power"][:k], atol=1e-6)


@pytest.mark.parametrize("route", ["host", "device"])
def test_too_few_products_are_said_and_kept_to(route: str) -> None:
    W = Traceable(with_spectrum(np.linspace(1.0, 0.999, N)))
    with pytest.warns(ConvergenceWarning, match=r"of 5 eigenpairs.*Allow more max_products"):
        found = leading_eigenpairs(W, 5, key=KEY, route=route, tolerance=1e-6, max_products=90)
    assert not found.converged
    assert found.products <= 90
    assert found.values.shape == found.residuals.shape == found.vectors.shape[1:]


@pytest.mark.parametrize("route", ["host", "device"])
def test_a_tolerance_below_the_noise_is_not_claimed(route: str) -> None:
    W = Traceable(with_spectrum(SPECTRA["power"]))
    with pytest.warns(ConvergenceWarning, match="float32 products end near 1e-7"):
        found = leading_eigenpairs(W, 3, key=KEY, route=route, tolerance=1e-10)
    assert not found.converged
    assert found.residuals.max() > 1e-10
    np.testing.assert_allclose(found.values, SPECTRA["power"][:3], atol=1e-6)


def test_auto_is_the_host_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    for kind in (Single, Traceable):
        W = kind(with_spectrum(SPECTRA["power"]))
        assert leading_eigenpairs(W, 2, key=KEY).products == W.products


def test_auto_is_the_device_off_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    W = Traceable(with_spectrum(SPECTRA["power"]))
    found = leading_eigenpairs(W, 2, key=KEY)
    assert W.products == 2 < found.products  # the residuals only
    plain = Single(with_spectrum(SPECTRA["power"]))
    assert leading_eigenpairs(plain, 2, key=KEY).products == plain.products


def test_complex_images_and_dense_kernels() -> None:
    matrix = with_spectrum(SPECTRA["power"]).matrix
    W = DenseKernel(matrix, Space((6, 10), True))
    found = leading_eigenpairs(W, 3, key=KEY, tolerance=1e-9)
    assert found.converged
    np.testing.assert_allclose(found.values, W.eigh(3)[0], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 0}, "got k=0. Ask for 1 to 120"),
        ({"k": N + 1}, "got k=121"),
        ({"tolerance": 0.0}, "between 0 and 1; got 0.0"),
        ({"tolerance": np.nan}, "between 0 and 1; got nan"),
        ({"max_products": 10}, "at least 53 products; got max_products=10"),
        ({"route": "device"}, "Single.product, a traceable"),
    ],
)
def test_senseless_requests_cost_nothing(options: dict, message: str) -> None:
    W = Single(with_spectrum(SPECTRA["power"]))
    with pytest.raises(ValueError, match=message):
        leading_eigenpairs(W, **{"k": 1, "key": KEY, **options})
    assert W.products == 0


def test_products_that_are_nan_are_refused() -> None:
    W = Single(with_spectrum(SPECTRA["power"]))
    W.single[5, 7] = np.nan
    with pytest.raises(ValueError, match="product with the kernel: 1 of 120"):
        leading_eigenpairs(W, 2, key=KEY)
