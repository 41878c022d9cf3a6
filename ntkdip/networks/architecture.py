"""One frozen description of an architecture, from which every view of it is built."""

from __future__ import annotations

import dataclasses
import functools
from fractions import Fraction
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import modules
from ntkdip.networks.layers import (
    AveragePool,
    Conv,
    Layer,
    MaxPool,
    Residual,
    Upsample,
    output_shape,
)
from ntkdip.spaces import Space

Parameterisation = Literal["ntk", "standard"]


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A network as a chain of layers; dimension and input channels come from its input.

    Built by the presets (`wide_cnn`, `deep_decoder`, ...) or from a chain of
    `ntkdip.networks.layers`.  Frozen and hashable, so it can
    be a static argument of a jitted function.

    Parameters
    ----------
    name
        Shown in messages, tables and figures.
    layers
        The chain, first to last; the last is a `Conv` to 1 (real image) or 2
        (complex image: real and imaginary part) channels.
    parameterisation
        ``ntk``: weights N(0, 1), scaled in the forward pass by sqrt(gain / fan_in).
        ``standard``: weights N(0, gain / fan_in), not scaled; the same function at
        initialisation, but another kernel under one learning rate.
    """

    name: str
    layers: tuple[Layer, ...]
    parameterisation: Parameterisation = "ntk"

    def __post_init__(self) -> None:
        last = self.layers[-1] if self.layers else None
        if not isinstance(last, Conv) or last.channels not in (1, 2):
            raise ValueError(
                "the last layer is a convolution to 1 (real image) or 2 (complex image) "
                f"channels; got {last}"
            )

    @property
    def upsampling_factor(self) -> Fraction:
        """Output pixels per input pixel and axis; below 1 for a network that shrinks."""
        return _factor(self.layers)

    @property
    def complex_image(self) -> bool:
        """Whether the output is a complex image (two channels)."""
        last = self.layers[-1]
        return isinstance(last, Conv) and last.channels == 2

    def image_space(self, z: Float[Any, "*pixels channels"]) -> Space:
        """Space of the images that the network makes of an input like ``z``."""
        return Space(output_shape(self.layers, z.shape[:-1]), self.complex_image)

    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> modules.Network:
        """The finite Flax NNX network for inputs like ``z``, freshly initialised."""
        require_input(z)
        output_shape(self.layers, z.shape[:-1])
        return modules.Network(
            self.layers,
            ntk=self.parameterisation == "ntk",
            spatial_dims=z.ndim - 1,
            channels=z.shape[-1],
            rngs=rngs,
        )

    def init(self, z: Float[Any, "*pixels channels"], *, key: Array) -> nnx.State:
        """Draw parameters.

        Parameters
        ----------
        z
            An input, shape ``(*pixels, channels)``, channels last, 1D or 2D.
        key
            PRNG key.  The same key gives the same parameters.

        Returns
        -------
        Pytree of float32 parameters, for `apply`.

        Raises
        ------
        ValueError
            If ``z`` is not 1D or 2D with channels last.
        """
        return nnx.split(self.module(z, rngs=nnx.Rngs(params=key)))[1]

    def apply(
        self, params: nnx.State, z: Float[Array, "*pixels channels"]
    ) -> Inexact[Array, "..."]:
        """The image ``f_theta(z)``: real, or complex where there are two output channels."""
        return modules.to_image(self.merge(params, z)(z))

    def merge(self, params: nnx.State, z: Float[Any, "*pixels channels"]) -> modules.Network:
        """The Flax module with these parameters, for inputs like ``z``.

        No gradient flows into weights that are not trained.
        """
        return nnx.merge(_graph(self, z.shape), jax.tree.map(_keep, params, is_leaf=_is_variable))


@functools.lru_cache(maxsize=128)
def _graph(net: Architecture, input_shape: tuple[int, ...]) -> nnx.GraphDef:
    """Structure of the module without its arrays: nothing is drawn or allocated."""
    z = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    module = nnx.eval_shape(lambda: net.module(z, rngs=nnx.Rngs(params=jax.random.key(0))))
    return nnx.split(module)[0]


def _is_variable(leaf: Any) -> bool:
    return isinstance(leaf, nnx.Variable)


def _keep(leaf: Any) -> Any:
    return jax.lax.stop_gradient(leaf) if isinstance(leaf, modules.Fixed) else leaf


def _factor(chain: tuple[Layer, ...]) -> Fraction:
    factor = Fraction(1)
    for layer in chain:
        match layer:
            case Conv():
                factor /= layer.stride
            case Upsample():
                factor *= layer.factor
            case AveragePool() | MaxPool():
                factor /= layer.size
            case Residual():
                factor *= _factor(layer.body)
    return factor


def require_input(z: Any) -> None:
    """Raise `ValueError` unless ``z`` is a 1D or 2D network input with channels last."""
    if z.ndim not in (2, 3):
        raise ValueError(
            "a network input has shape (pixels, channels) or (rows, columns, channels); got "
            f"{tuple(z.shape)}. For an image use ntkdip.networks.as_input(image)"
        )
