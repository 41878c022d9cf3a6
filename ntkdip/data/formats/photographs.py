"""PNG, JPEG and TIFF, one file or a folder of them."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ntkdip.data.formats.checks import Notes, fraction_of_full_scale, image
from ntkdip.data.formats.request import Request, brief
from ntkdip.data.records import Image

MAGICS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
ORIENTATION, BITS_PER_SAMPLE, SAMPLE_FORMAT = 274, 258, 339
"""Tags of TIFF; Exif has the first of them too."""

AS_COLOURS = {"P": "RGBA", "PA": "RGBA", "RGBX": "RGB", "CMYK": "RGB", "YCbCr": "RGB"}
"""Modes of Pillow's that are converted, and to what."""

GREY = ("1", "L", "LA", "I", "F", "I;16", "I;16L", "I;16B")


def form(head: bytes) -> str | None:
    """``"PNG"``, ``"JPEG"``, ``"TIFF"``, or None, by the first bytes of a file."""
    return next((name for magic, name in MAGICS.items() if head.startswith(magic)), None)


def read(request: Request, name: str) -> Image:
    """The image of a file, or one page of a TIFF; upright, with transparency left aside."""
    request.require_kind("image", "k-space is not stored in this format")
    notes = Notes()
    with open(request.path, "rb") as stream:
        pixels, index, count = _decoded(request, name, stream, notes)
    return image(request, "pixels", pixels, notes.origin(request, name, index, count))


def read_folder(request: Request) -> Image:
    """One of a folder's images, in natural order (``2.png`` before ``10.png``)."""
    files, skipped = _images(request)
    if not files:
        raise request.error(
            "", f"the folder has no PNG, JPEG or TIFF in it ({skipped} other entries); give a file"
        )
    index = request.choose(len(files), "images", default=0)
    path, name = files[index]
    notes = Notes()
    one = Request(path, None, request.kind, request.memory_limit)
    one.require_kind("image", "k-space is not stored in this format")
    with open(path, "rb") as stream:
        pixels, page, pages = _decoded(one, name, stream, notes)
    if pages > 1:
        notes.ignored.append(f"{pages - 1} pages of it beside page {page}")
    if skipped:
        notes.ignored.append(f"{skipped} other entries of the folder")
    return image(one, "pixels", pixels, notes.origin(one, name, index, len(files)))


def _images(request: Request) -> tuple[list[tuple[Path, str]], int]:
    """Images of a folder by content, and how many other entries it has, hidden ones aside."""
    found, skipped = [], 0
    with request.parsing("", "the file system"):
        entries = [path for path in request.path.iterdir() if not path.name.startswith(".")]
    for path in sorted(entries, key=_natural):
        try:
            # Only regular files: opening a pipe would wait for its writer.
            with open(path, "rb") if path.is_file() else _nothing() as stream:
                name = form(stream.read(8))
        except OSError:
            name = None
        if name is None:
            skipped += 1
        else:
            found.append((path, name))
    return found, skipped


def _nothing() -> Any:
    raise FileNotFoundError


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split("([0-9]+)", path.name)
    key = [(int(p), "") if i % 2 else (0, p.casefold()) for i, p in enumerate(parts)]
    return key, path.name


def _decoded(request: Request, name: str, stream: Any, notes: Notes) -> tuple[np.ndarray, int, int]:
    """Everything that touches Pillow: pixels, page, and number of pages."""
    import PIL.Image

    bombs = (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning)
    with request.parsing("", "Pillow") as said:
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        try:
            picture: Any = PIL.Image.open(stream, formats=[name])
            count = picture.n_frames if name == "TIFF" else 1
            index = request.choose(count, "pages")
            if count > 1:
                picture.seek(index)
        except bombs as error:
            raise request.error(
                "size",
                f"{brief(str(error))}  If it is right, raise PIL.Image.MAX_IMAGE_PIXELS",
            ) from error
        width, height = picture.size
        # As decoded, turned or converted, and in double precision.
        request.require_memory("size", width * height * (4 + 4 + 8 * 4))
        pixels = _pixels(request, picture, name, notes)
        picture.close()
    notes.ignored += dict.fromkeys(said)
    return pixels, index, count


def _pixels(request: Request, picture: Any, name: str, notes: Notes) -> np.ndarray:
    """Upright, in grey or red, green and blue; integers as fractions of full scale."""
    # Pillow keeps 8 bits of colours, and says so only in how it will unpack them.
    if picture.mode not in GREY and ";16" in str(picture.tile[:1]):
        notes.ignored.append("the lower 8 of the 16 bits of each colour")
    tags = dict(picture.tag_v2) if name == "TIFF" else {}
    turn = _orientation(picture, notes)
    picture.load()
    if turn != 1:
        notes.understood.append(f"turned upright (orientation {turn})")
        # Pillow turns a TIFF while it loads.
        picture = picture if name == "TIFF" else _turned(picture, turn)
    if picture.mode in AS_COLOURS:
        notes.understood.append(f"{picture.mode} converted to red, green and blue")
        picture = picture.convert(AS_COLOURS[picture.mode])
    if picture.mode not in (*GREY, "RGB", "RGBA"):
        raise request.error("mode", f"pixels of {picture.mode!r} are not read; save as RGB or grey")
    values = np.array(picture)
    if picture.mode in ("LA", "RGBA"):
        notes.ignored.append("transparency")
        values = values[..., 0] if picture.mode == "LA" else values[..., :3]
    return _scaled(values, picture.mode, tags, notes)


def _orientation(picture: Any, notes: Notes) -> int:
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # of a damaged block; the pixels do not depend on it
        notes.ignored.append("Exif data, which are damaged")
        return 1
    return value if value in range(1, 9) else 1


def _turned(picture: Any, turn: int) -> Any:
    from PIL.Image import Transpose as To

    return picture.transpose(
        {
            2: To.FLIP_LEFT_RIGHT,
            3: To.ROTATE_180,
            4: To.FLIP_TOP_BOTTOM,
            5: To.TRANSPOSE,
            6: To.ROTATE_270,
            7: To.TRANSVERSE,
            8: To.ROTATE_90,
        }[turn]
    )


def _scaled(values: np.ndarray, mode: str, tags: dict[int, Any], notes: Notes) -> np.ndarray:
    """Fractions of full scale, by the bits and signs of a TIFF where it names them."""
    bits = int(tags.get(BITS_PER_SAMPLE, (0,))[0])
    signed = int(tags.get(SAMPLE_FORMAT, (1,))[0]) == 2
    if mode == "L" and signed:
        values = values.view(np.int8)
    elif mode == "I" and tags and not signed:
        values = values.view(np.uint32)
    if values.dtype.kind == "f":
        notes.understood.append("floating point, as stored")
        return values
    held = values.dtype.itemsize * 8
    narrow = mode[0] == "I" and 8 < bits < held
    used = bits if narrow else held
    notes.understood.append(f"{1 if values.dtype == bool else used} bits, full scale is 1")
    if narrow:
        return values / float(2 ** (bits - signed) - 1)
    return fraction_of_full_scale(values)
