"""The cases' networks in plain `jax.lax`, for a peer under a Python without Flax.

Parameters are a dictionary of arrays with Flax's names (``layers/0/conv/kernel``), so
the same function at the same parameters can be compared with Flax's, and is before
anything is timed.  Runs on JAX 0.5.3 and on today's.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Parameters = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a peer is given: ``f(params, z)`` of shape ``(1, n)``, parameters and input.

    The output is the image's real embedding ``[x]`` or ``[Re x; Im x]``.
    """

    f: Any
    params: Any
    z: Any


def save(folder: Path, description: dict[str, Any], params: Parameters, z: Any) -> None:
    """Write a network so that `load` can rebuild it: JSON and npz, nothing pickled."""
    (folder / "network.json").write_text(json.dumps(description))
    np.savez(folder / "params.npz", **{k: np.asarray(v) for k, v in params.items()})
    np.save(folder / "input.npy", np.asarray(z))


def load(folder: Path) -> Problem:
    """The problem that `save` wrote."""
    description = json.loads((folder / "network.json").read_text())
    with np.load(folder / "params.npz") as arrays:
        params = {name: jnp.asarray(arrays[name]) for name in arrays.files}
    z = jnp.asarray(np.load(folder / "input.npy"))
    forward = {"chain": _chain, "unet": _unet}[description["network"]]

    def f(params: Parameters, z: Any) -> Any:
        image = forward(description, params, z)
        return jnp.moveaxis(image, -1, 0).reshape(1, -1)

    return Problem(f, params, z)


def _chain(description: dict[str, Any], params: Parameters, x: Any) -> Any:
    for i, layer in enumerate(description["layers"]):
        kind, name = layer["kind"], f"layers/{i}"
        if kind == "conv":
            kernel = params[f"{name}/conv/kernel"]
            x = layer["scale"] * _convolve(x, kernel, layer["padding"])
        elif kind == "relu":
            x = jax.nn.relu(x)
        elif kind == "upsample":
            x = _double(x, layer["convention"])
        elif kind == "norm":
            x = _normalise(x, params, name, layer["epsilon"])
        else:
            pixels = x.shape[:-1]
            x = x.reshape(1, -1) @ params[f"{name}/kernel"] + params[f"{name}/bias"]
            x = x.reshape(*pixels, -1)
    return x


def _unet(description: dict[str, Any], params: Parameters, x: Any) -> Any:
    """U-Net with average pooling and zero padding (`ntkdip.networks.UNet`)."""
    levels, epsilon = description["levels"], description["epsilon"]

    def blocks(x: Any, name: str) -> Any:
        for i in range(2):
            block = f"{name}/{i}"
            x = _convolve(x, params[f"{block}/conv/kernel"], "zero")
            x = jax.nn.relu(_normalise(x, params, f"{block}/norm", epsilon))
        return x

    skips = []
    for level in range(levels):
        if level:
            skips.append(x)
            x = _halve(x)
        x = blocks(x, f"down/{level}")
    for level in range(levels - 1):
        x = blocks(jnp.concatenate([skips.pop(), _double(x, "half_pixel")], -1), f"up/{level}")
    return _convolve(x, params["head/kernel"], "zero") + params["head/bias"]


def _convolve(x: Any, kernel: Any, padding: str, stride: int = 1) -> Any:
    spatial = x.ndim - 1
    mode = "SAME"
    if padding == "circular":
        wrap = [((k - 1) // 2, k // 2) for k in kernel.shape[:-2]]
        x, mode = jnp.pad(x, [*wrap, (0, 0)], mode="wrap"), "VALID"
    axes = "HW"[:spatial]
    numbers = (f"N{axes}C", f"{axes}IO", f"N{axes}C")
    strides = (stride,) * spatial
    return jax.lax.conv_general_dilated(
        x[None], kernel, strides, mode, dimension_numbers=numbers
    )[0]  # fmt: skip


def _double(x: Any, convention: str) -> Any:
    if convention == "half_pixel":
        return jax.image.resize(x, (*(2 * n for n in x.shape[:-1]), x.shape[-1]), "linear")
    for axis in range(x.ndim - 1):
        pairs = jnp.stack([x, (x + jnp.roll(x, -1, axis)) / 2], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * x.shape[axis], *x.shape[axis + 1 :])
    return x


def _halve(x: Any) -> Any:
    for axis in range(x.ndim - 1):
        x = x.reshape(*x.shape[:axis], x.shape[axis] // 2, 2, *x.shape[axis + 1 :]).mean(axis + 1)
    return x


def _normalise(x: Any, params: Parameters, name: str, epsilon: float) -> Any:
    axes = tuple(range(x.ndim - 1))
    x = x - x.mean(axes, keepdims=True)
    x = x / jnp.sqrt((x**2).mean(axes, keepdims=True) + epsilon)
    return x * params[f"{name}/scale"] + params[f"{name}/shift"]
