from __future__ import annotations

import numpy as np
import pytest

from ntkdip.training.holdout import held_out_split


@pytest.mark.parametrize("shape", [(101,), (4, 101), (2, 3, 101)])
def test_the_same_positions_in_every_coil(shape: tuple[int, ...]) -> None:
    weights = held_out_split(shape, 0.1, seed=3)
    assert weights.dtype == np.float32
    assert weights.shape == shape
    rows = weights.reshape(-1, 101)
    assert (rows == rows[0]).all()
    assert set(rows[0]) == {0, 1}
    assert (rows[0] == 0).sum() == 10
    np.testing.assert_array_equal(rows[0], held_out_split((101,), 0.1, seed=3))
    assert (rows[0] != held_out_split((101,), 0.1, seed=4)).any()


def test_every_position_is_held_out_equally_often() -> None:
    count = sum(1 - held_out_split((20,), 0.25, seed) for seed in range(2000))
    # Mean 500, standard deviation 19; the largest of 20 is within four of them.
    assert np.abs(count - 500).max() < 80


def test_kept_positions_are_always_trained_on() -> None:
    keep = np.zeros(40, bool)
    keep[10:30] = True
    weights = [held_out_split((3, 40), 0.5, seed, keep=keep) for seed in range(20)]
    assert all((w[:, keep] == 1).all() and (w[0] == 0).sum() == 10 for w in weights)


def test_refusals() -> None:
    for shape in ((), (0,), (2, 0)):
        with pytest.raises(ValueError, match="at least one sample"):
            held_out_split(shape, 0.5, 0)
    for fraction in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"is in \(0, 1\)"):
            held_out_split((10,), fraction, 0)
    for fraction, count in ((0.01, 0), (0.99, 10)):
        with pytest.raises(ValueError, match=f"of 10 positions holds out {count}"):
            held_out_split((10,), fraction, 0)
    with pytest.raises(ValueError, match=r"each of the 10 positions; got shape \(9,\)"):
        held_out_split((2, 10), 0.5, 0, keep=np.zeros(9, bool))
    with pytest.raises(ValueError, match="of 0 positions holds out 0"):
        held_out_split((10,), 0.5, 0, keep=np.ones(10, bool))
