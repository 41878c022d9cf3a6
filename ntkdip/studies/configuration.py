"""What studies can be asked to run; imports nothing heavy, so that ``--help`` is quick."""

from __future__ import annotations

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class DemoConfiguration:
    """Everything that decides the demo's numbers."""

    size: int = 40
    """Pixels a side; a multiple of 2**decoder_blocks."""
    acceleration: float = 4.0
    """All k-space lines over sampled ones."""
    steps: int = 1500
    """Iterations of training."""
    seed: int = 0
    """Of mask, inputs, parameters and checks."""
    decoder_width: int = 128
    """Channels of the Deep Decoder."""
    decoder_blocks: int = 3
    """Upsamplings of the Deep Decoder."""
    wcnn_width: int = 48
    """Channels of the WCNN."""
    wcnn_depth: int = 4
    """Convolutions of the WCNN."""
    wcnn_kernel_size: int = 3
    """Size of the WCNN's convolutions."""


@dataclasses.dataclass(frozen=True)
class KernelConfiguration:
    """Which kernel ``ntkdip kernel`` takes."""

    network: Literal["wcnn", "decoder"] = "wcnn"
    """Architecture: wide CNN, or Deep Decoder."""
    shape: tuple[int, ...] = (32, 32)
    """Pixels of the image along one or two axes."""
    width: int = 64
    """Channels."""
    depth: int = 4
    """Convolutions of the WCNN, or upsamplings of the Deep Decoder."""
    kernel_size: int = 3
    """Size of the WCNN's convolutions."""
    channels: int = 2
    """Random input channels of the WCNN; the Deep Decoder gets as many as its width."""
    real: bool = False
    """Make real images instead of complex ones."""
    seed: int = 0
    """Of parameters and input."""
