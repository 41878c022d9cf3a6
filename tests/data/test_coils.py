"""Simulated coils against loops over pixels, and against the field of a loop on its axis."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip import data


@pytest.mark.parametrize("shape", [(9,), (1,), (8, 8), (5, 7)])
def test_ring_pixel_by_pixel(shape) -> None:
    S = data.ring_sensitivities(shape, coils=6, distance=1.3)
    assert S.shape == (6, *shape)
    assert S.dtype == np.complex128
    rows, columns = (1, *shape)[-2:]
    for j in range(rows):
        for i in range(columns):
            v = np.linspace(-1, 1, rows)[j] if len(shape) == 2 else 0.0
            u = np.linspace(-1, 1, columns)[i]
            angles = np.deg2rad([0, 60, 120, 180, 240, 300])
            coils = 1.3 * np.exp(1j * angles)
            want = np.exp(1j * angles) / abs(u + 1j * v - coils)
            want /= np.sqrt((abs(want) ** 2).sum())
            np.testing.assert_allclose(S.reshape(6, rows, columns)[:, j, i], want, atol=1e-14)


def _loop_field(place: np.ndarray, angle: float, distance: float, radius: float) -> np.ndarray:
    """The Biot-Savart integral in Cartesian coordinates, by brute force."""
    out, along = np.array([np.cos(angle), np.sin(angle), 0]), np.array([0, 0, 1.0])
    across = np.cross(along, out)
    theta = np.linspace(0, 2 * np.pi, 2000, endpoint=False)[:, None]
    wire = distance * out + radius * (np.cos(theta) * across + np.sin(theta) * along)
    element = radius * (-np.sin(theta) * across + np.cos(theta) * along)
    away = place - wire
    return (np.cross(element, away) / np.linalg.norm(away, axis=1)[:, None] ** 3).mean(0)


def test_biot_savart_against_the_integral_in_space() -> None:
    S = data.biot_savart_sensitivities((5, 7), coils=3, distance=1.6, radius=0.6)
    assert S.dtype == np.complex128
    for j, v in enumerate(np.linspace(-1, 1, 5)):
        for i, u in enumerate(np.linspace(-1, 1, 7)):
            fields = np.array(
                [
                    _loop_field(np.array([u, v, 0]), angle, 1.6, 0.6)
                    for angle in np.deg2rad([0, 120, 240])
                ]
            )
            want = fields[:, 0] - 1j * fields[:, 1]
            np.testing.assert_allclose(S[:, j, i], want / np.linalg.norm(want), atol=1e-10)


def test_biot_savart_on_the_axis_of_the_loops() -> None:
    distance, radius = 2.0, 0.7
    S = data.biot_savart_sensitivities((9,), coils=2, distance=distance, radius=radius)
    u = np.linspace(-1, 1, 9)
    near, far = ((radius**2 + (u - side) ** 2) ** -1.5 for side in (distance, -distance))
    np.testing.assert_allclose(S[0] / S[1], -near / far, rtol=1e-12)


@pytest.mark.parametrize("make", [data.ring_sensitivities, data.biot_savart_sensitivities])
def test_unit_root_sum_of_squares(make) -> None:
    S = make((6, 7), 5)
    np.testing.assert_allclose((abs(S) ** 2).sum(0), 1, atol=1e-14)


@pytest.mark.parametrize("make", [data.ring_sensitivities, data.biot_savart_sensitivities])
def test_impossible_rings_are_refused(make) -> None:
    for shape in [(2, 2, 2), (4, 0), ()]:
        with pytest.raises(ValueError, match="1D or 2D, with at least one pixel along each"):
            make(shape)
    with pytest.raises(ValueError, match="at least one coil; got coils=0"):
        make((4, 4), coils=0)
    for distance in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive number of half fields of view"):
            make((4, 4), distance=distance)


def test_coils_on_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"coil 0 of 4 lies on pixel \(2, 4\) at distance 1"):
        data.ring_sensitivities((5, 5), coils=4, distance=1.0)
    with pytest.raises(ValueError, match=r"a wire passes a pixel at 0\.1 half fields of view"):
        data.biot_savart_sensitivities((5, 5), coils=1, distance=1.1, radius=1.0)
    with pytest.raises(ValueError, match="radius is a positive number"):
        data.biot_savart_sensitivities((4, 4), radius=0.0)
