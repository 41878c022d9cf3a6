"""One frozen description of an architecture, from which every view of it is built."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction
from typing import Any, Literal

from flax import nnx
from jaxtyping import Float

from ntkdip.networks import modules
from ntkdip.networks.description import Accelerated, ImageNetwork, require_input
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
class Architecture(ImageNetwork):
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
        return _factors(self.layers)[-1]

    @property
    def complex_image(self) -> bool:
        """Whether the output is a complex image (two channels)."""
        last = self.layers[-1]
        return isinstance(last, Conv) and last.channels == 2

    @property
    def side_multiple(self) -> int:
        """The sides of its images are multiples of this: then no layer meets half a pixel."""
        sizes = [Fraction(1), *_factors(self.layers)]
        return math.lcm(*((size / sizes[-1]).denominator for size in sizes))

    @property
    def input_interval(self) -> tuple[float, float]:
        """Mean 0 and variance 1: images would shrink with the input where nothing normalises."""
        return -math.sqrt(3.0), math.sqrt(3.0)

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

    def for_training(self) -> Accelerated:
        """The same network as trained; `ImageNetwork.for_training`."""
        return Accelerated(self)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Pixels of the input from which it makes images of ``shape``.

        Raises
        ------
        ValueError
            If there are none; the message names a size near that there is.
        """
        factor = self.upsampling_factor
        if any(n % factor for n in shape):
            nearest = " x ".join(str(max(round(n / factor), 1) * factor) for n in shape)
            raise ValueError(
                f"image shape {tuple(shape)} is no multiple of {factor}, the upsampling of "
                f"{self.name}; use {nearest}, or fewer blocks"
            )
        found = tuple(int(n / factor) for n in shape)
        made = output_shape(self.layers, found)
        if made != tuple(shape):
            raise ValueError(
                f"{self.name} makes an image of {made}, not {tuple(shape)}, of an input of "
                f"{found}; use that size, or fewer levels"
            )
        return found


def _factors(chain: tuple[Layer, ...], start: Fraction = Fraction(1)) -> list[Fraction]:
    """Pixels per input pixel and axis after every layer of a chain, first to last."""
    found = []
    for layer in chain:
        match layer:
            case Conv():
                start /= layer.stride
            case Upsample():
                start *= layer.factor
            case AveragePool() | MaxPool():
                start /= layer.size
            case Residual():
                # A shortcut ends where the body ends, which then is the last of both.
                found += [*_factors(layer.shortcut, start), *_factors(layer.body, start)]
                start = found[-1] if layer.body else start
        found.append(start)
    return found
