"""The family ``theory``: Theorem 2 against iterating, denoising against neural-tangents."""

from __future__ import annotations

import dataclasses
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import cases, contest, measure, peers, theory, worker
from benchmarks.worker import run_job
from ntkdip import kernels

CURVE, DENOISING, SWEEP = cases.SMALL_THEORY
PEER = contest.Peer("neural-tangents", ("of another family",))

needs_peer = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("neural_tangents", "frozendict")),
    reason="neural-tangents is not installed",
)


def test_iterations_are_200_and_whole() -> None:
    assert len(theory.TIMES) == len(set(theory.TIMES)) == 200
    assert not (theory.TIMES % 1).any()
    assert (theory.TIMES[0], theory.TIMES[-1]) == (1, cases.LAST_ITERATION)


def test_the_curve_is_compared_with_iterating_and_its_time_scaled() -> None:
    given = theory.problem(CURVE)
    peer = theory.iterating(given)
    assert peer.scale == cases.LAST_ITERATION / cases.ITERATIONS
    ours = theory.ours(CURVE)
    logarithms = ours.array(ours.call())
    assert logarithms.shape == (2, np.sum(theory.TIMES <= cases.ITERATIONS))
    assert measure.compare(logarithms, peer.array(None), CURVE.tolerance) < CURVE.tolerance


def test_the_recursion_is_gradient_descent_of_images_and_of_noise() -> None:
    given = theory.problem(CURVE)
    M, W = given.A.real().dense(), given.W.dense()
    step = 1 / np.linalg.eigvalsh(M @ W @ M.T)[-1]
    error, gain = -given.x, np.zeros((len(W), len(M)))
    found = []
    for _ in range(3):
        error = error - step * W @ M.T @ (M @ error)
        gain = gain + step * W @ M.T @ (np.eye(len(M)) - M @ gain)
        found.append((np.sum(error**2), theory.SIGMA**2 / 2 * np.sum(gain**2)))
    expected = np.log(found).T
    np.testing.assert_allclose(theory.Recursion(given).logarithms()[:, :3], expected, rtol=1e-11)


def test_the_curve_is_raced_here_and_needs_no_neural_tangents(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_here(job: dict, python: str = sys.executable, limit: float | None = None) -> dict:
        assert python == sys.executable
        if job.pop("job") == "footprint":
            return {"bytes": 1, "seconds": 1.0}
        return worker.race(**job)

    monkeypatch.setattr(contest, "run_job", run_here)
    monkeypatch.setattr(peers, "implementations", pytest.fail)
    settings = contest.Settings(peer_python="another python", limit=0.0)
    result = contest.contest(CURVE, settings, PEER)
    entry = result.as_dict()
    assert result.fault == ""
    assert entry["peer"] == f"NumPy {np.__version__}, {cases.ITERATING}"
    assert 0 < entry["error"] < CURVE.tolerance
    assert entry["peer_s"] > entry["ours_s"]
    # The peer's buffers may fit in what the preparation left: no ratio of memory then.
    case = dataclasses.replace(CURVE, goal=cases.Goal(speed=1e-9))
    assert dataclasses.replace(result, case=case, peer_peak_bytes=0).met is True
    case = dataclasses.replace(CURVE, goal=cases.Goal(speed=1e-9, memory=1.0))
    assert dataclasses.replace(result, case=case, peer_peak_bytes=0).met is False


@needs_peer
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of a package of 2023
def test_denoising_agrees_with_the_prediction_of_neural_tangents() -> None:
    job = {"job": "race", "case": DENOISING.as_dict(), "side": cases.PREDICT}
    assert 0 < run_job(job | {"runs": 1, "limit": 0.0})["error"] < 1e-10


def test_a_sweep_has_no_peer_and_is_held_to_bounds() -> None:
    result = contest.contest(SWEEP, contest.Settings(), PEER)
    entry = result.as_dict()
    assert (result.fault, entry["peer"], entry["met"]) == ("", "none", True)
    assert 0 < entry["error"] < SWEEP.tolerance
    case = dataclasses.replace(SWEEP, goal=cases.Bound(bytes=10**9, seconds=1e-9))
    assert dataclasses.replace(result, case=case).met is False


def test_a_sweep_takes_every_mask_and_every_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory, "MASKS", 2)
    first, second = theory.sweep(SWEEP)()
    assert first.total.shape == (50, 200)
    assert not np.array_equal(first.bias, second.bias)


def test_a_wrong_curve_is_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(given: theory.Problem) -> object:
        twice = kernels.DenseKernel(2 * np.eye(given.A.domain.real_size), given.A.domain)
        return right(given._replace(W=twice))

    right = theory.curve
    monkeypatch.setattr(theory, "curve", wrong)
    with pytest.raises(measure.WrongAnswerError, match="the answers differ"):
        theory.sweep_error(SWEEP)


def test_a_scale_multiplies_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([1.0, 3.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert measure.timed(lambda: None, 1000.0)() == 2000.0


def test_with_plain_rows_as_peer_the_family_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["--only", "theory", "--peer", "jacobian"]) == 0
    assert "theory: left out, for a Jacobian predicts no training" in capsys.readouterr().out
