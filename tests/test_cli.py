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
        ("width", ("gradient descent", "momentum", "Adam", "exponent")),
        ("joint", ("input rate", "movement")),
        ("self-guidance", ("median", "true image")),
        ("stopping", ("oracle", "GSURE", "known")),
    ],
)
def test_study_smoke(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    done = _ntkdip("study", name, "--preset", "smoke", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert json.loads((tmp_path / f"{name}.json").read_text())["rows"]
    assert list(tmp_path.glob("*.png"))
    printed = " ".join(done.stdout.split())
    for word in words:
        assert word in printed


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
