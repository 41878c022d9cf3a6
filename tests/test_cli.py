"""The command line as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest


def _ntkdip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ntkdip", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )


def test_info_names_versions_devices_and_memory() -> None:
    done = _ntkdip("info")
    assert done.returncode == 0, done.stderr
    for word in ("jax", "flax", "devices", "memory available", "GiB"):
        assert word in done.stdout


def test_data_info_describes_a_file_and_draws_it(tmp_path: Path) -> None:
    file, picture = tmp_path / "k [1] ü.npz", tmp_path / "new" / "preview.png"
    np.savez(file, kspace=np.ones((3, 8, 6), np.complex64))
    done = _ntkdip("data", "info", str(file), "--out", str(picture))
    assert done.returncode == 0, done.stderr
    for words in ("k [1] ü.npz", "8 x 6", "coils", "acceleration", "understood", "ignored"):
        assert words in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "info" in _ntkdip("data", "--help").stdout.splitlines()[0]


def test_data_info_of_a_bad_file_ends_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_bytes(b"")
    done = _ntkdip("data", "info", str(tmp_path / "x.h5"))
    assert done.returncode == 2
    assert done.stderr.strip().endswith("x.h5': the file is empty")
    assert len(done.stderr.splitlines()) == 1


def test_verify_passes_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "new" / "checks.json"
    done = _ntkdip("verify", "--json", str(file))
    assert done.returncode == 0, done.stderr
    checks = json.loads(file.read_text())["checks"]
    assert len(checks) >= 8
    assert f"{len(checks)} of {len(checks)} checks hold" in done.stdout
    assert done.stderr == ""


def test_verify_with_a_fault_fails(tmp_path: Path) -> None:
    file = tmp_path / "checks.json"
    done = _ntkdip("verify", "--inject-fault", "--json", str(file))
    assert done.returncode == 1
    assert not all(check["passed"] for check in json.loads(file.read_text())["checks"])
    assert "fails" in done.stdout


def test_a_folder_given_as_json_file_is_refused_at_once(tmp_path: Path) -> None:
    done = _ntkdip("verify", "--json", str(tmp_path))
    assert done.returncode == 2
    assert "is a folder; name a file with --json" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_given_as_folder_is_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "there"
    file.write_text("mine")
    done = _ntkdip("study", "width", "--preset", "full", "--out", str(file))
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert file.read_text() == "mine"


def test_verify_on_files(tmp_path: Path) -> None:
    from ntkdip import data, kernels, networks, operators

    x = data.mri_slice(8)
    mask = operators.masks.random_lines(x.shape, 2)
    W = kernels.analytic(networks.wide_cnn(8, 3, 3), networks.as_input(x.astype(np.complex64)))
    kernels.save(W, tmp_path / "W.h5")
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "x.npy", x)
    files = {"kernel": "W.h5", "mask": "mask.npy", "image": "x.npy"}
    options = [o for name, file in files.items() for o in (f"--{name}", str(tmp_path / file))]
    done = _ntkdip("verify", *options, "--json", str(tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert "Theorem 1: (a) W nonsingular" in done.stdout
    verdicts = json.loads((tmp_path / "out.json").read_text())["verdicts"]["your case"]
    assert [v["theorem"] for v in verdicts] == ["Theorem 1", "Theorem 2", "Corollary 1"]
    done = _ntkdip("verify", *options[:4])
    assert done.returncode == 2
    assert "or none of them" in done.stderr
    np.save(tmp_path / "mask.npy", np.array([{}]), allow_pickle=True)
    done = _ntkdip("verify", *options)
    assert done.returncode == 2
    assert "no .npy file of an array" in done.stderr


def test_demo_small(tmp_path: Path) -> None:
    done = _ntkdip(
        "demo", "--out", str(tmp_path / "out"), "--size", "16", "--steps", "20",
        "--decoder-width", "8", "--decoder-blocks", "2", "--wcnn-width", "8", "--wcnn-depth", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "report.html").exists()
    for word in ("zero-filled", "Deep Decoder", "WCNN", "report.html"):
        assert word in done.stdout
    assert done.stderr == "", "progress bars stay out of pipes"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fig1", ("bare reference", "coherence", "distance", "infinite width")),
        ("fig3", ("alpha", "averaged", "lost from best")),
        ("overfitting", ("vanilla, constant rate", "steps over")),
        ("mri", ("CG-SENSE", "aSeqDIP", "kernel self-guidance", "head, 32², 8x")),
        ("robustness", ("share of the spot", "other lines")),
        ("fig4", ("alignment", "true image as input")),
        ("fig2", ("peak PSNR", "high (%)")),
        ("supervised", ("as taught", "little data")),
        ("ablation", ("denoiser", "(base)")),
        ("inpainting", ("biharmonic", "Deep Decoder", "camera, 32², 50%")),
        ("width", ("gradient descent", "momentum", "Adam", "exponent")),
        ("drift", ("gradient descent", "Adam", "after the first step")),
        ("joint", ("input rate", "movement")),
        ("self-guidance", ("median", "true image")),
        ("stopping", ("oracle", "GSURE", "known", "estimated")),
    ],
)
def test_study_smoke(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    done = _ntkdip("study", name, "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    stored = json.loads((tmp_path / name / "study.json").read_text())
    assert {v["answer"] for v in stored["verdicts"]} <= {"agrees", "disagrees", "inconclusive"}
    assert stored["verdicts"]
    for kind in ("*.png", "*.pdf", "*.csv", "*.md", "report.html"):
        assert list((tmp_path / name).glob(kind))
    printed = " ".join(done.stdout.split())
    for word in words:
        assert word in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "3/2"), "shards are counted from 1/n to n/n; got 3/2"),
        (("--shard", "1/2", "--merge", "x"), "give one"),
        (("--merge", "nowhere"), "no finished cells in 'nowhere/cells'"),
    ],
)
def test_bad_parts_of_a_study_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = _ntkdip("study", "fig3", "--preset", "smoke", "--out", str(tmp_path), *arguments)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())
    assert not list(tmp_path.rglob("*.npz"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--size", "42"), "no multiple of 8"),
        (("--size", "256"), "GiB of memory are available"),
        (("--acceleration", "0.5"), "acceleration 0.5 keeps"),
        (("--out", "/proc/nowhere[/b]"), "'/proc/nowhere[/b]' cannot be written"),
    ],
)
def test_bad_input_is_one_line_and_status_two(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    folder = () if "--out" in arguments else ("--out", str(tmp_path / "out"))
    done = _ntkdip("demo", *folder, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "report.html").exists()


def test_kernel_dry_run_prints_every_route_and_writes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "kernel.h5"
    done = _ntkdip("kernel", "--dry-run", "--shape", "256", "256", "--out", str(file))
    assert done.returncode == 0, done.stderr
    for route in ("dense", "full Jacobian", "one product", "leading 64 eigenpairs"):
        assert route in done.stdout
    assert "no" in done.stdout
    assert not file.exists()


def test_kernel_to_a_file_and_back(tmp_path: Path) -> None:
    from ntkdip import kernels

    file = tmp_path / "kernel.h5"
    arguments = (
        "kernel", "--network", "decoder", "--shape", "8", "8", "--depth", "1", "--width", "4",
        "--real", "--out", str(file),
    )  # fmt: skip
    done = _ntkdip(*arguments)
    assert done.returncode == 0, done.stderr
    kernel, metadata = kernels.load(file)
    assert kernel.matrix.shape == (64, 64)
    assert metadata["seed"] == 0
    again = _ntkdip(*arguments)
    assert again.returncode == 2
    assert "exists; name another file, or add --overwrite" in again.stderr


def test_a_kernel_that_does_not_fit_is_refused_with_the_alternative(tmp_path: Path) -> None:
    done = _ntkdip("kernel", "--shape", "512", "512", "--out", str(tmp_path / "k.h5"))
    assert done.returncode == 2
    assert "needs about" in done.stderr
    assert "matrix_free" in done.stderr
    assert list(tmp_path.iterdir()) == []


def _slice_file(folder: Path) -> Path:
    from ntkdip import data

    np.savez(folder / "k.npz", kspace=data.mri_kspace(16, 2, sigma=0.01).samples)
    return folder / "k.npz"


def test_help_is_quick_and_lists_every_command() -> None:
    code = "import sys, ntkdip.cli; sys.exit('jax' in sys.modules or 'optax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    listed = _ntkdip("--help").stdout
    for command in ("demo", "reconstruct", "verify", "study", "kernel", "data", "info"):
        assert command in listed


def test_help_of_reconstruct_shows_the_options_of_the_method() -> None:
    shown = _ntkdip("reconstruct", "--method", "sequential", "--help")
    assert shown.returncode == 0
    assert "--method.every" in shown.stdout
    assert "--method.alpha" not in shown.stdout
    for option in ("--data", "--mask", "--network", "--preset", "--resume", "--optimiser.rate"):
        assert option in shown.stdout


def test_reconstruct_takes_a_file_of_options_and_the_command_line_overrides(tmp_path: Path) -> None:
    (tmp_path / "options.yaml").write_text(
        f"data: {_slice_file(tmp_path)}\nnetwork: wcnn\nchannels: [4, 4]\nsteps: 40\n"
        "method: {name: vanilla, channels: 3}\nrecord_every: 5\nwindow: 10\n"
    )
    out = tmp_path / "out [1]"
    given = ("reconstruct", "--config", str(tmp_path / "options.yaml"), "--out", str(out))
    done = _ntkdip(*given, "--steps", "10", "--mask", "random-lines", "--acceleration", "2",
                   "--centre-fraction", "0.3", "--method.perturbation", "0.1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "progress bars stay out of pipes"
    for words in ("zero-filled", "averaged", "oracle best", "PSNR", "Truth:", "report.html"):
        assert words in done.stdout
    kept = json.loads((out / "config.json").read_text())
    assert kept["steps"] == 10
    assert kept["method"] == {
        "name": "vanilla", "channels": 3, "interval": None, "perturbation": 0.1
    }  # fmt: skip
    again = _ntkdip(*given)
    assert again.returncode == 2
    assert "holds a run (config.json); continue it with --resume" in again.stderr
    # A resumed run knows its own options.
    before = (out / "reconstruction.npy").read_bytes()
    resumed = _ntkdip("reconstruct", "--resume", "--out", str(out))
    assert resumed.returncode == 0, resumed.stderr
    assert (out / "reconstruction.npy").read_bytes() == before


def test_reconstruct_reports_divergence_after_writing_what_there_is(tmp_path: Path) -> None:
    done = _ntkdip(
        "reconstruct", "--data", str(_slice_file(tmp_path)), "--method", "linearised", "--network",
        "wcnn", "--channels", "4", "4", "--steps", "10", "--optimiser.name", "gd",
        "--optimiser.rate", "1e4", "--record-every", "5", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert done.returncode == 2
    assert "smaller step size" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "not complete" in (tmp_path / "out" / "report.html").read_text()


_INTERRUPTED = """
import signal, sys
from ntkdip.training.journal import Journal
record = Journal.add
def add(self, step, *rest):
    record(self, step, *rest)
    if step == 5:
        signal.raise_signal(signal.SIGTERM)
Journal.add = add
from ntkdip.cli import main
sys.argv[0] = "ntkdip"
main()
"""


def test_reconstruct_says_how_to_go_on_after_a_signal(tmp_path: Path) -> None:
    arguments = (
        "reconstruct", "--data", str(_slice_file(tmp_path)), "--method", "vanilla", "--network",
        "wcnn", "--channels", "4", "4", "--steps", "10", "--record-every", "5", "--out",
        str(tmp_path / "out"),
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED, *arguments], check=False, capture_output=True,
        text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 128 + 15, done.stderr
    assert "step 5 of 10" in done.stderr
    assert f"ntkdip reconstruct --resume --out {tmp_path / 'out'}" in done.stderr
    assert (tmp_path / "out" / "reconstruction.npy").exists()
    resumed = _ntkdip("reconstruct", "--resume", "--out", str(tmp_path / "out"))
    assert resumed.returncode == 0, resumed.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a file with --data"),
        (("--data", "nothing.h5"), "no such file"),
        (("--data", "nothing.h5", "--steps", "0"), "steps is at least 1; got 0"),
        (("--config", "c.yaml"), "unknown key 'stepz'; there are"),
        (("--config", "c.yaml", "--method", "adam"), "unknown key 'stepz'"),
        (("--method", "reference-guided", "--data", "x"), "give --reference FILE"),
        (("--method", "adam"), "invalid choice"),
        (("--method.alpha", "1", "--method", "vanilla"), "--method.alpha"),
    ],
)
def test_reconstruct_refuses_what_it_cannot_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text("stepz: 3\n")
    done = _ntkdip("reconstruct", *arguments, "--out", "out")
    assert done.returncode == 2
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not Path("out", "config.json").exists()
