"""``ntkdip reconstruct`` from a file to a folder: what is written, resumed, and refused."""

from __future__ import annotations

import csv
import dataclasses
import json
import signal
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest
from PIL import Image

from ntkdip import data, metrics, training
from ntkdip.studies import reconstruction_figures
from ntkdip.studies.configuration_file import read_configuration
from ntkdip.studies.reconstruction import run_reconstruction
from ntkdip.studies.reconstruction_configuration import (
    NetworkConfiguration,
    ProblemConfiguration,
    ReconstructionConfiguration,
    StoppingConfiguration,
    with_method,
)
from ntkdip.training import DivergenceError, InterruptedRunError, Optimiser, Settings
from ntkdip.training.journal import Journal
from tests.data.writers import fastmri

BRIEF = Settings(steps=20, record_every=5, optimiser=Optimiser(rate=0.01), checkpoint_every=10)
SMALL = NetworkConfiguration("wcnn", channels=(4, 4))
EVERYTHING = {
    "reconstruction.npy", "reconstruction.png", "averaged.npy", "zero-filled.npy", "metrics.csv",
    "config.json", "results.json", "report.html", "checkpoints", "curves.png", "curves.pdf",
    "images.png", "images.pdf", "sampling.png",
}  # fmt: skip


@pytest.fixture(scope="module")
def mri_file(tmp_path_factory) -> Path:
    k = data.mri_kspace(32, 3, sigma=0.01)
    return fastmri(tmp_path_factory.mktemp("k") / "slice.h5", k.samples[None])


@pytest.fixture(scope="module")
def photograph(tmp_path_factory) -> Path:
    pixels = (data.photograph("coffee", 16) * 255).astype(np.uint8)
    path = tmp_path_factory.mktemp("p") / "a photograph.png"
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def without_figures(monkeypatch) -> None:
    monkeypatch.setattr(reconstruction_figures, "figures", lambda _: iter(()))


def _of(path: Path, method: str = "vanilla", **problem) -> ReconstructionConfiguration:
    return dataclasses.replace(
        with_method(method), problem=ProblemConfiguration(data=path, **problem), network=SMALL,
        settings=BRIEF, stopping=StoppingConfiguration(window=10),
    )  # fmt: skip


def _numbers(out: Path) -> dict:
    return json.loads((out / "results.json").read_text())


def test_an_mri_file_undersampled_again(mri_file, tmp_path) -> None:
    config = _of(mri_file, "self-guided", mask="random-lines", acceleration=2.0,
                 centre_fraction=0.3, sigma=0.01)  # fmt: skip
    config = dataclasses.replace(
        config, network=NetworkConfiguration("unet", channels=(2, 4)),
        settings=dataclasses.replace(BRIEF, held_out=0.1),
    )  # fmt: skip
    found = run_reconstruction(config, tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    picks = ("windowed-variance", "discrepancy", "held-out")
    assert names >= EVERYTHING | {f"stopped-{pick}.npy" for pick in picks}
    assert names >= {"oracle-best.npy", "reconstruction.h5", "input.png", "bands.png"}
    assert not [name for name in names if "partial" in name]
    final = np.load(tmp_path / "out" / "reconstruction.npy")
    np.testing.assert_array_equal(final, found.run.final)
    with h5py.File(tmp_path / "out" / "reconstruction.h5") as file:
        np.testing.assert_array_equal(file["reconstruction"][()], np.abs(final)[None])
    rows = {row["image"]: row for row in _numbers(tmp_path / "out")["images"]}
    assert list(rows)[:3] == ["zero-filled", "final", "averaged"]
    assert set(rows) >= {"windowed variance", "discrepancy", "held-out", "oracle best"}
    assert rows["final"]["PSNR"] == [pytest.approx(metrics.psnr(final, found.problem.truth))]
    assert rows["final"]["step"] == [20]
    # The truth is what the whole file gives.
    k = data.load(mri_file)
    true = np.linalg.norm(k.coil_images(), axis=0)
    np.testing.assert_allclose(np.abs(found.problem.truth).max(), true.max(), rtol=0.1)
    page = (tmp_path / "out" / "report.html").read_text()
    for words in (
        "zero-filled",
        "oracle",
        "whole k-space",
        "data:image/png",
        "input",
        "discrepancy",
    ):
        assert words in page


def test_metrics_csv_has_every_record_of_every_seed(photograph, tmp_path, without_figures) -> None:
    config = _of(photograph)
    config = dataclasses.replace(config, settings=dataclasses.replace(BRIEF, seeds=2))
    found = run_reconstruction(config, tmp_path)
    with open(tmp_path / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["seed"], row["step"]) for row in rows] == [
        (seed, str(step)) for seed in "01" for step in range(0, 21, 5)
    ]
    assert float(rows[-1]["psnr"]) == found.run.outcomes[1].metrics["psnr"][-1]
    assert np.load(tmp_path / "reconstruction.npy").shape == (2, 16, 16)
    assert "±" in (tmp_path / "report.html").read_text()


def test_a_photograph_is_inpainted_in_grey(photograph, tmp_path) -> None:
    found = run_reconstruction(_of(photograph, keep=0.6), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} >= EVERYTHING
    assert not (tmp_path / "input.png").exists(), "the input of vanilla does not change"
    kept = found.problem.mask
    assert kept.mean() == pytest.approx(0.6, abs=0.01)
    grey = data.load(photograph).grey()
    np.testing.assert_allclose(found.run.zero_filled, np.where(kept, grey, 0), atol=1e-7)
    assert found.run.final.dtype == np.float32
    assert any("grey" in note for note in found.notes)


def test_a_slice_of_a_volume_goes_back_where_it_was(tmp_path) -> None:
    volume = np.abs(data.mri_slice(18))[:16, :, None] * np.array([1.0, 2.0, 3.0])
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(volume.astype(np.float32), affine), tmp_path / "v.nii.gz")
    config = _of(tmp_path / "v.nii.gz", "sequential", index=2, acceleration=2.0)
    # Sides of 18 and 16 are made from 20 and 16: three levels take multiples of 4.
    config = dataclasses.replace(config, network=NetworkConfiguration("unet", channels=(2, 2, 2)))
    found = run_reconstruction(config, tmp_path / "out")
    assert found.run.final.shape == (18, 16)
    assert any("20 x 16" in note for note in found.notes)
    stored = nibabel.load(tmp_path / "out" / "reconstruction.nii.gz")
    np.testing.assert_array_equal(stored.get_fdata(dtype=np.float32)[:, :, 0].T, found.run.final)
    np.testing.assert_allclose(stored.affine[:3, 3], [0, 0, 8])
    assert (tmp_path / "out" / "input.png").exists()


def test_the_same_configuration_gives_the_same_numbers(
    photograph, tmp_path, without_figures, monkeypatch
) -> None:
    monkeypatch.chdir(photograph.parent)
    config = _of(Path(photograph.name), "self-guided", sigma=0.05)
    first = run_reconstruction(config, tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    again = run_reconstruction(read_configuration(tmp_path / "a" / "config.json"), tmp_path / "b")
    np.testing.assert_array_equal(first.run.final, again.run.final)
    for name in ("reconstruction.npy", "averaged.npy", "metrics.csv", "config.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    photograph, tmp_path, without_figures, monkeypatch
) -> None:
    config = _of(photograph, "self-guided")
    run_reconstruction(config, tmp_path / "whole")
    record = Journal.add

    def interrupted(self, step, *rest) -> None:
        record(self, step, *rest)
        if step == 10:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(Journal, "add", interrupted)
        with pytest.raises(InterruptedRunError, match="step 10 of 20"):
            run_reconstruction(config, out)
    numbers = _numbers(out)
    assert not numbers["complete"]
    assert "step 10 of 20" in numbers["ended_by"]
    assert "not complete" in (out / "report.html").read_text()
    with pytest.raises(FileExistsError, match="--resume"):
        run_reconstruction(config, out)
    found = run_reconstruction(config, out, resume=True)
    assert found.run.complete
    for name in ("reconstruction.npy", "averaged.npy", "oracle-best.npy", "metrics.csv"):
        assert (tmp_path / "whole" / name).read_bytes() == (out / name).read_bytes()
    # A run that has ended is written once more, as it was.
    assert run_reconstruction(config, out, resume=True).run.complete
    other = dataclasses.replace(config, seed=1)
    with pytest.raises(training.CheckpointError, match="another run, which differs in key"):
        run_reconstruction(other, out, resume=True)
    assert read_configuration(out / "config.json").seed == 0, "the refused one left no trace"


def test_a_diverging_run_leaves_what_it_had(photograph, tmp_path, without_figures) -> None:
    wild = dataclasses.replace(BRIEF, optimiser=Optimiser("gd", 1e4))
    config = dataclasses.replace(_of(photograph, "linearised"), settings=wild)
    with pytest.raises(DivergenceError, match="smaller step size"):
        run_reconstruction(config, tmp_path)
    assert "smaller step size" in _numbers(tmp_path)["ended_by"]
    assert np.isfinite(np.load(tmp_path / "reconstruction.npy")).all()


def test_without_a_truth_nothing_is_scored(mri_file, tmp_path) -> None:
    found = run_reconstruction(_of(mri_file, sigma="auto"), tmp_path)
    assert found.problem.truth is None
    assert "No truth" in found.notes[0]
    names = {path.name for path in tmp_path.iterdir()}
    assert "oracle-best.npy" not in names
    assert "bands.png" not in names
    assert all("PSNR" not in row for row in _numbers(tmp_path)["images"])
    page = (tmp_path / "report.html").read_text()
    assert "PSNR (dB)" not in page
    assert "truth is not known" in page


def test_a_magnitude_as_truth(mri_file, tmp_path) -> None:
    np.save(tmp_path / "truth.npy", np.abs(data.mri_slice(32)))
    found = run_reconstruction(_of(mri_file, truth=str(tmp_path / "truth.npy")), tmp_path / "out")
    assert found.problem.only_magnitude
    assert "bands.png" not in {path.name for path in (tmp_path / "out").iterdir()}
    assert found.run.scores()["final"].shape == (1,)


def test_a_linearised_network_stops_where_its_kernel_says(tmp_path, without_figures) -> None:
    np.save(tmp_path / "x.npy", data.mri_slice(16))
    config = _of(tmp_path / "x.npy", "linearised", problem="denoise", sigma=0.2)
    stopping = StoppingConfiguration(window=10, predict_stop=True)
    settings = Settings(steps=200, record_every=5)
    config = dataclasses.replace(config, settings=settings, stopping=stopping)
    found = run_reconstruction(config, tmp_path / "out")
    optimiser = read_configuration(tmp_path / "out" / "config.json").settings.optimiser
    assert optimiser == found.config.settings.optimiser
    assert optimiser.name == "gd"
    assert set(found.run.outcomes[0].trained["params"]) == {"origin", "moved"}
    losses = found.run.outcomes[0].metrics["loss"]
    assert (np.diff(losses) < 0).all(), "the rate is stable"
    pick = found.run.outcomes[0].stopped["kernel-predicted"]
    step = next(int(n.split()[-1].strip(".")) for n in found.notes if "predicts" in n)
    assert pick.step == min(5 * -(-step // 5), 200)
    assert found.problem.baseline == "noisy"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": dataclasses.replace(BRIEF, held_out=0.1)}, "leave out --held-out"),
        ({"method": "self-guided", "options": training.SelfGuided()}, "gradient descent"),
    ],
)
def test_stops_that_cannot_be_predicted_are_refused(photograph, tmp_path, changes, message) -> None:
    config = dataclasses.replace(
        _of(photograph, sigma=0.1),
        settings=BRIEF,
        stopping=StoppingConfiguration(predict_stop=True),
    )
    with pytest.raises(ValueError, match=message):
        run_reconstruction(dataclasses.replace(config, **changes), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_method_that_needs_a_reference_says_so(photograph, tmp_path) -> None:
    with pytest.raises(ValueError, match="give --reference FILE"):
        run_reconstruction(_of(photograph, "reference-guided"), tmp_path / "out")


def test_what_training_refuses_leaves_the_folder_free(photograph, tmp_path) -> None:
    config = _of(photograph, "deep-decoder")
    config = dataclasses.replace(config, network=NetworkConfiguration("unet", channels=(8, 8)))
    for _ in range(2):
        with pytest.raises(ValueError, match="needs fewer weights than numbers"):
            run_reconstruction(config, tmp_path)
    assert list(tmp_path.iterdir()) == []
