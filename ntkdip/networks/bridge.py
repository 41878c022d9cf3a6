"""The third view of an architecture: the triple of neural-tangents' `stax`.

neural-tangents is imported when a function here is called, never before.
"""

from __future__ import annotations

import contextlib
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ntkdip.networks.architecture import Architecture, Parameterisation, require_input
from ntkdip.networks.layers import (
    Abs,
    Activation,
    AveragePool,
    ChannelNorm,
    Conv,
    Erf,
    Gaussian,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool,
    ReLU,
    Residual,
    Sine,
    Upsample,
    output_shape,
)
from ntkdip.neural_tangents_loader import neural_tangents

Triple = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]


class StaxPixelKernels(NamedTuple):
    """Kernels between all pixels of an image, in C order."""

    nngp: Float[np.ndarray, "q q"]
    """Covariance of the output at initialisation, in the limit of infinite width."""

    ntk: Float[np.ndarray, "q q"]
    """Neural tangent kernel in the same limit."""


def to_neural_tangents(net: Architecture, spatial_dims: int = 2) -> Triple:
    """The network as ``(init_fn, apply_fn, kernel_fn)`` of `neural_tangents.stax`.

    An implementation of the analytic kernels that shares nothing with ours.  Inputs are
    batches of images, channels last: an input ``z (*pixels, channels)`` is ``z[None]``.
    `stax_pixel_kernels` turns ``kernel_fn`` into matrices.  The functions allow the promotions of
    dtypes and ranks that neural-tangents relies on, whatever JAX is set to.

    Parameters
    ----------
    net
        The architecture.  Its parameterisation and, in the standard one, its numbers of
        channels enter the kernel.
    spatial_dims
        1 or 2; an architecture takes its own from its input.

    Returns
    -------
    init_fn
        ``init_fn(key, (batch, *pixels, channels))`` gives the shape of the output and
        parameters, which are stax's and not those of `Architecture.init`.
    apply_fn
        ``apply_fn(params, batch)``, shape ``(batch, *pixels', 1 or 2)``: the finite network.
    kernel_fn
        ``kernel_fn(batch, None, get=("nngp", "ntk"))``: covariances of one output channel,
        shape ``(batch, batch, H, H, W, W)``; after an odd number of convolutions
        ``(batch, batch, W, W, H, H)``.  All pairs of pixels are there, since the output is an
        image.  In float64, on CPU, `stax_pixel_kernels` avoids a fault of jaxlib 0.10.2 that can
        end the process from 32 x 32 pixels on.

    Raises
    ------
    ValueError
        If stax has no counterpart of a layer: reflecting padding, weights that are not
        trained, upsampling other than ``half_pixel`` and ``nearest``, `MaxPool`,
        `ChannelNorm`; or if it has no limit where the layer stands, which for activations
        and layer normalisation is anywhere but after a convolution.  The functions raise it
        for images that do not fit the network.
    ModuleNotFoundError
        If neural-tangents is not installed; the message says how to install it.
    ntkdip.neural_tangents_loader.NeuralTangentsImportError
        If it does not import on this JAX; the message names the tested versions.

    Source: ours.  Cost: next to nothing; ``kernel_fn`` takes time and memory proportional to
    the square of the number of pixels.
    """
    if spatial_dims not in (1, 2):
        raise ValueError(f"spatial_dims is 1 or 2; got {spatial_dims}")
    _require_counterpart(net.layers, gaussian=False)
    stax = neural_tangents().stax
    with _lenient():
        init_fn, apply_fn, kernel_fn = _serial(stax, net.layers, spatial_dims, net.parameterisation)
    fits = functools.partial(_require_fit, net, spatial_dims)

    @functools.wraps(init_fn)
    def init(key: Any, shape: Any, **options: Any) -> Any:
        fits(shape)
        with _lenient():
            return init_fn(key, shape, **options)

    @functools.wraps(apply_fn)
    def apply(params: Any, batch: Any, **options: Any) -> Any:
        fits(batch.shape)
        with _lenient():
            return apply_fn(params, batch, **options)

    # `wraps` hands on what stax has noted on kernel_fn, so the triple may be part of another.
    @functools.wraps(kernel_fn)
    def kernel(x1: Any, x2: Any = None, get: Any = None, **options: Any) -> Any:
        if hasattr(x1, "shape"):
            fits(x1.shape)
        with _lenient():
            return kernel_fn(x1, x2, get, **options)

    return init, apply, kernel


def stax_pixel_kernels(
    kernel_fn: Callable[..., Any],
    z: Float[Any, "*pixels channels"],
    *,
    dtype: type[np.floating] = np.float64,
) -> StaxPixelKernels:
    """NNGP and NTK between all pixels of the image made of one input, by neural-tangents.

    Parameters
    ----------
    kernel_fn
        Last member of `to_neural_tangents`, or of any stax network that ends in an image.
    z
        The input, shape ``(*pixels, channels)``.
    dtype
        ``numpy.float64`` or ``numpy.float32``: what JAX computes in, whatever it is set to.
        Where two pixels have nearly the same patches (or are one), neural-tangents takes the
        root of a difference of nearly equal numbers: behind ReLUs the NTK is then off by up
        to some 1e-7 of itself in float64, 3e-4 in float32.

    Returns
    -------
    StaxPixelKernels of NumPy arrays ``(q, q)``, pixels of the output in C order.

    Raises
    ------
    ValueError
        If ``z`` is not 1D or 2D with channels last.

    Source: ours.  Cost: time ``O(q**2)`` a layer, about 9 arrays ``(q, q)`` of memory; for 5
    layers of 3x3 on two CPU cores in float64 about 0.5 s at 32 x 32 pixels and 14 s at
    64 x 64, after 2 s of compiling; float32 takes longer.
    """
    require_input(z)
    exact = np.dtype(dtype) == np.float64
    with jax.enable_x64(exact), jax.default_matmul_precision("highest"), _lenient():
        nngp, ntk = _compiled(kernel_fn)(jnp.asarray(z, dtype)[None])
        return StaxPixelKernels(np.asarray(nngp), np.asarray(ntk))


@functools.lru_cache(maxsize=32)
def _compiled(kernel_fn: Callable[..., Any]) -> Callable[[Any], tuple[Any, Any]]:
    """NNGP and NTK of a batch of one, as matrices, jitted once for a network."""

    def matrices(batch: Any) -> tuple[Any, Any]:
        kernel = kernel_fn(batch, None, None, diagonal_spatial=False)
        if kernel.is_reversed:
            kernel = kernel.reverse()
        return _matrix(kernel.nngp), _matrix(kernel.ntk)

    # jaxlib 0.10.2 vectorises float64 convolutions on CPUs with AVX-512 so that they read
    # before the start of an array: at 32 x 32 pixels the process dies.  Level 1 does not
    # vectorise these loops, and is no slower here.
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(
        matrices, compiler_options={"xla_backend_optimization_level": 1} if on_cpu else None
    )


def _matrix(covariance: Any) -> Any:
    """``(1, 1, H, H', W, W')`` as ``(H W, H' W')``."""
    covariance = covariance[0, 0]
    axes = (*range(0, covariance.ndim, 2), *range(1, covariance.ndim, 2))
    q = math.isqrt(covariance.size)
    return covariance.transpose(axes).reshape(q, q)


@contextlib.contextmanager
def _lenient() -> Iterator[None]:
    """Scope for neural-tangents, which mixes dtypes and ranks and warns without need."""
    with (
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        warnings.catch_warnings(),
    ):
        # That the branches are independent is verified before, by `_require_counterpart`.
        warnings.filterwarnings("ignore", "`FanIn` layers assume independent inputs")
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="neural_tangents")
        yield


def _serial(
    stax: Any, chain: tuple[Layer, ...], spatial_dims: int, parameterisation: Parameterisation
) -> Triple:
    """A chain in stax; an empty one is the identity."""
    built = [_layer(stax, layer, spatial_dims, parameterisation) for layer in chain]
    return stax.serial(*built) if built else stax.Identity()


def _layer(
    stax: Any, layer: Layer, spatial_dims: int, parameterisation: Parameterisation
) -> Triple:
    """One layer in stax.

    The axis of the channels is counted from the front throughout, as `stax.Conv` does: stax
    warns of branches that disagree.
    """
    match layer:
        case Conv():
            return _convolution(stax, layer, spatial_dims, parameterisation)
        case ReLU():
            return stax.Relu()
        case LeakyReLU(slope):
            return stax.LeakyRelu(slope)
        case Abs():
            return stax.Abs()
        case Erf():
            return stax.Erf()
        case Sine(frequency, phase):
            return stax.Sin(b=frequency, c=phase)
        case Gaussian(rate):
            return stax.Gaussian(b=-rate)
        case Upsample():
            return _upsampling(stax, layer, spatial_dims)
        case AveragePool(size):
            window = (size,) * spatial_dims
            return stax.AvgPool(window, window, channel_axis=spatial_dims + 1)
        case LayerNorm(epsilon):
            return stax.LayerNorm(eps=epsilon, channel_axis=spatial_dims + 1)
        case Residual():
            branches = [
                _serial(stax, chain, spatial_dims, parameterisation)
                for chain in (layer.body, layer.shortcut)
            ]
            return stax.serial(stax.FanOut(2), stax.parallel(*branches), stax.FanInSum())
    raise TypeError(f"not a layer that stax has: {layer}")  # refused before


def _missing(layer: Layer) -> str | None:
    """Why stax cannot express a layer, and what to do; None if it can."""
    match layer:
        case Conv(trained=False):
            return "its stax trains every weight. Use our own analytic kernels"
        case Conv(padding="reflect"):
            return "its stax pads with zeros or wraps around. Use padding='zero' or 'circular'"
        case Upsample("circular" | "align_corners"):
            return "its stax upsamples by convention 'half_pixel' or 'nearest'. Use one of them"
        case MaxPool():
            return "a maximum has no closed form. Use AveragePool"
        case ChannelNorm():
            return (
                "its stax normalises every pixel over its channels, not every channel over its "
                "pixels. Leave it out (a preset's normalisation=False), or use LayerNorm"
            )
    return None


def _convolution(
    stax: Any, layer: Conv, spatial_dims: int, parameterisation: Parameterisation
) -> Triple:
    """`stax.Conv`, whose two parameterisations are ours (with its ``s`` left at (1, 1)).

    Without a bias ``b_std`` is None, never 0: in the standard parameterisation stax trains a
    bias of variance 0.
    """
    return stax.Conv(
        layer.channels,
        (layer.kernel_size,) * spatial_dims,
        strides=(layer.stride,) * spatial_dims,
        padding={"zero": "SAME", "circular": "CIRCULAR"}[layer.padding],
        W_std=math.sqrt(layer.gain),
        b_std=math.sqrt(layer.bias_variance) if layer.bias_variance > 0 else None,
        parameterization=parameterisation,
    )


def _upsampling(stax: Any, layer: Upsample, spatial_dims: int) -> Triple:
    """`stax.ImageResize` for images of any size.

    It ignores that a convolution has exchanged the axes of a kernel, and would stretch the
    rows to the number of columns: the axes are put in order first.
    """
    method = {"half_pixel": "linear", "nearest": "nearest"}[layer.convention]

    def resize(shape: Any) -> Triple:
        larger = (-1, *(layer.factor * n for n in shape[1:-1]), -1)
        return stax.ImageResize(larger, method)

    def init_fn(key: Any, shape: Any) -> Any:
        return resize(shape)[0](key, shape)

    def apply_fn(params: Any, batch: Any, **options: Any) -> Any:
        return resize(batch.shape)[1](params, batch, **options)

    @stax.requires(
        batch_axis=0,
        channel_axis=spatial_dims + 1,
        diagonal_spatial=stax.Diagonal(input=stax.Bool.NO),
    )
    def kernel_fn(kernel: Any, **options: Any) -> Any:
        kernel = kernel.reverse() if kernel.is_reversed else kernel
        return resize(kernel.shape1)[2](kernel, **options)

    def Upsampling() -> Triple:
        return init_fn, apply_fn, kernel_fn

    return stax.layer(Upsampling)()


def _require_fit(net: Architecture, spatial_dims: int, shape: Any) -> None:
    """Raise `ValueError` unless the network takes batches of this shape."""
    shape = tuple(map(int, shape))
    if len(shape) != spatial_dims + 2:
        pixels = "pixels" if spatial_dims == 1 else "rows, columns"
        raise ValueError(
            f"this network takes inputs (batch, {pixels}, channels); got {shape}. "
            "A single input is z[None]; choose spatial_dims in to_neural_tangents"
        )
    output_shape(net.layers, shape[1:-1])


def _require_counterpart(chain: tuple[Layer, ...], gaussian: bool) -> bool:
    """Raise `ValueError` for what stax cannot follow; else whether the end is Gaussian.

    Parameters
    ----------
    gaussian
        Whether the channels that enter are independent Gaussians.
    """
    for layer in chain:
        if reason := _missing(layer):
            raise ValueError(f"neural-tangents has no counterpart of {layer}: {reason}")
        if isinstance(layer, Conv):
            gaussian = True
        elif isinstance(layer, Activation | LayerNorm):
            if not gaussian:
                raise ValueError(
                    f"neural-tangents knows {layer} only after a convolution, with nothing but "
                    "resampling, layer normalisation or sums in between; put a Conv first"
                )
            gaussian = isinstance(layer, LayerNorm)
        elif isinstance(layer, Residual):
            ends = [_require_counterpart(c, gaussian) for c in (layer.body, layer.shortcut)]
            if not all(ends) or not (_is_fresh(layer.body) or _is_fresh(layer.shortcut)):
                raise ValueError(
                    f"neural-tangents knows sums of independent Gaussians only, not {layer}: let "
                    "both branches end in a convolution, or let one of them be the identity on "
                    "the output of a convolution"
                )
            gaussian = True
    return gaussian


def _is_fresh(chain: tuple[Layer, ...]) -> bool:
    """Whether all that leaves a chain has passed weights of its own."""
    return any(
        isinstance(layer, Conv)
        or (isinstance(layer, Residual) and _is_fresh(layer.body) and _is_fresh(layer.shortcut))
        for layer in chain
    )
