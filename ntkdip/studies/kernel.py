"""One kernel from the command line: what it would cost, or the kernel in a file and a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ntkdip import kernels, networks, plotting, spectrum
from ntkdip.studies.configuration import KernelConfiguration
from ntkdip.studies.files import save_figure, writable_file

GALLERY = 5
"""Eigenspaces in the picture."""


def costs(config: KernelConfiguration, memory_limit: int | None) -> kernels.CostEstimate:
    """Bytes and operations of every route; nothing is drawn or allocated."""
    net, shape = _describe(config)
    z = jax.ShapeDtypeStruct(shape, jnp.float32)
    return kernels.estimate(net, z, memory_limit=memory_limit)


def kernel_to_file(
    config: KernelConfiguration, out: Path, memory_limit: int | None, overwrite: bool
) -> kernels.DenseKernel:
    """Compute the dense kernel, save it with architecture and seed (HDF5), and picture it.

    The picture lies beside the file, with the endings ``.png`` and ``.pdf``.

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
    with plotting.style():
        figure = portrait(W, net.name)
        save_figure(figure, out.parent, out.stem)
        plt.close(figure)
    return W


def portrait(W: kernels.DenseKernel, name: str) -> Figure:
    """Decay with its power law, coupling of frequencies, a row as a filter, eigenspaces."""
    values = W.eigh()[0]
    figure = plt.figure(figsize=(13, 7.5))
    parts: Any = figure.subfigures(2, 1, height_ratios=(3, 2))
    above, below = parts
    decay, coupling, row = above.subplots(1, 3)
    plotting.eigenvalue_decay(decay, {name: values})
    positive = int((values > plotting.FLOOR * values[0]).sum())
    last = max(positive // 2, 1)
    if last - max(last // 8, 1) >= 2:
        fit = spectrum.fit_power_law(values, max(last // 8, 1), last)
        plotting.power_law(decay, fit, name, largest=values[0])
    plotting.kernel_fourier(coupling, spectrum.kernel_content(W), name)
    pixel = tuple(n // 2 for n in W.space.shape)
    plotting.kernel_filter(row, spectrum.kernel_row(W, pixel), name)
    spaces = spectrum.leading_eigenspaces(W, min(2 * GALLERY, W.space.real_size))[:GALLERY]
    axes = below.subplots(1, len(spaces), squeeze=False)[0]
    plotting.eigenvector_gallery(list(axes), spaces, W.space)
    return figure


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
