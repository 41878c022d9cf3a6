"""Copies of networks for training on CPUs."""

from __future__ import annotations

from typing import TypeVar

from flax import nnx
from jax import lax

from ntkdip.networks.convolution import conv_general_dilated
from ntkdip.networks.doubling import convolve_joined, double
from ntkdip.networks.modules import Upsampling

Net = TypeVar("Net", bound=nnx.Module)


def accelerated(net: Net) -> Net:
    """A copy of a network for training, with the same parameters and, to rounding, outputs.

    Every `flax.nnx.Conv` in it convolves by `conv_general_dilated`.  Every ``half_pixel``
    `Upsampling` by 2 adds shifted images instead of multiplying by a matrix, and a convolution
    of what it makes and a skip is `convolve_joined`.  Reverse mode only: kernels take the
    network itself.
    """
    copy = nnx.clone(net)
    for _, module in nnx.iter_modules(copy):
        if isinstance(module, nnx.Conv) and module.conv_general_dilated is lax.conv_general_dilated:
            module.conv_general_dilated = conv_general_dilated
        elif (
            isinstance(module, Upsampling)
            and module.factor == 2
            and module.convention == "half_pixel"
        ):
            module.interpolate, module.convolve = double, convolve_joined
    return copy
