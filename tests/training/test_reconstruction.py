"""Both paths of the loop, seeds, divergence, stopping, and what is refused."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from ntkdip import metrics, networks, training
from ntkdip.training import loop
from ntkdip.training.steps import Record, Stepper
from tests.training.problems import KEY, inpainting, mri

SETTINGS = training.Settings(steps=12, record_every=5, seeds=2)
METHOD = training.SelfGuided(draws=2)


def _reconstruct(settings=SETTINGS, method=METHOD, **options) -> training.Reconstruction:
    net, A, y, truth = mri()
    options = {"truth": truth, "key": KEY} | options
    return training.reconstruct(net, A, y, method, settings=settings, **options)


@pytest.fixture(scope="module")
def in_turn() -> training.Reconstruction:
    with jax.numpy_dtype_promotion("strict"):
        return _reconstruct()


def _close(one: training.Reconstruction, other: training.Reconstruction, bound: float) -> None:
    assert len(one.outcomes) == len(other.outcomes)
    for a, b in zip(one.outcomes, other.outcomes, strict=True):
        for name in ("final", "averaged", "inputs"):
            ours, theirs = getattr(a, name), getattr(b, name)
            assert np.linalg.norm(ours - theirs) <= bound * np.linalg.norm(theirs), name
        np.testing.assert_array_equal(a.metrics["step"], [0, 5, 10, 12])
        np.testing.assert_allclose(a.metrics["psnr"], b.metrics["psnr"], atol=100 * bound)


def test_scan_and_loop_give_the_same_arrays(in_turn, monkeypatch) -> None:
    monkeypatch.setattr(loop, "STEPS_PER_DISPATCH", 4)
    scanned = _reconstruct(dataclasses.replace(SETTINGS, scan=True))
    # Measured: 2e-5; twelve steps of Adam amplify rounding.
    _close(scanned, in_turn, 2e-4)


@pytest.mark.parametrize("scan", [False, True])
def test_seeds_at_once_are_seeds_in_turn(in_turn, scan: bool) -> None:
    _close(_reconstruct(dataclasses.replace(SETTINGS, batch_seeds=True, scan=scan)), in_turn, 2e-4)


def test_the_same_key_gives_the_same_arrays_and_another_others(in_turn) -> None:
    again = _reconstruct()
    np.testing.assert_array_equal(again.final, in_turn.final)
    first, second = (outcome.final for outcome in in_turn.outcomes)
    assert np.linalg.norm(first - second) > 0.01 * np.linalg.norm(first)
    other = _reconstruct(dataclasses.replace(SETTINGS, seeds=1), key=jax.random.key(1))
    assert np.linalg.norm(other.final - first) > 0.01 * np.linalg.norm(first)


def test_seeds_are_at_once_where_it_pays(monkeypatch) -> None:
    chosen = []
    original = Stepper.__init__

    def note(self, *arguments, **options):
        original(self, *arguments, **options)
        chosen.append((self.batched, self.chunk > 1))
        raise InterruptedError

    monkeypatch.setattr(Stepper, "__init__", note)
    for backend in ("cpu", "gpu", "tpu"):
        monkeypatch.setattr(jax, "default_backend", lambda b=backend: b)
        with pytest.raises(InterruptedError):
            _reconstruct()
    assert chosen == [(False, False), (True, True), (True, True)]


def test_other_data_and_another_truth_compile_no_step_again(in_turn, request) -> None:
    compiled: list[str] = []

    def note(event: str, seconds: float, **about: object) -> None:
        if event == "/jax/core/compile/jaxpr_to_mlir_module_duration":
            compiled.append(str(about.get("fun_name")))

    net, A, y, truth = mri()
    jax.monitoring.register_event_duration_secs_listener(note)
    request.addfinalizer(lambda: jax.monitoring.unregister_event_duration_listener(note))
    other = training.reconstruct(
        net, A, 2 * y[::-1], METHOD, key=KEY, settings=SETTINGS, truth=truth[::-1]
    )
    assert not compiled
    assert np.linalg.norm(other.final - in_turn.final) > 0.1 * np.linalg.norm(in_turn.final)
    training.reconstruct(
        net, A, y, dataclasses.replace(METHOD, alpha=0.1), key=KEY, settings=SETTINGS
    )
    assert compiled


def test_numbers_on_the_device_are_those_of_the_host(in_turn) -> None:
    _, A, y, truth = mri()
    for outcome in in_turn.outcomes:
        numbers = {name: values[-1] for name, values in outcome.metrics.items()}
        assert numbers["psnr"] == pytest.approx(metrics.psnr(outcome.final, truth), abs=1e-3)
        assert numbers["average_psnr"] == pytest.approx(
            metrics.psnr(outcome.averaged, truth), abs=1e-3
        )
        assert numbers["nmse"] == pytest.approx(metrics.nmse(outcome.final, truth), rel=1e-3)
        residual = np.linalg.norm(np.asarray(A(outcome.final)) - y)
        assert numbers["residual"] == pytest.approx(residual, rel=1e-4)
        z = networks.to_image(jax.numpy.asarray(outcome.inputs[-1]))
        distance = metrics.relative_distance(in_turn.scale * np.asarray(z), outcome.final)
        # The image is the mean over this step's noise, the same draws for both.
        assert numbers["input_distance"] == pytest.approx(distance, rel=1e-3)
    scores = in_turn.scores()
    assert set(scores) == {"final", "averaged", "oracle best"}
    assert (scores["oracle best"] >= scores["final"] - 1e-3).all()


def test_rules_pick_and_can_end_the_run() -> None:
    rules = [training.AtIteration(5), training.WindowedVariance(window=10, patience=10, every=5)]
    run = _reconstruct(rules=rules)
    assert run.outcomes[0].stopped["kernel-predicted"].step == 5
    at_five = _reconstruct(training.Settings(steps=5, record_every=5, seeds=2))
    np.testing.assert_array_equal(
        run.outcomes[1].stopped["kernel-predicted"].image, at_five.outcomes[1].final
    )
    steps = run.picked_steps()
    assert steps["final"].tolist() == [12, 12]
    assert steps["kernel-predicted"].tolist() == [5, 5]
    ended = _reconstruct(
        dataclasses.replace(SETTINGS, stop_early=True), rules=[training.AtIteration(5)]
    )
    assert ended.complete
    assert [outcome.steps for outcome in ended.outcomes] == [5, 5]


def test_the_discrepancy_is_in_the_unit_of_the_data() -> None:
    bar = 2.5 * float(np.linalg.norm(mri()[2]))
    settings = training.Settings(steps=12, record_every=1)
    run = _reconstruct(settings, method=training.Vanilla(), rules=[training.Discrepancy(bar)])
    residuals = run.outcomes[0].metrics["residual"]
    below = np.flatnonzero(residuals <= bar)
    assert 0 < below[0] < 12, "the bar is met at once or never: the test shows nothing"
    pick = run.outcomes[0].stopped["discrepancy"]
    assert pick.triggered
    assert pick.step == below[0]


def test_divergence_is_announced_with_its_cause() -> None:
    cases = [
        (training.Optimiser("gd", 1e8), "use a smaller step size"),
        (training.Optimiser("gd", 1e-6, input_rate=1e30), "input ran away before its weights"),
    ]
    method = training.SelfGuided(squared=True, alpha=1.0)
    for optimiser, cause in cases:
        settings = training.Settings(steps=40, record_every=1, optimiser=optimiser)
        with pytest.raises(training.DivergenceError, match=cause) as caught:
            _reconstruct(settings, method=method)
        run = caught.value.run
        assert not run.complete
        assert np.isfinite(run.final).all()
        assert np.isfinite(run.outcomes[0].metrics["loss"]).all()


def test_a_loss_that_grows_a_thousandfold_is_divergence() -> None:
    record = Record(np.array([1.0, 2001.0]), np.zeros(2), None, {})
    assert loop.fault_of(record, np.array([1.0, 2.001]), 7) is None
    fault = loop.fault_of(record, np.array([1.0, 2.0]), 7)
    assert fault is not None
    assert "2001 at step 7 (seed 2 of the batch)" in fault


def test_what_does_not_fit_is_refused_before_anything_is_computed() -> None:
    net, A, y, truth = mri()
    bad = [
        ({"y": y[:, :3]}, "data: expected shape"),
        ({"y": np.where(np.arange(y.shape[1]) == 1, np.nan, y)}, "data: 3 of"),
        ({"y": np.zeros_like(y)}, "the zero-filled image is zero"),
        ({"truth": truth[:8]}, r"the truth has shape \(8, 16\)"),
        ({"reference": truth * np.nan}, "reference: 256 of"),
        ({"reference": np.zeros_like(truth)}, "the reference is zero everywhere"),
        ({"rules": [training.HeldOut()]}, "set held_out"),
        ({"settings": training.Settings(stop_early=True)}, "none was given"),
        ({"y": 1e35 * y.astype(np.complex128)}, "too far from 1 for single precision"),
        ({"rules": [training.AtIteration(1), training.AtIteration(2)]}, "names of their own"),
        ({"net": networks.unet((4, 4), complex_image=False)}, "makes real images"),
        ({"net": networks.unet((4,) * 7)}, "multiples of 64"),
    ]
    for change, message in bad:
        options = {"net": net, "A": A, "y": y, "key": KEY} | change
        with pytest.raises(ValueError, match=message):
            training.reconstruct(**options)
    for settings, message in (
        ({"steps": 0}, "steps is at least 1"),
        ({"average": 1.0}, r"average lies in \[0, 1\)"),
        ({"held_out": -0.1}, r"held_out lies in \[0, 1\)"),
        ({"record_every": 0}, "record_every is at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            training.Settings(**settings)
    with pytest.raises(ValueError, match="give reconstruct a truth"):
        _reconstruct(training.Settings(steps=1), truth=None).scores()


def test_complex_references_of_real_images_are_refused() -> None:
    net, A, y, truth = inpainting()
    with pytest.raises(ValueError, match="take its magnitude"):
        training.reconstruct(
            net, A, y, training.ReferenceGuided(), key=KEY, reference=truth.astype(complex)
        )


def test_real_numbers_are_complex_data_too() -> None:
    net, A, y, _ = mri()
    settings = training.Settings(steps=1, held_out=0.1)
    assert training.reconstruct(net, A, y.real, key=KEY, settings=settings).complete


def test_self_guided_is_the_short_way() -> None:
    net, A, y, _ = mri()
    settings = training.Settings(steps=2)
    short = training.self_guided(net, A, y, key=KEY, settings=settings)
    long = training.reconstruct(net, A, y, training.SelfGuided(), key=KEY, settings=settings)
    np.testing.assert_array_equal(short.final, long.final)
