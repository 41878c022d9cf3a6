"""Runs that end in the middle go on bit for bit, and disks that fail are announced."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import types

import jax
import numpy as np
import pytest

from ntkdip import training
from ntkdip.training import checkpoints, interruption
from ntkdip.training.steps import Stepper
from tests.training.problems import KEY, mri

SETTINGS = training.Settings(
    steps=12, record_every=3, checkpoint_every=4, seeds=2, held_out=0.1,
    optimiser=training.Optimiser("adamw", 1e-3, 1e-2, schedule="cosine", weight_decay=0.01),
)  # fmt: skip
RULES = (
    training.WindowedVariance(window=6, patience=100),
    training.HeldOut(),
    training.Discrepancy(1e-6),
)


def _reconstruct(folder=None, settings=SETTINGS, **options) -> training.Reconstruction:
    net, A, y, truth = mri()
    options = {"truth": truth, "key": KEY, "rules": RULES} | options
    return training.reconstruct(
        net, A, y, training.SelfGuided(draws=2), settings=settings, folder=folder, **options
    )


@pytest.fixture(scope="module")
def whole() -> training.Reconstruction:
    with jax.numpy_dtype_promotion("strict"):
        return _reconstruct()


def _identical(one: training.Reconstruction, other: training.Reconstruction) -> None:
    assert len(one.outcomes) == len(other.outcomes)
    for a, b in zip(one.outcomes, other.outcomes, strict=True):
        for name in ("final", "averaged", "inputs", "input_steps"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), name)
        assert list(a.metrics) == list(b.metrics)
        for name in a.metrics:
            np.testing.assert_array_equal(a.metrics[name], b.metrics[name], name)
        picks = [{**o.stopped, "best": o.best} for o in (a, b)]
        assert picks[0].keys() == picks[1].keys()
        for name, pick in picks[0].items():
            theirs = picks[1][name]
            assert (pick.step, pick.reason) == (theirs.step, theirs.reason)
            np.testing.assert_array_equal(pick.image, theirs.image, name)
        jax.tree.map(np.testing.assert_array_equal, a.trained, b.trained)


def _interrupt_after(monkeypatch, calls: int, number: int = signal.SIGTERM) -> None:
    """Send a signal in the dispatch of this number, or (0) in the record of the start."""
    name = "advance" if calls else "record"
    original, left = getattr(Stepper, name), [max(calls, 1)]

    def interrupted(self, *arguments):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), number)
        return original(self, *arguments)

    monkeypatch.setattr(Stepper, name, interrupted)


@pytest.mark.parametrize(("calls", "batch"), [(0, False), (5, False), (6, True), (20, False)])
def test_an_interrupted_run_goes_on_bit_for_bit(
    tmp_path, monkeypatch, whole, calls: int, batch: bool
) -> None:
    settings = training.Settings(**vars(SETTINGS) | {"batch_seeds": batch})
    folder = tmp_path / "a name [1] that * is no pattern?"
    expected = _reconstruct(settings=settings) if batch else whole
    with monkeypatch.context() as patch:
        _interrupt_after(patch, calls)
        with pytest.raises(training.InterruptedRunError, match="resume goes on there") as caught:
            _reconstruct(folder, settings)
    assert caught.value.signal == signal.SIGTERM
    assert not caught.value.run.complete
    for ours, theirs in zip(caught.value.run.outcomes, expected.outcomes, strict=False):
        count = len(ours.metrics["step"])
        np.testing.assert_array_equal(ours.metrics["psnr"], theirs.metrics["psnr"][:count])
    _identical(_reconstruct(folder, settings, resume=True), expected)
    # And once more: everything is there.
    with monkeypatch.context() as patch:
        patch.setattr(Stepper, "advance", None)
        _identical(_reconstruct(folder, settings, resume=True), expected)


def test_ctrl_c_without_a_folder_still_gives_what_there_is(monkeypatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    _interrupt_after(monkeypatch, 4, signal.SIGINT)
    with pytest.raises(training.InterruptedRunError, match=r"ended at step 4 of 12$") as caught:
        _reconstruct()
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.run.outcomes[0].steps == 3
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_is_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), interruption.watched() as found:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert found.signal == signal.SIGINT
        signal.raise_signal(signal.SIGINT)


def test_other_threads_run_without_signals() -> None:
    seen = []

    def run() -> None:
        with interruption.watched() as found:
            seen.append(found())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [False]


def test_a_damaged_checkpoint_is_passed_over(tmp_path, monkeypatch, whole) -> None:
    with monkeypatch.context() as patch:
        _interrupt_after(patch, 11)
        with pytest.raises(training.InterruptedRunError):
            _reconstruct(tmp_path)
    newest = max((tmp_path / "seed-0" / "steps").iterdir(), key=lambda path: int(path.name))
    assert newest.name == "11"
    damaged = bytearray((newest / "default" / "bytes" / "0").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (newest / "default" / "bytes" / "0").write_bytes(damaged)
    with pytest.warns(training.CheckpointWarning, match="step 11 .* is damaged"):
        resumed = _reconstruct(tmp_path, resume=True)
    _identical(resumed, whole)
    # What was damaged is gone: this time nothing warns.
    _identical(_reconstruct(tmp_path, resume=True), whole)
    for path in (tmp_path / "seed-0" / "steps").glob("*/default/bytes/0"):
        path.write_bytes(path.read_bytes()[:100])
    with (
        pytest.warns(training.CheckpointWarning, match="is damaged"),
        pytest.raises(training.CheckpointError, match="can be read; start anew"),
    ):
        _reconstruct(tmp_path, resume=True)


def test_another_run_is_refused_by_name(tmp_path) -> None:
    settings = training.Settings(steps=1)
    _reconstruct(tmp_path, settings, rules=())
    with pytest.raises(training.CheckpointError, match="continue it with resume"):
        _reconstruct(tmp_path, settings, rules=())
    for change, name in (
        ({"settings": training.Settings(steps=2)}, "settings"),
        ({"key": jax.random.key(1)}, "key"),
        ({"rules": (training.AtIteration(3),)}, "rules"),
        ({"truth": None}, "truth"),
    ):
        options = {"settings": settings, "rules": ()} | change
        with pytest.raises(training.CheckpointError, match=f"differs in {name}; resume"):
            _reconstruct(tmp_path, resume=True, **options)


def test_every_folder_is_looked_at_before_the_first_seed(tmp_path, monkeypatch) -> None:
    checkpoints.claim(tmp_path / "seed-1", {"run": "another"}, resume=False)
    monkeypatch.setattr(Stepper, "advance", None)
    with pytest.raises(training.CheckpointError, match=r"seed-1.*holds the checkpoints of a run"):
        _reconstruct(tmp_path)


def test_what_changes_no_number_may_change(tmp_path) -> None:
    few = training.Settings(steps=1, checkpoint_every=1)
    _reconstruct(tmp_path, few, rules=())
    other = training.Settings(steps=1, checkpoint_every=7, scan=False)
    assert _reconstruct(tmp_path, other, rules=(), resume=True).complete


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruption.watched() as found:
            signal.raise_signal(signal.SIGINT)
        assert found.signal is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_resume_starts_where_nothing_is_yet(tmp_path) -> None:
    settings = training.Settings(steps=1)
    fresh = _reconstruct(tmp_path / "new", settings, rules=(), resume=True)
    assert fresh.complete


def test_a_folder_that_cannot_be_used_is_found_out_first(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(Stepper, "advance", None)
    with pytest.raises(training.CheckpointError, match="cannot be written to"):
        _reconstruct(tmp_path / "file")
    usage = types.SimpleNamespace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(training.CheckpointError, match=r"checkpoints need .* are free"):
        _reconstruct(tmp_path / "full")


def test_a_disk_that_fills_up_does_not_end_the_run(tmp_path, monkeypatch, whole) -> None:
    original, failing = checkpoints.Checkpoints.__init__, [True]

    def opened(self, *arguments, **options):
        original(self, *arguments, **options)
        save = self.manager.save

        def full(*a, **o):
            if failing[0]:
                raise OSError(28, "No space left on device")
            return save(*a, **o)

        self.manager.save = full

    monkeypatch.setattr(checkpoints.Checkpoints, "__init__", opened)
    with pytest.warns(training.CheckpointWarning, match="No space left on device.*The run goes on"):
        found = _reconstruct(tmp_path)
    _identical(found, whole)
    _interrupt_after(monkeypatch, 2)
    with (
        pytest.warns(training.CheckpointWarning),
        pytest.raises(training.InterruptedRunError, match="nothing could be saved"),
    ):
        _reconstruct(tmp_path, resume=True)
    failing[0] = False
    # Nothing was saved, so the run is made again, and now it is.
    _identical(_reconstruct(tmp_path, resume=True), whole)
    assert (tmp_path / "seed-0" / "steps" / "12").is_dir()


def test_divergence_leaves_the_last_good_state(tmp_path) -> None:
    settings = training.Settings(
        steps=40, record_every=1, optimiser=training.Optimiser("gd", 2e-3), checkpoint_every=1
    )
    net, A, y, _ = mri()
    method = training.SelfGuided(squared=True, alpha=1e3)
    with pytest.raises(training.DivergenceError, match=r"last good state.* start anew") as caught:
        training.reconstruct(net, A, y, method, key=KEY, settings=settings, folder=tmp_path)
    kept = max(int(path.name) for path in (tmp_path / "seed-0" / "steps").iterdir())
    assert kept == caught.value.run.outcomes[0].steps
    assert np.isfinite(caught.value.run.outcomes[0].final).all()
    leaves = jax.tree.leaves(caught.value.run.outcomes[0].trained)
    assert all(np.isfinite(leaf).all() for leaf in leaves)


def test_states_survive_packing() -> None:
    state = {"a": jax.numpy.arange(3.0), "key": jax.random.key(7), "n": jax.numpy.int32(4)}
    back = checkpoints.unpacked(checkpoints.packed(state), state)
    np.testing.assert_array_equal(back["a"], state["a"])
    assert back["n"].dtype == np.int32
    draws = [jax.random.normal(s["key"], (3,)) for s in (back, state)]
    np.testing.assert_array_equal(*draws)
