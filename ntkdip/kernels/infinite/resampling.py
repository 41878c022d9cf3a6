"""Layers without parameters that mix pixels, as one matrix an axis."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from ntkdip.networks import layers


def resampling_matrix(layer: layers.Resampling, n: int) -> Float64[np.ndarray, "m n"]:
    """What a layer does along one axis of ``n`` pixels."""
    if isinstance(layer, layers.AveragePool):
        return np.repeat(np.eye(n // layer.size), layer.size, axis=1) / layer.size
    f = layer.factor
    if layer.convention == "nearest":
        return np.repeat(np.eye(n), f, axis=0)
    pixels = np.arange(f * n, dtype=np.float64)
    if layer.convention == "circular":
        places = pixels / f
    elif layer.convention == "half_pixel":
        places = np.clip((pixels + 0.5) / f - 0.5, 0, n - 1)
    else:
        places = pixels * ((n - 1) / max(f * n - 1, 1))
    left = np.floor(places).astype(int)
    share = places - left
    right = (left + 1) % n if layer.convention == "circular" else np.minimum(left + 1, n - 1)
    matrix = np.zeros((f * n, n))
    rows = np.arange(f * n)
    np.add.at(matrix, (rows, left), 1 - share)
    np.add.at(matrix, (rows, right), share)
    return matrix
