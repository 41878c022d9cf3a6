"""Architectures and the Flax networks they describe.  Knows nothing of operators."""

from ntkdip.networks import layers
from ntkdip.networks.architecture import Architecture
from ntkdip.networks.bridge import StaxPixelKernels, stax_pixel_kernels, to_neural_tangents
from ntkdip.networks.modules import Convolution, Network, as_input, to_image
from ntkdip.networks.presets import (
    autoencoder,
    decoder_input,
    deep_decoder,
    input_shape,
    single_hidden_layer_cnn,
    two_layer_generator,
    wide_cnn,
)
from ntkdip.networks.unet import UNet

__all__ = [
    "Architecture",
    "Convolution",
    "Network",
    "StaxPixelKernels",
    "UNet",
    "as_input",
    "autoencoder",
    "decoder_input",
    "deep_decoder",
    "input_shape",
    "layers",
    "single_hidden_layer_cnn",
    "stax_pixel_kernels",
    "to_image",
    "to_neural_tangents",
    "two_layer_generator",
    "wide_cnn",
]
