"""Small reconstruction problems that several files train on."""

from __future__ import annotations

import jax
import numpy as np

from ntkdip import data, networks, operators, training

KEY = jax.random.key(0)
SIGMA = 0.01


def mri(size: int = 16, coils: int = 3):
    """``(net, A, y, truth)``: a slice, several coils, a narrow U-Net."""
    truth = data.mri_slice(size).astype(np.complex64)
    mask = operators.masks.random_lines(truth.shape, 2, seed=0)
    A = operators.multi_coil_fourier(mask, data.ring_sensitivities(truth.shape, coils))
    y = data.add_noise(np.asarray(A(truth)), sigma=SIGMA, seed=0)
    return networks.unet((4, 4)), A, y, truth


def inpainting(size: int = 16):
    """``(net, A, y, truth)``: half the pixels of a real image."""
    truth = np.abs(data.mri_slice(size)).astype(np.float32)
    A = operators.pixel_mask(operators.masks.random_pixels(truth.shape, 0.5, seed=0))
    return networks.unet((4, 4), complex_image=False), A, np.asarray(A(truth)), truth


def network_for(method: training.Method, net):
    """A network that the method can use: a Deep Decoder is narrow."""
    if isinstance(method, training.DeepDecoder):
        return networks.deep_decoder(4, 2, complex_image=net.complex_image)
    return net
