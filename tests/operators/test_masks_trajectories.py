from __future__ import annotations

import cmath
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkdip.operators import masks

SHAPES = [(32, 32), (33, 33), (24, 40), (41, 18)]


def _spokes_by_loop(shape: tuple[int, int], angles: list[float]) -> np.ndarray:
    expected = np.zeros(shape, bool)
    cy, cx = shape[0] // 2, shape[1] // 2
    for angle in angles:
        dy, dx = shape[0] * math.sin(angle), shape[1] * math.cos(angle)
        for t in range(-max(shape), max(shape) + 1):
            if abs(dx) >= abs(dy):
                y, x = cy + round(t * (dy / abs(dx))), cx + (t if dx > 0 else -t)
            else:
                y, x = cy + (t if dy > 0 else -t), cx + round(t * (dx / abs(dy)))
            if 0 <= y < shape[0] and 0 <= x < shape[1]:
                expected[y, x] = True
    return expected


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("spokes", [1, 7, 20])
def test_equal_angles_against_a_loop(shape, spokes) -> None:
    angles = [0.3 + j * math.pi / spokes for j in range(spokes)]
    mask = masks.radial(shape, spokes=spokes, angle=0.3)
    np.testing.assert_array_equal(mask, _spokes_by_loop(shape, angles))


@pytest.mark.parametrize("shape", SHAPES)
def test_golden_angles_against_a_loop(shape) -> None:
    angles = [j * math.radians(111.24611797498107) for j in range(13)]
    mask = masks.radial(shape, spokes=13, golden=True)
    np.testing.assert_array_equal(mask, _spokes_by_loop(shape, angles))


def test_golden_spokes_are_nested() -> None:
    found = [masks.radial((32, 32), spokes=s, golden=True) for s in range(1, 20)]
    for few, more in itertools.pairwise(found):
        assert not (few & ~more).any()
        assert more.sum() > few.sum()


@given(st.sampled_from(SHAPES), st.integers(1, 30), st.booleans(), st.floats(-4, 4))
def test_spokes_are_symmetric_and_reach_the_edge(shape, spokes, golden, angle) -> None:
    mask = masks.radial(shape, spokes=spokes, golden=golden, angle=angle)
    assert mask[shape[0] // 2, shape[1] // 2]
    # The first row and column of an even axis have no mirror image.
    inner = mask[1 - shape[0] % 2 :, 1 - shape[1] % 2 :]
    np.testing.assert_array_equal(inner, inner[::-1, ::-1])
    assert inner[0].any() or inner[:, 0].any()
    # Each spoke is one cell for every index of its faster axis.
    assert mask.sum() <= spokes * max(shape)
    if spokes == 1:
        assert mask.sum() >= min(shape) - 1


def test_spokes_along_the_axes() -> None:
    mask = masks.radial((8, 9), spokes=2)
    assert mask.sum() == 8 + 9 - 1
    assert mask[4].all()
    assert mask[:, 4].all()


@pytest.mark.parametrize("golden", [False, True])
@pytest.mark.parametrize("acceleration", [1.0, 1.5, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("shape", [(64, 64), (64, 96)])
def test_radial_acceleration(shape, acceleration, golden) -> None:
    """Within half a spoke; measured: at most 0.34."""
    mask = masks.radial(shape, acceleration, golden=golden)
    assert abs(mask.sum() - mask.size / acceleration) <= max(shape) / 2


@pytest.mark.parametrize("interleaves", [1, 3, 8])
@pytest.mark.parametrize("acceleration", [1.4, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("shape", [(64, 64), (64, 96)])
def test_spiral_acceleration(shape, acceleration, interleaves) -> None:
    """Measured: at most 1.0 %."""
    mask = masks.spiral(shape, acceleration, interleaves=interleaves)
    assert mask.acceleration == pytest.approx(acceleration, rel=0.02)


def _cell(k: complex, shape: tuple[int, int]) -> tuple[int, int]:
    return shape[0] // 2 + round(shape[0] * k.imag), shape[1] // 2 + round(shape[1] * k.real)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("turns", "interleaves"), [(3.5, 1), (0.4, 5), (0.01, 1), (40, 2)])
def test_spirals_visit_the_cells_of_their_arms(shape, turns, interleaves) -> None:
    mask = masks.spiral(shape, turns=turns, interleaves=interleaves)
    points = 12 * math.ceil(max(shape) * (1 + turns))
    fine = np.zeros(shape, bool)
    for arm in range(interleaves):
        for i in range(points + 1):
            s = i / points
            k = 0.5 * s * cmath.exp(2j * math.pi * (turns * s + arm / interleaves))
            y, x = _cell(k, shape)
            if y < shape[0] and x < shape[1]:
                assert y >= 0
                assert x >= 0
                fine[y, x] = True
    # Finer points add corners of cells at most, each beside a cell that is kept.
    padded = np.pad(mask, 1)
    beside = np.any(
        [np.roll(padded, (a, b), (0, 1))[1:-1, 1:-1] for a in (-1, 0, 1) for b in (-1, 0, 1)],
        axis=0,
    )
    assert not (fine & ~beside).any()
    assert (fine & ~mask).sum() <= 0.1 * fine.sum()
    assert (mask & ~fine).sum() <= 0.02 * fine.sum()


def test_spirals_leave_the_corners_out() -> None:
    mask = masks.spiral((64, 64), turns=100)
    y, x = np.indices(mask.shape) - 32
    np.testing.assert_array_equal(mask[np.hypot(y, x) < 31], True)
    np.testing.assert_array_equal(mask[np.hypot(y, x) > 33], False)
    assert mask.acceleration == pytest.approx(4 / np.pi, rel=0.03)


def test_arms_are_copies_turned() -> None:
    mask = masks.spiral((33, 33), turns=1.3, interleaves=4)
    np.testing.assert_array_equal(mask, np.rot90(mask))


def test_how_much_is_sampled_is_said_once() -> None:
    for make, name in ((masks.radial, "spokes"), (masks.spiral, "turns")):
        for arguments in ({}, {"acceleration": 4.0, name: 3}):
            with pytest.raises(ValueError, match=f"exactly one of acceleration and {name}"):
                make((16, 16), **arguments)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 spoke; got 0"):
        masks.radial((16, 16), spokes=0)
    with pytest.raises(ValueError, match="angle is finite"):
        masks.radial((16, 16), spokes=3, angle=math.nan)
    with pytest.raises(ValueError, match="turns must be finite and above 0"):
        masks.spiral((16, 16), turns=0)
    with pytest.raises(ValueError, match="at least 1 interleaf"):
        masks.spiral((16, 16), 4, interleaves=0)
    with pytest.raises(ValueError, match=r"out of this trajectory's reach .* to 16"):
        masks.radial((16, 16), 17)
    with pytest.raises(ValueError, match="out of this trajectory's reach"):
        masks.spiral((32, 32), 1.1)
