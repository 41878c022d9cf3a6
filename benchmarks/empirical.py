"""The family ``empirical``: dense empirical NTKs.  Builds both sides of a case."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import plain_networks
from benchmarks.cases import EIGENPAIRS, Case
from benchmarks.plain_networks import Problem
from ntkdip import kernels, networks
from ntkdip.networks import layers as describe
from ntkdip.networks.modules import Pointwise
from ntkdip.spaces import Space

KEY = 0
"""Seed of every case's parameters and input."""


class DenseHead(nnx.Module):
    """3x3 convolutions with ReLU, then one dense layer with bias that sees everything."""

    def __init__(
        self, shape: tuple[int, ...], width: int, depth: int, inputs: int, *, rngs: nnx.Rngs
    ):
        built: list[Any] = []
        for channels in [inputs] + [width] * (depth - 1):
            conv = describe.Conv(width, 3, gain=1.0 if not built else 2.0)
            built += [
                networks.Convolution(conv, channels, len(shape), False, rngs),
                Pointwise(describe.ReLU()),
            ]
        n = math.prod(shape)
        built.append(nnx.Linear(n * width, n, kernel_init=nnx.initializers.he_normal(), rngs=rngs))
        self.layers = nnx.List(built)

    def __call__(self, z: jax.Array) -> jax.Array:
        x = z
        for layer in self.layers[:-1]:
            x = layer(x)
        return self.layers[-1](x.reshape(-1)).reshape(*z.shape[:-1], 1)


def network(case: Case) -> tuple[Any, Any, jax.Array]:
    """The case's network (`Architecture` or Flax module), its parameters and its input."""
    drawn, weights = jax.random.split(jax.random.key(KEY))
    rngs = nnx.Rngs(params=weights)
    net: Any
    if case.network in ("wcnn", "deep_decoder"):
        if case.network == "wcnn":
            net = networks.wide_cnn(case.width[0], case.depth, 3, complex_image=case.outputs == 2)
            z = jax.random.normal(drawn, (*case.shape, case.inputs))
        else:
            net = networks.deep_decoder(case.width[0], case.depth, complex_image=case.outputs == 2)
            channels = case.inputs or case.width[0]
            z = networks.decoder_input(net, case.shape, channels, key=drawn)
        return net, net.init(z, key=weights), z
    z = jax.random.normal(drawn, (*case.shape, case.inputs))
    if case.network == "unet":
        net = networks.UNet(
            case.width, in_channels=case.inputs, complex_image=case.outputs == 2,
            spatial_dims=len(case.shape), rngs=rngs,
        )  # fmt: skip
    else:
        net = DenseHead(case.shape, case.width[0], case.depth, case.inputs, rngs=rngs)
    return net, nnx.state(net, nnx.Param), z


def ours(case: Case) -> Callable[[], np.ndarray]:
    """Our kernel of the case, ``(n, n)``, ready to be called again and again; or a product."""
    net, params, z = network(case)
    if case.quantity == "product":
        W = kernels.matrix_free(net, params, z)
        v = vector(W.space.real_size)
        return lambda: W @ v

    def kernel() -> np.ndarray:
        # Contracted in float32, as the peer does.
        return kernels.empirical(net, params, z, precision="float32").matrix

    return kernel


def eigenpairs(case: Case) -> tuple[Callable[[], kernels.Eigenpairs], int]:
    """The leading eigenpairs of a case, to be called, and how many parameters it has."""
    net, params, z = network(case)
    W = kernels.matrix_free(net, params, z)
    key = jax.random.key(KEY)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))
    return lambda: kernels.leading_eigenpairs(W, EIGENPAIRS, key=key), size


def vector(n: int) -> np.ndarray:
    """What products are taken with."""
    return np.random.default_rng(KEY).standard_normal(n).astype(np.float32)


def problem(case: Case) -> Problem:
    """The very function that `ours` is given, for a peer on the same JAX."""
    net, params, z = network(case)
    leaves, tree = jax.tree.flatten(params)
    graph = None if isinstance(net, networks.Architecture) else nnx.graphdef(net)

    def f(leaves: list[jax.Array], z: jax.Array) -> jax.Array:
        params = jax.tree.unflatten(tree, leaves)
        image = (
            net.apply(params, z)
            if graph is None
            else networks.to_image(nnx.merge(graph, params)(z))
        )
        return Space(image.shape, jnp.iscomplexobj(image)).embed(image)[None]

    return Problem(f, leaves, z)


def export(case: Case, folder: Path) -> None:
    """Write the case for a Python without Flax (`benchmarks.plain_networks.load`)."""
    net, params, z = network(case)
    named = {"/".join(map(str, path)): leaf[...] for path, leaf in nnx.to_flat_state(params)}
    plain_networks.save(folder, _description(case, net, z), named, z)


def _description(case: Case, net: Any, z: jax.Array) -> dict[str, Any]:
    if case.network == "unet":
        epsilon = describe.ChannelNorm().epsilon
        return {"network": "unet", "levels": len(case.width), "epsilon": epsilon}
    if isinstance(net, networks.Architecture):
        net = net.module(z, rngs=nnx.Rngs(params=jax.random.key(KEY)))
    return {"network": "chain", "layers": [_layer(layer) for layer in net.layers]}


def _layer(layer: Any) -> dict[str, Any]:
    """JSON-ready description of one layer of a chain."""
    if isinstance(layer, networks.Convolution):
        return {"kind": "conv", "scale": float(layer.scale), "padding": layer.layer.padding}
    if isinstance(layer, nnx.Linear):
        return {"kind": "dense"}
    if hasattr(layer, "convention"):
        return {"kind": "upsample", "convention": layer.convention}
    if hasattr(layer, "epsilon"):
        return {"kind": "norm", "epsilon": layer.epsilon}
    return {"kind": "relu"}
