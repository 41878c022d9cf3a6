"""Architectures and the Flax networks they describe.  Knows nothing of operators."""

from ntkdip.networks.architecture import Architecture
from ntkdip.networks.modules import Convolution, Network, as_input, to_image
from ntkdip.networks.presets import decoder_input, deep_decoder, input_shape, wide_cnn
from ntkdip.networks.unet import UNet

__all__ = [
    "Architecture",
    "Convolution",
    "Network",
    "UNet",
    "as_input",
    "decoder_input",
    "deep_decoder",
    "input_shape",
    "to_image",
    "wide_cnn",
]
