"""Backward passes in stages: fewer of them, and the same kernel."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import kernels, networks
from ntkdip.kernels import memory
from ntkdip.kernels.functional import functional
from ntkdip.kernels.plan import make_plan
from tests.kernels.zoo import KEY


def _deep_wcnn(**options: Any) -> tuple[Any, Any, Any]:
    net = networks.wide_cnn(4, 6, 3, **options)
    z = jax.random.normal(KEY, (24, 20, 2))
    return net, net.init(z, key=KEY), z


def _decoder(shape: tuple[int, ...] = (16, 32), **options: Any) -> tuple[Any, Any, Any]:
    net = networks.deep_decoder(5, 3, normalisation=False, **options)
    z = networks.decoder_input(net, shape, 3, key=KEY)
    return net, net.init(z, key=KEY), z


STAGED = {
    "wcnn-complex": _deep_wcnn,
    "wcnn-zero": lambda: _deep_wcnn(padding="zero", complex_image=False),
    "decoder-complex": _decoder,
    "decoder-circular": lambda: _decoder((256,), upsampling="circular", complex_image=False),
}


@pytest.mark.parametrize("name", STAGED)
def test_staged_kernels_agree_with_products_and_with_a_single_stage(name: str) -> None:
    net, params, z = STAGED[name]()
    plan = make_plan(functional(net, params, z, input_rate=0.5))
    assert len(plan.stages) > 2
    assert memory.budget(plan, "", 2**33).staged
    W = kernels.empirical(net, params, z, input_rate=0.5).dense()
    v = np.random.default_rng(0).standard_normal((len(W), 3))
    expected = kernels.matrix_free(net, params, z, input_rate=0.5) @ v
    assert np.linalg.norm(W @ v - expected) <= 1e-6 * np.linalg.norm(expected)
    # In the least memory that will do there is no room for windows, or for a whole pass.
    least = memory.least_bytes(plan)
    assert not memory.budget(plan, "", least).staged
    single = kernels.empirical(net, params, z, input_rate=0.5, memory_limit=least).dense()
    assert np.linalg.norm(W - single) <= 1e-6 * np.linalg.norm(single)


def test_passes_of_every_stage_by_hand() -> None:
    """1D, eight convolutions of size 3: windows of 1, 3, 5, ... 15 pixels from the top.

    315 pixels around a circle are dealt out evenly in 28 blocks for 11, and in 24 for 13.
    """
    net = networks.wide_cnn(4, 8, 3, complex_image=False)
    z = jnp.ones((315, 1))
    plan = make_plan(functional(net, net.init(z, key=KEY), z))
    assert [len(stage.groups) for stage in plan.stages] == [1, 3, 5, 7, 9, 12, 14, 15]
    assert [stage.start for stage in plan.stages] == [None, 7, 6, 5, 4, 3, 2, 1]
    assert [stage.taps for stage in plan.stages] == [(k,) for k in range(7, -1, -1)]
    for stage in plan.stages:
        members = stage.groups[stage.groups >= 0]
        np.testing.assert_array_equal(np.sort(members), np.arange(z.shape[0]))


def test_what_goes_around_a_layer_is_not_cut_there() -> None:
    def skipping(params: list[Any], z: Any) -> Any:
        first = jnp.convolve(z, params[0], "same")
        return first + jnp.convolve(
            jnp.tanh(jnp.convolve(first, params[1], "same")), params[2], "same"
        )

    params = [jax.random.normal(key, (3,)) for key in jax.random.split(KEY, 3)]
    z = jax.random.normal(KEY, (64,))
    W = kernels.empirical(skipping, params, z).dense()
    plan = make_plan(functional(skipping, params, z))
    last = max(range(3), key=lambda k: plan.taps[k].equation)
    assert all(stage.start != last for stage in plan.stages)
    expected = kernels.matrix_free(skipping, params, z).dense()
    assert np.linalg.norm(W - expected) <= 1e-6 * np.linalg.norm(expected)


def test_a_pass_with_too_many_members_is_taken_apart() -> None:
    net, params, z = _decoder(complex_image=False)
    plan = make_plan(functional(net, params, z))
    top = plan.stages[0]
    assert top.groups.shape == (1, 512)
    spare = memory.pass_bytes(plan, top, 64)
    chunks = memory.fitting_passes(plan, top, spare)
    assert chunks.shape[1] * memory.pass_bytes(plan, top, chunks.shape[2]) <= spare
    np.testing.assert_array_equal(np.sort(chunks[chunks >= 0]), np.arange(512))
