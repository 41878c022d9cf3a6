"""PyTorch's side of the family ``training``.  Runs under a Python with PyTorch and NumPy only."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LAYOUTS = ("contiguous", "channels_last")
"""Memory formats."""

Step = Callable[[], float]


class Block(nn.Module):
    """3x3 convolution, normalisation of each channel over its pixels, ReLU."""

    def __init__(self, before: int, after: int, epsilon: float):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.scale, self.shift = nn.Parameter(torch.ones(after)), nn.Parameter(torch.zeros(after))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        y = functional.batch_norm(
            y, None, None, self.scale, self.shift, training=True, eps=self.epsilon
        )
        return functional.relu(y)


class UNet(nn.Module):
    """`ntkdip.networks.UNet` with its default settings: average pooling, zero padding."""

    def __init__(self, channels: list[int], inputs: int, outputs: int, epsilon: float):
        super().__init__()

        def blocks(*widths: int) -> nn.ModuleList:
            pairs = itertools.pairwise(widths)
            return nn.ModuleList(Block(a, b, epsilon) for a, b in pairs)

        pairs = list(itertools.pairwise(channels))
        first = blocks(inputs, channels[0], channels[0])
        self.down = nn.ModuleList([first, *(blocks(a, b, b) for a, b in pairs)])
        self.up = nn.ModuleList(blocks(a + b, a, a) for a, b in reversed(pairs))
        self.head = nn.Conv2d(channels[0], outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for level, blocks in enumerate(self.down):
            if level:
                skips.append(x)
                x = functional.avg_pool2d(x, 2)
            for block in blocks:
                x = block(x)
        for blocks in self.up:
            larger = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = torch.cat([skips.pop(), larger], 1)
            for block in blocks:
                x = block(x)
        return self.head(x)


def describe() -> dict[str, Any]:
    """Version and layouts, and whether deepinv is there too."""
    try:
        import deepinv
    except ModuleNotFoundError:
        return {"version": f"PyTorch {torch.__version__}", "layouts": LAYOUTS, "deepinv": None}
    version = f"deepinv {deepinv.__version__}"
    return {"version": f"PyTorch {torch.__version__}", "layouts": LAYOUTS, "deepinv": version}


def stepper(folder: Path, layout: str, threads: int) -> Step:
    """One step of Adam on the exported problem; returns the loss before it."""
    torch.set_num_threads(threads)
    about = json.loads((folder / "training.json").read_text())
    net = UNet(about["channels"], about["inputs"], about["outputs"], about["epsilon"])
    with np.load(folder / "training.npz") as arrays:
        z, target = (_image(arrays[name]) for name in ("z", "target"))
        with torch.no_grad():
            _load(net, {name: arrays[name] for name in arrays.files})
    if layout == "channels_last":
        net = net.to(memory_format=torch.channels_last)
        z, target = (x.contiguous(memory_format=torch.channels_last) for x in (z, target))
    optimiser = torch.optim.Adam(net.parameters(), lr=about["rate"])

    def step() -> float:
        optimiser.zero_grad()
        loss = ((net(z) - target) ** 2).mean()
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def _image(x: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 0)[None]))


def _load(net: UNet, arrays: dict[str, np.ndarray]) -> None:
    """Flax's parameters, by Flax's names."""

    def kernel(name: str) -> torch.Tensor:
        return torch.from_numpy(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1).copy())

    for side in ("down", "up"):
        for i, blocks in enumerate(getattr(net, side)):
            for j, block in enumerate(blocks):
                name = f"{side}/{i}/{j}"
                block.conv.weight.copy_(kernel(f"{name}/conv"))
                for which in ("scale", "shift"):
                    values = arrays[f"{name}/norm/{which}"]
                    getattr(block, which).copy_(torch.from_numpy(values))
    net.head.weight.copy_(kernel("head"))
    net.head.bias.copy_(torch.from_numpy(arrays["head/bias"]))


def deep_image_prior(folder: Path, threads: int, steps: int = 10) -> dict[str, Any]:
    """deepinv's `DeepImagePrior` with the network of its examples: seconds a step.

    Denoising, 128 channels, so the operator costs nothing.  The first call warms up.
    """
    import deepinv

    torch.set_num_threads(threads)
    with np.load(folder / "training.npz") as arrays:
        target = _image(arrays["target"])
    size = tuple(target.shape[1:])
    net = deepinv.models.ConvDecoder(img_size=size, in_size=(16, 16), layers=4, channels=128)
    physics = deepinv.physics.Denoising()

    def run(iterations: int) -> float:
        start = time.perf_counter()
        prior = deepinv.models.DeepImagePrior(net, (128, 16, 16), iterations, 5e-3)
        prior(target, physics)
        return time.perf_counter() - start

    run(2)
    seconds = run(steps) / (steps + 1 / 3)  # a forward pass at the end
    return {"seconds": seconds, "parameters": sum(p.numel() for p in net.parameters())}
