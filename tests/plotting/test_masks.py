from __future__ import annotations

import numpy as np
import pytest

from ntkdip import plotting
from ntkdip.operators import masks


@pytest.fixture
def columns() -> int:
    return 2


def test_a_mask_is_shown_over_its_frequencies(ax) -> None:
    mask = masks.random_lines((12, 20), 3, seed=1)
    assert plotting.sampling_mask(ax, mask, "random lines") is ax
    shown = ax.images[0]
    np.testing.assert_array_equal(shown.get_array(), mask)
    assert shown.get_clim() == (0, 1)
    assert ax.get_title() == "random lines: 3.3x"
    assert "k_x" in ax.get_xlabel()
    assert "k_y" in ax.get_ylabel()
    left, right, bottom, top = shown.get_extent()
    # The zero frequency's cell, [-0.5, 0.5], is the one of index n // 2.
    assert (left + 20 // 2, top + 12 // 2) == (-0.5, -0.5)
    assert (right - left, bottom - top) == (20, 12)


def test_a_1d_mask_is_a_strip(ax) -> None:
    mask = masks.random_conjugate_pairs(33, cutoff=3)
    plotting.sampling_mask(ax, np.asarray(mask), "pairs")
    np.testing.assert_array_equal(ax.images[0].get_array(), mask[None])
    assert ax.images[0].get_extent()[:2] == [-16.5, 16.5]
    assert "k_x" in ax.get_xlabel()
    assert len(ax.get_yticks()) == 0


def test_what_is_no_sampling_mask_is_refused(ax) -> None:
    with pytest.raises(ValueError, match="measures nothing"):
        plotting.sampling_mask(ax, np.zeros((4, 4), bool), "nothing")
    with pytest.raises(ValueError, match="1D or 2D"):
        plotting.sampling_mask(ax, np.ones((2, 2, 2), bool), "volume")
