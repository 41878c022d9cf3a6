from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import kernels, networks
from ntkdip.kernels.infinite import diagonals
from ntkdip.networks import Architecture
from ntkdip.networks.layers import (
    AveragePool,
    ChannelNorm,
    Conv,
    LayerNorm,
    MaxPool,
    ReLU,
    Residual,
    Upsample,
)
from tests.kernels.infinite.analytic_zoo import EVERY, WIDTH, hard_input


def reference(net, z, z2=None):
    """The recursion on whole arrays, float64."""
    with jax.enable_x64(True):
        others = () if z2 is None else (jnp.asarray(z2),)
        return [np.asarray(K) for K in kernels.pixel_kernels(net, jnp.asarray(z), *others)]


def distance(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("name", EVERY)
def test_by_diagonals_is_the_recursion_on_whole_arrays(name) -> None:
    net, shape, channels = EVERY[name]
    z = hard_input(shape, channels)
    nngp, ntk = reference(net, z)
    W = kernels.analytic(net, z)
    assert W.space == net.image_space(z)
    assert distance(W.dense(), ntk) < 1e-13
    assert (W.dense() == W.dense().T).all()
    assert distance(kernels.analytic(net, z, kind="nngp").dense(), nngp) < 1e-13
    values = np.linalg.eigvalsh(W.dense())
    assert values[0] > -1e-13 * values[-1]


@pytest.mark.parametrize("name", ["wcnn-zero", "residual-in-the-middle", "decoder-1d", "sine"])
def test_float32_reaches_its_precision(name) -> None:
    net, shape, channels = EVERY[name]
    z = hard_input(shape, channels)
    W = kernels.analytic(net, z, precision="float32")
    assert distance(W.dense(), reference(net, z)[1]) < 1e-6


@pytest.mark.parametrize("padding", ["zero", "circular"])
def test_the_size_of_chunks_changes_nothing(padding, monkeypatch) -> None:
    net = networks.wide_cnn(WIDTH, 4, 3, complex_image=False, padding=padding)
    z = hard_input((9, 6), 2)
    whole = kernels.analytic(net, z).dense()
    monkeypatch.setattr(diagonals, "ENTRIES", 1)
    np.testing.assert_allclose(kernels.analytic(net, z).dense(), whole, rtol=1e-13)


def test_equal_patches_have_equal_kernels_to_the_last_digit() -> None:
    net = networks.wide_cnn(WIDTH, 4, 3, complex_image=False)
    z = np.tile(np.random.default_rng(0).normal(size=(4, 4, 2)), (3, 2, 1))
    for precision in ("float32", "float64"):
        W = kernels.analytic(net, z, precision=precision).dense().reshape(12, 8, 12, 8)
        np.testing.assert_array_equal(W[1, 2, 1, 2], W[1, 2, 5, 6])
        np.testing.assert_array_equal(W[1, 2, 1, 2], W[9, 6, 5, 2])


def test_two_inputs_are_one_image_with_a_gap() -> None:
    # Zeros wider than the receptive field keep the halves apart; what the first layers make
    # in the gap, where one image alone is padded, reaches two pixels in.
    net = networks.wide_cnn(WIDTH, 3, 3, complex_image=False, padding="zero")
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(7, 2)), rng.normal(size=(9, 2))
    both = np.concatenate([one, np.zeros((8, 2)), two])
    for pair, whole in zip(reference(net, one, two), reference(net, both), strict=True):
        np.testing.assert_allclose(pair[2:-2, 2:-2], whole[2:5, -7:-2], rtol=1e-13)


def test_an_input_with_itself_is_one_input() -> None:
    net, shape, channels = EVERY["residual-in-the-middle"]
    z = hard_input(shape, channels)
    for pair, single in zip(reference(net, z, z), reference(net, z), strict=True):
        np.testing.assert_allclose(pair, single, rtol=1e-12)


def test_two_inputs_where_pixels_mix() -> None:
    net, shape, channels = EVERY["decoder-half-pixel"]
    one, two = hard_input(shape, channels), hard_input(shape, channels, seed=1)
    K11, T11 = reference(net, one)
    K22, T22 = reference(net, two)
    for a, cross, b in zip((K11, T11), reference(net, one, two), (K22, T22), strict=True):
        joint = np.linalg.eigvalsh(np.block([[a, cross], [cross.T, b]]))
        assert joint[0] > -1e-12 * joint[-1]
    swapped = reference(net, two, one)
    for K, L in zip(reference(net, one, two), swapped, strict=True):
        np.testing.assert_allclose(K, L.T, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["wcnn-zero", "decoder-half-pixel", "residual", "gaussian"])
def test_derivatives_are_those_of_finite_differences(name) -> None:
    net, shape, channels = EVERY[name]
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        z, step = (jnp.asarray(rng.normal(size=(*shape, channels))) for _ in range(2))

        def loss(z):
            nngp, ntk = kernels.pixel_kernels(net, z)
            return (jnp.sin(jnp.arange(ntk.size).reshape(ntk.shape)) * (ntk + nngp)).sum()

        h = 1e-6
        expected = (loss(z + h * step) - loss(z - h * step)) / (2 * h)
        forward = jax.jvp(loss, (z,), (step,))[1]
        backward = (jax.grad(loss)(z) * step).sum()
    np.testing.assert_allclose(forward, expected, rtol=1e-6)
    np.testing.assert_allclose(backward, expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["parallel-pixels", "wcnn-circular", "leaky-relu", "abs"])
def test_derivatives_are_finite_where_the_angle_has_none(name, dtype) -> None:
    net, shape, channels = EVERY[name]
    with jax.enable_x64(True):
        for values in (hard_input(shape, channels), np.ones((*shape, channels))):
            z = jnp.asarray(values, dtype)
            gradient = jax.grad(lambda z: sum(K.sum() for K in kernels.pixel_kernels(net, z)))(z)
            assert np.isfinite(gradient).all()


def test_pure_under_jit_and_vmap() -> None:
    net = networks.wide_cnn(WIDTH, 3, 3, complex_image=False)
    batch = jnp.asarray(np.random.default_rng(0).normal(size=(3, 5, 4, 2)), jnp.float32)
    together = jax.jit(jax.vmap(lambda z: kernels.pixel_kernels(net, z).ntk))(batch)
    for z, W in zip(batch, together, strict=True):
        np.testing.assert_allclose(W, kernels.pixel_kernels(net, z).ntk, rtol=2e-5)


def test_complex_images_have_two_parts_without_cross_term() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))
    net = networks.wide_cnn(WIDTH, 3, 3)
    real = networks.wide_cnn(WIDTH, 3, 3, complex_image=False)
    channels = np.stack([image.real, image.imag], -1)
    W, part = kernels.analytic(net, image), kernels.analytic(real, channels).dense()
    q, rng = 30, np.random.default_rng(1)
    expected = np.zeros((60, 60))
    expected[:q, :q] = expected[q:, q:] = part
    np.testing.assert_array_equal(W.dense(), expected)
    for v in (rng.normal(size=60), rng.normal(size=(60, 3))):
        np.testing.assert_allclose(W @ v, expected @ v, rtol=1e-12, atol=1e-12)
    values, vectors = W.eigh(7)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(expected)[::-1][:7], rtol=1e-10)
    np.testing.assert_allclose(expected @ vectors, vectors * values, atol=1e-10)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(7), atol=1e-12)
    assert W.eigh()[1].shape == (60, 60)
    with pytest.raises(ValueError, match="acts on real images"):
        kernels.BothParts(W)


def test_widths_matter_in_the_standard_parameterisation_only() -> None:
    z = hard_input((6, 5), 2)
    for parameterisation, same in (("ntk", True), ("standard", False)):
        narrow, wide = (
            kernels.analytic(
                networks.wide_cnn(
                    width, 3, 3, complex_image=False, parameterisation=parameterisation
                ),
                z,
            ).dense()
            for width in (4, 64)
        )
        narrow, wide = narrow / np.trace(narrow), wide / np.trace(wide)
        assert (distance(narrow, wide) < 1e-12) == same


def test_weights_that_stay_add_nothing() -> None:
    z = hard_input((6, 5), 2)
    chain = (Conv(4, 3), ReLU(), Conv(4, 3, 2.0), ReLU(), Conv(1, 3, 2.0))
    parts = []
    for trained in range(3):
        convs = iter(range(3))
        fixed = tuple(
            dataclasses.replace(c, trained=next(convs) == trained) if isinstance(c, Conv) else c
            for c in chain
        )
        parts.append(kernels.analytic(Architecture("one layer", fixed), z).dense())
    whole = kernels.analytic(Architecture("all", chain), z).dense()
    np.testing.assert_allclose(sum(parts), whole, rtol=1e-12, atol=1e-14)
    none = tuple(dataclasses.replace(c, trained=False) if isinstance(c, Conv) else c for c in chain)
    assert not kernels.analytic(Architecture("none", none), z).dense().any()


REFUSED = {
    "ChannelNorm.*mixes the pixels": (Conv(4), ReLU(), ChannelNorm(), Conv(1)),
    "MaxPool.*mixes the pixels": (Conv(4), ReLU(), MaxPool(2), Conv(1)),
    "ReLU.*not Gaussian": (Conv(4), ReLU(), ReLU(), Conv(1)),
    "LayerNorm.*not Gaussian": (LayerNorm(), Conv(1)),
    "Residual.*correlated": (Conv(4), Residual((ReLU(),)), Conv(1)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_closed_form_is_refused_by_name(message) -> None:
    net = Architecture("odd", REFUSED[message])
    z = np.ones((4, 4, 2), np.float32)
    for compute in (kernels.analytic, kernels.pixel_kernels):
        with pytest.raises(kernels.NoClosedFormError, match=message) as caught:
            compute(net, z)
        assert "odd" in str(caught.value)
        assert "monte_carlo" in str(caught.value)


def test_a_sum_of_what_is_not_gaussian_is_no_pre_activation() -> None:
    chain = (Conv(4), ReLU(), Residual((Conv(4), ReLU(), Conv(4))), ReLU(), Conv(1))
    with pytest.raises(kernels.NoClosedFormError, match=r"ReLU.*not Gaussian"):
        kernels.require_closed_form(Architecture("late", chain))


def test_bad_input_is_refused_before_work() -> None:
    net = networks.wide_cnn(WIDTH, 3, 3, complex_image=False)
    good = np.ones((4, 4, 1))
    with pytest.raises(ValueError, match="1 of 16 entries are NaN"):
        kernels.analytic(net, np.where(np.arange(16).reshape(4, 4, 1) == 3, np.nan, good))
    with pytest.raises(ValueError, match="network input has shape"):
        kernels.analytic(net, np.ones(4))
    with pytest.raises(ValueError, match="leaves float32"):
        kernels.analytic(net, 1e-10 * good, precision="float32")
    with pytest.raises(ValueError, match="float32 or float64"):
        kernels.pixel_kernels(net, np.ones((4, 4, 1), int))
    with pytest.raises(ValueError, match="as many axes and channels"):
        kernels.pixel_kernels(net, good.astype(np.float32), np.ones((4, 4, 2), np.float32))
    pooled = Architecture("pooled", (Conv(4), AveragePool(3), Conv(1)))
    with pytest.raises(ValueError, match="multiples of 3; it meets"):
        kernels.analytic(pooled, good)


def test_memory_is_asked_for_before_anything_is_allocated() -> None:
    net = networks.wide_cnn(WIDTH, 3, 3)
    with pytest.raises(MemoryError, match=r"needs about 132\.2 GiB.*low_rank"):
        kernels.analytic(net, np.broadcast_to(1.0, (362, 362, 2)), memory_limit=2**30)
    up = Architecture("up", (Conv(4), Upsample(), ReLU(), Conv(1)))
    small = kernels.analytic(up, np.ones((4, 4, 1)), memory_limit=2**25)
    assert small.dense().shape == (64, 64)
