"""What studies can be asked to run; imports nothing heavy, so that ``--help`` is quick."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

WIDTH_PRESETS = {
    "smoke": {"1D": {16: 1, 32: 1}, "2D": {8: 1, 16: 1}},
    "quick": {"1D": {32: 4, 64: 4, 128: 4, 256: 3}, "2D": {32: 3, 64: 3, 128: 2, 256: 2}},
    "full": {
        "1D": {32: 8, 64: 8, 128: 8, 256: 4, 512: 4, 1024: 2, 2048: 1},
        "2D": {32: 8, 64: 8, 128: 8, 256: 4, 512: 4},
    },
}
"""Seeds for each width of each problem, by preset of the width study."""

STOPPING_PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {"sigmas": (0.1,), "size": 16},
    "quick": {"sigmas": (0.02, 0.1, 0.5), "size": 32},
    "full": {"sigmas": (0.01, 0.02, 0.05, 0.1, 0.2, 0.5), "size": 48},
}
"""Noise levels and pixels a side of the study of stopping rules, by preset."""


@dataclasses.dataclass(frozen=True)
class JointConfiguration:
    """What the study of joint dynamics trains."""

    width: int = 256
    """Channels of the WCNN."""
    seeds: int = 1
    """Networks of each activation."""
    activations: tuple[str, ...] = ("ReLU", "Erf")
    """Of the WCNN: with kinks, or smooth."""
    input_rates: tuple[float, ...] = (10.0, 100.0, 300.0)
    """Learning rates of the input relative to that of the weights."""
    steps: int = 256
    """Iterations of gradient descent."""
    step_share: float = 0.02
    """``eta lambda_max(A W_theta A*)``: small, so that the first movements are small too."""


JOINT_PRESETS = {
    "smoke": JointConfiguration(width=32, input_rates=(10.0, 100.0), steps=32),
    "quick": JointConfiguration(),
    "full": JointConfiguration(
        width=512, seeds=3, input_rates=(1.0, 10.0, 30.0, 100.0, 300.0, 1000.0), steps=512
    ),
}
"""Presets of the study of joint dynamics."""


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
