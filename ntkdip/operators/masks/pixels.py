"""Masks of pixels for inpainting: ``True`` is kept, ``False`` is to be filled in."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool

from ntkdip.operators.masks.grid import checked_grid, require_share
from ntkdip.operators.masks.mask import Mask

SMALLEST_TEXT = 4
"""Font size in pixels below which letters are no letters."""

LINE_HEIGHT = 1.5
"""Distance of lines of text, relative to the font size."""


def random_pixels(shape: tuple[int, ...], keep: float = 0.5, *, seed: int = 0) -> Bool[Mask, "..."]:
    """``round(keep * q)`` of ``q`` pixels, drawn uniformly without replacement.

    Source: the inpainting of deep image prior (Ulyanov, Vedaldi and Lempitsky, CVPR 2018).

    Parameters
    ----------
    shape
        Shape of the image.
    keep
        Share of pixels that are kept, in [0, 1].
    seed
        Seed of the draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is empty, ``keep`` is no share, or no pixel would be kept.
    """
    shape = checked_grid(shape)
    require_share(keep=keep)
    pixels = math.prod(shape)
    kept = round(keep * pixels)
    if kept == 0:
        raise ValueError(f"keep {keep} of {pixels} pixels is none; use at least {1 / pixels:.2g}")
    mask = np.zeros(pixels, dtype=bool)
    mask[np.random.default_rng(seed).choice(pixels, kept, replace=False)] = True
    return Mask(mask.reshape(shape))


def blocks(
    shape: tuple[int, ...],
    size: int | tuple[int, ...] = 16,
    count: int = 4,
    *,
    seed: int = 0,
) -> Bool[Mask, "..."]:
    """Everything but ``count`` rectangles at random places, which may overlap.

    Each lies inside the image, every such place being equally likely.  Source: the missing
    regions of deep image prior (Ulyanov, Vedaldi and Lempitsky, CVPR 2018).

    Parameters
    ----------
    shape
        Shape of the image.
    size
        Pixels of a rectangle along each axis, or one number for all, at least 1.
    count
        Number of rectangles, at least 0.
    seed
        Seed of the draw.

    Returns
    -------
    Mask of shape ``shape``.

    Raises
    ------
    ValueError
        If the shape is empty, the size does not fit it, the count is negative, or the
        rectangles cover the image.
    """
    shape = checked_grid(shape)
    sizes = size if isinstance(size, tuple) else (size,) * len(shape)
    if len(sizes) != len(shape) or any(not 1 <= s <= n for s, n in zip(sizes, shape, strict=True)):
        raise ValueError(
            f"size is a rectangle's, at least 1 and within the image along each of its axes; "
            f"got {size} for shape {shape}"
        )
    if count < 0:
        raise ValueError(f"count is a number of rectangles, at least 0; got {count}")
    mask = np.ones(shape, dtype=bool)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        corner = [rng.integers(n - s + 1) for n, s in zip(shape, sizes, strict=True)]
        mask[tuple(slice(c, c + s) for c, s in zip(corner, sizes, strict=True))] = False
    if not mask.any():
        raise ValueError(
            f"{count} rectangles of {sizes} pixels cover the whole image of shape {shape}; "
            "use fewer or smaller ones"
        )
    return Mask(mask)


def text_overlay(
    shape: tuple[int, ...], text: str = "deep image prior", *, size: float = 12.0
) -> Bool[Mask, "..."]:
    """Everything but the pixels under lines of text that fill the image (2D).

    The text is repeated, without a break, in lines 1.5 font sizes apart; each begins with
    the text's next word.  A pixel is removed if its centre lies under a letter, in DejaVu
    Sans Bold (which comes with matplotlib); the image's edge cuts letters off.
    Source: the text inpainting of deep image prior (Ulyanov, Vedaldi and Lempitsky, CVPR
    2018); the layout ours.

    Parameters
    ----------
    shape
        Shape of the image, 2D.
    text
        At least one word.
    size
        Font size in pixels, at least 4 and at most the image's rows.

    Returns
    -------
    Mask of shape ``shape``; the cost is that of a point-in-polygon test per letter and
    pixel of its frame.

    Raises
    ------
    ValueError
        If the shape is not 2D, the text has no word or none that can be seen, or the size
        is out of its range.
    """
    shape = checked_grid(shape, 2)
    words = text.split()
    if not words:
        raise ValueError(f"text needs at least one word; got {text!r}")
    if not SMALLEST_TEXT <= size <= shape[0]:
        raise ValueError(
            f"size is in pixels, at least {SMALLEST_TEXT} and at most the image's {shape[0]} rows; "
            f"got {size}"
        )
    winding = np.zeros(shape, dtype=int)
    for line in range(math.ceil(shape[0] / (LINE_HEIGHT * size))):
        first = line % len(words)
        for outline in _outlines([*words[first:], *words[:first]], size, shape[1]):
            # Rows count downwards; letters stand on height 0 of their own.
            _wind(winding, [0, size * (1 + LINE_HEIGHT * line)] + outline * [1, -1])
    return Mask(winding == 0)


def _outlines(words: list[str], size: float, width: int) -> list[np.ndarray]:
    """Closed outlines ``(points, 2)`` of the letters of a line at least ``width`` long."""
    # Not at import: masks are used without figures too.
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", weight="bold")
    scale = size / text_to_path.FONT_SCALE
    once = " ".join(words)
    vertices = np.asarray(text_to_path.get_text_path(font, once)[0])
    if not vertices.size:
        raise ValueError(f"text needs letters that can be seen; got {once!r}")
    copies = math.ceil(width / (scale * np.ptp(vertices[:, 0])))
    vertices, codes = text_to_path.get_text_path(font, " ".join([once] * copies))
    return [np.asarray(o) for o in Path(scale * np.asarray(vertices), codes).to_polygons()]


def _wind(winding: np.ndarray, outline: np.ndarray) -> None:
    """Add an outline's turns around each pixel's centre: a hole's go the other way.

    `matplotlib.path.Path.contains_points` of a whole letter would fill its holes.
    """
    from matplotlib.path import Path

    x, y = outline.T
    area = np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))
    frame = tuple(
        slice(max(math.ceil(k.min()), 0), max(math.floor(k.max()) + 1, 0)) for k in (y, x)
    )
    covered = winding[frame]
    rows, columns = np.indices(covered.shape)
    centres = np.stack([columns + frame[1].start, rows + frame[0].start], axis=-1)
    inside = Path(outline).contains_points(centres.reshape(-1, 2))
    covered += int(np.sign(area)) * inside.reshape(covered.shape)
