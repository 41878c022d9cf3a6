from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ntkdip import networks
from ntkdip.networks.drawing import initialiser, uniform

KEY = jax.random.key(3)
SHAPE = (3, 3, 17, 64)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (nnx.initializers.normal, (0.02,)),
        (nnx.initializers.lecun_normal, ()),
        (nnx.initializers.variance_scaling, (2.0, "fan_in", "truncated_normal")),
    ],
)
def test_weights_are_those_of_full_optimisation_to_the_last_bit(kind, settings) -> None:
    drawn = initialiser(kind, *settings)
    plain = jax.jit(kind(*settings), static_argnums=(1, 2))(KEY, SHAPE, jnp.float32)
    np.testing.assert_array_equal(drawn(KEY, SHAPE, jnp.float32), plain)
    by_steps = kind(*settings)(KEY, SHAPE, jnp.float32)  # its last product rounds by itself
    np.testing.assert_allclose(plain, by_steps, rtol=1e-6)
    several = jax.jit(jax.vmap(lambda key: drawn(key, SHAPE, jnp.float32)))
    np.testing.assert_array_equal(several(KEY[None])[0], plain)


def test_networks_draw_what_a_traced_network_draws() -> None:
    net, z = networks.unet((4, 8)), jnp.ones((8, 8, 2))
    alone = net.init(z, key=KEY)
    traced = jax.jit(lambda key: net.init(z, key=key))(KEY)
    jax.tree.map(np.testing.assert_array_equal, alone, traced)


def test_an_input_is_uniform_to_the_last_bit() -> None:
    np.testing.assert_array_equal(
        uniform(KEY, SHAPE, jnp.float32, -1.0, 2.0),
        jax.random.uniform(KEY, SHAPE, minval=-1.0, maxval=2.0),
    )


def test_the_same_settings_share_a_compiled_draw() -> None:
    assert initialiser(nnx.initializers.normal, 1.0) is initialiser(nnx.initializers.normal, 1.0)
