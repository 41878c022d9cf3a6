"""What is known before work begins."""

from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import pytest

from ntkdip import kernels, networks
from ntkdip.kernels import memory
from ntkdip.kernels.functional import functional
from ntkdip.kernels.jacobian import sweeps
from ntkdip.kernels.plan import make_plan
from tests.kernels.zoo import KEY, ZOO, rescaled


def _routes(estimate: kernels.CostEstimate) -> dict[str, kernels.Route]:
    return {route.name: route for route in estimate.routes}


def test_estimate_by_hand() -> None:
    """Two circular 3x3 convolutions, 2 -> 8 -> 2 channels, 10 x 10 pixels."""
    net = networks.wide_cnn(8, 2, 3)
    estimate = kernels.estimate(net, jax.ShapeDtypeStruct((10, 10, 2), jnp.float32))
    parameters = 9 * (2 * 8 + 8 * 2)
    forward = 2 * 100 * parameters
    assert estimate.parameters == estimate.columns == parameters
    # Windows of 3 x 3 at the first layer: 9 colours need 12 x 12 pixels, 10 need 4 an axis.
    assert estimate.passes == 2 * 16
    routes = _routes(estimate)
    assert routes["full Jacobian"].bytes == 4 * 200 * parameters + 8 * 200**2
    assert routes["full Jacobian"].flops == 200 * (2 * forward + 200 * parameters)
    assert routes["one product"].flops == 5 * forward
    contraction = 200 * 2 * (9 * 8 * 18 + 1 * 2 * 72)
    assert routes["dense"].flops == 32 * forward + contraction + 200**2 * parameters
    assert all(route.fits for route in estimate.routes)
    assert estimate.sweeps == 1


def test_estimate_of_a_large_image_refuses_the_dense_routes_only() -> None:
    net = networks.wide_cnn(8, 2, 3)
    estimate = kernels.estimate(net, jax.ShapeDtypeStruct((256, 256, 2), jnp.float32))
    fits = {route.name: route.fits for route in estimate.routes}
    assert fits == {
        "dense": False,
        "dense, least memory": False,
        "full Jacobian": False,
        "one product": True,
        "leading 64 eigenpairs": True,
    }
    assert estimate.sweeps == 0


def test_a_function_needs_its_parameters() -> None:
    _, params, z = ZOO["function-rescaled"]
    with pytest.raises(ValueError, match="give params"):
        kernels.estimate(rescaled, z)
    shapes = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, p.dtype), params)
    assert kernels.estimate(rescaled, z, shapes).parameters == 10 + 1 + 15 + 24 + 18


def test_sweeps_cover_every_column_once_and_keep_to_the_limit() -> None:
    net = networks.wide_cnn(16, 3, 3)
    z = jnp.ones((8, 8, 2))
    plan = make_plan(functional(net, net.init(z, key=KEY), z))
    for most in (plan.columns, 500, 100, 1):
        rounds = sweeps(plan, most)
        assert sum(piece.columns for sweep in rounds for piece in sweep) == plan.columns
        widest = max(tap.groups * tap.rank for tap in plan.taps)
        assert all(sum(p.columns for p in sweep) <= max(most, widest) for sweep in rounds)
    assert len(sweeps(plan, plan.columns)) == 1


def test_memory_of_accelerators_counts_where_they_have_their_own() -> None:
    accelerator = Mock(spec=jax.Device, process_index=0)
    elsewhere = Mock(spec=jax.Device, process_index=1)
    accelerator.memory_stats.return_value = {"bytes_limit": 3000, "bytes_in_use": 1000}
    two = [accelerator, accelerator]
    assert memory.allowed_bytes(None, two) == int(0.8 * 4000)
    assert memory.allowed_bytes(None, [*two, elsewhere, elsewhere]) == int(0.8 * 8000)
    assert memory.allowed_bytes(7000, two) == 7000
    assert memory.allowed_bytes(None, jax.devices("cpu")) > 2**20


def test_a_float32_kernel_needs_room_for_the_float64_one_beside_it() -> None:
    def ramp(params: Any, z: Any) -> Any:
        return params * z

    image = jnp.ones(512), jnp.ones(512)
    room = 10 * 512**2
    with pytest.raises(MemoryError, match=r"3\.0 MiB"):
        kernels.empirical(ramp, *image, precision="float32", memory_limit=room)
