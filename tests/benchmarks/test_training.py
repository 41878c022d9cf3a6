"""The family ``training``, on its smallest case; PyTorch need not be installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import cases, contest, training, training_jobs
from benchmarks.worker import WorkerError, run_job

CASE = cases.SMALL_TRAINING[0]


def test_our_steps_lower_the_loss(tmp_path: Path) -> None:
    run_job({"job": "training_export", "case": CASE.as_dict(), "folder": str(tmp_path)})
    about = json.loads((tmp_path / "training.json").read_text())
    assert cases.Case.from_dict(about["case"]) == CASE
    with np.load(tmp_path / "training.npz") as arrays:
        z, target = arrays["z"], arrays["target"]
        assert z.shape == target.shape == (*CASE.shape, 2)
        assert arrays["down/0/0/conv/kernel"].shape == (3, 3, 2, CASE.width[0])
        # The network starts far from fitting noise.
        first = float(((training.problem(CASE).net(jnp.asarray(z)) - target) ** 2).mean())
    step = training.stepper(CASE)
    losses = [step() for _ in range(4)]
    assert losses[0] == pytest.approx(first, rel=1e-5)
    assert losses == sorted(losses, reverse=True)


def test_a_footprint_of_ours(tmp_path: Path) -> None:
    run_job({"job": "training_export", "case": CASE.as_dict(), "folder": str(tmp_path)})
    found = run_job({"job": "training_footprint", "side": "ours", "folder": str(tmp_path)})
    assert 0 < found["rise"] < found["bytes"]
    assert found["seconds"] > 0


def test_loops_end_at_the_same_parameters() -> None:
    rows = training.loops(CASE, steps=2)
    assert [row["convolutions"] for row in rows] == ["jax.lax", "accelerated"]
    for row in rows:
        assert row["error"] < 1e-5
        assert min(row["loop_s"], row["scan_s"]) > 0


def test_without_pytorch_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise WorkerError(f"ModuleNotFoundError: no torch in this Python: {training_jobs.INSTALL}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "run_job", missing)
    assert command.main(["--only", "training", "--json", "empty.json"]) == 0
    assert json.loads(Path("empty.json").read_text()) == []
    said = capsys.readouterr().out
    assert "training: left out, for ModuleNotFoundError: no torch in this Python" in said
    assert "pip install torch" in said


def test_a_missing_pytorch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "benchmarks.torch_peer", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"no torch in this Python: pip install torch"):
        training_jobs.describe()


def test_pytorch_takes_the_same_step() -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed")
    result = contest.contest(CASE, contest.Settings(), contest.Peer("", ()))
    assert result.fault == ""
    assert result.race is not None
    assert result.race.error < 1e-5
    assert result.peer.startswith("PyTorch")
