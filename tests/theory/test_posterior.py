"""The Gaussian process against dense formulas by NumPy, and against simulation."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import scipy.stats

from ntkdip import kernels, networks, operators, theory
from ntkdip.kernels import DenseKernel, Kernel
from ntkdip.operators import LinearOperator
from ntkdip.theory.cases import fourier_matrix
from tests.theory import zoo
from tests.theory.zoo import KERNELS, OPERATORS, SHAPE, Q

SIGMA, AMPLITUDE = 0.3, 1.7
PAIRS = [
    ("wishart", "fourier"),
    ("singular", "coils"),
    ("ill-conditioned", "matrix"),
    ("factored", "fourier"),
    ("factored", "pixels"),
    ("circulant", "fourier"),
    ("circulant", "coils"),
    ("periodic", "fourier"),
    ("periodic", "denoising"),
    ("coarse", "one sample"),
    ("white", "fourier"),
]


class Problem(zoo.Problem):
    """With the textbook's posterior."""

    @property
    def s2(self) -> float:
        return SIGMA**2 / 2 if self.A.range.is_complex else SIGMA**2

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Gain on the data and covariance, by the textbook."""
        prior, M = AMPLITUDE * self.dense, self.matrix
        system = M @ prior @ M.T + self.s2 * np.eye(len(M))
        gain = np.linalg.solve(system, M @ prior).T
        return gain, prior - gain @ M @ prior

    def folded(self, variances: np.ndarray) -> np.ndarray:
        """Variances of real dimensions, both parts of a pixel together."""
        return variances.reshape(-1, Q).sum(0).reshape(SHAPE)

    def in_kspace(self, covariance: np.ndarray) -> np.ndarray:
        F = fourier_matrix(np.ones(SHAPE, bool), self.A.domain.is_complex)
        return self.folded(np.einsum("ij,jk,ik->i", F, covariance, F))

    def data(self) -> np.ndarray:
        """Noisy data of a random image, embedded."""
        rng = np.random.default_rng(0)
        x = rng.standard_normal(self.A.domain.real_size)
        return self.matrix @ x + SIGMA * rng.standard_normal(len(self.matrix))


def make(kernel: str, operator: str, complex_image: bool) -> Problem:
    A, matrix = OPERATORS[operator](complex_image)
    W = KERNELS[kernel](A.domain)
    return Problem(W, A, W.dense(), matrix)


@pytest.fixture(
    scope="module",
    params=[(*pair, field) for pair in PAIRS for field in (True, False)],
    ids=lambda p: f"{p[0]}-{p[1]}-{'complex' if p[2] else 'real'}",
)
def problem(request: pytest.FixtureRequest) -> Problem:
    return make(*request.param)


@pytest.fixture(scope="module")
def process(problem: Problem) -> theory.GaussianProcess:
    return theory.GaussianProcess(problem.W, problem.A, SIGMA, AMPLITUDE)


def test_mean_is_the_textbooks_and_the_ridge_limit(problem: Problem, process) -> None:
    y = problem.data()
    found = process.mean(problem.A.range.unembed(y))
    expected = problem.A.domain.unembed(problem.posterior()[0] @ y)
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(expected).max())
    method = theory.GradientDescent(ridge=problem.s2 / AMPLITUDE)
    ridge = theory.KernelRegime(problem.W, problem.A, method=method)
    limit = ridge.limit(problem.A.range.unembed(y))
    np.testing.assert_allclose(found, limit, atol=1e-12 * np.abs(limit).max())


def test_deviations_are_the_textbooks(problem: Problem, process) -> None:
    prior, posterior = AMPLITUDE * problem.dense, problem.posterior()[1]
    spatial = problem.folded(prior.diagonal()), problem.folded(posterior.diagonal())
    frequencies = problem.in_kspace(prior), problem.in_kspace(posterior)
    for in_kspace, (before, after) in ((False, spatial), (True, frequencies)):
        scale = 1e-12 * before.max()
        found = process.prior_deviation(frequencies=in_kspace)
        np.testing.assert_allclose(found**2, before, atol=scale)
        found = process.deviation(frequencies=in_kspace)
        np.testing.assert_allclose(found**2, after, atol=scale)
        share = process.explained(frequencies=in_kspace)
        there = before > 1e-8 * before.max()
        expected = 1 - after[there] / before[there]
        np.testing.assert_allclose(share[there], expected, atol=1e-7)


def test_bands_hold_the_mean_variance(problem: Problem, process) -> None:
    coefficients = problem.in_kspace(problem.posterior()[1])
    ky, kx = np.meshgrid(np.arange(4) - 2, np.arange(6) - 3, indexing="ij")
    radius = np.hypot(ky, kx)
    bands = process.band_deviation([0, 1.5, 2.5, 3.7])
    edges = [(0, 1.5), (1.5, 2.5), (2.5, 3.7)]
    expected = [coefficients[(radius >= low) & (radius < high)].mean() for low, high in edges]
    np.testing.assert_allclose(bands.posterior**2, expected, rtol=1e-9, atol=1e-12)
    everything = process.band_deviation(1)
    assert everything.edges[-1] == radius.max()
    assert everything.posterior[0] ** 2 == pytest.approx(coefficients.mean(), rel=1e-9)
    assert (bands.posterior <= bands.prior).all()


def test_evidence_is_the_normal_density(problem: Problem, process) -> None:
    M, y = problem.matrix, problem.data()
    covariance = AMPLITUDE * M @ problem.dense @ M.T + problem.s2 * np.eye(len(M))
    expected = scipy.stats.multivariate_normal(cov=covariance).logpdf(y)
    found = process.log_evidence(problem.A.range.unembed(y))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("field", [True, False])
@pytest.mark.parametrize("kernel", ["wishart", "factored", "periodic"])
def test_draws_have_mean_and_covariance_of_the_process(kernel: str, field: bool) -> None:
    problem = make(kernel, "fourier", field)
    A, count = problem.A, 4000
    process = theory.GaussianProcess(problem.W, A, SIGMA, AMPLITUDE)
    gain, posterior = problem.posterior()
    y = problem.data()
    cases = [(None, 0 * gain @ y, AMPLITUDE * problem.dense), (y, gain @ y, posterior)]
    for data, mean, covariance in cases:
        given = None if data is None else A.range.unembed(data)
        draws = process.draws(jax.random.key(1), count, given)
        assert draws.shape == (count, *SHAPE)
        columns = draws.reshape(count, Q)
        columns = np.concatenate([columns.real, columns.imag], 1) if field else columns
        variance = covariance.diagonal().clip(1e-12 * covariance.max())
        score = (columns.mean(0) - mean) / np.sqrt(variance / count)
        assert np.abs(score).max() < 5
        # Of a product of two normal variables with these variances.
        error = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
        assert np.abs((np.cov(columns.T) - covariance) / error).max() < 5.5


@pytest.mark.parametrize(
    ("kernel", "operator", "field"),
    [
        ("wishart", "fourier", False),
        ("singular", "pixels", False),
        ("factored", "fourier", True),
        ("periodic", "fourier", True),
        ("circulant", "fourier", False),
        ("periodic", "coils", True),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_promise(kernel, operator, field) -> None:
    A, _ = OPERATORS[operator](field)
    process = theory.GaussianProcess(KERNELS[kernel](A.domain), A, SIGMA, AMPLITUDE)
    x, y = process.simulate(jax.random.key(2), 2000)
    found = process.coverage(x, y, (0.5, 0.95))
    assert found.standard_error.max() < 0.01
    assert (np.abs(found.observed - found.nominal) < 4 * found.standard_error).all()


def test_coverage_by_hand() -> None:
    """One real pixel of variance 1 measured with noise 1: mean y/2, deviation 1/sqrt(2)."""
    A = operators.identity((1,), complex_image=False)
    process = theory.GaussianProcess(DenseKernel(np.eye(1), A.domain), A, 1.0)
    x, y = np.array([[0.0], [1.0], [2.0], [0.0]]), np.array([[0.0], [0.0], [0.0], [1.0]])
    found = process.coverage(x, y, [0.6827, 0.95])
    # Errors 0, 1, 2, -0.5 over 0.707.
    np.testing.assert_allclose(found.observed, [0.5, 0.75])
    single = process.coverage(x[:1], y[:1])
    assert np.isnan(single.standard_error).all()


def test_an_overconfident_prior_is_found_out() -> None:
    problem = make("wishart", "fourier", False)
    honest = theory.GaussianProcess(problem.W, problem.A, SIGMA, 4.0)
    x, y = honest.simulate(jax.random.key(0), 200)
    tight = theory.GaussianProcess(problem.W, problem.A, SIGMA, 1.0).coverage(x, y, [0.95])
    assert tight.observed[0] < 0.85


@pytest.mark.parametrize("kernel", ["wishart", "singular", "periodic"])
def test_fitted_scales_are_the_likeliest(kernel: str) -> None:
    problem = make(kernel, "fourier", True)
    A = problem.A
    process = theory.GaussianProcess(problem.W, A, SIGMA, 50.0)
    _, data = process.simulate(jax.random.key(3), 1)
    y = data[0]
    fitted = process.fit(y)
    assert fitted.sigma == SIGMA
    assert process.amplitude == 50.0
    both = theory.GaussianProcess(problem.W, A, 5.0).fit(y, noise=True)
    for best, directions in ((fitted, [(1, 0)]), (both, [(1, 0), (0, 1), (1, 1), (1, -1)])):
        top = best.log_evidence(y)
        for a, s in directions:
            for sign in (-1, 1):
                for step in (1e-3, 0.3, 2.0):
                    scaled = theory.GaussianProcess(
                        problem.W, A, best.sigma * np.exp(sign * s * step),
                        best.amplitude * np.exp(sign * a * step),
                    )  # fmt: skip
                    assert scaled.log_evidence(y) <= top + 1e-9 * abs(top)
    assert both.log_evidence(y) >= fitted.log_evidence(y) - 1e-9


def test_amplitude_of_exact_data_is_closed() -> None:
    problem = make("wishart", "pixels", False)
    process = theory.GaussianProcess(problem.W, problem.A, 0.0)
    y = problem.matrix @ np.arange(24.0)
    S = problem.matrix @ problem.dense @ problem.matrix.T
    fitted = process.fit(problem.A.range.unembed(y))
    assert fitted.amplitude == pytest.approx(y @ np.linalg.solve(S, y) / len(y), rel=1e-8)
    quiet = theory.GaussianProcess(problem.W, problem.A, 1e-6, 1.0).fit(y)
    assert quiet.amplitude == pytest.approx(fitted.amplitude, rel=1e-4)


def test_exact_data_are_met_and_their_pixels_known() -> None:
    problem = make("wishart", "pixels", False)
    process = theory.GaussianProcess(problem.W, problem.A, 0.0)
    x = np.arange(24.0)
    seen = problem.matrix.sum(0).reshape(SHAPE) > 0
    mean = process.mean(problem.matrix @ x)
    np.testing.assert_allclose(mean[seen], x.reshape(SHAPE)[seen], atol=1e-10)
    assert process.deviation()[seen].max() < 1e-6
    assert process.deviation()[~seen].min() > 0.1
    draws = process.draws(jax.random.key(0), 5, problem.matrix @ x)
    np.testing.assert_allclose(draws[:, seen], np.tile(x[seen.ravel()], (5, 1)), atol=1e-9)


def test_priors_of_networks_are_their_variances() -> None:
    """The NTK adds what the other layers can change to the NNGP of the last one."""
    net = networks.wide_cnn(depth=2, kernel_size=3, complex_image=False)
    z = np.random.default_rng(0).random((*SHAPE, 1))
    A = operators.masked_fourier(np.ones(SHAPE, bool), complex_image=False)
    nngp, ntk = (kernels.analytic(net, z, kind=kind) for kind in ("nngp", "ntk"))
    deviation = theory.GaussianProcess(nngp, A, 0.1).prior_deviation()
    np.testing.assert_allclose(deviation.ravel() ** 2, nngp.dense().diagonal())
    assert (theory.GaussianProcess(ntk, A, 0.1).prior_deviation() > deviation).all()


def test_a_prior_without_power_says_so() -> None:
    share = theory.explained(*_coarse())
    assert np.isnan(share).any()
    assert not np.isnan(share).all()


def _coarse() -> tuple[Kernel, LinearOperator]:
    A, _ = OPERATORS["fourier"](True)
    return KERNELS["coarse"](A.domain), A


def test_bad_input_is_refused() -> None:
    problem = make("wishart", "fourier", True)
    W, A = problem.W, problem.A
    y = A.range.unembed(problem.data())
    with pytest.raises(ValueError, match="sigma is a noise level"):
        theory.GaussianProcess(W, A, -1.0)
    with pytest.raises(ValueError, match=r"above 0; got 0\.0"):
        theory.GaussianProcess(W, A, 1.0, 0.0)
    other, _ = OPERATORS["fourier"](False)
    with pytest.raises(ValueError, match="the kernel acts on images in C"):
        theory.GaussianProcess(W, other, 1.0)
    process = theory.GaussianProcess(W, A, 1.0)
    with pytest.raises(ValueError, match="data: expected shape"):
        process.mean(y[:-1])
    with pytest.raises(ValueError, match="at least one band"):
        process.band_deviation(0)
    with pytest.raises(ValueError, match="edges of bands rise"):
        process.band_deviation([2.0, 1.0])
    with pytest.raises(ValueError, match="at least 1; got 0"):
        process.draws(jax.random.key(0), 0)
    x = np.zeros((2, *SHAPE), complex)
    with pytest.raises(ValueError, match="between 0 and 1"):
        process.coverage(x, np.stack([y, y]), [1.0])
    with pytest.raises(ValueError, match="come stacked"):
        process.coverage(x, y[None])
    with pytest.raises(ValueError, match="amplitude of 0"):
        process.fit(1e-9 * y)
    with pytest.raises(ValueError, match="give sigma > 0"):
        theory.GaussianProcess(W, A, 0.0).log_evidence(y)
    overdetermined = make("wishart", "matrix", False)
    with pytest.raises(ValueError, match="without noise they are impossible"):
        theory.GaussianProcess(overdetermined.W, overdetermined.A, 0.0).fit(np.ones(10))
    known = make("wishart", "denoising", False)
    exact = theory.GaussianProcess(known.W, known.A, 0.0)
    with pytest.raises(ValueError, match="determine every pixel"):
        exact.coverage(np.ones((1, *SHAPE)), np.ones((1, *SHAPE)))


def test_a_kernel_known_by_products_is_refused() -> None:
    net = networks.wide_cnn(width=2, depth=2, kernel_size=3, complex_image=False)
    z = np.ones((4, 6), np.float32)
    A = operators.masked_fourier(np.ones(SHAPE, bool), complex_image=False)
    W = kernels.matrix_free(net, net.init(z, key=jax.random.key(0)), z)
    with pytest.raises(ValueError, match="known by its products only"):
        theory.GaussianProcess(W, A, 1.0)
