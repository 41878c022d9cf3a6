"""The peer of the family ``analytic``: `neural_tangents.stax`.

Needs nothing of ntkdip but the loader, and no Flax.  Runs on JAX 0.5.3 and on today's.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.cases import Case, Precision
from benchmarks.measure import Side
from ntkdip.neural_tangents_loader import neural_tangents

FILE = "case.json"


def save(folder: Path, case: Case, z: Any) -> None:
    """Write a case so that `load` can rebuild it."""
    (folder / FILE).write_text(json.dumps(case.as_dict()))
    np.save(folder / "input.npy", np.asarray(z))


def load(folder: Path) -> Side:
    """The peer's side of the case that `save` wrote."""
    case = Case.from_dict(json.loads((folder / FILE).read_text()))
    return kernel(case, np.load(folder / "input.npy"))


def kernel(case: Case, z: Any) -> Side:
    """The NTK between all pixels, jitted, as its user has it: axes interleaved.

    Its fastest way: only the NTK is asked for, and with ``diagonal_batch=False`` the
    covariance of the input with itself is the very same expression as the covariance of both
    inputs, so that XLA computes one of them: 1.5 times faster than the default, in two
    thirds of the memory.
    """
    kernel_fn = _kernel_fn(case)
    jitted = jax.jit(lambda z: kernel_fn(z[None], None, "ntk", diagonal_batch=False))
    z = np.asarray(z, case.precision)

    def call() -> jax.Array:
        with precision(case.precision), jax.default_matmul_precision("highest"):
            return jax.block_until_ready(jitted(z))

    return Side(call, lambda answer: _in_order(case, np.asarray(answer)))


def _kernel_fn(case: Case) -> Callable[..., Any]:
    """The network in stax: no bias, and a gain of 2 after every ReLU."""
    stax = neural_tangents().stax
    axes = len(case.shape)

    def convolution(size: int, gain: float) -> Any:
        return stax.Conv(
            case.width[0], (size,) * axes, W_std=math.sqrt(gain), b_std=None,
            padding={"zero": "SAME", "circular": "CIRCULAR"}[case.padding],
            parameterization="ntk",
        )  # fmt: skip

    chain: list[Any] = []
    if case.network == "deep_decoder":
        for block in range(case.depth):
            size = [n // 2 ** (case.depth - 1 - block) for n in case.shape]
            chain += [
                convolution(1, 2.0 if block else 1.0),
                stax.ImageResize((-1, *size, -1), "linear"),
                stax.Relu(),
            ]
        chain.append(convolution(1, 2.0))
    else:
        chain.append(convolution(3, 1.0))
        for _ in range(case.depth - 1):
            chain += [stax.Relu(), convolution(3, 2.0)]
    return stax.serial(*chain)[2]


def _in_order(case: Case, answer: np.ndarray) -> np.ndarray:
    """A view ``(*pixels, *pixels)`` of a kernel ``(1, 1, H, H', W, W')``.

    Every convolution exchanges rows and columns: after an odd number it is
    ``(1, 1, W, W', H, H')``.
    """
    axes = len(case.shape)
    convolutions = case.depth + (case.network == "deep_decoder")
    order = range(axes)[:: -1 if convolutions % 2 else 1]
    return answer[0, 0].transpose([2 * a for a in order] + [2 * a + 1 for a in order])


def precision(name: Precision) -> contextlib.AbstractContextManager[Any]:
    """Scope of a precision, on today's JAX and on that of old."""
    if hasattr(jax, "enable_x64"):
        return jax.enable_x64(name == "float64")
    from jax.experimental import enable_x64

    return enable_x64(name == "float64")
