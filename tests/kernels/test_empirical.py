"""The dense empirical NTK against jvp of vjp, column by column."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import kernels, networks
from ntkdip.kernels import memory
from ntkdip.kernels.locality import locality

KEY = jax.random.key(0)


def _decoder(shape, **options):
    net = networks.deep_decoder(12, 2, **options)
    return net, networks.decoder_input(net, shape, 12, key=KEY)


def _cnn(shape, channels, **options):
    return networks.wide_cnn(**options), jax.random.normal(KEY, (*shape, channels))


REGISTRY = {
    "wcnn-1d-real": _cnn((40,), 1, width=16, depth=4, kernel_size=9, complex_image=False),
    "wcnn-1d-wide": _cnn((24,), 2, width=40, depth=3, kernel_size=5),
    "wcnn-2d-zero-even-kernel": _cnn((9, 8), 2, width=8, depth=3, kernel_size=4, padding="zero"),
    "wcnn-2d-large-windows": _cnn((6, 5), 1, width=6, depth=4, kernel_size=3),
    "wcnn-2d-standard": _cnn((8, 9), 2, width=8, depth=3, parameterisation="standard"),
    "decoder-1d": _decoder((32,), normalisation=False, complex_image=False),
    "decoder-2d-circular": _decoder((12, 16), normalisation=False, upsampling="circular"),
    "decoder-2d-half-pixel": _decoder((16, 8), normalisation=False),
    "decoder-2d-normalised": _decoder((12, 8), normalisation=True),
}


def ntk_by_columns(net, params, z) -> np.ndarray:
    """Independent route: one vjp and one jvp a column, float32."""

    def forward(p):
        return net.image_space(z).embed(net.apply(p, z))

    @jax.jit
    def column(v):
        return jax.jvp(forward, (params,), jax.vjp(forward, params)[1](v))[1]

    return np.stack([column(v) for v in jnp.eye(net.image_space(z).real_size)], axis=1)


@pytest.fixture(params=REGISTRY.values(), ids=REGISTRY.keys())
def problem(request):
    net, z = request.param
    return net, net.init(z, key=jax.random.key(1)), z


def test_agrees_with_jvp_of_vjp(problem) -> None:
    W = kernels.empirical(*problem).dense()
    oracle = ntk_by_columns(*problem)
    assert np.linalg.norm(W - oracle) <= 1e-5 * np.linalg.norm(oracle)


def test_symmetric_and_psd_to_float64_rounding(problem) -> None:
    kernel = kernels.empirical(*problem)
    W, values = kernel.dense(), kernel.eigh()[0]
    assert W.dtype == np.float64
    assert np.abs(W - W.T).max() <= 1e-10 * values[0]
    assert values[-1] >= -1e-10 * values[0]


def test_chunk_size_does_not_matter(problem, monkeypatch) -> None:
    whole = kernels.empirical(*problem).dense()
    monkeypatch.setattr(memory, "CHUNK_BYTES", 1)
    single = kernels.empirical(*problem).dense()
    assert np.linalg.norm(whole - single) <= 1e-6 * np.linalg.norm(whole)


def test_windows_cover_every_dependence_and_groups_do_not_overlap(problem) -> None:
    net, _, z = problem
    plan = locality(net, z.shape)
    q = net.image_space(z).size
    outputs = plan.groups[plan.groups >= 0]
    np.testing.assert_array_equal(np.sort(outputs), np.arange(q))
    for window in plan.windows:
        if window is None:
            continue
        for group in plan.groups:
            members = group[group >= 0]
            seen = window.index[members][window.mask[members] > 0]
            assert len(set(seen.tolist())) == seen.size


def test_backward_passes_are_shared() -> None:
    net, z = REGISTRY["wcnn-1d-real"]
    passes = locality(net, (400, 1)).groups.shape[0]
    assert passes < 60
    assert locality(net, z.shape).groups.size >= 40


def test_memory_estimate_covers_what_is_held() -> None:
    net = networks.wide_cnn(48, 4, 3)
    n, columns = 3200, 48 * 18 + 2 * 48 * 432 + 2 * 432
    needed = kernels.empirical_bytes(net, (40, 40, 2))
    assert 4 * n * columns + 8 * n * n < needed < 3e9


def test_what_does_not_fit_is_refused_with_the_estimate() -> None:
    net = networks.wide_cnn(4, 2, 3)
    z = jnp.zeros((1024, 1024, 2))
    with pytest.raises(MemoryError, match=r"C\^1024x1024 needs about [0-9.]+ GiB"):
        kernels.empirical(net, net.init(z, key=KEY), z)


def test_a_control_group_limits_what_is_available(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    free = memory.available_bytes()
    assert free > 2**20
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 200000\ninactive_file 700000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory.available_bytes() == 800000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 2**20


def test_nan_is_refused() -> None:
    net, z = REGISTRY["wcnn-1d-wide"]
    params = net.init(z, key=KEY)
    with pytest.raises(ValueError, match="network input: 1 of 48"):
        kernels.empirical(net, params, z.at[3, 1].set(jnp.nan))
    broken = jax.tree.map(lambda p: p * jnp.nan, params)
    with pytest.raises(ValueError, match=r"parameter .*NaN"):
        kernels.empirical(net, broken, z)
