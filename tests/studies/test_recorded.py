"""Studies on files of one's own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ntkdip import data, operators
from ntkdip.data import DataError
from ntkdip.studies import fig3, inpainting, mri
from ntkdip.studies.imaging import lines
from ntkdip.studies.recorded import (
    RecordedPhotograph,
    RecordedSlice,
    digest_of,
    files_of,
)
from ntkdip.studies.trials import Classical


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for size in (112, 128):
        k = data.mri_kspace(size, 4)
        np.savez(folder / f"scan{size}.npz", kspace=2.5 * k.samples, mask=k.mask)
    (folder / ".hidden").write_text("no data")
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    folder.mkdir()
    for name, size in (("camera", 36), ("coffee", 41)):
        pixels = np.round(255 * data.photograph(name, size)[:34]).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    return folder


def test_a_slice_is_undersampled_and_its_truth_is_that_of_all_of_k_space(scans) -> None:
    path = scans / "scan128.npz"
    problem = RecordedSlice(str(path), digest_of(path), acceleration=4.0)
    built = problem.build()
    assert problem.name == "scan128, 4x"
    assert abs(built.truth).max() == pytest.approx(1)
    # The slice itself, up to the phase that estimated coils take over.
    want = abs(data.mri_slice(128))
    assert np.linalg.norm(abs(built.truth) - want) / np.linalg.norm(want) < 0.03
    assert built.y.shape == (4, 128 * 32)
    # Its own data, in the truth's unit, not simulated from the truth.
    sampled = lines((128, 128), 4.0, seed=0)
    raw = 2.5 * data.mri_kspace(128, 4).samples[:, sampled]
    ratio = raw / built.y
    np.testing.assert_allclose(ratio, np.full_like(ratio, ratio[0, 0]), rtol=1e-3)
    misfit = np.linalg.norm(np.asarray(built.A(built.truth.astype(np.complex64))) - built.y)
    assert misfit / np.linalg.norm(built.y) < 0.05
    assert built.noise_norm is None


def test_a_photograph_is_grey_and_loses_pixels(photographs) -> None:
    path = photographs / "coffee.png"
    built = RecordedPhotograph(str(path), digest_of(path), kept=0.25).build()
    assert (built.truth.shape, built.truth.max()) == ((34, 41), 1)
    assert built.y.size == round(0.25 * 34 * 41)


def test_the_same_content_elsewhere_is_the_same_cell_file(scans, tmp_path) -> None:
    copy = tmp_path / "copy.npz"
    copy.write_bytes((scans / "scan128.npz").read_bytes())
    assert digest_of(copy) == digest_of(scans / "scan128.npz") != digest_of(scans / "scan112.npz")
    here, there = (
        Classical(RecordedSlice(str(path), digest_of(path)), "zero-filled").cell()
        for path in (scans / "scan128.npz", copy)
    )
    assert here.key == there.key
    other = RecordedSlice(str(copy), digest_of(scans / "scan112.npz"))
    assert Classical(other, "zero-filled").cell().key != here.key


def test_configurations_take_every_file_of_a_folder_or_one(scans, photographs) -> None:
    c = mri.STUDY.configuration("smoke", scans)
    assert [p.name for p in c.contest.problems] == [
        "scan112, 4x", "scan128, 4x", "scan112, 8x", "scan128, 8x"
    ]  # fmt: skip
    assert not c.kernel
    # It could only be made of the truth.
    assert mri.REFERENCE not in c.contest.contenders
    one = inpainting.STUDY.configuration("smoke", photographs / "camera.png")
    assert [p.name for p in one.problems] == ["camera, 50%", "camera, 25%", "camera, 10%"]
    assert mri.STUDY.configuration("smoke") is mri.PRESETS["smoke"]


def test_a_contest_on_files_ends_in_its_report(photographs) -> None:
    """Sides that fit no U-Net are padded for it."""
    c = inpainting.STUDY.configuration("smoke", photographs / "coffee.png")
    few = {name: c.contenders[name] for name in ("self-guided", "self-guided from biharmonic",
                                                 "vanilla")}  # fmt: skip
    c = dataclasses.replace(c, problems=c.problems[:1], contenders=few, steps=2)
    results = {
        label: {n: np.asarray(v) for n, v in cell.run(cell.settings).items()}
        for label, cell in inpainting.STUDY.cells(c).items()
    }
    report = inpainting.STUDY.report(c, results)
    assert report.tables[-1].columns == ("method", "coffee, 50%")
    assert len(report.verdicts) == 3


def test_what_cannot_be_used_is_refused_before_work(scans, photographs, tmp_path) -> None:
    with pytest.raises(ValueError, match="the study 'fig3' takes no data; mri and inpainting do"):
        fig3.STUDY.configuration("smoke", scans)
    with pytest.raises(DataError, match="this study undersamples k-space itself"):
        mri.STUDY.configuration("smoke", photographs)
    with pytest.raises(DataError, match="no photograph"):
        inpainting.STUDY.configuration("smoke", scans)
    with pytest.raises(DataError, match="no data file, and no folder"):
        files_of(tmp_path / "nowhere")
    mask = operators.masks.random_lines((32, 32), 4.0)
    k = data.mri_kspace(32, 4, mask=mask)
    np.savez(scans / "scan150.npz", kspace=k.samples, mask=k.mask)
    with pytest.raises(DataError, match=r"undersampled 4\.0x"):
        mri.STUDY.configuration("smoke", scans)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(photographs / "night.png")
    with pytest.raises(DataError, match="black everywhere"):
        inpainting.STUDY.configuration("smoke", photographs)
    Image.fromarray(np.full((40, 31), 9, np.uint8)).save(photographs / "night.png")
    with pytest.raises(DataError, match=r"night\.png.*only \(40, 31\) pixels; .* at least 32"):
        inpainting.STUDY.configuration("smoke", photographs)
    small = data.mri_kspace(24, 2, mask=np.ones((24, 24), bool))
    np.savez(scans / "scan150.npz", kspace=small.samples)
    with pytest.raises(DataError, match=r"only \(24, 24\) pixels"):
        mri.STUDY.configuration("smoke", scans)
    # Large enough for the methods, but eight times fewer lines leave no centre for the coils.
    small = data.mri_kspace(64, 2, mask=np.ones((64, 64), bool))
    np.savez(scans / "scan150.npz", kspace=small.samples)
    with pytest.raises(DataError, match="fully sampled centre"):
        mri.STUDY.configuration("smoke", scans)


def test_documents_beside_the_data_are_left_out(photographs) -> None:
    (photographs / "README.md").write_text("These are photographs.")
    (photographs / "labels.CSV").write_text("a,b")
    (photographs / "LICENSE").write_text("Do what you like.")
    assert [p.suffix for p in files_of(photographs)] == [".png"] * len(files_of(photographs))
    assert len(inpainting.STUDY.configuration("smoke", photographs).problems) == 3 * len(
        list(photographs.glob("*.png"))
    )
