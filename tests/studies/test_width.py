"""Theory against training on the problems of the width study."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkdip import kernels, metrics, networks, operators, studies, theory, training
from ntkdip.spaces import Space
from ntkdip.studies import scaling, width
from ntkdip.studies.cells import columns_of
from ntkdip.studies.scaling import WidthLaw
from ntkdip.studies.width import WidthRow

BETA = width.MOMENTUM


def test_zero_filled_is_the_reference_number() -> None:
    truth, A, _, zero_filled = studies.reference_problem()
    assert A.range.size == 137
    assert metrics.rmse(zero_filled, truth) == pytest.approx(0.0521, abs=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wide_cnn_halves_the_zero_filled_error(seed: int) -> None:
    truth, A, y, zero_filled = studies.reference_problem()
    net = networks.wide_cnn(1024, depth=4, kernel_size=9, complex_image=False)
    z = networks.as_input(zero_filled)
    W = kernels.empirical(net, net.init(z, key=jax.random.key(seed)), z)
    limit = metrics.rmse(theory.KernelRegime(W, A).limit(y), truth)
    # Measured: 0.0236, 0.0207, 0.0216; half of zero-filled is 0.0261.
    assert limit <= 0.5 * metrics.rmse(zero_filled, truth)


@pytest.mark.slow
def test_deep_decoder_stays_with_zero_filled() -> None:
    truth, A, y, zero_filled = studies.reference_problem()
    net = networks.deep_decoder(4096, 4, complex_image=False, normalisation=False)
    errors = []
    for key in jax.random.split(jax.random.key(0), 8):
        key_z, key_net = jax.random.split(key)
        z = networks.decoder_input(net, (256,), 128, key=key_z)
        W = kernels.empirical(net, net.init(z, key=key_net), z)
        errors.append(metrics.rmse(theory.KernelRegime(W, A).limit(y), truth))
    # Measured: 1.011 of zero-filled; single draws 0.92 to 1.13.
    assert np.mean(errors) == pytest.approx(metrics.rmse(zero_filled, truth), rel=0.05)


@pytest.mark.slow
def test_gradient_descent_and_momentum_approach_theory_and_adam_does_not() -> None:
    law = studies.width_law({"1D": {32: 4, 128: 4, 512: 2}})

    def exponent(method: str, quantity: str) -> float:
        return law.fit("1D", method, quantity).exponent

    def at_widest(method: str) -> float:
        return law.geometric_mean("1D", method, "distance", 512)

    # Measured: -0.52 and -0.47 (standard errors 0.14 and 0.10), drift -0.63 and -0.56.
    for method in ("gradient descent", "momentum"):
        assert exponent(method, "distance") == pytest.approx(-0.5, abs=0.2)
        assert exponent(method, "drift") < -0.3
    # Measured: drift -0.54, path distance -0.03: the kernel stays, the prediction still fails.
    assert exponent("Adam", "drift") < -0.2
    assert abs(exponent("Adam", "path_distance")) < 0.15
    # Measured: 0.0086, 0.0122, 0.0500.
    assert at_widest("gradient descent") < 0.015
    assert at_widest("momentum") < 0.025
    assert at_widest("Adam") > 4 * at_widest("gradient descent")


@pytest.fixture(scope="module")
def law() -> WidthLaw:
    return studies.width_law({"1D": {8: 1, 16: 1}})


def test_rows_hold_every_method(law) -> None:
    assert [(r.method, r.width) for r in law.rows] == [
        (method, w) for w in (8, 16) for method in width.METHODS
    ]
    for row in law.rows:
        assert 0 < row.path_distance <= row.distance < 1
        assert row.drift > 0
        assert row.residual < 0.5


def test_the_report_has_a_figure_a_table_and_a_verdict_a_method(law) -> None:
    seeds = {"1D": {8: 1, 16: 1}}
    results = {
        label: columns_of([r for r in law.rows if (r.problem, r.width, r.seed) == label])
        for label in scaling.cells(seeds)
    }
    report = scaling.report(seeds, results)
    (picture,) = report.pictures
    assert picture.name == "width_1D"
    assert all(len(ax.get_legend().get_texts()) == 4 for ax in picture.figure.axes)
    picture.figure.canvas.draw()
    assert [row[0] for row in report.tables[0].rows[:3]] == ["gradient descent"] * 3
    exponent = law.fit("1D", "momentum", "distance").exponent
    assert report.verdicts[1].effects == pytest.approx((-exponent,))


def test_the_2d_problem_is_a_complex_slice_of_four_lines() -> None:
    problem = width.width_problem("2D")
    assert problem.A.domain == Space((16, 16), True)
    assert problem.A.range.size == 64
    assert problem.network(8).complex_image
    with pytest.raises(ValueError, match="knows the problems 1D and 2D; got '3D'"):
        width.width_problem("3D")


def test_exponents_are_those_of_the_rows(monkeypatch) -> None:
    def fake(problem: object, name: str, w: int, seed: int, methods: object):
        spread = 2.0**seed
        yield WidthRow(
            name, "gradient descent", w, seed, w**-1.0, spread * w**-0.5, 1.0, 3 * w**0.25, 0.1
        )

    monkeypatch.setattr(scaling, "train_one", fake)
    law = studies.width_law({"1D": {4: 2, 16: 2, 64: 2}}, ["gradient descent"])
    for fit, expected in zip(law.fits, (-1.0, -0.5, 0.0, 0.25), strict=True):
        assert fit.exponent == pytest.approx(expected, abs=1e-12)
    assert law.fits[0].standard_error == pytest.approx(0.0, abs=1e-7)
    assert law.fits[1].standard_error > 0.05
    assert law.fits[3].factor == pytest.approx(3.0)
    assert scaling.seed_exponents(law, "1D", "gradient descent") == pytest.approx((-0.5, -0.5))
    mean = law.geometric_mean("1D", "gradient descent", "distance", 4)
    assert mean == pytest.approx(np.sqrt(2) / 2)


@pytest.mark.parametrize(
    ("seeds", "methods", "message"),
    [
        ({"1D": {64: 3}}, width.METHODS, "two widths"),
        ({"1D": {64: 3, 32: 0}}, width.METHODS, "two widths"),
        ({}, width.METHODS, "name a problem"),
        ({"1D": {8: 1, 16: 1}}, ["RMSprop"], "methods out of"),
        ({"3D": {8: 1, 16: 1}}, width.METHODS, "knows the problems"),
    ],
)
def test_bad_requests_are_refused(seeds, methods, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        studies.width_law(seeds, methods)


@pytest.fixture(scope="module")
def regime() -> theory.KernelRegime:
    A = operators.masked_fourier(operators.masks.random_lines((6, 6), 2, seed=0))
    G = np.random.default_rng(0).standard_normal((72, 90))
    return theory.KernelRegime(kernels.DenseKernel(G @ G.T, A.domain), A)


@pytest.mark.parametrize("t", [1, 37, 2345])
def test_images_of_the_path_are_found_on_it(regime, t: int) -> None:
    rng = np.random.default_rng(1)
    y = rng.standard_normal(regime.A.range.size) + 1j * rng.standard_normal(regime.A.range.size)
    image = regime.trajectory(y, [t])[0]
    assert width._distance_to_path(regime, y, image) < 1e-6
    assert width._distance_at_residual(regime, y, image) < 1e-6
    # Off the path, at the same residual: what no sample sees.
    unseen = rng.standard_normal((6, 6))
    unseen = unseen - np.asarray(regime.A.adjoint(regime.A(unseen + 0j)))
    beyond = image + 0.1 * np.linalg.norm(image) * unseen / np.linalg.norm(unseen)
    assert width._distance_at_residual(regime, y, beyond) == pytest.approx(0.1, rel=1e-3)
    assert width._distance_to_path(regime, y, beyond) <= 0.1 * (1 + 1e-6)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_of_optax_is_that_of_theory(nesterov: bool) -> None:
    """On a linear model: there the kernel regime is exact.

    Nesterov's parameters in optax are the look-ahead point ``w_t``, not ``z_t``.
    """
    rng = np.random.default_rng(0)
    J, y = rng.standard_normal((12, 20)), rng.standard_normal(12)
    kept = operators.masked_fourier(np.ones(12, bool), complex_image=False)
    data = np.asarray(kept(y.astype(np.float32)))
    method = theory.Nesterov if nesterov else theory.HeavyBall
    W = kernels.DenseKernel(J @ J.T, Space((12,), False))
    regime = theory.KernelRegime(W, kept, method=method(momentum=BETA))
    jacobian = jnp.asarray(J, jnp.float32)

    def evaluate(p: jax.Array, carried: Any, data: Any, key: jax.Array) -> training.Evaluation:
        image = jacobian @ p
        r = kept(image) - data
        return training.Evaluation(0.5 * jnp.sum(r.real**2 + r.imag**2), image, {})

    steps = np.array([1, 2, 5, 20])
    run = training.train(
        training.Objective(evaluate, data),
        jnp.zeros(20),
        optax.sgd(regime.step_size, momentum=BETA, nesterov=nesterov),
        steps,
    )
    z, before = regime.trajectory(data, steps), regime.trajectory(data, steps - 1)
    expected = z + BETA * (z - before) if nesterov else z
    np.testing.assert_allclose(run.images, expected, atol=2e-5 * np.abs(expected).max())
