"""The linearised network against the network's Jacobian, and its training against theory."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkdip import kernels, networks, theory, training
from tests.training.problems import KEY, mri


@pytest.fixture(scope="module")
def problem():
    _, A, y, _ = mri(8, coils=2)
    net = networks.wide_cnn(16, 3, 3)
    z = networks.as_input(np.asarray(A.adjoint(y)))
    return net, A, y, z, net.init(z, key=KEY)


@pytest.mark.parametrize("centred", [True, False])
def test_gradient_descent_is_the_trajectory_of_theory(problem, centred: bool) -> None:
    net, A, y, z, params = problem
    linear = training.LinearisedNetwork(net, centred)
    start = None if centred else np.asarray(net.apply(params, z))
    regime = theory.KernelRegime(kernels.empirical(net, params, z), A, z0=start)
    steps = [0, 1, 10, 100, 500]
    run = training.train(
        training.least_squares(linear, A, y, z), linear.at(params),
        optax.sgd(regime.step_size), steps,
    )  # fmt: skip
    predicted = regime.trajectory(y, steps)
    size = np.linalg.norm(predicted[-1])
    # Measured: 2e-6.
    assert np.linalg.norm(run.images - predicted, axis=(1, 2)).max() < 1e-4 * size
    jax.tree.map(np.testing.assert_array_equal, run.params["origin"], params)


def test_it_is_the_first_order_expansion(problem) -> None:
    net, _, _, z, params = problem
    linear = training.LinearisedNetwork(net)
    move = jax.tree.map(lambda p: 1e-3 * jnp.ones_like(p), params)
    image = linear.apply({"origin": params, "moved": move}, z)
    twice = linear.apply({"origin": params, "moved": jax.tree.map(lambda m: 2 * m, move)}, z)
    start = net.apply(params, z)
    np.testing.assert_allclose(twice - start, 2 * (image - start), atol=1e-6)
    moved = net.apply(jax.tree.map(jnp.add, params, move), z)
    # Measured: 0.03, of second order.
    assert np.linalg.norm(moved - image) < 0.05 * np.linalg.norm(moved - start)


def test_the_stable_rate_is_the_inverse_of_the_largest_eigenvalue(problem) -> None:
    net, A, _, z, params = problem
    regime = theory.KernelRegime(kernels.empirical(net, params, z), A)
    rate = training.stable_rate(net, A, params, z, tolerance=1e-4)
    assert rate == pytest.approx(1 / regime.data_eigenvalues()[0], rel=1e-3)


def test_a_unet_is_reconstructed_with_in_the_kernel_regime() -> None:
    net, A, y, _ = mri()
    linear = training.LinearisedNetwork(net)
    method = training.Vanilla()
    [(params, z)] = training.starting_points(linear, A, y, method, key=KEY)
    rate = training.stable_rate(net, A, params["origin"], z)
    optimiser = training.Optimiser("gd", rate)
    settings = training.Settings(steps=10, record_every=5, optimiser=optimiser)
    run = training.reconstruct(linear, A, y, method, key=KEY, settings=settings)
    assert set(run.outcomes[0].trained["params"]) == {"origin", "moved"}
    losses = run.outcomes[0].metrics["loss"]
    assert (np.diff(losses) < 0).all()


def test_wrapped_networks_count_and_draw_as_the_network_does(problem) -> None:
    net, _, _, z, _ = problem
    linear = training.LinearisedNetwork(net)
    assert linear.parameter_count(z) == net.parameter_count(z)
    padded = networks.PaddedNetwork(linear, (7, 7))
    drawn = padded.init(z[:7, :7], key=KEY)
    assert set(drawn) == {"origin", "moved"}
    assert padded.apply(drawn, z[:7, :7]).shape == (7, 7)
    trained = padded.trained(drawn)
    assert not any(jax.tree.leaves(trained["origin"]))
    assert all(jax.tree.leaves(trained["moved"]))


def test_a_kernel_of_zero_is_refused(problem) -> None:
    net, A, _, z, params = problem
    nothing = jax.tree.map(jnp.zeros_like, params)
    with pytest.raises(ValueError, match="is zero there"):
        training.stable_rate(net, A, nothing, z)
