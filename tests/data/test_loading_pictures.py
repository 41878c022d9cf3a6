"""PNG, JPEG, TIFF and folders: upright fractions of full scale, and nothing lost unsaid."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from ntkdip.data.errors import DataError
from ntkdip.data.loading import load
from ntkdip.data.records import Image

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (9, 7), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (9, 7), dtype=np.uint16)
SMOOTH = np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8) * 4


def image(path: Path, index: int | None = None) -> Image:
    found = load(path, index=index)
    assert isinstance(found, Image)
    return found


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("array", [GREY, COLOUR, DEEP], ids=["grey", "colour", "16 bits"])
def test_lossless_pictures_come_back(tmp_path: Path, form: str, array: np.ndarray) -> None:
    PIL.Image.fromarray(array).save(tmp_path / "x", form)
    found = image(tmp_path / "x")
    np.testing.assert_array_equal(found.pixels, array / np.iinfo(array.dtype).max)
    assert found.pixels.dtype == np.float64
    assert found.colours == (3 if array.ndim == 3 else 1)
    assert found.origin.format == form
    assert found.origin.ignored == ()


def test_jpeg_is_close(tmp_path: Path) -> None:
    PIL.Image.fromarray(SMOOTH).save(tmp_path / "x", "JPEG", quality=95)
    np.testing.assert_allclose(image(tmp_path / "x").pixels, SMOOTH / 255, atol=0.02)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "CMYK"])
def test_other_modes_say_what_becomes_of_them(tmp_path: Path, mode: str) -> None:
    picture = PIL.Image.fromarray(COLOUR).convert(mode)
    form = "TIFF" if mode == "CMYK" else "PNG"
    picture.save(tmp_path / "x", form)
    found = image(tmp_path / "x")
    grey = mode in ("LA", "1")
    expected = np.asarray(picture.convert("L" if grey else "RGB")) / 255
    np.testing.assert_array_equal(found.pixels, expected)
    assert ("transparency" in found.origin.ignored) == (mode in ("RGBA", "LA", "P"))
    converted = f"{mode} converted to red, green and blue" in found.origin.understood
    assert converted == (mode in ("P", "CMYK"))


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_orientation_is_applied_and_said(tmp_path: Path, form: str, turn: int) -> None:
    tags = PIL.Image.Exif()
    tags[0x112] = turn
    PIL.Image.fromarray(SMOOTH).save(tmp_path / "x", form, exif=tags)
    found = image(tmp_path / "x")
    upright = [
        SMOOTH, SMOOTH[:, ::-1], SMOOTH[::-1, ::-1], SMOOTH[::-1],
        SMOOTH.T, np.rot90(SMOOTH, -1), SMOOTH[::-1, ::-1].T, np.rot90(SMOOTH),
    ][turn - 1]  # fmt: skip
    np.testing.assert_allclose(found.pixels, upright / 255, atol=0.03)
    assert (f"turned upright (orientation {turn})" in found.origin.understood) == (turn > 1)


def test_a_page_of_a_stack(tmp_path: Path) -> None:
    pages = [PIL.Image.fromarray(np.full((4, 5), n, np.uint8)) for n in (10, 20, 30)]
    pages[0].save(tmp_path / "x", "TIFF", save_all=True, append_images=pages[1:])
    assert image(tmp_path / "x", 2).pixels[0, 0] == 30 / 255
    found = image(tmp_path / "x")
    assert (found.origin.index, found.origin.count) == (1, 3)
    with pytest.raises(DataError, match="3 pages, so that index is 0 to 2; got 3"):
        load(tmp_path / "x", index=3)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (np.array([[-32767, 32767]], np.int16), [[-1.0, 1.0]]),
        (np.array([[0, 2**32 - 1]], np.uint32), [[0.0, 1.0]]),
        (np.array([[-127, 127]], np.int8), [[-1.0, 1.0]]),
        (np.array([[0.25, 7.0]], np.float32), [[0.25, 7.0]]),
    ],
    ids=["int16", "uint32", "int8", "float"],
)
def test_tiff_numbers_keep_sign_and_scale(
    tmp_path: Path, array: np.ndarray, expected: list
) -> None:
    kind = {"i": 2, "u": 1, "f": 3}[array.dtype.kind]
    _tiff(tmp_path / "x", array, kind)
    np.testing.assert_allclose(image(tmp_path / "x").pixels, expected)


def _tiff(path: Path, array: np.ndarray, sample_format: int) -> None:
    """An uncompressed little-endian grey TIFF of one strip, by the specification."""
    h, w = array.shape
    tags = [
        (256, w), (257, h), (258, array.itemsize * 8), (259, 1), (262, 1), (273, 8), (277, 1),
        (278, h), (279, array.nbytes), (339, sample_format),
    ]  # fmt: skip
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    data = array.tobytes()
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    path.write_bytes(head + data + struct.pack("<H", len(tags)) + entries + b"\0" * 4)


def test_colours_of_16_bits_lose_8_and_say_so(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + struct.pack(">6H", *[257 * n] * 6) for n in (3, 200))
    _png(tmp_path / "x", struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0), rows)
    found = image(tmp_path / "x")
    np.testing.assert_array_equal(found.pixels[:, 0, 0], np.array([3, 200]) / 255)
    assert found.origin.ignored == ("the lower 8 of the 16 bits of each colour",)


def _png(path: Path, header: bytes, rows: bytes) -> None:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in chunks
        )
    )


@pytest.mark.parametrize("sides", [(2**15, 2**12), (2**17, 2**17), (2**31 - 1, 2**31 - 1)])
def test_bombs_are_refused(tmp_path: Path, sides: tuple[int, int]) -> None:
    _png(tmp_path / "x", struct.pack(">IIBBBBB", *sides, 8, 0, 0, 0, 0), b"\0" * 1000)
    with pytest.raises(DataError, match="size"):
        load(tmp_path / "x")


def test_damaged_exif_does_not_lose_the_picture(tmp_path: Path) -> None:
    PIL.Image.fromarray(SMOOTH).save(tmp_path / "x", "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    found = image(tmp_path / "x")
    assert found.shape == SMOOTH.shape


def test_a_folder_in_natural_order(tmp_path: Path) -> None:
    for name, value in (("img10.png", 10), ("img2.PNG", 2), ("Img1 ä.tif", 1)):
        form = "TIFF" if "tif" in name else "PNG"
        PIL.Image.fromarray(np.full((4, 5), value, np.uint8)).save(tmp_path / name, form)
    PIL.Image.fromarray(GREY).save(tmp_path / ".hidden.png")
    (tmp_path / "readme.txt").write_text("photographs")
    (tmp_path / "folder.png").mkdir()
    for index, value in enumerate((1, 2, 10)):
        found = image(tmp_path, index)
        assert found.pixels[0, 0] == value / 255
        assert (found.origin.index, found.origin.count) == (index, 3)
    assert found.origin.path == tmp_path / "img10.png"
    assert found.origin.ignored == ("2 other entries of the folder",)
    assert image(tmp_path).origin.index == 0
