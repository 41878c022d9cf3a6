"""Rows of analytic kernels against the whole kernels, over layers and image sizes."""

from __future__ import annotations

import functools

import jax
import numpy as np
import pytest

from ntkdip import networks
from ntkdip.kernels import NoClosedFormError, analytic
from ntkdip.kernels.infinite import rows
from ntkdip.kernels.infinite.reach import Lines, Pixels, walk
from ntkdip.kernels.infinite.rows import kernel_rows
from ntkdip.networks import Architecture
from ntkdip.networks.layers import (
    AveragePool,
    Conv,
    Erf,
    LayerNorm,
    LeakyReLU,
    ReLU,
    Residual,
    Upsample,
)
from tests.conftest import tolerance

real_cnn = functools.partial(networks.wide_cnn, 8, complex_image=False)


def _decoder(*conventions: str) -> Architecture:
    blocks = [(Conv(8, 1, 2.0), Upsample(convention), ReLU()) for convention in conventions]
    return Architecture("decoder", (*(layer for b in blocks for layer in b), Conv(1, 1, 2.0)))


POOLED = (
    Conv(8, 2), ReLU(), AveragePool(2), Conv(8, 2, 2.0, "circular", bias_variance=0.1), Erf(),
    AveragePool(3), Conv(1, trained=False),
)  # fmt: skip
BRANCHED = (
    Conv(8),
    Residual((LayerNorm(), ReLU(), Conv(8, 2, 2.0, "reflect"))),
    Residual((LeakyReLU(0.1), Conv(8, 2, stride=3)), (Conv(8, stride=3),)),
    Upsample("nearest"), Conv(1),
)  # fmt: skip
CASES = {
    "circular": (networks.wide_cnn(8, 3), (7, 8), 2),
    "zero, even kernel": (real_cnn(3, 2, padding="zero"), (6, 5), 1),
    "1D reflect": (real_cnn(2, 5, padding="reflect"), (9,), 2),
    "1D circular, even kernel": (real_cnn(2, 4), (17,), 3),
    "1D zero, standard, many channels": (
        real_cnn(2, 3, padding="zero", parameterisation="standard"), (16,), 40,
    ),
    "decoder": (_decoder("circular", "half_pixel"), (3, 2), 8),
    "other decoder": (_decoder("align_corners", "nearest"), (2, 3), 8),
    "1D decoder": (networks.deep_decoder(8, 1, normalisation=False), (5,), 70),
    "autoencoder": (
        networks.autoencoder(8, 1, padding="zero", parameterisation="standard"), (7, 5), 2,
    ),
    "pooling, biases": (Architecture("pooled", POOLED), (6, 12), 2),
    "branches": (Architecture("branched", BRANCHED), (9, 7), 2),
}  # fmt: skip


def _case(name: str) -> tuple[Architecture, np.ndarray]:
    net, shape, channels = CASES[name]
    return net, np.random.default_rng(3).standard_normal((*shape, channels))


@functools.cache
def _dense(name: str, **options) -> np.ndarray:
    W = analytic(*_case(name), **options)
    return getattr(W, "part", W).dense()


@pytest.mark.parametrize("name", CASES)
def test_rows_are_those_of_the_kernel(name: str) -> None:
    net, z = _case(name)
    expected = _dense(name)
    found = kernel_rows(net, z, together=8)
    scale = np.abs(expected).max()
    assert found.shape == net.image_space(z).shape
    np.testing.assert_allclose(
        found.diagonal, np.diagonal(expected), rtol=0, atol=tolerance(np.float64) * scale
    )
    # Not in order, one twice, and no multiple of what is computed at a time.
    pixels = np.random.default_rng(0).permutation(found.size)[: 2 * found.together - 3]
    pixels = np.append(pixels, pixels[0])
    np.testing.assert_allclose(
        found(pixels), expected[pixels], rtol=0, atol=tolerance(np.float64) * scale
    )


def test_strips_of_the_image_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "autoencoder"
    net, z = _case(name)
    monkeypatch.setattr(rows, "ENTRIES", 60)
    found = kernel_rows(net, z)
    assert found.together == 1
    assert 2 < len(found._strips[0]) <= found.shape[0]
    pixels, expected = np.array([11, 3]), _dense(name)
    atol = tolerance(np.float64) * np.abs(expected).max()
    np.testing.assert_allclose(found(pixels), expected[pixels], rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("options", "dtype"), [({"kind": "nngp"}, np.float64), ({"precision": "float32"}, np.float32)]
)
def test_covariance_and_float32(options: dict, dtype: type) -> None:
    name, pixels = "1D circular, even kernel", np.arange(0, 17, 3)
    expected = _dense(name, **options)[pixels]
    found = kernel_rows(*_case(name), **options)
    assert found(pixels).dtype == found.diagonal.dtype == np.float64
    atol = tolerance(dtype) * np.abs(expected).max()
    np.testing.assert_allclose(found(pixels), expected, rtol=0, atol=atol)
    assert not jax.config.jax_enable_x64


def test_a_constant_image_has_a_constant_kernel_exactly() -> None:
    """Correlations of 1 that are not a pixel's with itself."""
    found = kernel_rows(real_cnn(2, 4), np.ones((17, 3)))
    row = found(np.array([7]))
    np.testing.assert_allclose(row, found.diagonal[None], rtol=1e-12)


def test_one_output_pixel_depends_on_its_receptive_field() -> None:
    chain = networks.wide_cnn(8, 5).layers
    center = np.array([64 * 32 + 32])
    assert walk(chain, (64, 64), center, Pixels()).sizes == [121, 81, 49, 25, 9, 1]
    strip = walk(chain, (64, 64), np.arange(60, 64), Lines(0))
    assert set(strip.start) == {*range(55, 64), *range(5)}


def test_bad_requests_are_refused_before_work() -> None:
    net, z = _case("circular")
    with pytest.raises(ValueError, match="1 of 112 entries are NaN"):
        kernel_rows(net, np.where(np.arange(112).reshape(z.shape) == 9, np.nan, z))
    with pytest.raises(ValueError, match="together must be at least 1"):
        kernel_rows(net, z, together=0)
    with pytest.raises(NoClosedFormError, match="ChannelNorm"):
        kernel_rows(networks.deep_decoder(8, 2), z)
    with pytest.raises(MemoryError, match=r"1 rows of the analytic kernel of WCNN on \(7, 8\)"):
        kernel_rows(net, z, memory_limit=1000)
    found = kernel_rows(net, z)
    for pixels in ([-1, 2], [0, 56]):
        with pytest.raises(ValueError, match=r"flat indices from 0 to 55; got"):
            found(np.array(pixels))
