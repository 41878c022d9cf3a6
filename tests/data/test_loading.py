"""fastMRI, NumPy, BART and NIfTI: what was written comes back, in our conventions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from ntkdip.data.loading import load
from ntkdip.data.records import Image, KSpace
from ntkdip.data.transforms import centre_crop, to_images
from tests.data import writers

K = writers.noise((3, 2, 16, 12))
RSS = np.sqrt((np.abs(to_images(K)) ** 2).sum(1)).astype(np.float32)


def kspace(path: Path, **options: object) -> KSpace:
    found = load(path, **options)
    assert isinstance(found, KSpace)
    return found


def image(path: Path, **options: object) -> Image:
    found = load(path, **options)
    assert isinstance(found, Image)
    return found


def test_fastmri_multi_coil(tmp_path: Path) -> None:
    path = writers.fastmri(
        tmp_path / "knee.h5",
        K,
        reconstruction_rss=np.array([centre_crop(x, (8, 10)) for x in RSS]),
        ismrmrd_header=writers.header((16, 12, 1), (8, 10, 1)),
        attributes={"acquisition": "CORPD_FBK", "max": 1.5, "patient_id": "0beb"},
    )
    found = kspace(path)
    np.testing.assert_array_equal(found.samples, K[1])
    assert found.samples.dtype == np.complex64
    assert (found.origin.format, found.origin.index, found.origin.count) == ("fastMRI HDF5", 1, 3)
    assert found.mask.all()
    assert found.image_shape == (8, 10)
    assert found.reference is not None
    np.testing.assert_allclose(found.magnitude(), found.reference, rtol=1e-5)
    assert "max = 1.5" in found.origin.understood
    # Texts of attributes are named, never read.
    assert found.origin.ignored == ("attributes 'acquisition', 'patient_id'",)
    np.testing.assert_array_equal(kspace(path, index=2).samples, K[2])


def test_fastmri_single_coil_takes_the_emulated_reconstruction(tmp_path: Path) -> None:
    path = writers.fastmri(
        tmp_path / "x", K[:, 0], reconstruction_esc=RSS, reconstruction_rss=2 * RSS
    )
    found = kspace(path, index=0)
    np.testing.assert_array_equal(found.samples, K[0, :1])
    np.testing.assert_array_equal(found.reference, RSS[0])
    # Without a header the images are of the reference's shape.
    assert found.image_shape == (16, 12)
    assert "reconstruction_rss" in found.origin.ignored


@pytest.mark.parametrize("full", [False, True])
def test_fastmri_mask_of_a_test_file(tmp_path: Path, full: bool) -> None:
    lines = np.arange(12) % 3 == 0
    mask = np.broadcast_to(lines, (16, 12)) if full else lines
    path = writers.fastmri(tmp_path / "x", K * lines, mask=mask.astype(np.uint8))
    found = kspace(path)
    np.testing.assert_array_equal(found.mask, np.broadcast_to(lines, (16, 12)))
    assert found.acceleration == 3
    assert found.image_shape is None


def test_fastmri_without_a_mask_finds_the_lines(tmp_path: Path) -> None:
    lines = np.arange(12) % 3 == 0
    k = K * lines
    # An echo that begins late, and a coil that saw nothing, are no reason to drop a line.
    k[:, :, :4] = 0
    k[:, 0, :, 3] = 0
    found = kspace(writers.fastmri(tmp_path / "x", k))
    np.testing.assert_array_equal(found.mask, np.broadcast_to(lines, (16, 12)))


def test_fastmri_padding_is_not_measured_and_what_is_outside_the_mask_goes(tmp_path: Path) -> None:
    k = K.copy()
    k[..., :2] = 0
    mask = np.ones(12, np.float32)
    mask[5] = 0
    found = kspace(writers.fastmri(tmp_path / "x", k, mask=mask, note=1.0))
    assert np.flatnonzero(~found.mask[0]).tolist() == [0, 1, 5]
    assert not found.samples[:, :, 5].any()
    assert any("2 lines of the mask" in text for text in found.origin.understood)
    assert any("16 non-zero places" in text for text in found.origin.ignored)
    assert any("'note'" in text for text in found.origin.ignored)


def test_fastmri_shapes_are_clipped_to_what_exists(tmp_path: Path) -> None:
    header = writers.header((16, 12, 1), (8, 40, 1))
    found = kspace(
        writers.fastmri(tmp_path / "x", K, ismrmrd_header=header, reconstruction_rss=RSS)
    )
    assert found.image_shape == (8, 12)
    assert found.reference is not None
    np.testing.assert_array_equal(found.reference, RSS[1, 4:12])


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (1, 2, 16, 12), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (2, 1, 5, 7)},
        {"dtype": ">c16"},
    ],
    ids=["compressed", "chunked", "big endian double"],
)
def test_fastmri_storage_does_not_matter(tmp_path: Path, options: dict) -> None:
    found = kspace(writers.fastmri(tmp_path / "x", K, options=options), index=2)
    np.testing.assert_array_equal(found.samples, K[2])


def test_hdf5_after_a_user_block(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file["kspace"] = K
        file["ismrmrd_header"] = writers.header((16, 12, 1), (8, 8, 1))
    assert kspace(path).image_shape == (8, 8)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.arange(12, dtype=np.uint8).reshape(3, 4), np.arange(12).reshape(3, 4) / 255),
        (np.array([[-32767, 32767]], np.int16), np.array([[-1.0, 1.0]])),
        (np.array([[True, False]]), np.array([[1.0, 0.0]])),
        (np.array([[0.5, 300.0]], np.float16), np.array([[0.5, 300.0]])),
        (np.array([[1 + 2j]], np.complex64), np.array([[1 + 2j]])),
        (np.full((2, 3, 4), 51, np.uint8), np.full((2, 3, 3), 0.2)),
        (np.asfortranarray(np.arange(24.0).reshape(4, 2, 3))[..., None], "middle"),
    ],
    ids=["bytes", "signed", "bool", "half", "complex", "alpha", "stack"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_numpy_images(
    tmp_path: Path, array: np.ndarray, expected: np.ndarray | str, packed: bool
) -> None:
    path = tmp_path / "x"
    with open(path, "wb") as file:
        if packed:
            np.savez_compressed(file, array)
        else:
            np.save(file, array)
    found = image(path)
    if isinstance(expected, str):
        expected = array[2, :, :, 0]
        assert found.origin.count == 4
    np.testing.assert_allclose(found.pixels, expected, rtol=1e-15)
    assert found.pixels.dtype == (np.complex128 if array.dtype.kind == "c" else np.float64)
    assert np.iscomplexobj(array) == any("kind='kspace'" in t for t in found.origin.understood)


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(16, 12), (2, 16, 12), (3, 2, 16, 12)])
def test_numpy_kspace(tmp_path: Path, shape: tuple[int, ...], packed: bool, fortran: bool) -> None:
    k = K.reshape(-1, *shape)[0].astype(np.complex128)
    k = np.asfortranarray(k) if fortran else k
    path = tmp_path / "x"
    with open(path, "wb") as file:
        if packed:
            np.savez(file, kspace=k, mask=np.arange(12) % 2, other=1)
        else:
            np.save(file, k)
    found = kspace(path) if packed else kspace(path, kind="kspace")
    slices = k if k.ndim == 4 else k[None]
    expected = slices[len(slices) // 2].reshape(-1, 16, 12).astype(np.complex64)
    if packed:
        expected[..., ::2] = 0
        assert found.acceleration == 2
        assert "arrays 'other'" in found.origin.ignored
    np.testing.assert_array_equal(found.samples, expected)


def test_bart_pairs_by_either_name(tmp_path: Path) -> None:
    k = np.moveaxis(K[0], 0, -1)[:, :, None]
    path = writers.cfl(tmp_path / "scan 1.cfl", k)
    for name in (path, path.with_suffix(".hdr"), path.with_suffix("")):
        np.testing.assert_array_equal(kspace(name).samples, K[0])
    with pytest.raises(ValueError, match="an image of 2 coils"):
        load(path, kind="image")


def test_bart_slices_images_and_volumes(tmp_path: Path) -> None:
    stack = np.zeros((16, 12, 1, 2, *[1] * 9, 3), np.complex64)
    stack[:, :, 0, :, 0, 0, 0, 0, 0, 0, 0, 0, 0] = K.transpose(2, 3, 1, 0)
    path = writers.cfl(tmp_path / "stack.cfl", stack)
    np.testing.assert_array_equal(kspace(path, index=2).samples, K[2])
    plane = writers.cfl(tmp_path / "one.cfl", K[0, 0])
    np.testing.assert_array_equal(image(plane, kind="image").pixels, K[0, 0])
    np.testing.assert_array_equal(kspace(plane, kind="kspace").samples, K[0, :1])
    volume = writers.cfl(tmp_path / "volume.cfl", writers.noise((8, 6, 5)))
    pixels = image(volume, kind="image", index=4).pixels
    np.testing.assert_array_equal(pixels, writers.noise((8, 6, 5))[:, :, 4])


def test_bart_volume_is_cut_across_the_readout(tmp_path: Path) -> None:
    k = writers.noise((8, 6, 5, 2))
    found = kspace(writers.cfl(tmp_path / "k.cfl", k), index=3)
    hybrid = to_images(k, (0,))
    np.testing.assert_allclose(found.samples, np.moveaxis(hybrid[3], -1, 0), atol=1e-6)
    assert (found.origin.index, found.origin.count) == (3, 8)


@pytest.mark.skipif(shutil.which("bart") is None, reason="needs BART's tools")
def test_bart_agrees_on_its_own_phantom(tmp_path: Path) -> None:
    for arguments in ("phantom -x 32 -k -s 4 k", "fft -iu 3 k i", "rss 8 i r"):
        subprocess.run(["bart", *arguments.split()], cwd=tmp_path, check=True, capture_output=True)
    found = kspace(tmp_path / "k.cfl")
    theirs = np.abs(image(tmp_path / "r.cfl", kind="image").pixels)
    error = np.abs(found.magnitude() - theirs).max() / theirs.max()
    assert found.coils == 4
    assert error < 1e-5


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("version", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_nifti_is_a_slice_of_the_first_volume(tmp_path: Path, suffix: str, version: type) -> None:
    voxels = np.arange(4 * 5 * 6 * 2, dtype=np.int16).reshape(4, 5, 6, 2)
    stored = version(voxels, np.eye(4))
    stored.header.set_slope_inter(0.5, 3)
    nibabel.save(stored, tmp_path / f"x{suffix}")
    (tmp_path / f"x{suffix}").rename(tmp_path / "no suffix")
    found = image(tmp_path / "no suffix", index=1)
    np.testing.assert_allclose(found.pixels, voxels[:, :, 1, 0].T * 0.5 + 3)
    assert found.origin.count == 6
    assert "1 further volumes" in found.origin.ignored
    np.testing.assert_allclose(
        image(tmp_path / "no suffix").pixels[0, 0], voxels[0, 0, 3, 0] / 2 + 3
    )


@pytest.mark.parametrize("name", ["a b.npy", "Kälte 測定.h5", "no suffix", "wrong.png"])
def test_names_do_not_matter(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(kspace(writers.fastmri(tmp_path / name, K)).samples, K[1])
    with open(tmp_path / name, "wb") as file:
        np.save(file, np.eye(3))
    np.testing.assert_array_equal(image(tmp_path / name).pixels, np.eye(3))
    np.testing.assert_array_equal(load(str(tmp_path / name)).pixels, np.eye(3))


def test_reading_loads_no_package_that_it_does_not_need(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3))
    code = (
        "import sys, ntkdip.data.loading as loading\n"
        "loading.load(sys.argv[1])\n"
        "print(*{'h5py', 'PIL', 'nibabel', 'ismrmrd', 'jax', 'scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.npy"], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []
