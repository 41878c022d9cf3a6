from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ntkdip.operators import masks
from ntkdip.operators.masks.density import SCALE_STEP, _poisson_disc, throw

MAKERS = {"variable density": masks.variable_density, "Poisson disc": masks.poisson_disc}
SHAPES = [(32, 32), (33, 20), (17, 64)]


def _centre(shape: tuple[int, ...], fraction: float) -> np.ndarray:
    inside = np.ones(shape, bool)
    for index, n in zip(np.indices(shape), shape, strict=True):
        size = round(fraction * n)
        inside &= (index >= n // 2 - size // 2) & (index < n // 2 - size // 2 + size)
    return inside


def _distance(r0: float, growth: float, shape: tuple[int, ...]) -> np.ndarray:
    """``r`` at every entry, as the docstring has it."""
    y, x = np.indices(shape)
    frequency = np.hypot((y - shape[0] // 2) / shape[0], (x - shape[1] // 2) / shape[1])
    return r0 * (1 + growth * frequency / 0.5)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
@given(
    st.sampled_from(SHAPES), st.sampled_from([1.0, 1.5, 3.3, 4.0, 11.0]), st.floats(0, 0.25),
    st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_count_and_centre(make, shape, acceleration, fraction, seed) -> None:
    mask = make(shape, acceleration, centre_fraction=fraction, seed=seed)
    assert mask.sum() == round(mask.size / acceleration)
    assert mask[_centre(shape, fraction)].all()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_density_falls_with_frequency(make) -> None:
    kept = np.mean([make((40, 40), 6, seed=seed) for seed in range(40)], axis=0)
    y, x = np.indices(kept.shape) - 20
    radius = np.hypot(y, x)
    rings = [kept[(low <= radius) & (radius < low + 5)].mean() for low in (0, 5, 10, 15, 20)]
    assert (np.diff(rings) < 0).all()
    assert rings[-1] > 0


def test_a_narrow_density_is_a_disc() -> None:
    mask = masks.variable_density((32, 32), 8, centre_fraction=0, width=0.01)
    y, x = np.nonzero(mask)
    assert np.hypot(y - 16, x - 16).max() <= 8


@pytest.mark.parametrize("growth", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("acceleration", [2.0, 4.0, 12.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_poisson_discs_keep_their_distance(shape, acceleration, growth) -> None:
    mask, r0 = _poisson_disc(shape, acceleration, 0.1, growth, 5)
    np.testing.assert_array_equal(
        mask, masks.poisson_disc(shape, acceleration, centre_fraction=0.1, growth=growth, seed=5)
    )
    points = np.argwhere(mask & ~_centre(shape, 0.1))
    r = _distance(r0, growth, shape)[tuple(points.T)]
    between = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(between, np.inf)
    assert (between >= np.minimum(r[:, None], r[None]) * (1 - 1e-12)).all()
    # At 12x no two points touch, which points drawn without distance do not manage.
    if acceleration == 12:
        assert between.min() >= np.sqrt(2)


@pytest.mark.parametrize("growth", [0.0, 2.0])
def test_poisson_discs_against_a_loop(growth) -> None:
    """Dart throwing by definition, and that a distance 0.2 % larger is too large."""
    shape, fraction, seed = (24, 28), 0.1, 3
    mask, r0 = _poisson_disc(shape, 5, fraction, growth, seed)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(~_centre(shape, fraction)))
    count = int((mask & ~_centre(shape, fraction)).sum())
    for scale, enough in ((r0, True), (r0 * SCALE_STEP, False)):
        r = _distance(scale, growth, shape).ravel()
        kept: list[int] = []
        for p in [*(p for p in order if r[p] <= 1), *(p for p in order if r[p] > 1)]:
            y, x = divmod(p, shape[1])
            if all((y - a // shape[1]) ** 2 + (x - a % shape[1]) ** 2 >= r[a] ** 2 for a in kept):
                kept.append(p)
            if len(kept) == count:
                break
        assert (len(kept) == count) == enough
        thrown = throw(order, r[order], shape, count)
        if enough:
            assert thrown is not None
            assert (
                sorted(kept)
                == sorted(thrown)
                == np.flatnonzero(mask & ~_centre(shape, fraction)).tolist()
            )
        else:
            assert thrown is None


def test_poisson_discs_fill_what_they_may() -> None:
    """Next to no entry is left that lies farther than its distance from every point.

    Measured over ten seeds: 0 to 0.2 % of the entries.
    """
    shape = (48, 48)
    mask, r0 = _poisson_disc(shape, 6, 0.0, 1.0, 0)
    points = np.argwhere(mask)
    others = np.argwhere(~mask)
    r = _distance(r0, 1.0, shape)
    between = np.linalg.norm(others[:, None] - points[None], axis=-1)
    free = (between >= r[tuple(points.T)]).all(axis=1)
    assert free.sum() <= 0.005 * mask.size


def test_the_centre_alone_and_everything() -> None:
    for make in MAKERS.values():
        assert make((16, 16), 1).all()
        np.testing.assert_array_equal(
            make((16, 16), 4, centre_fraction=0.5), _centre((16, 16), 0.5)
        )
        one = make((16, 16), 256, centre_fraction=1 / 16)
        assert np.argwhere(one).tolist() == [[8, 8]]
        assert make((16, 16), 256, centre_fraction=0).sum() == 1


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_bad_arguments_are_refused(make) -> None:
    with pytest.raises(ValueError, match="centre_fraction is a share"):
        make((16, 16), centre_fraction=-0.1)
    with pytest.raises(ValueError, match=r"keeps 64 of 256 entries, but the centre alone has 81"):
        make((16, 16), 4, centre_fraction=9 / 16)


def test_bad_shapes_of_the_density_are_refused() -> None:
    with pytest.raises(ValueError, match="width must be finite"):
        masks.variable_density((16, 16), width=-1)
    for growth in (-0.5, np.inf):
        with pytest.raises(ValueError, match="growth must be finite"):
            masks.poisson_disc((16, 16), growth=growth)
