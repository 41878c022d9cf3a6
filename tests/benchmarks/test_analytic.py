"""The family ``analytic``: ours against `neural_tangents.stax`, and what must move in memory."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import cases, contest, measure, report, stax_peer, traffic
from benchmarks.worker import run_job

KERNELS = [case for case in cases.SMALL_ANALYTIC if case.quantity == "kernel"]
RACED = [case for case in KERNELS if case.goal is None]
BOUNDED = next(case for case in KERNELS if isinstance(case.goal, cases.Bound))
SPECTRUM = next(case for case in cases.SMALL_ANALYTIC if case.quantity == "spectrum")
PEER = contest.Peer("neural-tangents", ("of another family",))
EXACT = 1e-8
"""Between two implementations in float64; neural-tangents is off by 1e-9 on its diagonal."""

needs_peer = pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("neural_tangents", "frozendict")),
    reason="neural-tangents is not installed",
)


@needs_peer
@pytest.mark.parametrize("case", RACED, ids=lambda case: case.name)
def test_stax_computes_the_same_kernel(case: cases.Case) -> None:
    job = {"job": "race", "case": case.as_dict(), "side": "stax", "runs": 1, "limit": 0.0}
    assert run_job(job)["error"] < EXACT


@needs_peer
def test_a_bounded_kernel_is_measured_beside_the_peer_and_sampled() -> None:
    result = contest.contest(BOUNDED, contest.Settings(), PEER)
    entry = result.as_dict()
    assert (result.fault, entry["peer"], entry["met"]) == ("", "neural-tangents, stax", True)
    assert 0 < entry["error"] < EXACT
    assert entry["ratio"] == pytest.approx(entry["peer_s"] / entry["ours_s"])
    assert min(entry["ours_peak_bytes"], entry["peer_peak_bytes"]) > 0


@needs_peer
def test_the_peer_runs_under_another_python() -> None:
    settings = contest.Settings(peer_python=sys.executable, limit=0.0)
    result = contest.contest(RACED[0], settings, PEER)
    assert result.fault == ""
    assert result.race is not None
    assert 0 < result.race.error < EXACT


def test_a_wrong_sample_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(job: dict, *_: object) -> dict:
        return {"bytes": 1, "seconds": 1.0, "sample": [1.0, 2.0 if job["side"] == "ours" else 3.0]}

    monkeypatch.setattr(contest, "run_job", answer)
    result = contest.contest(BOUNDED, contest.Settings(), PEER)
    assert result.fault.startswith("WrongAnswerError: the answers differ")
    assert result.met is False


def test_a_spectrum_has_no_peer_and_is_held_to_bounds() -> None:
    result = contest.contest(SPECTRUM, contest.Settings(), PEER)
    entry = result.as_dict()
    assert (result.fault, entry["peer"], entry["met"]) == ("", "none", True)
    assert entry["error"] < 1e-12
    for strict in (cases.Bound(bytes=10**9, seconds=1e-9), cases.Bound(bytes=1)):
        case = dataclasses.replace(SPECTRUM, goal=strict)
        assert dataclasses.replace(result, case=case).met is False


def test_rows_and_columns_are_exchanged_after_an_odd_number_of_convolutions() -> None:
    W = np.arange(4**2 * 3**2).reshape(4, 3, 4, 3)
    interleaved = W.transpose(0, 2, 1, 3)[None, None]
    exchanged = W.transpose(1, 3, 0, 2)[None, None]
    even, odd = (cases.analytic((4, 3), None, depth=depth) for depth in (4, 5))
    np.testing.assert_array_equal(stax_peer._in_order(even, interleaved), W)
    np.testing.assert_array_equal(stax_peer._in_order(odd, exchanged), W)
    line = np.arange(9).reshape(3, 3)
    in_1d = cases.analytic((3,), None, depth=5)
    np.testing.assert_array_equal(stax_peer._in_order(in_1d, line[None, None]), line)


def test_a_sample_is_the_same_of_a_matrix_and_of_pairs() -> None:
    W = np.random.default_rng(0).standard_normal((6, 6))
    pairs = W.reshape(2, 3, 2, 3)
    assert measure.sample(W) == measure.sample(pairs)
    assert set(measure.sample(W)) == set(W.ravel())
    assert measure.compare(W, pairs) == 0
    with pytest.raises(measure.WrongAnswerError, match="cannot be compared"):
        measure.compare(W, np.zeros((2, 2, 2, 2)))


def test_transfers_layer_by_layer_by_hand() -> None:
    # 3 convolutions, float64: the input's covariance is written; read and written by the
    # first convolution; read, and two arrays written, by the first ReLU; two and two by
    # convolution and ReLU; two read and one written by the last.
    assert traffic.plain_bytes(RACED[0]) == 8 * 30**2 * (1 + 2 + 3 + 4 + 4 + 3)
    # Two blocks from 2x2 to 8x8: the same with 4, 16 and 64 pixels.
    small, middle, large = 4**2, 16**2, 64**2
    blocks = small * (1 + 2 + 1) + middle * (1 + 3) + middle * (4 + 2) + large * (2 + 4)
    assert traffic.plain_bytes(RACED[2]) == 8 * (blocks + large * 3)
    in_float32 = dataclasses.replace(RACED[0], precision="float32")
    assert traffic.plain_bytes(in_float32) == traffic.plain_bytes(RACED[0]) / 2


def test_traffic_in_units_of_a_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "COPIED", 2**16)
    assert traffic.copy_bandwidth(repeats=2) > 0
    case = RACED[0]
    result = contest.Result(case, "peer", ours_seconds=2.0, peer_seconds=6.0)
    # The result takes 8 * 30² bytes: a copy a second.
    (row,) = traffic.of([result], 2 * 8 * 30**2)
    assert (row.ours, row.peer, row.share) == (2.0, 6.0, 0.25)
    assert row.plain == 17 / 2
    failed = contest.Result(case, "peer", fault="no memory")
    assert traffic.of([failed, contest.Result(SPECTRUM, "none", ours_seconds=1.0)], 1.0) == []
    assert report.traffic_table([row, dataclasses.replace(row, peer=None)]).row_count == 2
    assert report.table([result, failed], {case.name: row.share}).row_count == 2


def test_one_command_measures_and_writes(
    tmp_path: Path, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_peer", lambda settings: PEER)
    json_file, plot = tmp_path / "results.json", tmp_path / "plot.png"
    chosen = ["--only", "analytic", "--small", "--case", SPECTRUM.name]
    assert command.main([*chosen, "--json", str(json_file), "--plot", str(plot)]) == 0
    (entry,) = json.loads(json_file.read_text())
    assert entry["met"] is True
    assert SPECTRUM.name in json_file.read_text()
    assert "goals met: 1 of 1" in capfd.readouterr().out


def test_with_plain_rows_as_peer_the_family_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["--only", "analytic", "--peer", "jacobian"]) == 0
    assert "no Jacobian at infinite width" in capsys.readouterr().out
