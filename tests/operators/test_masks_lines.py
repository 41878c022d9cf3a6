from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkdip.operators import masks
from ntkdip.operators.masks.grid import heaviest

MAKERS = {
    "random": masks.random_lines,
    "equispaced": masks.equispaced_lines,
    "variable density": masks.variable_density_lines,
}


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


def test_random_lines_stay_what_they_were() -> None:
    """The studies' numbers hang on these draws."""
    line = masks.random_lines((2, 64), 4, seed=0)[0]
    expected = [7, 9, 14, 17, 22, 30, 31, 32, 33, 34, 48, 51, 54, 58, 62, 63]
    np.testing.assert_array_equal(np.flatnonzero(line), expected)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@pytest.mark.parametrize(("shape", "axis"), [((40,), 0), ((40, 3), 0), ((2, 40, 3), -2)])
def test_lines_run_along_the_other_axes(make, shape, axis) -> None:
    mask = make(shape, 4, axis=axis, seed=2)
    assert mask.shape == shape
    line = np.moveaxis(mask, axis, 0).reshape(40, -1)
    assert (line == line[:, :1]).all()
    np.testing.assert_array_equal(line[:, 0], make((40,), 4, seed=2))
    with pytest.raises(ValueError, match="is none of shape"):
        make(shape, 4, axis=len(shape))


@given(
    st.integers(16, 300), st.sampled_from([1.0, 2.0, 3.3, 4.0, 8.0]), st.floats(0, 0.12),
    st.integers(0, 1000),
)  # fmt: skip
def test_equispaced_lines_are_equispaced(
    n: int, acceleration: float, fraction: float, seed: int
) -> None:
    line = masks.equispaced_lines((n,), acceleration, centre_fraction=fraction, seed=seed)
    centre = round(fraction * n)
    others = n / acceleration - centre
    assert abs(line.sum() - n / acceleration) < 2
    start = n // 2 - centre // 2
    assert line[start : start + centre].all()
    if others > 0:
        distance = (n - centre) / others
        for outer in (np.flatnonzero(line[:start]), np.flatnonzero(line[start + centre :])):
            assert np.abs(np.diff(outer) - distance).max(initial=0) <= 1


def test_equispaced_lines_against_a_loop() -> None:
    n, acceleration, offset = 128, 8, 3.25
    line = masks.equispaced_lines((n,), acceleration, centre_fraction=0.04, offset=offset)
    expected = set(range(62, 67))
    position = offset
    while position < n:
        expected.add(int(position))
        position += (128 - 5) / (16 - 5)
    assert set(np.flatnonzero(line)) == expected


def test_equispaced_lines_meet_the_acceleration() -> None:
    """Measured: all 60 within half a line."""
    for n in range(64, 364, 5):
        line = masks.equispaced_lines((n,), 8, centre_fraction=0.04)
        assert abs(line.sum() - n / 8) <= 0.5


def test_equispaced_lines_may_be_the_centre_alone() -> None:
    line = masks.equispaced_lines((64,), 8, centre_fraction=0.125)
    np.testing.assert_array_equal(np.flatnonzero(line), np.arange(28, 36))
    with pytest.raises(ValueError, match=r"offset is a position .* 0 to 4 lines; got 4"):
        masks.equispaced_lines((64,), 4, centre_fraction=0, offset=4)


@given(
    st.integers(16, 300), st.sampled_from([1.0, 2.0, 3.3, 4.0, 8.0]), st.floats(0, 0.12),
    st.integers(0, 1000),
)  # fmt: skip
def test_variable_density_lines_have_their_count(
    n: int, acceleration: float, fraction: float, seed: int
) -> None:
    line = masks.variable_density_lines((n,), acceleration, centre_fraction=fraction, seed=seed)
    centre = round(fraction * n)
    start = n // 2 - centre // 2
    assert line.sum() == round(n / acceleration)
    assert line[start : start + centre].all()


def test_variable_density_falls_with_frequency() -> None:
    kept = np.mean(
        [masks.variable_density_lines((100,), 4, width=0.2, seed=s) for s in range(400)], axis=0
    )
    rings = [kept[50 + k : 50 + k + 9].mean() + kept[50 - k - 8 : 50 - k + 1].mean()
             for k in (5, 14, 23, 32, 41)]  # fmt: skip
    assert (np.diff(rings) < 0).all()
    # So narrow that weights are 0 to rounding: the lines next to the centre, nothing fails.
    line = masks.variable_density_lines((100,), 4, width=1e-3)
    assert np.abs(np.flatnonzero(line) - 50).max() <= 13


def test_heaviest_draws_in_proportion() -> None:
    weight = np.array([0.5, 0.3, 0.2])
    rng = np.random.default_rng(0)
    draws = 20000
    counts = np.zeros(3)
    for _ in range(draws):
        counts[heaviest(np.log(weight), 2, rng)] += 1
    expected = [
        w + sum(v * w / (1 - v) for j, v in enumerate(weight) if j != i)
        for i, w in enumerate(weight)
    ]
    deviation = np.sqrt(np.array(expected) * (1 - np.array(expected)) / draws)
    assert (np.abs(counts / draws - expected) < 4 * deviation).all()
    assert heaviest(np.log(weight), 0, rng).size == 0
    assert sorted(heaviest(np.log(weight), 3, rng)) == [0, 1, 2]


def test_reference_mask() -> None:
    mask = masks.random_conjugate_pairs(256)
    frequencies = np.arange(256) - 128
    assert mask.sum() == 137
    assert mask[np.abs(frequencies) <= 20].all()
    np.testing.assert_array_equal(mask[1:], mask[1:][::-1])


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_bad_lines_are_refused(make) -> None:
    with pytest.raises(ValueError, match="centre_fraction is a share"):
        make((32,), 4, centre_fraction=1.5)
    with pytest.raises(ValueError, match=r"keeps .* of 32 lines, but the centre alone has 16"):
        make((32,), 4, centre_fraction=0.5)


def test_bad_arguments_of_single_makers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"width must be finite and above 0; got 0"):
        masks.variable_density_lines((32,), width=0)
    with pytest.raises(ValueError, match="offset is a position"):
        masks.equispaced_lines((32,), offset=-1)
    with pytest.raises(ValueError, match="keep is a share"):
        masks.random_conjugate_pairs(32, keep=2)
    with pytest.raises(ValueError, match="cutoff is a frequency"):
        masks.random_conjugate_pairs(32, cutoff=-1)
    with pytest.raises(ValueError, match="got shape"):
        masks.random_conjugate_pairs(0)
