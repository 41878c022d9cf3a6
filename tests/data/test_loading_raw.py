"""ISMRMRD raw data: lines find their place, whatever their order, length and direction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from ntkdip.data.records import KSpace
from ntkdip.data.transforms import to_images
from tests.data import writers
from tests.data.writers import header, line, plane, raw

K = writers.noise((2, 16, 12))
XML = header((16, 12, 1), (8, 10, 1))


def kspace(path: Path, index: int | None = None) -> KSpace:
    found = load(path, index=index)
    assert isinstance(found, KSpace)
    return found


def test_slices_interleaved_and_out_of_order(tmp_path: Path) -> None:
    slices = writers.noise((3, 2, 16, 12))
    lines = [line(slices[s, :, :, j], j, slice=s) for j in (5, 0, 11, *range(12)) for s in range(3)]
    path = raw(tmp_path / "x", XML, lines)
    for index in range(3):
        np.testing.assert_allclose(kspace(path, index).samples, slices[index], rtol=1e-6)
    found = kspace(path)
    assert (found.origin.index, found.origin.count) == (1, 3)
    assert found.image_shape == (8, 10)
    assert found.mask.all()
    assert "repeated lines averaged, 1 to 2 times" in found.origin.understood


def test_the_centre_of_the_encoding_goes_to_the_middle(tmp_path: Path) -> None:
    lines = [line(K[:, :, j], j - 2) for j in range(2, 9)]
    path = raw(tmp_path / "x", header((16, 12, 1), (8, 10, 1), centres=(4, 0)), lines)
    found = kspace(path)
    assert np.flatnonzero(found.mask[0]).tolist() == list(range(2, 9))
    np.testing.assert_array_equal(found.samples[:, :, 2:9], K[:, :, 2:9])
    assert not found.samples[:, :, 9:].any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cut", [(5, 0), (0, 3), (5, 3)])
def test_asymmetric_echoes_and_discarded_samples(
    tmp_path: Path, cut: tuple[int, int], reverse: bool
) -> None:
    first, last = cut[0], 16 - cut[1]
    lines = []
    for j in range(12):
        # One sample to throw away at the beginning, two at the end.
        samples = np.pad(K[:, first:last, j], [(0, 0), (1, 2)], constant_values=99)
        n = samples.shape[1]
        head = {"discard_pre": 1, "discard_post": 2, "center_sample": 8 - first + 1}
        if reverse:
            samples = samples[:, ::-1]
            head = {"discard_pre": 2, "discard_post": 1, "center_sample": n - 2 - (8 - first)}
        flags = [ismrmrd.ACQ_IS_REVERSE] if reverse else []
        lines.append(line(samples, j, flags=flags, **head))
    found = kspace(raw(tmp_path / "x", XML, lines))
    expected = np.zeros_like(K)
    expected[:, first:last] = K[:, first:last]
    np.testing.assert_array_equal(found.samples, expected)
    assert found.mask[:, 0].tolist() == [first <= i < last for i in range(16)]
    assert reverse == any("read backwards" in text for text in found.origin.understood)


def test_averages_are_averaged(tmp_path: Path) -> None:
    lines = plane(K, average=0) + plane(3 * K, average=1)
    found = kspace(raw(tmp_path / "x", XML, lines))
    np.testing.assert_allclose(found.samples, 2 * K, rtol=1e-6)


def test_what_is_no_image_is_left_aside(tmp_path: Path) -> None:
    calibration = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    both = [*calibration, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING]
    lines = [
        line(99 * K[:, :, 0], 3, flags=[ismrmrd.ACQ_IS_NAVIGATION_DATA]),
        line(99 * K[:, :, 0], 3, flags=[ismrmrd.ACQ_IS_PHASECORR_DATA]),
        line(99 * K[:, :, 0], 3, flags=[ismrmrd.ACQ_IS_DUMMYSCAN_DATA]),
        *[line(99 * K[:, :, j], j, flags=calibration) for j in range(5, 8)],
        *[line(K[:, :, j], j, flags=both if j == 6 else []) for j in range(0, 12, 2)],
    ]
    found = kspace(raw(tmp_path / "x", XML, lines))
    np.testing.assert_array_equal(found.samples[:, :, ::2], K[:, :, ::2])
    assert found.acceleration == 2
    assert found.origin.ignored == (
        "3 navigator, phase-correction, feedback or dummy lines",
        "3 lines for calibration only",
    )


def test_the_first_of_contrasts_repetitions_and_sets(tmp_path: Path) -> None:
    lines = plane(K, contrast=1)
    lines += plane(9 * K, contrast=2) + plane(9 * K, contrast=1, repetition=1)
    lines += plane(9 * K, contrast=1, set=4)
    found = kspace(raw(tmp_path / "x", XML, lines))
    np.testing.assert_array_equal(found.samples, K)
    assert [text.split(" (")[0] for text in found.origin.ignored] == [
        "1 further of contrast", "1 further of repetition", "1 further of set",
    ]  # fmt: skip


def test_noise_is_scaled_to_the_dwell_time_and_bandwidth(tmp_path: Path) -> None:
    noise = writers.noise((2, 40), seed=1)
    flags = [ismrmrd.ACQ_IS_NOISE_MEASUREMENT]
    lines = [line(noise[:, part], flags=flags, sample_time_us=2.5) for part in
             (slice(0, 30), slice(30, 40))]  # fmt: skip
    xml = header((16, 12, 1), (8, 10, 1), bandwidth=0.8)
    found = kspace(raw(tmp_path / "x", xml, lines + plane(K, sample_time_us=10.0)))
    assert found.noise_scan is not None
    # Four times the dwell time: a quarter of the variance, of which the scan saw 0.8.
    np.testing.assert_allclose(found.noise_scan, noise * np.sqrt(0.25 / 0.8), rtol=1e-6)
    np.testing.assert_array_equal(found.samples, K)


@pytest.mark.parametrize("echo", [(0, 16), (3, 16)])
def test_a_volume_is_cut_across_the_readout(tmp_path: Path, echo: tuple[int, int]) -> None:
    k = writers.noise((2, 16, 6, 5))
    k[:, : echo[0]] = 0
    lines = [
        line(k[:, echo[0] :, j, m], j, kspace_encode_step_2=m, center_sample=8 - echo[0])
        for j in range(6)
        for m in range(5)
        if (j, m) != (1, 1)
    ]
    k[:, :, 1, 1] = 0
    path = raw(tmp_path / "x", header((16, 6, 5), (10, 6, 4)), lines)
    hybrid = to_images(k, (1,))
    for index in range(10):
        found = kspace(path, index)
        # Of 16 places the middle 10 are wanted: 3 ... 12.
        np.testing.assert_allclose(found.samples, hybrid[:, 3 + index], atol=2e-6)
    assert found.origin.count == 10
    assert found.image_shape == (6, 4)
    assert np.argwhere(~found.mask).tolist() == [[1, 1]]


def test_any_group_and_compressed_data(tmp_path: Path) -> None:
    path = raw(tmp_path / "x", XML, plane(K), group="measurement 1")
    np.testing.assert_array_equal(kspace(path).samples, K)
    with h5py.File(path) as old, h5py.File(tmp_path / "y", "w") as new:
        group = new.create_group("dataset")
        data = old["measurement 1/data"]
        group.create_dataset("data", data=data[()], dtype=data.dtype, chunks=(5,), compression=4)
        group["xml"] = old["measurement 1/xml"][()]
        group["waveforms"] = np.zeros(3)
    found = kspace(tmp_path / "y")
    np.testing.assert_array_equal(found.samples, K)
    assert found.origin.ignored == ("members 'waveforms' of dataset",)


@pytest.mark.parametrize(
    ("xml", "lines", "message"),
    [
        (header((16, 12, 1), (8, 8, 1), trajectory="radial"), plane(K), "'radial'; only Cartesian"),
        (XML, [line(K[:, :, 0], 12)], "kspace_encode_step_1.*1 lines have steps off"),
        (XML, [line(K[:, :12, 0], center_sample=10)], "does not fit the encoded matrix of 16"),
        (XML, [line(K[:, :, 0]), line(K[:1, :, 1], 1)], "the same channels"),
        (XML, [line(K[:, :, 0], flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])], "no lines of an image"),
        (header((0, 12, 1), (8, 8, 1)), plane(K), "encodedSpace.*sides of 1 to"),
        (XML, plane(0 * K), "nothing but zeros"),
        (XML, plane(K * np.where(np.arange(12) == 3, np.nan, 1)), r"32 of its 384.*\(0, 0, 3\)"),
        (XML, plane(K, encoding_space_ref=1), "encoding 1 is used, 1 known"),
        (XML.replace("<encoding>", "<encoding"), plane(K), "ismrmrd cannot read it"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + XML, plane(K), "document type"),
        (XML, plane(K, discard_pre=9, discard_post=9), "9 and 9 are to be discarded"),
    ],
)
def test_what_cannot_be_a_slice_is_refused(
    tmp_path: Path, xml: str, lines: list, message: str
) -> None:
    path = raw(tmp_path / "x", xml, lines)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert caught.value.path == str(path)
    assert caught.value.field.startswith("dataset/")


def test_reading_leaves_the_filters_of_warnings_alone(tmp_path: Path) -> None:
    code = (
        "import sys, warnings, h5py, ntkdip.data.loading as loading\n"
        "before = warnings.filters[:]\n"
        "loading.load(sys.argv[1])\n"
        "assert 'ismrmrd' in sys.modules\n"
        "assert warnings.filters == before"
    )
    path = raw(tmp_path / "x", XML, plane(K))
    subprocess.run([sys.executable, "-c", code, path], check=True)
