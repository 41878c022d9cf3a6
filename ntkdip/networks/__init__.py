"""Architectures and the Flax networks they describe.  Knows nothing of operators."""

from ntkdip.networks import layers
from ntkdip.networks.architecture import Architecture
from ntkdip.networks.bridge import StaxPixelKernels, stax_pixel_kernels, to_neural_tangents
from ntkdip.networks.description import FlaxNetwork, ImageNetwork, NetworkWrapper, flax_network
from ntkdip.networks.modules import Convolution, Network, as_input, to_image
from ntkdip.networks.padding import PaddedNetwork, fitted
from ntkdip.networks.presets import (
    autoencoder,
    decoder_input,
    deep_decoder,
    input_shape,
    random_input,
    single_hidden_layer_cnn,
    two_layer_generator,
    wide_cnn,
)
from ntkdip.networks.skip import SKIP_PRESETS, SkipNetwork, skip_network, skip_preset
from ntkdip.networks.unet import UNET_PRESETS, UNet, unet, unet_preset

__all__ = [
    "SKIP_PRESETS",
    "UNET_PRESETS",
    "Architecture",
    "Convolution",
    "FlaxNetwork",
    "ImageNetwork",
    "Network",
    "NetworkWrapper",
    "PaddedNetwork",
    "SkipNetwork",
    "StaxPixelKernels",
    "UNet",
    "as_input",
    "autoencoder",
    "decoder_input",
    "deep_decoder",
    "fitted",
    "flax_network",
    "input_shape",
    "layers",
    "random_input",
    "single_hidden_layer_cnn",
    "skip_network",
    "skip_preset",
    "stax_pixel_kernels",
    "to_image",
    "to_neural_tangents",
    "two_layer_generator",
    "unet",
    "unet_preset",
    "wide_cnn",
]
