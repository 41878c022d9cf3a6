"""What the U-Net and the skip network are built of."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import jax
from flax import nnx
from jaxtyping import Array, Float

from ntkdip.networks.drawing import initialiser
from ntkdip.networks.layers import ChannelNorm, LeakyReLU, Padding, ReLU, require_one_of
from ntkdip.networks.modules import ChannelNormalisation, Pointwise

_PADDING = {"circular": "CIRCULAR", "reflect": "REFLECT"}

Downsampling = Literal["average", "max", "strided"]
Size = Literal["small", "medium", "paper"]


@dataclasses.dataclass(frozen=True)
class Style:
    """What all blocks of a network have in common.

    ``slope``: of the activation where negative (0: ReLU).  ``gain``: weights have variance
    ``gain / fan_in`` (2: He), unless ``deviation`` gives their standard deviation.
    """

    spatial_dims: int
    normalisation: bool = True
    padding: Padding = "zero"
    slope: float = 0.0
    gain: float = 2.0
    deviation: float | None = None

    def __post_init__(self) -> None:
        if self.spatial_dims not in (1, 2):
            raise ValueError(f"spatial_dims must be 1 or 2; got {self.spatial_dims}")
        require_one_of(Padding, padding=self.padding)
        for name in ("gain", "deviation"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} of the weights must be positive and finite; got {value}")

    def initialiser(self) -> jax.nn.initializers.Initializer:
        """Distribution of the weights."""
        if self.deviation is not None:
            return initialiser(nnx.initializers.normal, self.deviation)
        kind = nnx.initializers.variance_scaling
        return initialiser(kind, self.gain, "fan_in", "truncated_normal")

    def convolution(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        bias: bool | None = None,
        rngs: nnx.Rngs,
    ) -> nnx.Conv:
        """A convolution, padded by ``(k - 1) // 2`` pixels before a side and ``k // 2`` after.

        An image of ``n`` pixels becomes one of ``ceil(n / stride)``.  ``bias`` None: only
        without normalisation, which would remove it.
        """
        size = (kernel_size,) * self.spatial_dims
        around = ((kernel_size - 1) // 2, kernel_size // 2)
        return nnx.Conv(
            in_channels,
            channels,
            kernel_size=size,
            strides=(stride,) * self.spatial_dims,
            padding=_PADDING.get(self.padding, (around,) * self.spatial_dims),
            use_bias=not self.normalisation if bias is None else bias,
            kernel_init=self.initialiser(),
            rngs=rngs,
        )

    def norm(self, channels: int) -> ChannelNormalisation | None:
        """Channel normalisation, or None where there is none."""
        return ChannelNormalisation(ChannelNorm(), channels) if self.normalisation else None


class ConvolutionBlock(nnx.Module):
    """Convolution, channel normalisation (or a bias instead) and (leaky) ReLU.

    A normalisation removes each channel's mean, so a bias before it would change nothing.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        style: Style,
        rngs: nnx.Rngs,
    ):
        self.conv = style.convolution(in_channels, channels, kernel_size, stride=stride, rngs=rngs)
        self.norm = style.norm(channels)
        self.relu = Pointwise(LeakyReLU(style.slope) if style.slope else ReLU())

    def __call__(self, x: Float[Array, "*pixels cin"]) -> Float[Array, "*strided cout"]:
        return self.activate(self.conv(x))

    def activate(self, y: Float[Array, "*pixels cout"]) -> Float[Array, "*pixels cout"]:
        """What follows the convolution."""
        return self.relu(y if self.norm is None else self.norm(y))
