"""The type of all masks, and what every maker owes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jaxtyping import Bool

from ntkdip import operators
from ntkdip.operators import masks
from ntkdip.operators.masks import Mask, checked_mask

SHAPE = (24, 31)
RANDOM: dict[str, Callable[..., Mask]] = {
    "random_lines": lambda **seed: masks.random_lines(SHAPE, **seed),
    "equispaced_lines": lambda **seed: masks.equispaced_lines(SHAPE, **seed),
    "variable_density_lines": lambda **seed: masks.variable_density_lines(SHAPE, **seed),
    "random_conjugate_pairs": lambda **seed: masks.random_conjugate_pairs(101, **seed),
    "variable_density": lambda **seed: masks.variable_density(SHAPE, **seed),
    "poisson_disc": lambda **seed: masks.poisson_disc(SHAPE, **seed),
    "random_pixels": lambda **seed: masks.random_pixels(SHAPE, **seed),
    "blocks": lambda **seed: masks.blocks(SHAPE, 5, **seed),
}
FIXED: dict[str, Callable[[], Mask]] = {
    "radial": lambda: masks.radial(SHAPE, 4),
    "golden": lambda: masks.radial(SHAPE, 4, golden=True),
    "spiral": lambda: masks.spiral(SHAPE, 4),
    "text_overlay": lambda: masks.text_overlay(SHAPE),
}
SAMPLING = (RANDOM | FIXED).keys() - {"random_pixels", "blocks", "text_overlay"}


@pytest.fixture
def mask() -> Mask:
    return Mask(np.random.default_rng(0).random((4, 6)) < 0.4)


@pytest.mark.parametrize("name", (RANDOM | FIXED).keys())
def test_a_maker_gives_a_mask_that_operators_take(name) -> None:
    mask = (RANDOM | FIXED)[name]()
    assert type(mask) is Mask
    assert mask.dtype == bool
    assert mask.flags.writeable
    assert mask.flags.owndata or mask.base.flags.owndata
    assert 1 < mask.acceleration < 5
    assert mask.acceleration == mask.size / np.flatnonzero(mask).size
    A = operators.masked_fourier(mask) if name in SAMPLING else operators.pixel_mask(mask)
    x = np.random.default_rng(1).standard_normal(mask.shape).astype(np.float32)
    np.testing.assert_array_equal(A.indices, np.flatnonzero(mask))
    assert A(x).shape == (mask.sum(),)
    np.testing.assert_array_equal(mask, (RANDOM | FIXED)[name]())


@pytest.mark.parametrize("name", sorted(SAMPLING))
def test_the_zero_frequency_is_sampled(name) -> None:
    mask = (RANDOM | FIXED)[name]()
    assert mask[tuple(n // 2 for n in mask.shape)]


@pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM.keys())
def test_a_seed_is_a_mask(make) -> None:
    np.testing.assert_array_equal(make(seed=3), make(seed=3))
    assert len({make(seed=seed).tobytes() for seed in range(8)}) > 2
    with pytest.raises(ValueError, match="non-negative"):
        make(seed=-1)


def test_making_a_mask_leaves_numpys_global_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for make in RANDOM.values():
        make()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))
def test_acceleration_is_entries_over_true_entries(values) -> None:
    mask = Mask(values)
    true = sum(bool(v) for v in values.ravel())
    assert mask.acceleration == (values.size / true if true else np.inf)
    assert isinstance(mask.acceleration, float)


def test_acceleration_is_read_only_and_never_stale(mask) -> None:
    with pytest.raises(AttributeError):
        mask.acceleration = 2.0
    mask[:] = False
    assert mask.acceleration == np.inf
    mask[0] = True
    assert mask.acceleration == 4.0
    mask |= True
    assert mask.acceleration == 1.0


def test_slices_and_boolean_results_are_masks_of_their_own(mask) -> None:
    plain = np.asarray(mask)
    for made, expected in {
        "row": (mask[0], plain[0]),
        "slice": (mask[::2, 1:], plain[::2, 1:]),
        "view": (mask.T, plain.T),
        "not": (~mask, ~plain),
        "or": (mask | plain, plain),
        "xor": (plain ^ mask, plain ^ plain),
        "all": (mask.all(axis=0), plain.all(axis=0)),
    }.values():
        assert type(made) is Mask
        np.testing.assert_array_equal(made, expected)
        assert made.acceleration == Mask(expected).acceleration
    assert type(mask[0, 0]) is np.bool_


def test_numbers_are_plain(mask) -> None:
    x = np.ones(mask.shape)
    for scalar in (mask.sum(), mask.mean(), mask.any(), mask.all(), mask.argmax(), np.mean(mask)):
        assert isinstance(scalar, np.generic)
    for array in (
        mask.sum(axis=0), mask.mean(axis=1), mask * x, x * mask, x + mask, mask.astype(float),
        mask.astype(np.float32, copy=False), np.fft.fft2(mask), x[mask], np.where(mask, 1, 0),
        np.flatnonzero(mask), np.asarray(mask),
    ):  # fmt: skip
        assert type(array) is np.ndarray
    np.testing.assert_array_equal(x * mask, np.asarray(mask) * x)


def test_copies_and_pickles_are_masks(mask) -> None:
    copies = (
        mask.copy(), copy.copy(mask), copy.deepcopy(mask), pickle.loads(pickle.dumps(mask)),
        Mask(mask), Mask(mask.astype(np.int8)),
    )  # fmt: skip
    for other in copies:
        assert type(other) is Mask
        np.testing.assert_array_equal(other, mask)
        assert not np.shares_memory(other, mask)


def test_jax_and_jaxtyping_take_a_mask(mask) -> None:
    assert isinstance(mask, Bool[np.ndarray, "4 6"])
    assert isinstance(mask, Bool[Mask, "..."])
    assert not isinstance(mask, Bool[np.ndarray, "4 5"])
    plain = np.asarray(mask)
    for array in (jnp.asarray(mask), jax.jit(jnp.logical_and)(mask, mask), jax.device_put(mask)):
        assert array.dtype == bool
        np.testing.assert_array_equal(array, plain)
    np.testing.assert_array_equal(jnp.where(mask, 1.0, 0.0), plain.astype(np.float32))


def test_what_is_no_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"0 and 1; got float64 values between 0\.0 and"):
        Mask([0, 0.5])
    with pytest.raises(ValueError, match="booleans or 0 and 1"):
        Mask([[2, 0]])


def test_checked_mask_is_plain(mask) -> None:
    checked = checked_mask(mask, (4, 6), "sampling mask", "sample")
    assert type(checked) is np.ndarray
    assert type(checked_mask(mask.astype(int), None, "sampling mask", "sample")) is np.ndarray
    with pytest.raises(ValueError, match="measures nothing"):
        checked_mask(mask & ~mask, None, "sampling mask", "sample")


@pytest.mark.parametrize(
    "make",
    [
        masks.random_lines, masks.equispaced_lines, masks.variable_density_lines,
        masks.variable_density, masks.poisson_disc, masks.radial, masks.spiral,
    ],
)  # fmt: skip
@pytest.mark.parametrize("acceleration", [0.99, 0.0, -2.0, float("nan"), float("inf"), 1e9])
def test_impossible_accelerations_are_refused(make, acceleration) -> None:
    with pytest.raises(ValueError, match="acceleration"):
        make((16, 16), acceleration)


@pytest.mark.parametrize("shape", [(), (0, 4), (-1, 3)])
def test_empty_shapes_are_refused(shape) -> None:
    for make in (
        masks.random_lines, masks.equispaced_lines, masks.variable_density_lines,
        masks.variable_density, masks.poisson_disc, masks.random_pixels, masks.blocks,
        masks.text_overlay,
    ):  # fmt: skip
        with pytest.raises(ValueError, match="got shape"):
            make(shape)


@pytest.mark.parametrize("shape", [(16,), (4, 4, 4)])
def test_masks_of_2d_refuse_other_shapes(shape) -> None:
    for make in (masks.variable_density, masks.poisson_disc, masks.radial, masks.spiral):
        with pytest.raises(ValueError, match="has 2 axes"):
            make(shape, 2)
    with pytest.raises(ValueError, match="has 2 axes"):
        masks.text_overlay(shape)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20))
def test_the_centre_holds_the_zero_frequency(n: int, count: int, seed: int) -> None:
    fraction = min(count, n) / n
    line = masks.variable_density_lines((n,), 1 / fraction, centre_fraction=fraction, seed=seed)
    assert line.sum() == min(count, n)
    assert line[n // 2]
    k = np.flatnonzero(line) - n // 2
    assert np.array_equal(k, np.arange(k[0], k[-1] + 1))
    assert -1 <= k[0] + k[-1] <= 0
