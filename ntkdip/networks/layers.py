"""The layer vocabulary: frozen descriptions that hold no arrays."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, get_args

Padding = Literal["zero", "circular", "reflect"]
Upsampling = Literal["circular", "half_pixel", "align_corners", "nearest"]


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution: ``channels`` outputs, odd or even size, stride 1 or more.

    ``gain`` is sigma_w^2: the variance of a pre-activation is ``gain`` times the mean
    square of its inputs, plus ``bias_variance`` (0: no bias).  An image of ``n`` pixels
    becomes one of ``ceil(n / stride)``; it is padded as XLA's ``SAME``: where the padding is
    odd, one pixel more at the end.  ``trained=False`` draws the weights and keeps them.
    """

    channels: int
    kernel_size: int = 1
    gain: float = 1.0
    padding: Padding = "zero"
    stride: int = 1
    bias_variance: float = 0.0
    trained: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "kernel_size", "stride"):
            require_at_least(1, **{name: getattr(self, name)})
        require_one_of(Padding, padding=self.padding)
        for name, value in (("gain", self.gain), ("bias_variance", self.bias_variance)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is a variance, finite and at least 0; got {value}")


@dataclasses.dataclass(frozen=True)
class ReLU:
    """``max(x, 0)``, pixel by pixel."""


@dataclasses.dataclass(frozen=True)
class LeakyReLU:
    """``x`` where positive, ``slope * x`` where negative."""

    slope: float = 0.01


@dataclasses.dataclass(frozen=True)
class Abs:
    """``|x|``."""


@dataclasses.dataclass(frozen=True)
class Erf:
    """The error function."""


@dataclasses.dataclass(frozen=True)
class Sine:
    """``sin(frequency * x + phase)``; the phase in radians."""

    frequency: float = 1.0
    phase: float = 0.0


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """``exp(-rate * x^2)``, ``rate`` at least 0."""

    rate: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.rate < math.inf:
            raise ValueError(f"rate of a Gaussian is finite and at least 0; got {self.rate}")


@dataclasses.dataclass(frozen=True)
class Upsample:
    """Upsampling by a whole ``factor`` f, along every axis.

    ``circular``: linear, ``u[f i + r] = ((f - r) v[i] + r v[i+1]) / f``, wrapping around.
    ``half_pixel``: linear, pixel centres at half-integers, edges held (image-resize
    convention).  ``align_corners``: linear, first and last pixel stay in place.
    ``nearest``: every pixel repeated.
    """

    convention: Upsampling = "half_pixel"
    factor: int = 2

    def __post_init__(self) -> None:
        require_one_of(Upsampling, convention=self.convention)
        require_at_least(1, factor=self.factor)


@dataclasses.dataclass(frozen=True)
class AveragePool:
    """Mean over blocks of ``size`` pixels an axis, which must divide the image."""

    size: int = 2

    def __post_init__(self) -> None:
        require_at_least(1, size=self.size)


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """Largest value of blocks of ``size`` pixels an axis, which must divide the image."""

    size: int = 2

    def __post_init__(self) -> None:
        require_at_least(1, size=self.size)


@dataclasses.dataclass(frozen=True)
class Residual:
    """``body(x) + shortcut(x)``; an empty shortcut is the identity."""

    body: tuple[Layer, ...]
    shortcut: tuple[Layer, ...] = ()


@dataclasses.dataclass(frozen=True)
class LayerNorm:
    """Each pixel to mean 0 and variance 1 over its channels; nothing is trained."""

    epsilon: float = 1e-6


@dataclasses.dataclass(frozen=True)
class ChannelNorm:
    """Each channel to mean 0 and variance 1 over its pixels, then a trained scale and shift."""

    epsilon: float = 1e-5


Activation = ReLU | LeakyReLU | Abs | Erf | Sine | Gaussian
Resampling = Upsample | AveragePool
Layer = Conv | Activation | Resampling | MaxPool | Residual | LayerNorm | ChannelNorm


def output_shape(chain: tuple[Layer, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Pixels that a chain makes of an image of ``shape``.

    Raises
    ------
    ValueError
        If a layer does not fit: what it asks for, and the size that it meets.
    """
    for layer in chain:
        shape = _step(layer, shape)
    return shape


def output_channels(chain: tuple[Layer, ...], channels: int) -> int:
    """Channels that a chain makes of ``channels``."""
    for layer in chain:
        if isinstance(layer, Conv):
            channels = layer.channels
        elif isinstance(layer, Residual):
            channels = output_channels(layer.body, channels)
    return channels


def _step(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    match layer:
        case Conv():
            for n in shape:
                before, after = same_padding(n, layer.kernel_size, layer.stride)
                if layer.padding == "reflect" and max(before, after) >= n:
                    raise ValueError(
                        f"reflecting takes more pixels than it adds; {layer} meets a side of "
                        f"{n}. Use a smaller kernel, or circular padding"
                    )
            return tuple(-(-n // layer.stride) for n in shape)
        case Upsample():
            return tuple(layer.factor * n for n in shape)
        case AveragePool() | MaxPool():
            if any(n % layer.size for n in shape):
                raise ValueError(
                    f"{layer} needs sides that are multiples of {layer.size}; it meets "
                    f"{shape}. Crop or pad the input"
                )
            return tuple(n // layer.size for n in shape)
        case Residual():
            body, shortcut = (output_shape(c, shape) for c in (layer.body, layer.shortcut))
            if body != shortcut:
                raise ValueError(
                    f"the branches of a residual block make images of {body} and {shortcut}; "
                    "a sum needs the same (use a shortcut with the same strides)"
                )
            return body
    return shape


def same_padding(n: int, kernel_size: int, stride: int) -> tuple[int, int]:
    """Pixels added before and after a side of ``n``, as XLA's ``SAME`` does."""
    total = max((-(-n // stride) - 1) * stride + kernel_size - n, 0)
    return total // 2, total - total // 2


def require_at_least(least: int, **values: int) -> None:
    """Raise `ValueError` naming the first value below ``least``."""
    for name, value in values.items():
        if value < least:
            raise ValueError(f"{name} must be at least {least}; got {value}")


def require_one_of(choices: object, **values: str) -> None:
    """Raise `ValueError` naming the first value that is none of a `Literal`'s."""
    for name, value in values.items():
        if value not in get_args(choices):
            raise ValueError(f"{name} is one of {', '.join(get_args(choices))}; got {value!r}")
