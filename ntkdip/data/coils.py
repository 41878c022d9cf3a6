"""Simulated receiver coils around an image, with unit root-sum-of-squares at every pixel."""

from __future__ import annotations

import numpy as np
from jaxtyping import Complex128, Float64

SEGMENTS = 48
# In radii of the loop, from wire to pixel: the sum over segments is then right to 1e-4.
CLEARANCE = 0.2


def ring_sensitivities(
    shape: tuple[int, ...], coils: int = 8, distance: float = 1.05
) -> Complex128[np.ndarray, "coils ..."]:
    """Sensitivities of point-like coils on a ring around the image.

    No physics beyond a decay with distance.  With ``u`` the column and ``v`` the row
    coordinate, each from -1 to 1 (``v = 0`` for a 1D image), coil ``c`` sits at
    ``(u, v) = distance (cos phi_c, sin phi_c)``, ``phi_c = 2 pi c / coils``, and ``S_c`` is
    proportional to ``exp(i phi_c) / d_c``, ``d_c`` the distance from the pixel to the coil.
    Source: ours.

    Parameters
    ----------
    shape
        Shape of the image, 1D or 2D.
    coils
        Number of coils, at least 1.
    distance
        Radius of the ring in half fields of view, above 0.  Below ``sqrt(2)`` the ring passes
        through the corners of a square image, where the pixels next to a coil are seen by
        hardly any other.

    Returns
    -------
    ``(coils, *shape)`` complex128, dimensionless.

    Raises
    ------
    ValueError
        If the shape is neither 1D nor 2D or has no pixel, ``coils`` is below 1, ``distance``
        is not a positive number, or a coil lies on a pixel, where ``1 / d_c`` is infinite.
    """
    u, v, phi = _ring(shape, coils, distance)
    d = np.hypot(u - distance * np.cos(phi), v - distance * np.sin(phi))
    if d.min() < 1e-12:
        coil, *pixel = (int(i) for i in np.unravel_index(d.argmin(), d.shape))
        raise ValueError(
            f"coil {coil} of {coils} lies on pixel {tuple(pixel)} at distance {distance}, where "
            "its sensitivity is infinite; move the ring outwards, distance=1.5 for instance"
        )
    decay = 1 / d
    return np.exp(1j * phi) * decay / np.linalg.norm(decay, axis=0)


def biot_savart_sensitivities(
    shape: tuple[int, ...], coils: int = 8, *, distance: float = 1.5, radius: float = 0.5
) -> Complex128[np.ndarray, "coils ..."]:
    """Sensitivities of circular loops that stand around the image, by the law of Biot and Savart.

    The centres lie as in `ring_sensitivities`; each loop's axis points to the middle of the
    image, which is the plane through all centres.  ``S_c`` is ``B_x - i B_y`` of a unit current
    (quasi-static, without the body's own currents), summed over 48 segments of the wire; the
    error falls exponentially with the distance from the wire.
    Source: Roemer et al., Magn. Reson. Med. 16, 1990 (reciprocity; loops as receivers).

    Parameters
    ----------
    shape
        Shape of the image, 1D or 2D.
    coils
        Number of loops, at least 1.
    distance, radius
        From the middle of the image to the middle of a loop, and of a loop's wire, in half
        fields of view, above 0.

    Returns
    -------
    ``(coils, *shape)`` complex128, dimensionless: ``sum_c |S_c|^2 = 1`` at every pixel.  Costs
    24 passes over ``coils * pixels`` numbers.

    Raises
    ------
    ValueError
        As `ring_sensitivities`, or if a wire passes a pixel at less than a fifth of its radius.
    """
    u, v, phi = _ring(shape, coils, distance)
    if not (np.isfinite(radius) and radius > 0):
        raise ValueError(f"radius is a positive number of half fields of view; got {radius}")
    radial = u * np.cos(phi) + v * np.sin(phi) - distance
    tangential = v * np.cos(phi) - u * np.sin(phi)
    nearest = float(np.hypot(radial, np.abs(tangential) - radius).min())
    if nearest < CLEARANCE * radius:
        raise ValueError(
            f"with distance={distance} and radius={radius} a wire passes a pixel at "
            f"{nearest:.3g} half fields of view, too near for its field to be summed; move the "
            "loops outwards, or make them smaller"
        )
    field = np.zeros(radial.shape, np.complex128)
    # Mirrored in the plane of the image, the other half of the wire gives the same.
    for theta in (np.arange(SEGMENTS // 2) + 0.5) * (2 * np.pi / SEGMENTS):
        across = radius * np.cos(theta)
        squared = radial**2 + (tangential - across) ** 2 + (radius * np.sin(theta)) ** 2
        field += (radius**2 - across * tangential + 1j * across * radial) / squared**1.5
    field = np.conj(field * np.exp(1j * phi))
    return field / np.linalg.norm(field, axis=0)


def _ring(
    shape: tuple[int, ...], coils: int, distance: float
) -> tuple[Float64[np.ndarray, "..."], Float64[np.ndarray, "..."], Float64[np.ndarray, "..."]]:
    """Column and row coordinate of every pixel, and the angle of every coil (coils first)."""
    if len(shape) not in (1, 2) or min(shape) < 1:
        raise ValueError(
            f"an image inside a ring of coils is 1D or 2D, with at least one pixel along each "
            f"axis; got shape {tuple(shape)}"
        )
    if coils < 1:
        raise ValueError(f"a ring has at least one coil; got coils={coils}")
    if not (np.isfinite(distance) and distance > 0):
        raise ValueError(
            f"distance is a positive number of half fields of view, 1.05 for instance; "
            f"got {distance}"
        )
    u = np.linspace(-1.0, 1.0, shape[-1])
    v = np.linspace(-1.0, 1.0, shape[0])[:, None] if len(shape) == 2 else np.zeros(())
    phi = (2 * np.pi * np.arange(coils) / coils).reshape(-1, *(1 for _ in shape))
    return u, v, phi
