"""How likely data are under ``y ~ N(0, a S + s^2 I)``, and the amplitude that fits them best.

With the eigenpairs of ``S`` at hand every evaluation is a sum over eigenvalues.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Float64

from ntkdip.theory.search import positive_minimiser
from ntkdip.theory.spectra import ExactSpectrum

GRID = 400
"""Values at which the likelihood is looked at before the best one is refined."""

LEAST_SIGNAL = 1e-6
"""An amplitude at which ``a lambda_max`` is this share of ``s^2`` is as good as none."""

LEAST_RATIO = 1e-13
"""Smallest ``s^2 / (a lambda_max)`` that a fit tells from no noise at all."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the likelihood sees of data.

    ``values`` (r,) are eigenvalues of ``S``, each standing for ``multiplicity`` real
    dimensions; ``energy`` (r,) is ``|u_i^T y|^2`` over all of them; ``outside`` the energy of
    the data where ``S`` is not resolved; ``dimension`` that of all data.
    """

    values: Float64[np.ndarray, " r"]
    multiplicity: int
    energy: Float64[np.ndarray, " r"]
    outside: float
    dimension: int

    def log(self, amplitude: float, s2: float) -> float:
        """``log p(y)`` for noise of variance ``s2 > 0`` a real dimension."""
        # Eigenvalues of 0 add nothing to the determinant's ratio, so that coordinates that
        # no data reach are not counted.
        determinant = self.multiplicity * np.sum(np.log1p(amplitude * self.values / s2))
        determinant += self.dimension * np.log(2 * np.pi * s2)
        misfit = np.sum(self.energy / (amplitude * self.values + s2)) + self.outside / s2
        return float(-(misfit + determinant) / 2)

    def noise_free_amplitude(self) -> float:
        """The likeliest amplitude of data without noise, on the range of ``S``."""
        missed = self.outside / max(self.energy.sum() + self.outside, np.finfo(float).tiny)
        if missed > 1e-8:
            raise ValueError(
                f"{missed:.2g} of the data's energy lies where the prior has none, so that "
                "without noise they are impossible; give sigma > 0, or fit(y, noise=True)"
            )
        shares = self.energy / self.values
        return float(shares.sum() / (self.multiplicity * len(self.values)))

    def amplitude(self, s2: float) -> float:
        """The likeliest amplitude for noise of variance ``s2 > 0`` a real dimension."""
        # Every eigenvalue's own term is largest at (energy - s2) / value, so none beyond.
        most = (self.energy / (self.multiplicity * self.values)).max()
        least = LEAST_SIGNAL * s2 / self.values.max()
        if most <= least:
            raise self._only_noise(f"sigma^2 = {s2:.3g} a real dimension")
        found = positive_minimiser(lambda a: -self.log(a, s2), least, most, GRID)
        if found <= 2 * least:
            raise self._only_noise(f"sigma^2 = {s2:.3g} a real dimension")
        return found

    def both(self) -> tuple[float, float]:
        """The likeliest amplitude and noise variance together.

        For a given ratio ``s^2 / a`` the amplitude is known in closed form: one search.
        """

        def amplitude(ratio: float) -> float:
            misfit = np.sum(self.energy / (self.values + ratio)) + self.outside / ratio
            return float(misfit / self.dimension)

        def profile(ratio: float) -> float:
            a = amplitude(ratio)
            return -self.log(a, a * ratio)

        largest = self.values.max()
        ratio = positive_minimiser(profile, LEAST_RATIO * largest, largest / LEAST_SIGNAL, GRID)
        if ratio >= largest / LEAST_SIGNAL / 2:
            raise self._only_noise("whatever level fits them best")
        return amplitude(ratio), amplitude(ratio) * ratio

    @staticmethod
    def _only_noise(level: str) -> ValueError:
        return ValueError(
            f"the data are likeliest with an amplitude of 0: all of them pass for noise ({level}); "
            "is sigma too large, or W the kernel of other images?"
        )


def evidence_of(spectrum: ExactSpectrum, data: Float64[np.ndarray, " m"]) -> Evidence:
    """`Evidence` of embedded data; eigenvalues of the size of rounding count as 0."""
    energy = np.abs(spectrum.coefficients(data)) ** 2
    kept = spectrum.values > spectrum.rank_tolerance * spectrum.largest
    outside = spectrum.unreached(data) + float(energy[~kept].sum())
    return Evidence(spectrum.values[kept], spectrum.multiplicity, energy[kept], outside, len(data))
