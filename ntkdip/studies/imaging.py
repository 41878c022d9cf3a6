"""Problems with a known truth: undersampled slices and damaged photographs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

from ntkdip import baselines, data, operators, training
from ntkdip.data.records import LUMA
from ntkdip.data.samples import Photograph

DISCREPANCY = 1.05
"""Residual over the noise at which a run is stopped; from 1 to 1.05 little changes (two masks)."""


SPOT = 3
"""Side in pixels of the spot that a slice can be given."""


@dataclasses.dataclass(frozen=True, eq=False)
class Built:
    """A problem ready to be solved.

    Attributes
    ----------
    truth
        Image of maximum 1; only measured against.
    A, y
        Operator and data.
    make_reference
        Gives the reference.
    noise_norm
        Expected norm of the noise; None without any.
    """

    truth: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray
    make_reference: Callable[[], np.ndarray]
    noise_norm: float | None

    @functools.cached_property
    def reference(self) -> np.ndarray:
        """An image of the same subject that may help: another contrast, or an interpolation."""
        return self.make_reference()

    @property
    def rules(self) -> list[training.StoppingRule]:
        """When to stop: without and, where there is noise, with knowledge of its level."""
        found: list[training.StoppingRule] = [training.WindowedVariance()]
        if self.noise_norm is not None:
            found.append(training.Discrepancy(self.noise_norm, factor=DISCREPANCY))
        return found


@dataclasses.dataclass(frozen=True)
class Mri:
    """A slice seen by coils on a ring, 1D undersampled as the paper's authors do.

    Coils have ``S_c ~ exp(i phi_c) / d_c`` and unit root-sum-of-squares.
    """

    size: int = 128
    """Pixels a side."""
    acceleration: float = 4.0
    """All lines over sampled ones."""
    seed: int = 0
    """Of lines, and of noise unless that has its own."""
    coils: int = 8
    """On a ring of radius ``distance`` half-fields-of-view."""
    distance: float = 1.05
    """Of the coils from the centre."""
    sigma: float = 0.01
    """Noise a sample of k-space; the image's maximum is 1."""
    brain: int | None = None
    """Slice of `ntkdip.data.brain_slice`; None: `ntkdip.data.mri_slice`, another head."""

    noise_seed: int | None = None
    """Of the noise alone."""
    spot: float = 0.0
    """Magnitude added to the truth in a square of `SPOT` pixels a side, in tissue."""

    @property
    def subject(self) -> str:
        """What is scanned."""
        return "head" if self.brain is None else f"brain {self.brain}"

    @property
    def name(self) -> str:
        """Subject, size and acceleration."""
        return f"{self.subject}, {self.size}², {self.acceleration:g}x"

    @property
    def inside(self) -> np.ndarray:
        """Where the spot is, or would be: ``(size, size)`` booleans."""
        first = round(0.4 * self.size)
        rows, columns = np.indices((self.size, self.size))
        return (abs(rows - first - 1) <= SPOT // 2) & (abs(columns - first - 1) <= SPOT // 2)

    def build(self) -> Built:
        """Truth, operator and data."""
        if self.brain is None:
            truth = data.mri_slice(self.size)
        else:
            truth = data.brain_slice(self.brain, self.size)
        truth = truth + self.spot * self.inside * np.exp(1j * np.angle(truth))
        maps = data.ring_sensitivities(truth.shape, self.coils, distance=self.distance)
        mask = lines(truth.shape, self.acceleration, self.seed)
        A = operators.multi_coil_fourier(mask, maps)
        clean = np.asarray(A(truth.astype(np.complex64)))
        seed = self.seed if self.noise_seed is None else self.noise_seed
        y, norm = _noisy(clean, self.sigma, seed)
        return Built(truth, A, y, functools.partial(another_contrast, truth), norm)


@dataclasses.dataclass(frozen=True)
class Inpainting:
    """A photograph of which a share of the pixels is known."""

    photograph: Photograph = "camera"
    """One of `ntkdip.data.photograph`, as grey values."""
    size: int = 128
    """Pixels a side."""
    kept: float = 0.5
    """Share of the pixels that are known, drawn at random."""
    seed: int = 0
    """Of the pixels and the noise."""
    sigma: float = 0.0
    """Noise a pixel; the image's maximum is at most 1."""

    @property
    def name(self) -> str:
        """Photograph, size and share."""
        return f"{self.photograph}, {self.size}², {self.kept:.0%}"

    def build(self) -> Built:
        """Truth, operator and data; the reference is the biharmonic interpolation."""
        truth = data.photograph(self.photograph, self.size)
        if truth.ndim == 3:
            truth = truth @ LUMA
        truth = truth.astype(np.float32)
        mask = operators.masks.random_pixels(truth.shape, self.kept, seed=self.seed)
        A = operators.pixel_mask(mask)
        y, norm = _noisy(np.asarray(A(truth)), self.sigma, self.seed)
        fill = functools.partial(baselines.biharmonic_inpainting, A, y)
        return Built(truth, A, y, fill, norm)


def lines(shape: tuple[int, ...], acceleration: float, seed: int) -> Bool[np.ndarray, "h w"]:
    """Random lines, 32 % of those that are kept in the centre: 8 % of all at 4x, 4 % at 8x."""
    return operators.masks.random_lines(
        shape, acceleration, centre_fraction=0.32 / acceleration, seed=seed
    )


def another_contrast(truth: np.ndarray) -> np.ndarray:
    """The best that a scan with another contrast could be: the true magnitude, squared.

    Free of noise and in perfect register; a reference that one has will be worse.
    """
    return np.abs(truth).astype(np.float32) ** 2


def _noisy(clean: np.ndarray, sigma: float, seed: int) -> tuple[np.ndarray, float | None]:
    if not sigma:
        return clean, None
    y = data.add_noise(clean, sigma=sigma, seed=seed)
    return y, training.expected_noise_norm(sigma, y.size)
