from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath

from ntkdip.operators import masks

SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=2, max_side=12)


@given(SHAPES, st.floats(0.3, 1), st.integers(0, 99))
def test_random_pixels_keep_their_count(shape, keep, seed) -> None:
    mask = masks.random_pixels(shape, keep, seed=seed)
    assert mask.shape == shape
    assert mask.sum() == round(keep * mask.size)


def test_every_pixel_is_as_likely() -> None:
    kept = sum(masks.random_pixels((4, 4), 0.25, seed=s).astype(int) for s in range(2000))
    # 16 binomial counts of mean 500 and deviation 19.4.
    assert np.abs(kept - 500).max() < 4 * 19.4


@given(st.data(), st.integers(0, 99))
def test_one_rectangle_lies_inside(data, seed) -> None:
    shape = data.draw(SHAPES)
    size = tuple(data.draw(st.integers(1, n)) for n in shape)
    if size == shape:
        size = (shape[0] - 1, *size[1:])
    mask = masks.blocks(shape, size, 1, seed=seed)
    removed = np.argwhere(~mask)
    assert tuple(np.ptp(removed, axis=0) + 1) == size
    assert len(removed) == np.prod(size)


def test_rectangles_reach_every_place() -> None:
    found = [masks.blocks((4, 5), 2, 1, seed=s) for s in range(300)]
    corners = {tuple(np.argwhere(~mask)[0].tolist()) for mask in found}
    assert corners == {(y, x) for y in range(3) for x in range(4)}


def test_rectangles_may_overlap() -> None:
    for seed in range(20):
        mask = masks.blocks((20, 20), (3, 7), 6, seed=seed)
        assert 21 <= (~mask).sum() <= 6 * 21
    assert masks.blocks((20, 20), count=0).all()


def test_text_against_agg() -> None:
    """Pixels that matplotlib's own renderer covers by half, on one line, holes included.

    Measured: 0.2 % of the pixels differ, all of them 25 to 75 % covered.
    """
    shape, size = (40, 220), 30
    mask = masks.text_overlay(shape, "B8 %go&", size=size)
    font = FontProperties(family="DejaVu Sans", weight="bold")
    with mpl.rc_context({"path.simplify": False}):
        figure = Figure(figsize=(shape[1] / 100, shape[0] / 100), dpi=100)
        canvas = FigureCanvasAgg(figure)
        ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        # Pixel centres at whole numbers, the base line of the text one font size from the top.
        ax.set(xlim=(-0.5, shape[1] - 0.5), ylim=(size - shape[0] + 0.5, size + 0.5))
        path = TextPath((0, 0), "B8 %go& B8 %go& ", size=size, prop=font)
        ax.add_patch(PathPatch(path, facecolor="black", linewidth=0))
        canvas.draw()
        ink = 1 - np.asarray(canvas.buffer_rgba())[..., 0] / 255
    np.testing.assert_array_equal(mask[ink == 0], True)
    np.testing.assert_array_equal(mask[ink > 0.95], False)
    assert np.mean(mask != (ink < 0.5)) < 0.005


def test_holes_of_letters_are_kept() -> None:
    mask = masks.text_overlay((48, 48), "O", size=48)
    removed = ~mask
    middle = mask[30, 10:30]
    assert middle.any()
    columns = np.flatnonzero(removed[30])
    inside = np.flatnonzero(mask[30, columns[0] : columns[-1]])
    assert inside.size >= 8


def test_text_fills_the_image_and_begins_each_line_with_another_word() -> None:
    mask = masks.text_overlay((90, 120), "ab cd ef", size=20)
    for row in (0, 30, 60):
        removed = ~mask[row : row + 30]
        assert removed[:, :60].any()
        assert removed[:, 60:].any()
    assert not np.array_equal(mask[:30], mask[30:60])
    one_word = masks.text_overlay((90, 120), "word", size=20)
    np.testing.assert_array_equal(one_word[:30], one_word[30:60])


@pytest.mark.parametrize("text", ["$x$ costs $", "a\nb\tc", "  padded  "])
def test_text_is_taken_as_it_is(text) -> None:
    mask = masks.text_overlay((32, 64), text, size=10)
    np.testing.assert_array_equal(
        mask, masks.text_overlay((32, 64), " ".join(text.split()), size=10)
    )
    assert 1 < mask.acceleration < 2


def test_no_figure_and_no_setting_is_left_behind() -> None:
    from matplotlib import pyplot as plt

    before, figures = dict(mpl.rcParams), plt.get_fignums()
    masks.text_overlay((16, 16), size=5)
    assert dict(mpl.rcParams) == before
    assert plt.get_fignums() == figures


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="keep is a share"):
        masks.random_pixels((4, 4), 1.5)
    with pytest.raises(ValueError, match=r"keep 0.01 of 16 pixels is none"):
        masks.random_pixels((4, 4), 0.01)
    for size in (0, 17, (4,), (4, 4, 4), (4, 17)):
        with pytest.raises(ValueError, match="size is a rectangle's"):
            masks.blocks((16, 16), size)
    with pytest.raises(ValueError, match="count is a number of rectangles"):
        masks.blocks((16, 16), 2, -1)
    with pytest.raises(ValueError, match=r"1 rectangles of \(16, 16\) pixels cover"):
        masks.blocks((16, 16), 16, 1)
    for text in ("", " \n"):
        with pytest.raises(ValueError, match="at least one word"):
            masks.text_overlay((16, 16), text)
    for size in (3.9, np.nan, np.inf, 17):
        with pytest.raises(ValueError, match="at least 4 and at most the image's 16 rows"):
            masks.text_overlay((16, 16), size=size)
    with pytest.raises(ValueError, match="letters that can be seen"):
        masks.text_overlay((16, 16), "\u00ad\u200b")
