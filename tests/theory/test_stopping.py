"""When to stop: brute force, and the mean over noise draws."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import theory
from ntkdip.theory import KernelRegime
from ntkdip.theory.search import first_below, smallest
from tests.theory.zoo import KERNELS, OPERATORS

SIGMA = 0.05


def problem(kernel: str, operator: str, complex_image: bool, **options):
    A, M = OPERATORS[operator](complex_image)
    W = KERNELS[kernel](A.domain)
    x = W @ np.random.default_rng(1).standard_normal(A.domain.real_size)
    x /= np.linalg.norm(x) / np.sqrt(len(x))
    return KernelRegime(W, A, **options), A, M, x


def noisy(A, M, x, draws: int, seed: int = 0) -> np.ndarray:
    s = SIGMA / np.sqrt(2) if A.range.is_complex else SIGMA
    noise = np.random.default_rng(seed).standard_normal((draws, len(M)))
    return M @ x + s * noise


CASES = [
    ("wishart", "fourier", True),
    ("wishart", "coils", False),
    ("circulant", "fourier", False),
    ("circulant", "fourier", True),
    ("periodic", "fourier", False),
    ("factored", "fourier", True),
    ("singular", "matrix", False),
    ("ill-conditioned", "pixels", True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize(
    "method", [theory.GradientDescent(), theory.HeavyBall(momentum=0.9)], ids=["gd", "momentum"]
)
def test_the_best_iteration_is_the_best_of_all(case, method) -> None:
    regime, A, _, x = problem(*case, method=method)
    image = A.domain.unembed(x)
    best = regime.optimal_stopping(image, SIGMA)
    every = regime.mse(image, SIGMA, [*range(20_000), np.inf]).total
    assert best.value <= every.min() * (1 + 1e-12)
    if best.t < 20_000:
        assert best.value == pytest.approx(every[int(best.t)], rel=1e-12)
    if np.isinf(best.t):
        assert best.value == pytest.approx(every[-1], rel=1e-12)


def test_infinity_and_zero_are_answers() -> None:
    regime, A, M, x = problem("wishart", "fourier", True)
    # An image that exact data recover: to wait is best.
    reachable = A.domain.unembed(regime.W @ M.T @ np.ones(len(M)))
    assert regime.optimal_stopping(reachable, 0.0).t == np.inf
    assert regime.optimal_stopping(np.zeros(A.domain.shape), 1.0) == theory.Best(0.0, 0.0)
    assert regime.optimal_stopping(A.domain.unembed(x), 1e-3).value > 0


def test_search_finds_minima_far_out_and_of_two_the_lower() -> None:
    def curve(t: np.ndarray) -> np.ndarray:
        first = np.exp(-((np.log(t + 1) - np.log(30)) ** 2) * 4)
        second = np.exp(-((np.log(t + 1) - np.log(3e8)) ** 2) * 4)
        return np.where(np.isinf(t), 1.0, 1.0 - 0.8 * first - 0.9 * second)

    best = smallest(curve, 1e12)
    assert best.t == pytest.approx(3e8, rel=1e-3)
    assert best.value == pytest.approx(0.1, abs=1e-9)
    assert smallest(curve, 1e4).t == 29

    def swinging(t: np.ndarray) -> np.ndarray:
        odd = np.where(np.isinf(t), 0, t) % 2 == 1
        return np.where(odd, 1.0, 2.0) + np.minimum(np.abs(t - 1000) / 1e6, 1.0)

    assert smallest(swinging, 1e5).t in (999, 1001)
    assert first_below(lambda t: 1 / (1 + t), 1e-6, 1e9) == 999_999
    assert first_below(lambda t: 1 / (1 + t), 0.0, 1e9) == np.inf
    assert first_below(lambda t: 1 / (1 + t), 1.0, 1e9) == 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sure_and_gsure_are_unbiased(case) -> None:
    regime, A, M, x = problem(*case)
    steps, draws = [0, 1, 10, 200, 5000], 400
    projector = np.linalg.pinv(M, rcond=1e-10) @ M
    data_risk, image_risk = [], []
    for y in noisy(A, M, x, draws):
        given = A.range.unembed(y)
        z = np.stack([A.domain.embed(image) for image in regime.trajectory(given, steps)])
        away = z - x
        data_risk.append(
            theory.sure(regime, given, SIGMA, steps) - np.sum((away @ M.T) ** 2, axis=1)
        )
        image_risk.append(
            theory.gsure(regime, given, SIGMA, steps) - np.sum((away @ projector) ** 2, axis=1)
        )
    for found in (np.stack(data_risk), np.stack(image_risk)):
        error = found.std(axis=0, ddof=1) / np.sqrt(draws)
        assert (np.abs(found.mean(axis=0)) <= 4 * error + 1e-10 * (x @ x)).all()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_discrepancy_stops_at_the_noise(case) -> None:
    regime, A, M, x = problem(*case)
    y = A.range.unembed(noisy(A, M, x, 1)[0])
    s = SIGMA / np.sqrt(2) if A.range.is_complex else SIGMA
    level = 1.1 * s * np.sqrt(len(M))
    found = theory.stop(regime, y, SIGMA, "discrepancy", factor=1.1)
    if np.isfinite(found.t):
        assert regime.residual(y, [found.t])[0] <= level
        assert found.t == 0 or regime.residual(y, [found.t - 1])[0] > level
    else:
        assert regime.residual(y, [1e9])[0] > level
    assert found.value == pytest.approx(float(regime.residual(y, [found.t])[0]))


def test_table_has_the_oracle_below_all() -> None:
    regime, A, M, x = problem("wishart", "fourier", True)
    y = A.range.unembed(noisy(A, M, x, 1)[0])
    rows = theory.stopping_table(regime, A.domain.unembed(x), y, SIGMA)
    assert [row.rule for row in rows] == ["oracle", "plug-in", "discrepancy", "SURE", "GSURE"]
    assert all(row.excess >= 1 - 1e-12 for row in rows)
    assert rows[3].t == rows[4].t  # orthonormal rows: the same estimate
    told = theory.stopping_table(regime, A.domain.unembed(x), y, SIGMA, assumed_sigma=10 * SIGMA)
    assert told[3].t < rows[3].t
    assert dataclasses.asdict(told[0]) == dataclasses.asdict(rows[0])


@pytest.mark.parametrize("kernel", ["ill-conditioned", "circulant"])
@pytest.mark.parametrize("complex_image", [True, False])
def test_noise_level_of_data_without_an_image(kernel: str, complex_image: bool) -> None:
    regime, A, M, x = problem(kernel, "fourier", complex_image)
    found = [theory.estimate_noise(regime, A.range.unembed(y)) for y in noisy(A, M, 0 * x, 300)]
    # Medians of few values are biased by a tenth or so.
    assert np.mean(found) == pytest.approx(SIGMA, rel=0.2)


def test_bad_input_is_refused() -> None:
    regime, A, M, x = problem("wishart", "fourier", True)
    y = A.range.unembed(M @ x)
    with pytest.raises(ValueError, match="factor is positive"):
        theory.stop(regime, y, SIGMA, "discrepancy", factor=0.0)
    with pytest.raises(ValueError, match="sigma is a noise level"):
        theory.stop(regime, y, -1.0)
