"""Against the Berkeley Advanced Reconstruction Toolbox, where it is installed."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ntkdip import baselines, data, operators
from ntkdip.operators import masks

pytestmark = pytest.mark.skipif(
    shutil.which("bart") is None, reason="BART is not installed (Debian's package bart)"
)
SIZE, COILS = 64, 8


def _bart(folder: Path, *arguments: str) -> None:
    subprocess.run(["bart", *arguments], cwd=folder, check=True, capture_output=True)


def _write(path: Path, array: np.ndarray) -> None:
    """``(coils, ny, nx)`` as BART's ``(x, y, z, coils)``; its first axis is our first."""
    dims = [*array.shape[1:], 1, array.shape[0]] + 12 * [1]
    header = "# Dimensions\n" + " ".join(map(str, dims)) + "\n"
    path.with_suffix(".hdr").write_text(header)
    np.moveaxis(array, 0, -1).astype("<c8").ravel(order="F").tofile(path.with_suffix(".cfl"))


def _read(path: Path) -> np.ndarray:
    """``(coils, ny, nx)``, or an image."""
    dims = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    values = np.fromfile(path.with_suffix(".cfl"), "<c8").reshape(dims, order="F").squeeze()
    return np.moveaxis(values, -1, 0) if values.ndim == 3 else values


def _apart(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> data.KSpace:
    """K-space of BART's phantom through eight coils, as BART writes it."""
    folder = tmp_path_factory.mktemp("bart")
    _bart(folder, "phantom", "-x", str(SIZE), "-k", "-s", str(COILS), "k")
    _bart(folder, "fft", "-iu", "3", "k", "coils")
    _bart(folder, "rss", "8", "coils", "image")
    return data.load(folder / "k.cfl")


def test_fully_sampled_reconstruction_agrees_with_barts(phantom) -> None:
    folder = phantom.origin.path.parent
    assert (phantom.coils, phantom.shape) == (COILS, (SIZE, SIZE))
    assert phantom.acceleration == 1
    assert _apart(phantom.coil_images(), _read(folder / "coils")) < 1e-5
    assert _apart(phantom.magnitude(), np.abs(_read(folder / "image"))) < 1e-5


# Continued long after it has converged, BART's iteration diverges in float32.
@pytest.mark.parametrize(("ridge", "iterations"), [(0.003, 300), (0.01, 300), (0.1, 30)])
def test_cg_sense_agrees_with_pics(phantom, tmp_path, ridge: float, iterations: int) -> None:
    mask = masks.random_lines((SIZE, SIZE), 3)
    S = data.ring_sensitivities((SIZE, SIZE), COILS, distance=1.2)
    peak = float(phantom.magnitude().max())
    k = dataclasses.replace(phantom, samples=phantom.samples * mask / peak, mask=np.array(mask))
    A = operators.multi_coil_fourier(mask, S)
    ours = baselines.cg_sense(A, k.data(), ridge=ridge, iterations=300, tolerance=1e-7)
    _write(tmp_path / "k", k.samples)
    _write(tmp_path / "S", S)
    settings = ["-l2", "-r", str(ridge), "-i", str(iterations), "-w", "1"]
    _bart(tmp_path, "pics", *settings, "k", "S", "image")
    theirs = _read(tmp_path / "image")
    assert _apart(ours, theirs) < 1e-3
    # The problem is one that the regulariser changes: agreement is not for free.
    plain = baselines.cg_sense(A, k.data(), ridge=10 * ridge, iterations=300)
    assert _apart(plain, theirs) > 1e-2


def test_espirit_agrees_with_ecalib(tmp_path) -> None:
    pytest.importorskip("sigpy")
    mask = masks.random_lines((SIZE, SIZE), 2, centre_fraction=0.4)
    k = data.mri_kspace(SIZE, COILS, mask=mask, sigma=0.001)
    _write(tmp_path / "k", k.samples)
    _bart(tmp_path, "ecalib", "-m", "1", "-r", "24", "-c", "0.5", "k", "maps")
    theirs, ours = _read(tmp_path / "maps"), data.estimate_sensitivities(k, crop=0.5)
    both = (np.abs(theirs).sum(0) > 0) & (np.abs(ours).sum(0) > 0)
    assert both.mean() > 0.3
    overlap = np.abs(np.sum(theirs.conj() * ours, axis=0))[both]
    norms = np.linalg.norm(theirs, axis=0)[both]
    assert np.quantile(1 - overlap / norms, 0.95) < 0.01
