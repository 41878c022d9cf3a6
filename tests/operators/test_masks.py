from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkdip.operators import masks


@given(st.integers(16, 200), st.sampled_from([2.0, 4.0, 8.0]), st.integers(0, 1000))
def test_random_lines_has_the_authors_counts(n: int, acceleration: float, seed: int) -> None:
    mask = masks.random_lines((6, n), acceleration, seed=seed)
    line = mask[0]
    assert (mask == line).all()
    assert line.sum() == int(n / acceleration)
    centre = int(0.08 * n)
    start = n // 2 - centre // 2
    assert line[start : start + centre].all()
    below, above = line[:start].sum(), line[start + centre :].sum()
    assert abs(int(above) - int(below)) <= 1


def test_random_lines_axis_and_seed() -> None:
    rows = masks.random_lines((32, 5), axis=0, seed=1)
    assert (rows == rows[:, :1]).all()
    np.testing.assert_array_equal(rows, masks.random_lines((32, 5), axis=0, seed=1))
    assert (rows != masks.random_lines((32, 5), axis=0, seed=2)).any()


@pytest.mark.parametrize("acceleration", [0.5, 40, 20])
def test_impossible_acceleration_is_refused(acceleration: float) -> None:
    with pytest.raises(ValueError, match=f"acceleration {acceleration} keeps"):
        masks.random_lines((32, 32), acceleration)


def test_reference_mask() -> None:
    mask = masks.random_conjugate_pairs(256)
    frequencies = np.arange(256) - 128
    assert mask.sum() == 137
    assert mask[np.abs(frequencies) <= 20].all()
    np.testing.assert_array_equal(mask[1:], mask[1:][::-1])
