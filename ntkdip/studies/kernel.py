"""One kernel from the command line: what it would cost, or the kernel itself in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from ntkdip import kernels, networks
from ntkdip.studies.configuration import KernelConfiguration
from ntkdip.studies.files import writable_file


def costs(config: KernelConfiguration, memory_limit: int | None) -> kernels.CostEstimate:
    """Bytes and operations of every route; nothing is drawn or allocated."""
    net, shape = _describe(config)
    z = jax.ShapeDtypeStruct(shape, jnp.float32)
    return kernels.estimate(net, z, memory_limit=memory_limit)


def kernel_to_file(
    config: KernelConfiguration, out: Path, memory_limit: int | None, overwrite: bool
) -> kernels.DenseKernel:
    """Compute the dense kernel and save it with its architecture and seed (HDF5).

    Raises
    ------
    OSError
        If the file exists (and ``overwrite`` is not set) or cannot be written: before work.
    MemoryError
        If the kernel does not fit.
    """
    if out.exists() and not overwrite:
        raise FileExistsError(f"{str(out)!r} exists; name another file, or add --overwrite")
    writable_file(out, "--out")
    net, shape = _describe(config)
    weights, noise = jax.random.split(jax.random.key(config.seed))
    z: Any
    if config.network == "decoder":
        z = networks.decoder_input(net, config.shape, config.width, key=noise)
    else:
        z = jax.random.normal(noise, shape)
    W = kernels.empirical(net, net.init(z, key=weights), z, memory_limit=memory_limit)
    kernels.save(W, out, architecture=net, seed=config.seed, overwrite=overwrite)
    return W


def _describe(config: KernelConfiguration) -> tuple[networks.Architecture, tuple[int, ...]]:
    """The architecture, and the shape of its input."""
    if len(config.shape) not in (1, 2) or min(config.shape) < 1:
        raise ValueError(f"shape has one or two positive sides; got {config.shape}")
    if config.network == "decoder":
        net = networks.deep_decoder(config.width, config.depth, complex_image=not config.real)
        return net, (*networks.input_shape(net, config.shape), config.width)
    net = networks.wide_cnn(
        config.width, config.depth, config.kernel_size, complex_image=not config.real
    )
    return net, (*config.shape, config.channels)
