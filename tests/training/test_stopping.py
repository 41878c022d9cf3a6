from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest

from ntkdip.training.stopping import (
    AtIteration,
    Discrepancy,
    HeldOut,
    Observation,
    Pick,
    StoppingRule,
    WindowedVariance,
    expected_noise_norm,
)

RULES: list[StoppingRule] = [
    WindowedVariance(window=6, patience=20),
    WindowedVariance(window=21, patience=1000, every=5),
    Discrepancy(noise_norm=0.5),
    HeldOut(),
    HeldOut(patience=15),
    AtIteration(17),
]


def _run(count: int, dtype: Any = np.complex64, every: int = 1, seed: int = 0) -> list[Observation]:
    """Semi-convergence: the signal comes in fast, the noise slowly, both with some jitter."""
    rng = np.random.default_rng(seed)
    shape = (5, 7)
    parts = rng.standard_normal((3, *shape)).astype(dtype)
    if np.issubdtype(dtype, np.complexfloating):
        parts = parts * np.exp(1j * rng.random((3, *shape))).astype(dtype)
    signal, noise, _ = parts
    observations = []
    for i in range(count):
        t = i * every
        fitted = np.exp(-t / 8)
        jitter = (0.02 + 0.3 * (t / (60 * every)) ** 2) * rng.standard_normal(shape)
        image = signal * (1 - fitted) + noise * (t / 100) ** 2 + jitter
        observations.append(
            Observation(t, image.astype(dtype), 2 * fitted + 1e-3, 0.1 + abs(t - 30) / 100)
        )
    return observations


def _watch(rule: StoppingRule, seen: list[Observation]) -> list[Pick | None]:
    state = rule.start(seen[0].image.shape, seen[0].image.dtype)
    picks = []
    for observation in seen:
        state = rule.observe(state, observation)
        picks.append(rule.pick(state))
    return picks


def _variances(seen: list[Observation], window: int) -> np.ndarray:
    """Of every full window, from all images at once; NaN before."""
    images = np.array([o.image for o in seen], np.result_type(seen[0].image.dtype, np.float64))
    full = [np.var(images[i - window : i], axis=0).sum() for i in range(window, len(seen) + 1)]
    return np.array([np.nan] * (window - 1) + full)


@pytest.mark.parametrize("dtype", [np.float32, np.complex64, np.float64])
@pytest.mark.parametrize(("window", "every"), [(2, 1), (7, 1), (7, 10), (30, 1)])
def test_windowed_variance_as_from_all_images(dtype: Any, window: int, every: int) -> None:
    seen = _run(80, dtype, every)
    rule = WindowedVariance(window=window * every + every - 1, patience=10**6, every=every)
    assert rule.images == window
    variances = _variances(seen, window)
    state = rule.start(seen[0].image.shape, dtype)
    for i, observation in enumerate(seen):
        state = rule.observe(state, observation)
        pick = rule.pick(state)
        if i < window - 1:
            assert pick is None
            continue
        assert float(state["spread"]) / window == pytest.approx(variances[i], rel=1e-12)
        best = int(np.nanargmin(variances[: i + 1]))
        assert pick is not None
        assert (pick.step, pick.triggered) == (best * every, False)
        np.testing.assert_array_equal(pick.image, seen[best].image)


def test_windowed_variance_triggers_out_of_patience_and_keeps_its_pick() -> None:
    seen = _run(80)
    best = int(np.nanargmin(_variances(seen, 7)))
    assert 10 < best < 50, "the sequence semi-converges"
    picks = _watch(WindowedVariance(window=7, patience=12), seen)
    triggered = [i for i, pick in enumerate(picks) if pick is not None and pick.triggered]
    assert triggered == list(range(best + 12, 80))
    assert {pick.step for pick in picks[best:] if pick is not None} == {best}
    assert picks[-1] is not None
    assert picks[-1].reason.endswith("none smaller in 12 steps")


def test_windowed_variance_loses_no_digits_over_a_long_run() -> None:
    """A transient 10^6 times as large as what follows, and many windows."""
    rng = np.random.default_rng(0)
    window = 9
    seen = [
        Observation(i, (1e3 if i == 3 else 1) + 1e-3 * rng.standard_normal((4, 4)), 1.0)
        for i in range(2000)
    ]
    rule = WindowedVariance(window=window, patience=10**6)
    variances = _variances(seen, window)
    state = rule.start((4, 4), np.float64)
    for i, observation in enumerate(seen):
        state = rule.observe(state, observation)
        if i >= 20:
            # Measured: 1e-13; 5e-6 in the window that the transient has just left.
            assert float(state["spread"]) / window == pytest.approx(variances[i], rel=1e-11)


def test_windowed_variance_recovers_from_an_image_that_is_not_finite() -> None:
    seen = _run(60)
    bad = dataclasses.replace(seen[20], image=seen[20].image * np.float32(np.nan))
    spoilt = [*seen[:20], bad, *seen[21:]]
    picks = _watch(WindowedVariance(window=5, patience=1000), spoilt)
    assert all(pick is None or np.isfinite(pick.image).all() for pick in picks)
    assert picks[-1] is not None
    assert picks[-1].step == int(np.nanargmin(_variances(spoilt, 5)))


def test_discrepancy_is_the_first_observation_at_the_noise() -> None:
    seen = _run(60)
    residuals = np.array([o.residual for o in seen])
    first = int(np.argmax(residuals <= 0.4))
    picks = _watch(Discrepancy(noise_norm=0.2, factor=2.0), seen)
    for i, pick in enumerate(picks):
        assert pick is not None
        assert (pick.step, pick.triggered) == (min(i, first), i >= first)
    assert picks[0] is not None
    assert picks[0].reason == "residual 2.001 has not come down to the noise, 0.4"
    assert picks[-1] is not None
    np.testing.assert_array_equal(picks[-1].image, seen[first].image)


def test_discrepancy_passes_over_nan_and_a_rising_residual() -> None:
    image = np.zeros(3, np.float32)
    seen = [Observation(i, image + i, r) for i, r in enumerate([np.nan, 3.0, 2.0, 5.0, np.inf])]
    picks = _watch(Discrepancy(noise_norm=1.0), seen)
    assert [pick and pick.step for pick in picks] == [None, 1, 2, 2, 2]
    assert not any(pick and pick.triggered for pick in picks)


def test_expected_noise_norm_by_monte_carlo() -> None:
    from ntkdip.data import add_noise

    for dtype in (np.float64, np.complex128):
        noise = add_noise(np.zeros((200, 300), dtype), seed=0, sigma=0.3)
        mean_square = np.mean(np.linalg.norm(noise, axis=1) ** 2)
        assert np.sqrt(mean_square) == pytest.approx(expected_noise_norm(0.3, 300), rel=0.01)


def test_held_out_minimum_with_and_without_patience() -> None:
    seen = _run(80)
    for patience in (None, 15):
        picks = _watch(HeldOut(patience), seen)
        assert [pick.step for pick in picks if pick] == [min(i, 30) for i in range(80)]
        triggered = [i for i, pick in enumerate(picks) if pick and pick.triggered]
        assert triggered == ([] if patience is None else list(range(45, 80)))
    assert HeldOut.needs_held_out
    assert not WindowedVariance.needs_held_out


def test_held_out_passes_over_nan() -> None:
    seen = [dataclasses.replace(o, held_out=np.nan) for o in _run(10)]
    assert _watch(HeldOut(patience=2), seen) == [None] * 10
    seen[4] = dataclasses.replace(seen[4], held_out=0.5)
    picks = _watch(HeldOut(patience=2), seen)
    assert [pick and (pick.step, pick.triggered) for pick in picks[3:8]] == [
        None, (4, False), (4, False), (4, True), (4, True),
    ]  # fmt: skip


def test_at_iteration_takes_the_first_observation_at_or_after() -> None:
    seen = _run(8, every=10)
    for step, want in ((0, 0), (30, 30), (30.5, 40), (31, 40)):
        picks = _watch(AtIteration(step), seen)
        assert [pick.step for pick in picks if pick] == [min(o.step, want) for o in seen]
        assert [pick.triggered for pick in picks if pick] == [o.step >= want for o in seen]
    never = _watch(AtIteration(np.inf, name="t*"), seen)[-1]
    assert never is not None
    assert (never.step, never.triggered) == (70, False)
    assert never.reason == "the latest observation; step inf has not come"


@pytest.mark.parametrize("dtype", [np.float32, np.complex64])
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_state_keeps_shapes_and_dtypes_and_continues_bit_for_bit(
    rule: StoppingRule, dtype: Any
) -> None:
    seen = _run(50, dtype, 5 if rule == RULES[1] else 1)
    state = rule.start((5, 7), dtype)
    form = {name: (value.shape, value.dtype) for name, value in state.items()}
    states = []
    for observation in seen:
        before = copy.deepcopy(state)
        after = rule.observe(state, observation)
        _assert_same(state, before)
        assert {name: (value.shape, value.dtype) for name, value in after.items()} == form
        assert all(type(value) is np.ndarray for value in after.values())
        state = after
        states.append(state)
    for restart in (1, 7, 23):
        state = copy.deepcopy(states[restart - 1])
        for observation in seen[restart:]:
            state = rule.observe(state, observation)
        _assert_same(state, states[-1])


def _assert_same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value.tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_pick_is_not_changed_by_a_caller_that_reuses_its_image(rule: StoppingRule) -> None:
    seen = _run(40)
    buffer = np.zeros_like(seen[0].image)
    state = rule.start(buffer.shape, buffer.dtype)
    for observation in seen:
        buffer[...] = observation.image
        state = rule.observe(state, dataclasses.replace(observation, image=buffer))
    pick, want = rule.pick(state), _watch(rule, seen)[-1]
    assert pick is not None
    assert want is not None
    np.testing.assert_array_equal(pick.image, want.image)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_images_that_do_not_fit_are_refused(rule: StoppingRule) -> None:
    with pytest.raises(ValueError, match="real or complex floating-point"):
        rule.start((5, 7), np.int32)
    state = rule.start((5, 7), np.float32)
    assert rule.pick(state) is None
    for wrong in (np.zeros((7, 5), np.float32), np.zeros((5, 7), np.complex64)):
        with pytest.raises(ValueError, match="was started for float32 images"):
            rule.observe(state, Observation(0, wrong, 1.0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WindowedVariance(window=0), "window is a number of steps, at least 1; got 0"),
        (lambda: WindowedVariance(patience=0), "patience is a number of steps"),
        (lambda: WindowedVariance(every=0), "every is a number of steps"),
        (lambda: WindowedVariance(window=19, every=10), "use a window of at least 20 steps"),
        (lambda: Discrepancy(noise_norm=0.0), "noise_norm is positive and finite; got 0.0"),
        (lambda: Discrepancy(1.0, factor=float("nan")), "factor is positive"),
        (lambda: HeldOut(patience=0), "patience is a number of steps"),
        (lambda: AtIteration(-1), "step is 0 or more"),
        (lambda: AtIteration(float("nan")), "step is 0 or more"),
        (lambda: expected_noise_norm(0.0, 3), "sigma is positive"),
        (lambda: expected_noise_norm(1.0, 0), "samples is at least 1"),
    ],
)
def test_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_rules_have_names_of_their_own() -> None:
    names = [rule.name for rule in RULES]
    assert len(set(names)) == 4
    assert WindowedVariance(name="short window").name == "short window"
