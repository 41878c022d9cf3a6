"""What ``ntkdip data info`` says of a file, and its picture."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ntkdip import data
from ntkdip.operators import masks
from ntkdip.studies.inspection import inspect


@pytest.fixture
def kspace_file(tmp_path) -> Path:
    mask = masks.random_lines((48, 48), 3, centre_fraction=0.2)
    k = data.mri_kspace(48, 4, mask=mask, sigma=0.1)
    path = tmp_path / "a slice.npz"
    np.savez(path, kspace=k.samples, mask=k.mask)
    return path


def test_facts_of_kspace(kspace_file, tmp_path) -> None:
    picture = tmp_path / "pictures" / "preview.png"
    facts = inspect(kspace_file, picture)
    assert "npz" in facts["format"]
    assert facts["k-space"] == "48 x 48 (readout first)"
    assert facts["coils"] == "4"
    assert facts["measured"] == "768 of 2,304 positions"
    assert facts["acceleration"] == "3.00"
    assert facts["calibration region"].startswith("48 x ")
    assert facts["ignored"] == "nothing"
    # sigma = 0.1 for samples whose largest is known.
    largest = float(np.abs(np.load(kspace_file)["kspace"]).max())
    assert facts["largest sample"] == f"{largest:.4g}"
    assert float(facts["noise level"].split()[0]) == pytest.approx(0.1, rel=0.2)
    decibels = float(facts["dynamic range"].split()[0])
    assert decibels == pytest.approx(20 * np.log10(largest / 0.1), abs=2)
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert np.asarray(image).std() > 10


def test_kspace_without_noise_or_centre_is_described_all_the_same(tmp_path) -> None:
    mask = np.zeros((32, 32), bool)
    mask[:, ::2] = True
    kspace = np.zeros(mask.shape, np.complex64)
    kspace[16, 16] = 3
    path = tmp_path / "k.npz"
    np.savez(path, kspace=kspace, mask=mask)
    facts = inspect(path, tmp_path / "p.png")
    assert facts["calibration region"].startswith("none")
    assert "no noise there" in facts["noise level"]
    assert facts["dynamic range"].startswith("0 dB")


@pytest.mark.parametrize("colours", [1, 3])
def test_facts_of_photographs(tmp_path, colours: int) -> None:
    pixels = (data.photograph("camera" if colours == 1 else "coffee", 32) * 255).astype(np.uint8)
    path = tmp_path / "ein Bild für uns.png"
    Image.fromarray(pixels).save(path)
    facts = inspect(path, tmp_path / "p.png")
    assert facts["image"] == "32 x 32"
    assert facts["colours"] == str(colours)
    assert facts["values"] == "real"
    assert facts["magnitude"] == f"{pixels.min() / 255:.4g} to {pixels.max() / 255:.4g}"
    with Image.open(tmp_path / "p.png") as image:
        assert np.asarray(image).std() > 10


def test_complex_images_show_their_phase_and_slices_their_number(tmp_path) -> None:
    np.save(tmp_path / "x.npy", data.mri_slice(32))
    facts = inspect(tmp_path / "x.npy", tmp_path / "p.png")
    assert facts["values"] == "complex"
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((4, 4), 7, np.uint8)).save(folder / f"{name}.png")
    assert inspect(folder, tmp_path / "p.png", index=1)["which"] == "2 of 2 (index 1)"


def test_an_unwritable_picture_is_found_out_first(tmp_path) -> None:
    with pytest.raises(OSError, match="is a folder; name a file with --out"):
        inspect(tmp_path / "there is no such file", tmp_path)
    with pytest.raises(data.DataError, match="no such file"):
        inspect(tmp_path / "there is no such file", tmp_path / "p.png")


def test_references_are_shown(monkeypatch, tmp_path) -> None:
    k = dataclasses.replace(data.mri_kspace(32, 2), image_shape=(20, 24))
    k = dataclasses.replace(k, reference=k.magnitude())
    monkeypatch.setattr(data, "load", lambda *_, **__: k)
    facts = inspect(Path("simulated"), tmp_path / "p.png")
    assert facts["images cropped to"] == facts["file's own image"] == "20 x 24"
