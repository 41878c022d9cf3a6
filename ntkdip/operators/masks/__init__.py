"""Masks: boolean arrays, ``True`` where something is measured, that know their acceleration.

Sampling masks have the zero frequency at index ``n // 2`` of each axis.  Everything is made
on the host by NumPy; what is random comes from an explicit seed, so the same arguments give
the same mask.
"""

from ntkdip.operators.masks.density import poisson_disc, variable_density
from ntkdip.operators.masks.lines import (
    equispaced_lines,
    random_conjugate_pairs,
    random_lines,
    variable_density_lines,
)
from ntkdip.operators.masks.mask import Mask, checked_mask
from ntkdip.operators.masks.pixels import blocks, random_pixels, text_overlay
from ntkdip.operators.masks.trajectories import radial, spiral

__all__ = [
    "Mask",
    "blocks",
    "checked_mask",
    "equispaced_lines",
    "poisson_disc",
    "radial",
    "random_conjugate_pairs",
    "random_lines",
    "random_pixels",
    "spiral",
    "text_overlay",
    "variable_density",
    "variable_density_lines",
]
