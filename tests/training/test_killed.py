"""kill -9 at random moments, again and again: the final arrays are those of an undisturbed run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

KILLS = 20
STEPS = 600

RUN = f"""
import sys
from pathlib import Path
import numpy as np
from ntkdip import training
from tests.training.problems import KEY, mri

folder, out = map(Path, sys.argv[1:])
net, A, y, truth = mri()
settings = training.Settings(
    steps={STEPS}, record_every=1, checkpoint_every=1, held_out=0.1,
    optimiser=training.Optimiser(rate=1e-3, input_rate=1e-2),
)
rules = [training.WindowedVariance(window=20), training.HeldOut()]
run = training.reconstruct(
    net, A, y, training.SelfGuided(draws=1), key=KEY, settings=settings, truth=truth,
    rules=rules, folder=folder, resume=True,
)
one = run.outcomes[0]
images = {{f"image of {{name}}": image for name, image in one.images.items()}}
np.savez(out, inputs=one.inputs, **images, **one.metrics)
"""


def _started(folder: Path, out: Path, cache: Path) -> subprocess.Popen:
    # A cache of its own: what is killed may leave half an entry behind.
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-c", RUN, str(folder), str(out)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=root, env=environment, stderr=subprocess.PIPE, text=True)


def _latest(folder: Path) -> int:
    names = [path.name for path in folder.glob("seed-0/steps/*")]
    return max((int(name) for name in names if name.isdigit()), default=0)


def _finish(folder: Path, out: Path, cache: Path) -> None:
    with _started(folder, out, cache) as process:
        _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


def _wait(process: subprocess.Popen, seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    chance = random.Random(0)
    cache, killed = tmp_path / "cache", tmp_path / "killed"
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    _finish(tmp_path / "undisturbed", whole, cache)
    for _ in range(KILLS):
        # At least a step is made each time, and the run is not over before the last kill.
        target = _latest(killed) + chance.randint(1, STEPS // (5 * KILLS))
        with _started(killed, broken, cache) as process:
            while process.poll() is None and _latest(killed) < target:
                _wait(process, 0.005)
            _wait(process, chance.uniform(0, 0.2))  # anywhere in a step or a write
            assert process.poll() is None, process.stderr.read()
            process.send_signal(signal.SIGKILL)
            assert process.wait(timeout=60) == -signal.SIGKILL
    assert not broken.exists()
    assert 0 < _latest(killed) < STEPS
    _finish(killed, broken, cache)
    with np.load(whole) as expected, np.load(broken) as found:
        assert sorted(found.files) == sorted(expected.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name], name)
