"""The layer vocabulary: frozen descriptions that hold no arrays."""

from __future__ import annotations

import dataclasses
from typing import Literal

Padding = Literal["zero", "circular"]
Upsampling = Literal["circular", "half_pixel"]


@dataclasses.dataclass(frozen=True)
class Conv:
    """Convolution without bias: ``channels`` outputs, odd or even size, stride 1.

    ``gain`` is sigma_w^2: the variance of a pre-activation is ``gain`` times the mean
    square of its inputs.
    """

    channels: int
    kernel_size: int = 1
    gain: float = 1.0
    padding: Padding = "zero"


@dataclasses.dataclass(frozen=True)
class ReLU:
    """``max(x, 0)``, pixel by pixel."""


@dataclasses.dataclass(frozen=True)
class Upsample:
    """(Bi)linear upsampling by 2.

    ``circular``: ``u[2i] = v[i]``, ``u[2i+1] = (v[i] + v[i+1]) / 2``, wrapping around.
    ``half_pixel``: pixel centres at half-integers, edges held (image-resize convention).
    """

    convention: Upsampling = "half_pixel"


@dataclasses.dataclass(frozen=True)
class ChannelNorm:
    """Each channel to mean 0 and variance 1 over its pixels, then a trained scale and shift."""

    epsilon: float = 1e-5


Layer = Conv | ReLU | Upsample | ChannelNorm
