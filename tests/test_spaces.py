from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntkdip.spaces import Space, require_finite

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=2).map(tuple)


@given(SHAPES, st.booleans(), st.integers(0, 2**32 - 1))
def test_embedding_is_an_isometry_and_invertible(shape, is_complex, seed) -> None:
    rng = np.random.default_rng(seed)
    space = Space(shape, is_complex)
    x, y = (space.unembed(rng.standard_normal(space.real_size)) for _ in range(2))
    np.testing.assert_array_equal(space.unembed(space.embed(x)), x)
    inner = np.real(np.vdot(x, y))
    assert np.isclose(space.embed(x) @ space.embed(y), inner, rtol=1e-12, atol=1e-12)


def test_real_part_comes_first_in_c_order() -> None:
    x = np.array([[1 + 5j, 2 + 6j], [3 + 7j, 4 + 8j]])
    np.testing.assert_array_equal(Space((2, 2), True).embed(x), np.arange(1.0, 9.0))
    np.testing.assert_array_equal(Space((2, 2), True).embed(jnp.asarray(x)), np.arange(1.0, 9.0))


def test_wrong_shape_and_field_are_named() -> None:
    with pytest.raises(ValueError, match=r"image: expected shape \(2, 3\), got \(3, 2\)"):
        Space((2, 3), True).check(np.zeros((3, 2)), "image")
    with pytest.raises(ValueError, match="expected real values, got complex128"):
        Space((2,), False).embed(np.zeros(2, complex))
    with pytest.raises(ValueError, match="expected a real vector of 4 entries"):
        Space((2,), True).unembed(np.zeros(2))


def test_not_finite_says_how_many_and_where() -> None:
    x = np.zeros((3, 4))
    x[1, 2] = np.nan
    x[2, 0] = np.inf
    with pytest.raises(ValueError, match=r"image: 2 of 12 .* index \(1, 2\)"):
        require_finite(x, "image")
