from __future__ import annotations

import numpy as np
import pytest

from ntkdip import data


def test_square_signal_is_the_reference() -> None:
    x = data.square_signal(256)
    assert x.dtype == np.float64
    assert np.flatnonzero(x)[[0, -1]].tolist() == [77, 158]
    assert x.sum() == 82


@pytest.mark.parametrize("size", [40, 41, 128, 256])
def test_mri_slice_is_complex_with_maximum_one_and_the_stated_phase(size: int) -> None:
    x = data.mri_slice(size)
    assert x.shape == (size, size)
    assert x.dtype == np.complex128
    assert np.abs(x).max() == pytest.approx(1.0)
    v, u = np.meshgrid(*2 * [np.linspace(-1, 1, size)], indexing="ij")
    bright = np.abs(x) > 0.1
    assert bright.mean() > 0.1
    np.testing.assert_allclose(np.angle(x)[bright], (0.8 * v + 0.5 * u**2)[bright], atol=1e-12)


def test_mri_slices_of_two_sizes_show_the_same_head() -> None:
    small, large = np.abs(data.mri_slice(32)), np.abs(data.mri_slice(64))
    pooled = large.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.corrcoef(small.ravel(), pooled.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [1, 257])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"256 pixels a side; got size {size}"):
        data.mri_slice(size)
