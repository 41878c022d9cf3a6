"""Every method on the same problems, and each one's loss and step written out by hand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ntkdip import networks, training
from ntkdip.training.methods import Problem
from ntkdip.training.objectives import on_device
from ntkdip.training.steps import Stepper
from tests.training.problems import KEY, inpainting, mri, network_for

CASES = [
    training.Vanilla(),
    training.Vanilla(perturbation=1 / 30),
    training.TotalVariation(weight=0.01),
    training.DeepDecoder(channels=4),
    training.ReferenceGuided(),
    training.SelfGuided(draws=3),
    training.SelfGuided(squared=True, noise="gaussian", draws=1, start_from="random"),
    training.SelfGuided(start_from="reference", level=0.0),
    training.Sequential(),
    training.Sequential(every=1, data_consistency=False, start_from="random"),
]
IDS = [f"{i}-{type(m).__name__}" for i, m in enumerate(CASES)]
SETTINGS = training.Settings(steps=4, record_every=2)


def _problem(net, A, y, truth) -> Problem:
    initial = np.asarray(A.adjoint(y))
    scale = np.abs(initial).max()
    return Problem(
        net, (*on_device(A, y / scale), jnp.ones((), y.dtype)), initial / scale,
        truth / np.abs(truth).max(), A.norm(),
    )  # fmt: skip


def _one_step(method: training.Method, problem: Problem, rate: float = 1e-3):
    objective = method.objective(problem)
    optimiser = training.Optimiser("gd", rate, rate).build(1, joint=method.joint)
    stepper = Stepper(objective, optimiser, decay=0.5)
    before = stepper.begin(*method.start(problem, KEY), KEY)
    return before, stepper.advance(before, 0, 1), stepper


def _runs(make, method: training.Method):
    """Two runs that must not differ but by the data's unit.

    The second has 1,024 times the data (a power of two changes no digit), of another sign where
    they are held out, and is told the truth.
    """
    net, A, y, truth = make()
    energy = (np.abs(y) ** 2).sum(0)
    strongest = energy > np.quantile(energy, 0.95)
    weights = training.held_out_split(y.shape, 0.2, seed=0, keep=strongest)
    settings = training.Settings(steps=4, record_every=2, held_out=0.2)
    return [
        training.reconstruct(
            network_for(method, net), A, values, method, key=KEY, settings=settings,
            reference=truth, truth=known,
        )
        for values, known in ((y, None), (1024 * np.where(weights == 1, y, -y), truth))
    ], (A, y, weights)  # fmt: skip


@pytest.mark.parametrize("method", CASES, ids=IDS)
def test_training_sees_neither_truth_nor_units_nor_what_is_held_out(method) -> None:
    (one, other), (A, y, weights) = _runs(mri, method)
    np.testing.assert_array_equal(other.final, 1024 * one.final)
    np.testing.assert_array_equal(other.averaged, 1024 * one.averaged)
    numbers = [run.outcomes[0].metrics for run in (one, other)]
    np.testing.assert_array_equal(numbers[1]["residual"], 1024 * numbers[0]["residual"])
    missed = (1 - weights) * (np.asarray(A(one.final)) - y)
    error = np.linalg.norm(missed) / np.linalg.norm((1 - weights) * y)
    assert numbers[0]["held_out"][-1] == pytest.approx(error, rel=1e-4)
    assert numbers[0]["held_out"][-1] != numbers[1]["held_out"][-1]
    trained = weights * (np.asarray(A(one.final)) - y)
    assert numbers[0]["residual"][-1] == pytest.approx(np.linalg.norm(trained), rel=1e-4)


@pytest.mark.parametrize("kind", training.METHODS.values(), ids=training.METHODS)
def test_every_method_makes_real_images_too(kind) -> None:
    net, A, y, truth = inpainting()
    settings = training.Settings(steps=2, record_every=2)
    method = kind()
    run = training.reconstruct(
        network_for(method, net), A, y, method, key=KEY, settings=settings, reference=truth
    )
    assert run.complete
    assert (run.final.shape, run.final.dtype) == (truth.shape, np.float32)
    assert np.isfinite(run.final).all()
    np.testing.assert_array_equal(run.outcomes[0].metrics["step"], [0, 2])


def test_vanilla_takes_the_step_of_its_loss() -> None:
    net, A, y, truth = mri()
    problem = _problem(net, A, y, truth)
    before, after, _ = _one_step(training.Vanilla(), problem)
    _, data, _ = problem.data

    def loss(p):
        r = A(net.apply(p, before.carried["input"])) - data
        return 0.5 * jnp.vdot(r, r).real

    gradient = jax.grad(loss)(before.trained["params"])
    by_hand = jax.tree.map(lambda p, g: p - 1e-3 * g, before.trained["params"], gradient)
    _same(after.trained["params"], by_hand)
    assert before.carried["input"].shape == (16, 16, 32)
    np.testing.assert_array_equal(after.carried["input"], before.carried["input"])


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("noise", ["uniform", "gaussian"])
def test_self_guided_takes_the_joint_step_of_its_loss(squared: bool, noise) -> None:
    net, A, y, truth = mri()
    problem = _problem(net, A, y, truth)
    method = training.SelfGuided(alpha=0.7, squared=squared, noise=noise, level=0.3, draws=2)
    before, after, _ = _one_step(method, problem)
    _, data, _ = problem.data
    params, z = before.trained["params"], before.trained["input"]
    np.testing.assert_allclose(networks.to_image(z), problem.initial, atol=1e-6)
    draw = jax.random.uniform if noise == "uniform" else jax.random.normal
    noises = 0.3 * np.abs(z).max() * draw(jax.random.fold_in(KEY, 0), (2, *z.shape))

    def loss(p, z):
        image = sum(net.apply(p, z + n) for n in noises) / 2
        fit, guide = (
            jnp.linalg.norm(v.ravel()) for v in (A(image) - data, image - networks.to_image(z))
        )
        return fit**2 + 0.7 * guide**2 if squared else fit + 0.7 * guide

    of_params, of_z = jax.grad(loss, (0, 1))(params, z)
    _same(after.trained["params"], jax.tree.map(lambda p, g: p - 1e-3 * g, params, of_params))
    _same(after.trained["input"], z - 1e-3 * of_z)


def test_total_variation_is_the_sum_of_lengths() -> None:
    image = np.array([[1, 2, 2], [1, 2, 5j]], np.complex64)
    lengths = np.array([[1, 0, 0], [1, 0, 0]], float)
    lengths[0, 2] = abs(2 - 5j)
    lengths[1, 1] = abs(2 - 5j)
    found = training.TotalVariation(weight=0.5).penalty(jnp.asarray(image))
    assert float(found) == pytest.approx(0.5 * lengths.sum(), abs=5e-4)
    flat = jax.grad(lambda x: training.TotalVariation().penalty(x))(jnp.ones((4, 4)))
    np.testing.assert_allclose(flat, 0, atol=1e-7)


@pytest.mark.parametrize("consistent", [True, False])
def test_sequential_renews_its_input_every_few_steps(consistent: bool) -> None:
    net, A, y, truth = inpainting()
    problem = _problem(net, A, y, truth)
    method = training.Sequential(every=2, data_consistency=consistent)
    before, one, stepper = _one_step(method, problem)
    np.testing.assert_array_equal(one.carried["input"], before.carried["input"])
    image = net.apply(one.trained["params"], one.carried["input"])
    if consistent:  # a pixel mask: what is measured takes its place
        _, data, _ = problem.data
        image = image + A.adjoint(data) - A.adjoint(A(image))
    two = stepper.advance(one, 1, 1)
    _same(two.carried["input"][..., 0], image)


def test_reference_guidance_starts_from_the_reference() -> None:
    net, A, y, truth = mri()
    run = training.reconstruct(
        net, A, y, training.ReferenceGuided(), key=KEY, settings=SETTINGS, reference=3 * truth
    )
    z = networks.to_image(jnp.asarray(run.outcomes[0].inputs[0]))
    np.testing.assert_allclose(z, truth / np.abs(truth).max(), atol=1e-6)


def test_the_average_is_that_of_the_images_before_each_step() -> None:
    net, A, y, truth = mri()
    method = training.Vanilla()
    settings = training.Settings(steps=3, record_every=1, average=0.15)
    run = training.reconstruct(net, A, y, method, key=KEY, settings=settings)
    images = [
        training.reconstruct(
            net, A, y, method, key=KEY, settings=training.Settings(steps=steps, record_every=1)
        ).final
        for steps in (1, 2)
    ]
    of_start, _ = jax.random.split(jax.random.split(KEY, 1)[0])
    problem = _problem(net, A, y, truth)
    trained, carried = method.start(problem, of_start)
    first = run.scale * np.asarray(net.apply(trained["params"], carried["input"]))
    # Shares: 1, then 9/10 (above 1 - 0.15), then 1 - 0.15 (above 9/11).
    expected = 0.15 * (0.1 * first + 0.9 * images[0]) + 0.85 * images[1]
    np.testing.assert_allclose(run.averaged, expected, atol=1e-5 * np.abs(expected).max())


def test_optimisers_are_those_of_optax() -> None:
    params = {"params": jnp.array([1.0, -2.0]), "input": jnp.array([0.5])}
    gradient = {"params": jnp.array([0.3, 40.0]), "input": jnp.array([2.0])}
    cases = {
        training.Optimiser("gd", 0.1, 0.2): (optax.sgd(0.1), optax.sgd(0.2)),
        training.Optimiser("gd", 0.1): (optax.sgd(0.1), optax.sgd(1.0)),
        training.Optimiser("momentum", 0.1, 0.1, momentum=0.5): (optax.sgd(0.1, 0.5),) * 2,
        training.Optimiser("adam", 0.1, 0.3): (optax.adam(0.1), optax.adam(0.3)),
        training.Optimiser("adamw", 0.1, 0.1, weight_decay=0.5): (
            optax.adamw(0.1, weight_decay=0.5), optax.adamw(0.1, weight_decay=0.0),
        ),
        training.Optimiser("gd", 0.1, 0.1, clip=1.0): (
            optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
        ) * 2,
        training.Optimiser("gd", 0.1, 0.1, schedule="cosine", final_share=0.1): (
            optax.sgd(optax.cosine_decay_schedule(0.1, 10, 0.1)),
        ) * 2,
        training.Optimiser("gd", 0.1, 0.1, schedule="exponential", final_share=0.01): (
            optax.sgd(lambda step: 0.1 * 0.01 ** (step / 10)),
        ) * 2,
        training.Optimiser("gd", 0.1, 0.1, schedule="warmup-cosine", warmup=3): (
            optax.sgd(optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 10)),
        ) * 2,
    }  # fmt: skip
    with jax.numpy_dtype_promotion("standard"):
        for settings, (of_params, of_input) in cases.items():
            ours = settings.build(10, joint=True)
            states = ours.init(params), of_params.init(params["params"]), of_input.init(
                params["input"]
            )  # fmt: skip
            for _ in range(5):
                u, first = ours.update(gradient, states[0], params)
                p, second = of_params.update(gradient["params"], states[1], params["params"])
                z, third = of_input.update(gradient["input"], states[2], params["input"])
                states = first, second, third
                np.testing.assert_allclose(u["params"], p, rtol=1e-6)
                np.testing.assert_allclose(u["input"], z, rtol=1e-6)


def test_only_what_is_trained_decays() -> None:
    net = training.LinearisedNetwork(networks.wide_cnn(4, 3, 3))
    z = jnp.ones((8, 8, 2))
    params = net.init(z, key=KEY)
    moved = {"origin": params["origin"], "moved": jax.tree.map(jnp.ones_like, params["moved"])}
    optimiser = training.Optimiser("adamw", 0.1, weight_decay=0.5)
    built = optimiser.build(1, joint=True, trained=net.trained)
    trained = {"params": moved, "input": z}
    nothing = jax.tree.map(jnp.zeros_like, trained)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = built.update(nothing, built.init(trained), trained)
    after = optax.apply_updates(trained, updates)
    _same(after["params"]["moved"], jax.tree.map(lambda m: 0.95 * m, moved["moved"]))
    jax.tree.map(np.testing.assert_array_equal, after["params"]["origin"], params["origin"])
    np.testing.assert_array_equal(after["input"], z)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0.0}, "rate is a finite number above 0"),
        ({"input_rate": -1.0}, "input_rate is a finite number above 0"),
        ({"clip": np.inf}, "clip is a finite number above 0"),
        ({"momentum": 2.0}, "momentum is at least 0 and below 1"),
        ({"weight_decay": 0.1}, "weight_decay belongs to adamw"),
        ({"warmup": 3}, "warmup is at least 1 for the schedule warmup-cosine"),
        ({"schedule": "warmup-cosine"}, "warmup is at least 1"),
        ({"schedule": "exponential"}, "an exponential never falls to 0"),
    ],
)
def test_bad_optimisers_are_refused(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        training.Optimiser(**settings)


def test_a_warm_up_fits_into_its_run() -> None:
    optimiser = training.Optimiser(schedule="warmup-cosine", warmup=10)
    with pytest.raises(ValueError, match="must be shorter than the run"):
        optimiser.build(10, joint=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: training.Vanilla(channels=0), "channels is out of range"),
        (lambda: training.TotalVariation(weight=-1.0), "weight is out of range"),
        (lambda: training.SelfGuided(draws=0), "draws is out of range"),
        (lambda: training.Sequential(every=0), "every is out of range"),
    ],
)
def test_bad_methods_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_method_that_needs_what_is_not_there_says_so() -> None:
    net, A, y, _ = mri()
    for method in (training.ReferenceGuided(), training.SelfGuided(start_from="reference")):
        with pytest.raises(ValueError, match="needs a reference image"):
            training.reconstruct(net, A, y, method, key=KEY)
    with pytest.raises(ValueError, match="needs fewer weights than numbers"):
        training.reconstruct(networks.deep_decoder(64, 2), A, y, training.DeepDecoder(), key=KEY)
    with pytest.raises(ValueError, match="one image of the same size in and out"):
        training.reconstruct(networks.deep_decoder(4, 2), A, y, key=KEY)


def _same(ours, by_hand) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-4), ours, by_hand)
