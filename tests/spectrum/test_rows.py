from __future__ import annotations

import numpy as np
import pytest

from ntkdip import spectrum
from tests.spectrum.kernels import CASES, MatrixFree, circulant, random


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_a_row_is_the_matrix_row(shape, is_complex) -> None:
    W = random(shape, is_complex)
    pixel = tuple(n - 2 for n in shape)
    row = spectrum.kernel_row(MatrixFree(W), pixel, centred=False)
    assert row.pixel == row.position == pixel
    q = W.space.size
    p = int(np.ravel_multi_index(pixel, shape))
    for r in range(len(row.blocks)):
        for c in range(len(row.blocks)):
            block = W.dense()[r * q : (r + 1) * q, c * q : (c + 1) * q]
            np.testing.assert_array_equal(row.blocks[r, c].ravel(), block[:, p])
    negative = spectrum.kernel_row(W, (-2,) * len(shape), centred=False)
    np.testing.assert_array_equal(negative.blocks, row.blocks)


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_centring_brings_the_pixel_to_the_centre(shape, is_complex) -> None:
    W = random(shape, is_complex)
    pixel = (1,) * len(shape)
    plain, centred = (spectrum.kernel_row(W, pixel, centred=c) for c in (False, True))
    assert centred.pixel == pixel
    assert centred.position == tuple(n // 2 for n in shape)
    for offset in ((0,) * len(shape), (1,) * len(shape)):
        a = tuple(p + o for p, o in zip(plain.position, offset, strict=True))
        b = tuple((p + o) % n for p, o, n in zip(centred.position, offset, shape, strict=True))
        np.testing.assert_array_equal(plain.blocks[:, :, *a], centred.blocks[:, :, *b])


@pytest.mark.parametrize(("shape", "is_complex"), CASES)
def test_a_shift_invariant_kernel_is_one_filter(shape, is_complex) -> None:
    W = circulant(shape, is_complex)
    a = spectrum.kernel_row(W, (0,) * len(shape))
    b = spectrum.kernel_row(W, tuple(n - 1 for n in shape))
    np.testing.assert_allclose(a.blocks, b.blocks, atol=1e-12)
    spread = spectrum.kernel_row(W, (0,) * len(shape), centred=False).blocks[0, 0]
    image = np.random.default_rng(0).standard_normal(shape)
    convolved = np.fft.ifftn(np.fft.fftn(spread) * np.fft.fftn(image)).real
    answer = W @ np.r_[image.ravel(), np.zeros(W.space.real_size - W.space.size)]
    np.testing.assert_allclose(answer[: W.space.size], convolved.ravel(), atol=1e-10)


@pytest.mark.parametrize("pixel", [(4, 0), (0, -7), (0,), (0, 0, 0)])
def test_a_pixel_outside_is_refused(pixel) -> None:
    with pytest.raises(ValueError, match="does not lie in an image of shape"):
        spectrum.kernel_row(random((4, 6), False), pixel)
