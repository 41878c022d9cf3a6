"""Fast convolutions against `jax.lax`: values, gradients, and where each route is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from ntkdip.networks import convolution

KEY = jax.random.key(0)
MODES = {"zero": "constant", "circular": "wrap", "reflect": "reflect"}
CLOSE = 2e-6
"""Relative, float32; measured at most 6e-7, and 4e-7 for `jax.lax` itself, against float64."""


def _plain(x: jax.Array, kernel: jax.Array, padding: str) -> jax.Array:
    taps = kernel.shape[:-2]
    axes = "HW"[: len(taps)]
    pads = [*((k // 2, k // 2) for k in taps), (0, 0)]
    padded = jnp.pad(x, pads, mode=MODES[padding])
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    ones = (1,) * len(taps)
    y = lax.conv_general_dilated(padded[None], kernel, ones, "VALID", dimension_numbers=numbers)
    return y[0]


def _draw(shape: tuple[int, ...], taps: int, cin: int, cout: int) -> list[jax.Array]:
    kernel = ((taps,) * len(shape)) + (cin, cout)
    shapes = ((*shape, cin), kernel, (*shape, cout))
    return [jax.random.normal(jax.random.key(i), s) for i, s in enumerate(shapes)]


def _require_close(ours: Any, theirs: Any, tolerance: float = CLOSE) -> None:
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        expected = np.asarray(b, np.float64)
        assert np.linalg.norm(a - expected) <= tolerance * np.linalg.norm(expected)


def _with_gradients(f: Callable[..., Any], x: Any, kernel: Any, g: Any) -> tuple[Any, ...]:
    @jax.jit
    def call(x: Any, kernel: Any, g: Any) -> tuple[Any, ...]:
        y, back = jax.vjp(f, x, kernel)
        return y, *back(g)

    return call(x, kernel, g)


def _uses_lax(f: Callable[..., Any], *arguments: Any) -> bool:
    return "conv_general_dilated" in str(jax.make_jaxpr(f)(*arguments))


@settings(max_examples=8, deadline=None)
@given(
    sides=st.lists(st.integers(8, 21), min_size=1, max_size=2),
    channels=st.tuples(st.integers(16, 20), st.integers(16, 20)),
    padding=st.sampled_from(sorted(MODES)),
)
def test_values_and_gradients_are_those_of_lax(
    sides: list[int], channels: tuple[int, int], padding: str
) -> None:
    x, kernel, g = _draw(tuple(sides), 3, *channels)
    assert not _uses_lax(lambda x, k: convolution.convolve(x, k, padding), x, kernel)
    ours = _with_gradients(lambda x, k: convolution.convolve(x, k, padding), x, kernel, g)
    _require_close(ours, _with_gradients(lambda x, k: _plain(x, k, padding), x, kernel, g))


@pytest.mark.parametrize(
    ("shape", "taps", "cin", "cout"),
    [
        ((9, 9), 1, 16, 16),
        ((9, 9), 5, 16, 16),
        ((9, 9), 3, 2, 16),
        ((5, 9), 3, 16, 16),
        ((12,), 9, 3, 4),
    ],
)
def test_what_gains_nothing_goes_to_lax(
    shape: tuple[int, ...], taps: int, cin: int, cout: int
) -> None:
    x, kernel, g = _draw(shape, taps, cin, cout)
    assert _uses_lax(lambda x, k: convolution.convolve(x, k, "circular"), x, kernel)
    ours = _with_gradients(lambda x, k: convolution.convolve(x, k, "circular"), x, kernel, g)
    _require_close(ours, _with_gradients(lambda x, k: _plain(x, k, "circular"), x, kernel, g))


@pytest.mark.parametrize("kernels", [None, 0])
def test_a_batch_by_vmap(kernels: int | None) -> None:
    x = jax.random.normal(KEY, (3, 10, 9, 16))
    kernel = jax.random.normal(KEY, (3, 3, 3, 16, 17))
    kernel = kernel if kernels == 0 else kernel[0]

    def loss(f: Callable[..., Any]) -> Callable[..., Any]:
        batched = jax.vmap(lambda x, k: f(x, k, "zero"), (0, kernels))
        return lambda x, k: (batched(x, k) ** 2).sum()

    ours = jax.jit(jax.grad(loss(convolution.convolve), (0, 1)))(x, kernel)
    _require_close(ours, jax.jit(jax.grad(loss(_plain), (0, 1)))(x, kernel))


def test_float64_is_exact_to_its_own_rounding() -> None:
    with jax.enable_x64(True):
        x, kernel, g = (a.astype(jnp.float64) for a in _draw((9, 10), 3, 16, 16))
        ours = _with_gradients(lambda x, k: convolution.convolve(x, k, "zero"), x, kernel, g)
        theirs = _with_gradients(lambda x, k: _plain(x, k, "zero"), x, kernel, g)
        _require_close(ours, theirs, 1e-14)


def test_every_option_of_lax_is_kept() -> None:
    x, kernel, _ = _draw((12, 12), 3, 16, 16)
    numbers = ("NHWC", "HWIO", "NHWC")
    for pads in ("SAME", "VALID", ((0, 3), (2, 1))):
        _require_close(
            jax.jit(
                lambda x, k, pads=pads: convolution.conv_general_dilated(
                    x, k, (1, 1), pads, None, None, numbers
                )
            )(x[None], kernel),
            lax.conv_general_dilated(x[None], kernel, (1, 1), pads, None, None, numbers),
        )
    for strides, dilation, pads in (((2, 2), None, "SAME"), ((1, 1), (2, 2), "SAME"),
                                    ((1, 1), None, ((-1, 0), (0, 0)))):  # fmt: skip
        arguments = (x[None], kernel, strides, pads, None, dilation, numbers)
        assert _uses_lax(lambda a=arguments: convolution.conv_general_dilated(*a))
        _require_close(
            convolution.conv_general_dilated(*arguments), lax.conv_general_dilated(*arguments)
        )


def test_an_accelerator_keeps_lax(monkeypatch: pytest.MonkeyPatch) -> None:
    x, kernel, _ = _draw((12, 12), 3, 16, 16)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert _uses_lax(lambda x, k: convolution.convolve(x, k, "zero"), x, kernel)


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"odd number of taps along every axis; got \(2, 3\)"):
        convolution.convolve(jnp.ones((8, 8, 2)), jnp.ones((2, 3, 2, 2)), "zero")
    with pytest.raises(ValueError, match=r"got \(8, 8, 2\) and \(3, 3, 4, 2\)"):
        convolution.convolve(jnp.ones((8, 8, 2)), jnp.ones((3, 3, 4, 2)), "zero")
