"""Parameters and input trained together, against steps written out and the joint kernel."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkdip import kernels, networks, operators, training

KEY = jax.random.key(0)
ETA, RATE = 1e-3, 3.0


@pytest.fixture(scope="module")
def problem():
    A = operators.masked_fourier(operators.masks.random_lines((8, 8), 2, seed=0))
    net = networks.wide_cnn(8, 3, 3)
    z = jax.random.normal(KEY, (8, 8, 2))
    y = A(jax.random.normal(jax.random.key(1), (8, 8), jnp.complex64))
    return net, A, y, z, net.init(z, key=KEY)


def _train(problem, eta: float, rate: float, steps: list[int], **options) -> training.Run:
    net, A, y, z, params = problem
    return training.train(
        training.joint_least_squares(net, A, y, z, centre=params),
        training.joint_start(params, z),
        training.joint_optimiser(optax.sgd(eta), optax.sgd(eta * rate)),
        steps,
        **options,
    )


@pytest.mark.parametrize("scan", [True, False])
def test_both_step_at_once_each_at_its_rate(problem, scan: bool) -> None:
    net, A, y, z, params = problem
    run = _train(problem, ETA, RATE, [0, 3], scan=scan)

    def image(p, x):
        return net.apply(p, x) - net.apply(params, z)

    def loss(p, x):
        r = A(image(p, x)) - y
        return 0.5 * jnp.vdot(r, r).real

    p, x = params, z
    for _ in range(3):
        of_p, of_x = jax.grad(loss, (0, 1))(p, x)
        p = jax.tree.map(lambda a, g: a - ETA * g, p, of_p)
        x = x - ETA * RATE * of_x
    np.testing.assert_allclose(run.images[1], image(p, x), atol=2e-5)
    assert run.losses[1] == pytest.approx(float(loss(p, x)), rel=1e-4)
    np.testing.assert_allclose(run.params["input"], x, atol=1e-5)
    moved = jnp.linalg.norm((x - z).ravel()) / jnp.linalg.norm(z.ravel())
    np.testing.assert_allclose(run.scalars["input_movement"], [0.0, moved], rtol=1e-3)
    assert np.abs(run.images[0]).max() < 1e-6


def test_a_small_step_is_that_of_the_joint_kernel(problem) -> None:
    net, A, y, z, params = problem
    eta = 1e-4
    run = _train(problem, eta, RATE, [1])
    space = A.domain
    pull = space.embed(np.asarray(A.adjoint(y))).astype(np.float64)
    wrong = kernels.empirical(net, params, z)
    right = kernels.empirical(net, params, z, input_rate=RATE)
    step = space.embed(run.images[0])

    def miss(W: kernels.DenseKernel) -> float:
        return float(np.linalg.norm(step - eta * (W @ pull)) / np.linalg.norm(step))

    # Measured: 0.0005, of second order; without the input's kernel 0.43.
    assert miss(right) < 0.003
    assert miss(wrong) > 0.2


def test_an_input_that_does_not_learn_stays(problem) -> None:
    net, A, y, z, params = problem
    joint = _train(problem, ETA, 0.0, [0, 3])
    fixed = training.train(
        training.least_squares(net, A, y, z, centre=params), params, optax.sgd(ETA), [0, 3]
    )
    np.testing.assert_allclose(joint.images, fixed.images, atol=1e-6)
    assert (joint.scalars["input_movement"] == 0).all()
    assert fixed.scalars == {}


def test_without_a_centre_the_network_itself_is_trained(problem) -> None:
    net, A, y, z, params = problem
    objective = training.joint_least_squares(net, A, y, z)
    start = training.joint_start(params, z)
    seen = objective.evaluate(start, (), objective.data, KEY)
    np.testing.assert_allclose(seen.image, net.apply(params, z), atol=1e-6)


def test_what_does_not_fit_is_refused(problem) -> None:
    net, A, y, z, _ = problem
    with pytest.raises(ValueError, match="the network input is zero"):
        training.joint_least_squares(net, A, y, jnp.zeros_like(z))
    with pytest.raises(ValueError, match="data: expected shape"):
        training.joint_least_squares(net, A, y[:3], z)
    with pytest.raises(ValueError, match="network input: 1 of"):
        training.joint_least_squares(net, A, y, z.at[0, 0, 0].set(jnp.inf))
