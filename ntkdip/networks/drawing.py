"""Random draws that compile in a fraction of the time, to the same bits as compiled in full.

XLA takes one to several seconds for the generator's program, and there is one for every shape of
weights; most of it goes into optimising code that runs once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax

QUICK = {"xla_backend_optimization_level": 1}
"""Level 0 rounds some numbers differently, and its code is ten times slower."""


def quick(draw: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """``draw(key, shape, dtype, ...)``, all by position, compiled by itself and fast.

    Within a traced function, which has options of its own, it is ``draw``.
    """
    compiled = jax.jit(draw, static_argnums=(1, 2), compiler_options=QUICK)

    @functools.wraps(draw)
    def drawn(key: jax.Array, *arguments: Any) -> jax.Array:
        return (draw if isinstance(key, jax.core.Tracer) else compiled)(key, *arguments)

    return drawn


uniform = quick(jax.random.uniform)
"""Of `jax.random`: ``(key, shape, dtype, minval, maxval)``."""


@functools.lru_cache(maxsize=64)
def initialiser(
    kind: Callable[..., jax.nn.initializers.Initializer], *settings: Any
) -> jax.nn.initializers.Initializer:
    """``kind(*settings)``, one of `flax.nnx.initializers`, whose draws compile fast."""
    return quick(kind(*settings))
