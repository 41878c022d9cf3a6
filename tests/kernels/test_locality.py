"""Windows, groups of outputs that share a pass, and dependence, against the Jacobian itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import networks
from ntkdip.kernels.functional import functional
from ntkdip.kernels.plan import make_plan
from tests.kernels.zoo import KEY, ZOO, Zoo, jacobians


class Local(nnx.Module):
    """Many layers that keep dependence local, none of which the package has."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.down = nnx.Conv(1, 3, (2, 2), strides=2, rngs=rngs)
        self.mix = nnx.Linear(3, 4, rngs=rngs)
        self.up = nnx.ConvTranspose(4, 2, (2, 2), strides=(2, 2), rngs=rngs)
        self.head = nnx.Conv(3, 1, (3, 3), padding="CIRCULAR", rngs=rngs)

    def __call__(self, z):
        x = nnx.max_pool(nnx.gelu(self.mix(self.down(z))), (1, 1))
        x = jnp.flip(jnp.flip(x, 0), 0).transpose(1, 0, 2).transpose(1, 0, 2)
        return self.head(jnp.concatenate([nnx.softplus(self.up(x)), z], -1))


CASES = Zoo(
    {
        "module-local": lambda: (Local(), None, jax.random.normal(KEY, (24, 16, 1))),
        "wcnn-1d-wide": lambda: ZOO["wcnn-1d-wide"],
        "decoder-1d": lambda: ZOO["decoder-1d"],
        "decoder-2d-half-pixel": lambda: ZOO["decoder-2d-half-pixel"],
    }
)


@pytest.mark.parametrize("name", CASES)
def test_windows_cover_every_dependence(name: str) -> None:
    """With the input's rate on, its tap's windows must cover the Jacobian's non-zeros."""
    problem = CASES[name]
    net = functional(*problem, input_rate=1.0)
    plan = make_plan(net)
    assert plan.taps[0].kind == "input"
    J = jacobians(*problem)[-1]
    q, channels = plan.space.size, problem[2].shape[-1]
    touched = (J.reshape(-1, q, plan.taps[0].pixels, channels) != 0).any((0, 3))
    window = plan.locality.windows[0]
    inside = np.ones_like(touched)
    if window is not None:
        inside[:] = False
        rows = np.repeat(np.arange(q), window.index.shape[1])
        kept = window.mask.ravel() > 0
        inside[rows[kept], window.index.ravel()[kept]] = True
    assert not (touched & ~inside).any()


@pytest.mark.parametrize("name", CASES)
def test_groups_hold_every_output_once_and_do_not_overlap(name: str) -> None:
    problem = CASES[name]
    plan = make_plan(functional(*problem))
    groups, windows = plan.locality.groups, plan.locality.windows
    outputs = groups[groups >= 0]
    np.testing.assert_array_equal(np.sort(outputs), np.arange(plan.space.size))
    for window in windows:
        for group in groups if window is not None else []:
            members = group[group >= 0]
            seen = window.index[members][window.mask[members] > 0]
            assert len(set(seen.tolist())) == seen.size


def test_passes_are_as_few_as_counted_by_hand() -> None:
    """1D, three convolutions of size 5: windows of 9 pixels at the first, so 9 passes."""
    net = networks.wide_cnn(4, 3, 5, complex_image=False)
    z = jnp.ones((90, 1))
    plan = make_plan(functional(net, net.init(z, key=KEY), z))
    assert [w.index.shape[1] for w in plan.locality.windows] == [9, 5, 1]
    assert plan.locality.groups.shape == (9, 10)


def test_local_modules_share_passes_and_global_ones_do_not() -> None:
    local, attention = CASES["module-local"], ZOO["module-attention"]
    shared = make_plan(functional(*local)).locality.groups.shape[0]
    assert shared < 24 * 16 / 6
    assert make_plan(functional(*attention)).locality.groups.shape == (9, 1)


@pytest.mark.parametrize("upsampling", ["half_pixel", "circular"])
def test_upsampling_shares_passes_in_any_convention(upsampling: Any) -> None:
    """Two doublings: an output depends on at most 3 of 16 pixels at the bottom."""
    net = networks.deep_decoder(
        4, 2, complex_image=False, normalisation=False, upsampling=upsampling
    )
    z = networks.decoder_input(net, (64,), 3, key=KEY)
    plan = make_plan(functional(net, net.init(z, key=KEY), z))
    assert len(plan.passes) <= 4 * 3
