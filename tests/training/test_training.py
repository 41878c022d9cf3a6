"""Training against JAX written out by hand, and the loop on both of its paths."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkdip import networks, operators, training
from ntkdip.training import loop
from ntkdip.training.steps import Stepper

KEY = jax.random.key(0)


@pytest.fixture
def problem():
    mask = operators.masks.random_lines((8, 8), 2, seed=0)
    A = operators.masked_fourier(mask)
    net = networks.wide_cnn(8, 3, 3)
    z = jax.random.normal(KEY, (8, 8, 2))
    params = net.init(z, key=KEY)
    y = A(jax.random.normal(jax.random.key(1), (8, 8), jnp.complex64))
    return net, A, y, z, params


def test_gradient_descent_is_gradient_descent(problem) -> None:
    net, A, y, z, params = problem
    run = training.train(
        training.least_squares(net, A, y, z, centre=params), params, optax.sgd(1e-3), [0, 1, 5]
    )

    def loss(p):
        r = A(net.apply(p, z) - net.apply(params, z)) - y
        return 0.5 * jnp.vdot(r, r).real

    by_hand = params
    for step in range(6):
        if step in (0, 1, 5):
            i = [0, 1, 5].index(step)
            image = net.apply(by_hand, z) - net.apply(params, z)
            np.testing.assert_allclose(run.images[i], image, atol=1e-5)
            assert run.losses[i] == pytest.approx(float(loss(by_hand)), rel=1e-5)
        last = by_hand
        by_hand = jax.tree.map(lambda p, g: p - 1e-3 * g, by_hand, jax.grad(loss)(by_hand))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), run.params, last)
    assert np.abs(run.images[0]).max() < 1e-6


def test_uncentred_training_starts_at_the_network(problem) -> None:
    net, A, y, z, params = problem
    run = training.train(training.least_squares(net, A, y, z), params, optax.sgd(1e-3), [0, 3])
    np.testing.assert_allclose(run.images[0], net.apply(params, z), atol=1e-6)
    assert run.losses[1] < run.losses[0]


def test_what_is_trained_is_observed_where_it_is_recorded(problem) -> None:
    net, A, y, z, params = problem
    objective = training.least_squares(net, A, y, z, centre=params)

    def moved(trained):
        leaves = zip(jax.tree.leaves(trained), jax.tree.leaves(params), strict=True)
        return {"moved": max(float(jnp.abs(now - then).max()) for now, then in leaves)}

    run = training.train(objective, params, optax.sgd(1e-3), [0, 1, 4], observe=moved)
    assert run.scalars["moved"].shape == (3,)
    assert run.scalars["moved"][0] == 0 < run.scalars["moved"][1]
    assert run.scalars["moved"][2] == pytest.approx(moved(run.params)["moved"])


def test_scan_and_loop_give_the_same_arrays(problem, monkeypatch) -> None:
    monkeypatch.setattr(loop, "STEPS_PER_DISPATCH", 4)
    net, A, y, z, params = problem
    objective = training.least_squares(net, A, y, z, centre=params)
    runs = [
        training.train(objective, params, optax.sgd(1e-3), [0, 3, 11], scan=scan)
        for scan in (True, False)
    ]
    np.testing.assert_allclose(runs[0].images, runs[1].images, atol=1e-6)
    np.testing.assert_allclose(runs[0].losses, runs[1].losses, rtol=1e-5)


def _primitives(jaxpr, inside_loop: bool = False):
    for eqn in jaxpr.eqns:
        looping = inside_loop or eqn.primitive.name in ("scan", "while")
        yield eqn.primitive.name, inside_loop
        for value in eqn.params.values():
            for inner in value if isinstance(value, list | tuple) else [value]:
                jaxpr_inside = getattr(inner, "jaxpr", inner)
                if hasattr(jaxpr_inside, "eqns"):
                    yield from _primitives(jaxpr_inside, looping)


@pytest.mark.parametrize("chunk", [1, 4])
def test_no_convolution_in_a_loop_on_cpu(problem, chunk: int) -> None:
    net, A, y, z, params = problem
    objective = training.least_squares(net, A, y, z)
    stepper = Stepper(objective, optax.sgd(1e-3), chunk)
    state = stepper.begin(params, (), KEY)
    traced = jax.make_jaxpr(lambda s: stepper.advance(s, 0, chunk))(state)
    looped = [name for name, inside in _primitives(traced.jaxpr) if inside]
    assert ("conv_general_dilated" in looped) == (chunk > 1)


def test_cpu_loops_and_accelerators_scan(problem, monkeypatch) -> None:
    net, A, y, z, params = problem
    chunks = []
    original = Stepper.advance

    def advance(self, *arguments):
        chunks.append(self.chunk)
        return original(self, *arguments)

    monkeypatch.setattr(Stepper, "advance", advance)
    objective = training.least_squares(net, A, y, z)
    for backend in ("cpu", "gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda b=backend: b)
        training.train(objective, params, optax.sgd(1e-3), [1])
    assert chunks == [1, loop.STEPS_PER_DISPATCH, loop.STEPS_PER_DISPATCH]


def test_divergence_is_announced_and_keeps_what_was_recorded(problem) -> None:
    net, A, y, z, params = problem
    objective = training.least_squares(net, A, y, z)
    with pytest.raises(training.DivergenceError, match="use a smaller step size") as caught:
        training.train(objective, params, optax.sgd(1e12), [0, 1, 50])
    assert 1 <= len(caught.value.run.images) <= 2
    assert np.isfinite(caught.value.run.images).all()


def test_bad_input_is_refused(problem) -> None:
    net, A, y, z, params = problem
    objective = training.least_squares(net, A, y, z)
    for steps in ([], [3, 1], [-1], [0.5, 2]):
        with pytest.raises(ValueError, match="record_at must hold rising"):
            training.train(objective, params, optax.sgd(1e-3), steps)
    with pytest.raises(ValueError, match="data: expected shape"):
        training.least_squares(net, A, y[:3], z)
    with pytest.raises(ValueError, match="data: 1 of"):
        training.least_squares(net, A, y.at[3].set(jnp.nan), z)
    real = operators.masked_fourier(np.ones((8, 8), bool), complex_image=False)
    with pytest.raises(ValueError, match=r"makes images in C\^8x8, the operator takes R"):
        training.least_squares(net, real, y, z)


def test_another_optimiser_compiles_no_gradient_again(problem) -> None:
    net, A, y, z, params = problem
    traced = []
    objective = training.least_squares(net, A, y, z)

    def evaluate(*arguments):
        traced.append(1)
        return objective.evaluate(*arguments)

    counted = training.Objective(evaluate, objective.data)
    stepper = Stepper(counted, optax.sgd(1e-3))
    state = stepper.begin(params, (), KEY)
    stepper.advance(state, 0, 1)
    before = len(traced)
    other = Stepper(counted, optax.adam(1e-3))
    other.advance(other.begin(params, (), KEY), 0, 1)
    assert len(traced) == before
