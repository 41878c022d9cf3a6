"""Kernels kept as rows against dense ones, and what they say of themselves in closed form."""

from __future__ import annotations

import functools
import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from ntkdip import kernels, networks, operators, theory
from ntkdip.kernels import BothParts, Kernel
from ntkdip.kernels.infinite.bloch import StationaryKernel, mirrored
from ntkdip.kernels.infinite.invariance import shift_period
from ntkdip.kernels.infinite.stationary import stationary
from ntkdip.networks import Architecture
from ntkdip.networks.layers import (
    AveragePool,
    ChannelNorm,
    Conv,
    Erf,
    LayerNorm,
    MaxPool,
    ReLU,
    Residual,
    Upsample,
)

RNG = np.random.default_rng(11)
around = functools.partial(Conv, padding="circular")
decoder = functools.partial(networks.deep_decoder, 8, 2, complex_image=False, normalisation=False)

NETS = {
    "wcnn": networks.wide_cnn(8, 4, 3, complex_image=False),
    "even kernel": networks.wide_cnn(8, 3, 4, complex_image=False),
    "decoder": decoder(upsampling="circular"),
    "decoder, nearest": decoder(upsampling="nearest"),
    "autoencoder": networks.autoencoder(8, 2, complex_image=False),
    "pooling": Architecture("pooling", (
        Upsample("circular", 3), around(8, 4, bias_variance=0.3), ReLU(), AveragePool(2),
        around(8, 3), Erf(), Conv(8, 2, stride=2), Upsample("nearest", 4), ReLU(), Conv(1),
    )),
    "residual": Architecture("residual", (
        around(8, 3, bias_variance=0.1),
        Residual((ReLU(), around(8, 5, 2.0, stride=2), Upsample("circular"), Erf(), Conv(8))),
        LayerNorm(), ReLU(), around(1, 3, 2.0),
    )),
}  # fmt: skip
PERIODS = {"decoder": 4, "decoder, nearest": 4, "autoencoder": 4, "pooling": 12, "residual": 2}
CASES = [
    ("wcnn", (15,), "ntk"), ("wcnn", (4, 6), "ntk"), ("even kernel", (4, 6), "nngp"),
    ("decoder", (12,), "ntk"), ("decoder", (8, 12), "ntk"), ("decoder, nearest", (8, 12), "ntk"),
    ("autoencoder", (8, 12), "ntk"), ("pooling", (12, 12), "ntk"),
    ("residual", (12,), "ntk"), ("residual", (8, 12), "nngp"),
]  # fmt: skip


def one_hot(net: Architecture, shape: tuple[int, ...]) -> np.ndarray:
    """An input whose Gram matrix is the identity."""
    pixels = networks.input_shape(net, shape)
    q = math.prod(pixels)
    return (math.sqrt(q) * np.eye(q)).reshape(*pixels, q)


def distance(W: np.ndarray, exact: np.ndarray) -> float:
    return float(np.abs(W - exact).max() / np.abs(exact).max())


@pytest.mark.parametrize(("name", "shape", "kind"), CASES)
def test_rows_are_those_of_the_dense_kernel(name: str, shape: tuple[int, ...], kind: str) -> None:
    net, axes = NETS[name], len(shape)
    white = one_hot(net, shape)
    for z, given in ((white, "white"), (np.ones_like(white), "constant")):
        exact = kernels.analytic(net, z, kind=kind).dense()
        for source in (given, z):
            W = stationary(net, shape, source, kind=kind)
            assert W.period == (PERIODS.get(name, 1),) * axes
            assert distance(W.dense(), exact) <= 1e-13
            v = np.eye(len(exact))
            assert distance(W @ v, exact) <= 1e-13


@pytest.mark.parametrize("name", ["wcnn", "decoder", "autoencoder"])
def test_accuracy_at_32_squared(name: str) -> None:
    net, shape = NETS[name], (32, 32)
    exact = kernels.analytic(net, one_hot(net, shape)).dense()
    values = np.linalg.eigvalsh(exact)[::-1]
    for precision, bar in (("float64", 1e-10), ("float32", 1e-5)):
        W = stationary(net, shape, precision=precision)
        assert distance(W.dense(), exact) <= bar
        assert distance(W.eigenvalues(), values) <= bar


def any_rows(period: tuple[int, ...], shape: tuple[int, ...]) -> StationaryKernel:
    rows = np.random.default_rng(3).standard_normal((*period, *shape))
    return StationaryKernel(rows + mirrored(rows))


ROWS = [
    ((1,), (1,)), ((1,), (2,)), ((1,), (9,)), ((1,), (10,)), ((3,), (3,)), ((3,), (6,)),
    ((3,), (15,)), ((4,), (16,)), ((1, 1), (5, 6)), ((1, 1), (4, 4)), ((2, 1), (4, 7)),
    ((2, 3), (8, 9)), ((1, 2), (6, 2)), ((2, 2), (2, 6)),
]  # fmt: skip


@pytest.mark.parametrize(("period", "shape"), ROWS)
def test_linear_algebra_of_any_rows(period: tuple[int, ...], shape: tuple[int, ...]) -> None:
    W = any_rows(period, shape)
    n = math.prod(shape)
    dense = np.empty((*shape, *shape))
    for x, y in itertools.product(np.ndindex(shape), repeat=2):
        phase = tuple(p % m for p, m in zip(x, period, strict=True))
        offset = tuple((b - a) % s for a, b, s in zip(x, y, shape, strict=True))
        dense[(*x, *y)] = W.rows[(*phase, *offset)]
    dense = dense.reshape(n, n)
    exact, _ = np.linalg.eigh(dense)
    scale = np.abs(exact).max()
    v = RNG.standard_normal((n, 3))
    assert isinstance(W, Kernel)
    np.testing.assert_array_equal(W.dense(), dense)
    np.testing.assert_allclose(W @ v, dense @ v, atol=1e-13 * scale)
    np.testing.assert_allclose(W @ v[:, 0], dense @ v[:, 0], atol=1e-13 * scale)
    np.testing.assert_allclose(W.eigenvalues(), exact[::-1], atol=1e-13 * scale)
    values, vectors = W.eigh()
    np.testing.assert_allclose(values, exact[::-1], atol=1e-13 * scale)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), atol=1e-13)
    np.testing.assert_allclose(dense @ vectors, vectors * values, atol=1e-12 * scale)
    for k in {1, 2, n // 2, n} - {0}:
        some_values, some = W.eigh(min(k, n))
        np.testing.assert_array_equal(some_values, values[:k])
        np.testing.assert_allclose(dense @ some, some * some_values, atol=1e-12 * scale)
    ridge = 0.1 - exact[0].clip(max=0)
    expected = np.linalg.solve(dense + ridge * np.eye(n), v)
    np.testing.assert_allclose(W.solve(v, ridge), expected, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(dense @ W.solve(v[:, 0]), v[:, 0], atol=1e-9)


@pytest.mark.parametrize(("name", "shape"), [("wcnn", (4, 6)), ("decoder", (8, 12))])
def test_roots_and_pseudo_inverses(name: str, shape: tuple[int, ...]) -> None:
    W = stationary(NETS[name], shape)
    root, v = W.root(), RNG.standard_normal((math.prod(shape), 2))
    assert root.period == W.period
    np.testing.assert_allclose(root @ (root @ v), W @ v, atol=1e-12)
    singular = stationary(NETS["decoder, nearest"], (8, 12))
    v = RNG.standard_normal(singular.space.size)
    exact = np.linalg.pinv(singular.dense(), rcond=1e-12, hermitian=True) @ v
    np.testing.assert_allclose(singular.solve(v), exact, atol=1e-12)
    with pytest.raises(ValueError, match="at least 0; got -1"):
        singular.solve(v, -1.0)
    with pytest.raises(ValueError, match="not positive definite"):
        any_rows((1,), (8,)).solve(np.ones(8), 1e-3)


def test_period_1_has_waves_as_eigenvectors() -> None:
    vectors = stationary(NETS["wcnn"], (4, 6)).eigh()[1]
    spectra = np.abs(np.fft.fft2(vectors.T.reshape(-1, 4, 6), norm="ortho")) ** 2
    for spectrum in spectra:
        i, j = np.unravel_index(spectrum.argmax(), spectrum.shape)
        pair = {(int(i), int(j)), (int(-i % 4), int(-j % 6))}
        assert sum(spectrum[k] for k in pair) == pytest.approx(1, abs=1e-12)


def circulant(shape: tuple[int, ...]) -> np.ndarray:
    """Every pixel's channels are those of pixel 0, moved with it."""
    row = RNG.standard_normal(shape)
    U = [np.roll(row, pixel, range(len(shape))).ravel() for pixel in np.ndindex(shape)]
    return np.reshape(U, (*shape, -1))


@pytest.mark.parametrize("shape", [(15,), (4, 6)])
def test_two_layer_generator_of_a_circulant_matrix(shape: tuple[int, ...]) -> None:
    """Heckel and Soltanolkotabi: a circulant kernel, so trigonometric eigenvectors."""
    z, q = circulant(shape), math.prod(shape)
    U = z.reshape(q, q)
    net = networks.two_layer_generator(channels=q)
    norms = np.linalg.norm(U, axis=1)
    rho = U @ U.T / np.outer(norms, norms)
    np.fill_diagonal(rho, 1)
    exact = (1 - np.arccos(rho) / np.pi) * (U @ U.T) / 2
    dense = kernels.analytic(net, z).dense()
    assert distance(dense, exact) <= 1e-12
    W = stationary(net, shape, z)
    assert W.period == (1,) * len(shape)
    assert distance(W.dense(), exact) <= 1e-12
    np.testing.assert_allclose(W.eigenvalues(), np.linalg.eigvalsh(dense)[::-1], atol=1e-11)
    values, vectors = W.eigh()
    np.testing.assert_allclose(dense @ vectors, vectors * values, atol=1e-11)


def test_inputs_that_look_alike_everywhere() -> None:
    net, pixels = NETS["wcnn"], np.arange(15)
    waves = 2 * np.pi * np.outer(pixels, [1, 3]) / 15
    z = np.concatenate([np.cos(waves), np.sin(waves)], axis=1)
    assert shift_period(net, (15,), z) == (1,)
    exact = kernels.analytic(net, z).dense()
    assert distance(stationary(net, (15,), z).dense(), exact) <= 1e-13
    single = stationary(net, (15,), z.astype(np.float32)).dense()
    assert distance(single, exact) <= 1e-5
    constant = np.full((4, 6), 0.5 - 2j)
    exact = kernels.analytic(net, constant).dense()
    assert distance(stationary(net, (4, 6), constant).dense(), exact) <= 1e-13


def test_standard_parameterisation_needs_the_channels() -> None:
    net = networks.wide_cnn(8, 3, complex_image=False, parameterisation="standard")
    z = one_hot(net, (4, 6))
    assert distance(stationary(net, (4, 6), z).dense(), kernels.analytic(net, z).dense()) <= 1e-13
    for name in ("white", "constant"):
        assert shift_period(net, (4, 6), name) == (1, 1)
        with pytest.raises(ValueError, match="number of input channels matters"):
            stationary(net, (4, 6), name)


def test_a_network_that_never_trains_has_a_kernel_of_zeros() -> None:
    net = Architecture(
        "kept", (Conv(8, trained=False), Upsample("nearest"), Conv(1, trained=False))
    )
    assert not stationary(net, (6,)).rows.any()


def test_periods_along_strides_and_branches() -> None:
    chain = (around(8, 3), Upsample("nearest", 6), AveragePool(4), ReLU(), Conv(1))
    assert shift_period(Architecture("", chain), (18,)) == (3,)
    branches = Residual(
        (Upsample("circular", 6), around(8, 3)),
        (Upsample("nearest", 2), around(8), Upsample("circular", 3), AveragePool(2), Upsample()),
    )
    with pytest.raises(ValueError, match=r"half_pixel.*holds the edges"):
        shift_period(Architecture("", (branches, Conv(1))), (24, 24))
    # Widths without a closed form are no matter.
    norm = Architecture("", (around(8, 3), ChannelNorm(), MaxPool(2), Upsample("nearest"), Conv(1)))
    assert shift_period(norm, (8, 8)) == (2, 2)
    # Steps of three pixels and repetitions of two meet every six.
    body = (Upsample("circular", 2), Conv(8), AveragePool(2), Conv(8))
    shortcut = (AveragePool(3), Conv(8), Upsample("nearest", 3))
    net = Architecture("", (around(8, 3), Residual(body, shortcut), Upsample("nearest"), Conv(1)))
    assert shift_period(net, (12,)) == (6,)
    exact = kernels.analytic(net, one_hot(net, (12,))).dense()
    assert distance(stationary(net, (12,)).dense(), exact) <= 1e-13


REFUSED = {
    "zero padding": (networks.wide_cnn(8, 3, padding="zero"), (8, 8), "does not wrap around"),
    "reflection": (networks.wide_cnn(8, 3, padding="reflect"), (8,), "padding='reflect'"),
    "half pixel": (networks.deep_decoder(8, 2, normalisation=False), (8,), "kernels.low_rank"),
    "corners": (decoder(upsampling="align_corners"), (8, 8), "'circular' or 'nearest'"),
    "stride": (
        Architecture("", (around(8, 3, stride=2), ReLU(), Conv(1))), (0,), "at least one pixel"
    ),
    "sides": (decoder(upsampling="circular"), (10,), "no multiple of 4"),
    "cube": (networks.wide_cnn(8, 3), (4, 4, 4), "one or two sides"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_networks_that_shifts_change_are_refused(name: str) -> None:
    net, shape, message = REFUSED[name]
    for call in (stationary, shift_period):
        with pytest.raises(ValueError, match=message):
            call(net, shape)


def test_strides_must_divide_the_sides() -> None:
    net = Architecture("", (around(8, 3, stride=2), ReLU(), Conv(1)))
    with pytest.raises(ValueError, match=r"meets sides \(7,\), which are no multiples"):
        stationary(net, (4,), np.ones((7, 2)))


def test_inputs_that_shifts_change_are_refused() -> None:
    net = networks.wide_cnn(8, 3)
    for channels in (1, 5, 64, 200):
        with pytest.raises(ValueError, match="is not invariant under circular shifts"):
            stationary(net, (6, 6), RNG.standard_normal((6, 6, channels)))
    almost = one_hot(net, (6, 6))
    almost[2, 3] *= 1 + 1e-9
    with pytest.raises(ValueError, match="z='white' is the limit"):
        shift_period(net, (6, 6), almost)
    turned = one_hot(net, (6, 6))
    turned[1, 1, 0] = 1e-6  # the same mean squares to rounding
    with pytest.raises(ValueError, match="is not invariant"):
        shift_period(net, (6, 6), turned)
    with pytest.raises(ValueError, match="makes images of"):
        stationary(net, (6, 6), np.ones((6, 5, 1)))
    with pytest.raises(ValueError, match="1 of 36 entries"):
        stationary(net, (6, 6), np.where(np.eye(6) * np.arange(6) == 5, np.nan, 1.0)[..., None])
    with pytest.raises(ValueError, match="white, constant; got 'grey'"):
        stationary(net, (6, 6), "grey")
    with pytest.raises(ValueError, match="leaves float32"):
        stationary(net, (6, 6), np.full((6, 6, 1), 1e10), precision="float32")
    with pytest.raises(kernels.NoClosedFormError, match="ChannelNorm"):
        stationary(networks.deep_decoder(8, 2, upsampling="circular"), (8,))


def test_what_does_not_fit_is_refused_before_it_is_made() -> None:
    net = networks.wide_cnn(8, 3, complex_image=False)
    with pytest.raises(MemoryError, match="fewer upsamplings"):
        stationary(decoder(upsampling="circular"), (64, 64), memory_limit=2**20)
    with pytest.raises(MemoryError, match="looks alike everywhere"):
        stationary(net, (16, 16), one_hot(net, (16, 16)), memory_limit=2**20)
    W = stationary(net, (1024, 512))
    for large in (W.dense, W.eigh):
        with pytest.raises(MemoryError, match=r"eigenvalues\(\)"):
            large()


def test_rows_and_vectors_of_the_wrong_kind_are_refused() -> None:
    for rows in (np.ones((2, 3)), np.ones(4), np.ones((1, 1, 4)), np.ones((0, 4))):
        with pytest.raises(ValueError, match="rows are a float64 array"):
            StationaryKernel(rows)
    with pytest.raises(ValueError, match="got float32"):
        StationaryKernel.__post_init__(SimpleNamespace(rows=np.ones((1, 4), np.float32)))
    with pytest.raises(ValueError, match=r"W\[p, p \+ d\] = W\[p \+ d, p\]"):
        StationaryKernel(np.array([[1.0, 0.5, 0.2]]))
    with pytest.raises(ValueError, match="NaN"):
        StationaryKernel(np.array([[1.0, np.nan, 0.2]]))
    W = any_rows((2,), (4,))
    for v in (np.ones(5), np.ones((2, 2, 2))):
        with pytest.raises(ValueError, match=r"acts on real vectors \(4,\)"):
            W.__matmul__.__wrapped__(W, v)
    for k in (0, 5):
        with pytest.raises(ValueError, match="has 4 eigenpairs"):
            W.eigh(k)


def fourier_data(x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.fftn(np.fft.ifftshift(x), norm="ortho"))[mask]


REGIMES = [
    ("wcnn", (15,), False), ("wcnn", (4, 6), True), ("decoder", (12,), False),
    ("decoder", (12,), True), ("decoder", (8, 12), True), ("residual", (12,), False),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape", "complex_image"), REGIMES)
def test_theory_works_on_it(name: str, shape: tuple[int, ...], complex_image: bool) -> None:
    net = NETS[name]
    if complex_image:
        net = Architecture(net.name, (*net.layers[:-1], around(2, net.layers[-1].kernel_size, 2.0)))
    mask = np.random.default_rng(1).random(shape) < 0.5
    A = operators.masked_fourier(mask, complex_image=complex_image)
    W = stationary(net, shape)
    assert isinstance(W, BothParts) is complex_image
    dense = kernels.analytic(net, one_hot(net, shape))
    x = RNG.standard_normal(shape) + (1j * RNG.standard_normal(shape) if complex_image else 0)
    y = fourier_data(x, mask)
    one, two = (theory.KernelRegime(kernel, A) for kernel in (W, dense))
    steps = [0, 3, 100, np.inf]
    np.testing.assert_allclose(one.trajectory(y, steps), two.trajectory(y, steps), atol=1e-9)
    for first, second in zip(one.mse(x, 0.1, steps), two.mse(x, 0.1, steps), strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(W.eigh(3)[0], dense.eigh(3)[0], rtol=1e-12)


def test_corollary_1_the_limit_is_the_zero_filled_image() -> None:
    cnn = networks.wide_cnn(8, 4)
    decoder = networks.deep_decoder(8, 2, normalisation=False, upsampling="circular")
    missed = []
    for net, shape in ((cnn, (4, 6)), (decoder, (8, 12))):
        mask = np.random.default_rng(4).random(shape) < 0.4
        x = RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)
        y = fourier_data(x, mask)
        kspace = np.zeros(shape, complex)
        kspace[mask] = y
        zero_filled = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace), norm="ortho"))
        W = stationary(net, shape)
        limit = theory.KernelRegime(W, operators.masked_fourier(mask)).limit(y)
        missed.append(np.abs(limit - zero_filled).max())
    assert missed[0] <= 1e-10
    # A decoder couples frequencies one coarse period apart, and so moves what is unmeasured.
    assert missed[1] > 0.01
