"""Bands of spatial frequency: rings of k-space between two radii."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from ntkdip.spaces import require_finite
from ntkdip.spectrum import frequency_radius

BandEdges = int | Sequence[float] | np.ndarray
"""Number of bands of equal width, or their rising edges in cycles a field of view."""


class Bands(NamedTuple):
    """Edges (B + 1,), in cycles a field of view, and who is in which band.

    ``members`` (B, q): over centred frequencies in C order.  A band has its lower edge, the
    last has both.
    """

    edges: Float64[np.ndarray, " edges"]
    members: Bool[np.ndarray, "B q"]

    def sums(self, maps: Float64[np.ndarray, "*T q"]) -> Float64[np.ndarray, "*T B"]:
        """Sum of maps over k-space, ``(..., q)``, on every band."""
        return maps @ self.members.T


def radial_bands(shape: tuple[int, ...], bands: BandEdges) -> Bands:
    """Bands of frequency radii for images of a shape.

    Raises
    ------
    ValueError
        If there is no band, or edges are not finite or do not rise.
    """
    radius = np.fft.fftshift(frequency_radius(shape)).ravel()
    if isinstance(bands, int):
        if bands < 1:
            raise ValueError(f"at least one band is needed; got {bands}")
        edges = np.linspace(0.0, radius.max(), bands + 1)
    else:
        edges = np.asarray(bands, np.float64)
        require_finite(edges, "edges of bands")
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ValueError(f"edges of bands rise, and are at least two; got {edges}")
    members = (radius >= edges[:-1, None]) & (radius < edges[1:, None])
    members[-1] |= radius == edges[-1]
    return Bands(edges, members)
