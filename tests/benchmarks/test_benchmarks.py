"""The harness, against the plain Jacobian product: the other peer need not be installed."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import cases, contest, empirical, growth, measure, peers, plain_networks, rate
from benchmarks.measure import Race
from benchmarks.worker import WorkerError, run_job
from ntkdip import neural_tangents_loader as loader

KEYS = {
    "case", "peer", "ours_s", "peer_s", "ratio", "spread", "error", "ours_peak_bytes",
    "peer_peak_bytes", "goal", "met",
}  # fmt: skip
SMALLEST = cases.SMALL_EMPIRICAL[0]
RACE = Race(ours=(1.0, 2.0, 1.0, 1.0, 1.0), peer=(6.0, 6.0, 5.0, 7.0, 6.0), error=1e-7)


def _result(goal: cases.Goal | None, ours: int = 60, peer: int = 100) -> contest.Result:
    case = dataclasses.replace(SMALLEST, goal=goal)
    return contest.Result(case, "peer", RACE, ours, peer)


def test_one_command_measures_and_writes(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    json_file, plot = tmp_path / "results.json", tmp_path / "plot.png"
    chosen = ["--small", "--peer", "jacobian", "--case", SMALLEST.name.lower()]
    assert command.main([*chosen, "--json", str(json_file), "--plot", str(plot)]) == 0
    (entry,) = json.loads(json_file.read_text())
    assert set(entry) == KEYS
    assert entry["case"] == SMALLEST.name
    assert entry["peer"] == f"jacobian, JAX {jax.__version__}, rows"
    assert entry["ratio"] == pytest.approx(entry["peer_s"] / entry["ours_s"])
    assert entry["spread"][0] <= entry["spread"][1]
    assert 0 < entry["error"] < measure.TOLERANCE
    assert entry["ours_peak_bytes"] > 0
    assert entry["peer_peak_bytes"] > 0
    assert entry["goal"] is None
    assert entry["met"] is None
    assert plot.stat().st_size > 1000
    said = capfd.readouterr().out
    assert "analytic: left out, for there is no Jacobian at infinite width" in said
    assert "theory: left out, for a Jacobian predicts no training" in said
    assert "training: left out, for a Jacobian trains nothing" in said
    assert SMALLEST.name in said


def test_a_peer_under_another_python_gives_the_same_kernel(tmp_path: Path) -> None:
    case = cases.SMALL_EMPIRICAL[1].as_dict()
    run_job({"job": "export", "case": case, "folder": str(tmp_path)})
    job = {"job": "race", "case": case, "side": "rows", "runs": 1, "limit": 0.0}
    answer = run_job({**job, "folder": str(tmp_path), "python": sys.executable})
    assert len(answer["ours"]) == len(answer["peer"]) == measure.LEAST_RUNS
    assert answer["error"] < measure.TOLERANCE


def test_an_unknown_case_is_refused() -> None:
    with pytest.raises(ValueError, match=r"contains 'transformer'; there are: WCNN 4 x 128"):
        command.main(["--case", "transformer"])


def test_a_wrong_answer_is_never_timed() -> None:
    W = np.eye(3)
    assert measure.compare(W, W + 1e-7) > 0
    for wrong in (W + 1e-4, W * np.nan, np.eye(4)):
        with pytest.raises(measure.WrongAnswerError):
            measure.compare(W, wrong)


def test_a_failed_measurement_is_an_unmet_goal_with_its_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(job: dict, *_: object) -> dict:
        if job["job"] == "race":
            raise WorkerError("WrongAnswerError: the answers differ")
        return {"bytes": 1, "seconds": 1.0}

    monkeypatch.setattr(contest, "run_job", fails)
    case = dataclasses.replace(SMALLEST, goal=cases.NEVER_WORSE)
    result = contest.contest(
        case, contest.Settings(peer="jacobian"), contest.Peer("jacobian", ("rows",))
    )
    assert result.fault == "WrongAnswerError: the answers differ"
    assert result.race is None
    assert result.met is False
    assert set(result.as_dict()) == KEYS


def test_where_the_peer_fails_ours_is_measured_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(job: dict, *_: object) -> dict:
        if job["side"] == "rows":
            raise WorkerError("ended by signal 9")
        return {"bytes": 7, "seconds": 2.0}

    monkeypatch.setattr(contest, "run_job", fails)
    case = dataclasses.replace(SMALLEST, goal=cases.NEVER_WORSE)
    result = contest.contest(
        case, contest.Settings(peer="jacobian"), contest.Peer("jacobian", ("rows",))
    )
    entry = result.as_dict()
    assert result.fault == "rows: ended by signal 9"
    assert (entry["ours_s"], entry["ours_peak_bytes"], entry["peer_s"]) == (2.0, 7, None)
    assert entry["met"] is None


def test_a_product_is_raced_against_vjp_and_jvp() -> None:
    case = next(c for c in cases.SMALL_EMPIRICAL if c.quantity == "product").as_dict()
    job = {"job": "race", "case": case, "side": "vjp and jvp", "runs": 1, "limit": 0.0}
    assert run_job(job)["error"] < measure.TOLERANCE


def test_eigenpairs_have_no_peer_and_are_held_to_bounds() -> None:
    case = next(c for c in cases.SMALL_EMPIRICAL if c.quantity == "eigenpairs")
    result = contest.contest(case, contest.Settings(), contest.Peer("any", ()))
    entry = result.as_dict()
    assert (result.fault, entry["peer"], entry["met"]) == ("", "none", True)
    assert 0 < entry["error"] <= 1e-5
    assert entry["ours_s"] > 0
    strict = dataclasses.replace(case, goal=cases.Bound(bytes=4 * 10**9, residual=1e-30))
    assert dataclasses.replace(result, case=strict).met is False


def test_a_worker_reports_what_went_wrong() -> None:
    with pytest.raises(WorkerError, match="KeyError"):
        run_job({"job": "footprint", "side": "rows", "case": {}})


@pytest.mark.parametrize(
    ("goal", "met"),
    [
        (None, None),
        (cases.Goal(speed=6.0, memory=0.6), True),
        (cases.Goal(speed=6.1, memory=0.6), False),
        (cases.Goal(speed=6.0, memory=0.5), False),
    ],
)
def test_a_goal_is_met_in_speed_and_memory(goal: cases.Goal | None, met: bool | None) -> None:
    result = _result(goal)
    assert result.met is met
    entry = result.as_dict()
    assert entry["ratio"] == 6.0
    assert entry["spread"] == [3.0, 7.0]
    assert json.loads(json.dumps(entry)) == entry


def test_runs_alternate_and_are_at_least_five() -> None:
    order: list[str] = []

    def side(name: str) -> measure.Timed:
        return lambda: order.append(name) or 1.0  # type: ignore[func-returns-value]

    race = measure.race(side("ours"), side("peer"), 0.0, runs=9, limit=0.0)
    assert order == ["ours", "peer"] * measure.LEAST_RUNS
    assert len(race.ours) == measure.LEAST_RUNS


def test_footprint_sees_an_allocation() -> None:
    peak, seconds = measure.footprint(lambda: np.ones(2**23).sum())
    assert 2**26 * 0.9 < peak < 2**26 * 1.5
    assert seconds > 0


@pytest.mark.parametrize("case", cases.SMALL_EMPIRICAL, ids=lambda case: case.name)
def test_plain_networks_are_the_flax_networks(case: cases.Case, tmp_path: Path) -> None:
    empirical.export(case, tmp_path)
    with jax.numpy_rank_promotion("allow"):
        images = [np.asarray(p.f(p.params, p.z)) for p in _problems(case, tmp_path)]
    assert images[0].shape == (1, case.outputs * np.prod(case.shape))
    np.testing.assert_allclose(images[0], images[1], rtol=1e-5, atol=1e-6)


def _problems(case: cases.Case, folder: Path) -> list[plain_networks.Problem]:
    return [empirical.problem(case), plain_networks.load(folder)]


def test_cases_survive_json() -> None:
    chosen = [*cases.FAMILIES.values(), *cases.SMALL.values()]
    for case in (case for family in chosen for case in family):
        assert cases.Case.from_dict(json.loads(json.dumps(case.as_dict()))) == case
    names = [case.name for family in cases.FAMILIES.values() for case in family]
    assert len(set(names)) == len(names)
    assert sum(case.quantity == "kernel" for case in cases.EMPIRICAL) == 11


def test_contraction_work_by_hand() -> None:
    # 3x3 convolutions on 36 pixels: 1 -> 4, 4 -> 4 and 4 -> 1 channels.
    assert rate.contraction_work(SMALLEST) == 36**2 * (4 * 9 + 4 * 36 + 1 * 36)
    # 1x1: 8 -> 8 on 4 pixels, 8 -> 8 on 16, 8 -> 1 on 64, and two normalisations with
    # scale and bias; upsampling counts nothing.
    decoder = 8 * 4 + 8 * 8 + 8 + 2 * (8 + 8)
    assert rate.contraction_work(cases.SMALL_EMPIRICAL[1]) == 64**2 * decoder
    # 1 -> 3 and 3 -> 3 channels, then every pixel from everything, with a bias.
    assert rate.contraction_work(cases.SMALL_EMPIRICAL[3]) == 36**2 * (3 * 9 + 3 * 27 + 36 + 36)


def test_exponents_are_fitted() -> None:
    sizes = (4, 8, 16)
    curve = growth.Curve("width", "ntkdip", sizes, tuple(2.0 * n**1.5 for n in sizes), (7, 7, 7))
    assert curve.exponent("seconds") == pytest.approx(1.5)
    assert curve.exponent("bytes") == pytest.approx(0.0, abs=1e-12)


def test_the_plot_shows_every_case_and_curve(tmp_path: Path) -> None:
    from benchmarks import report

    results = [_result(cases.NEVER_WORSE), contest.Result(SMALLEST, "peer", fault="no memory")]
    curve = growth.Curve("width", "ntkdip", (4, 8), (1.0, 2.0), (2**20, 2**21))
    report.save_plot(tmp_path / "plot.pdf", results, [curve])
    assert (tmp_path / "plot.pdf").read_bytes().startswith(b"%PDF")
    assert not plt.get_fignums()
    assert report.table(results, {}).row_count == 2
    assert report.growth_table([curve]).row_count == 1


def test_a_missing_peer_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "neural_tangents", raising=False)
    monkeypatch.setattr(loader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "ntkdip\[neural-tangents\]"'):
        peers.implementations("neural-tangents")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its own, of a package of 2023
def test_neural_tangents_agrees_and_leaves_jax_as_it_was() -> None:
    pytest.importorskip("frozendict")
    if not loader.importlib.util.find_spec("neural_tangents"):
        pytest.skip("neural-tangents is not installed")
    before = set(vars(jax.core)), set(vars(jax.interpreters.ad))
    loader.neural_tangents()
    assert (set(vars(jax.core)), set(vars(jax.interpreters.ad))) == before
    assert "jax.util" not in sys.modules
    assert not {"tensorflow", "tf2jax"} & set(sys.modules)
    problem = empirical.problem(SMALLEST)
    expected = peers.kernel("rows", problem)()
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        for implementation in peers.implementations("neural-tangents"):
            assert measure.compare(expected, peers.kernel(implementation, problem)()) < 1e-6
