"""The kernel as a Gaussian process: what the data leave open, pixel by pixel.

Prior ``x ~ N(0, a W)``, data ``y = A x + n`` with noise of variance ``s^2`` a real dimension.
With ``S = A W A* = U L U^T`` and ``G = W A* U`` (`ntkdip.theory.spectra`) the posterior is

    mean        G (L + s^2/a)^-1 U^T y,
    covariance  a W - a G (L + s^2/a)^-1 G^T,

so the mean is the limit of gradient descent with weight decay ``s^2/a`` (`GradientDescent`),
and the variances are the prior's minus a noise map with another filter.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float64, Inexact

from ntkdip.kernels import Kernel, MatrixFreeKernel
from ntkdip.operators import LinearOperator, apply_to_rows
from ntkdip.spaces import Space, require_finite
from ntkdip.theory.bands import BandEdges, radial_bands
from ntkdip.theory.coverage import LEVELS, Coverage, counted, probabilities
from ntkdip.theory.evidence import evidence_of
from ntkdip.theory.prior import normals, prior_draws, prior_variance
from ntkdip.theory.regime import KernelRegime
from ntkdip.theory.spectra import Filter

RESOLVED = 1e-6
"""Deviations below this share of the prior's are rounding: their square is a difference."""


class BandDeviation(NamedTuple):
    """Root mean variance of the Fourier coefficients on each band of radii.

    ``edges`` (B + 1,): in cycles a field of view, rising; a band has its lower edge, the last
    both.  ``posterior``, ``prior`` (B,): unit of the image; NaN for a band without frequencies.
    """

    edges: Float64[np.ndarray, " edges"]
    posterior: Float64[np.ndarray, " B"]
    prior: Float64[np.ndarray, " B"]


class GaussianProcess:
    """Bayesian reconstruction with the prior ``x ~ N(0, a W)``.

    What the prior stands for is decided by the kernel (`ntkdip.kernels.analytic`):

    - ``kind="nngp"``: the output of an infinitely wide network with random weights *is* such a
      process.  The posterior is that of the Bayesian network, all of whose weights have their
      initial distribution as prior; nothing is trained.
    - ``kind="ntk"``: the NTK-GP.  An ensemble of infinitely wide networks, each trained by
      gradient descent from its own initialisation, is not a posterior in general.  It becomes
      one, with the NTK as the prior's covariance, once every member gets a fixed random
      function added that lifts the covariance of its start from the NNGP to the NTK, and once
      training knows of the noise (weight decay towards the start, perturbed data).  Its mean
      is the limit that `KernelRegime` predicts for a centred network under weight decay.

    Parameters
    ----------
    W
        Kernel on the images of ``A``.
    A
        Forward operator.
    sigma
        Noise level: ``E|n_i|^2 = sigma^2`` a sample, real or complex.  0 conditions on exact
        data; eigenvalues of ``S`` below 1e-12 of the largest then count as zero.
    amplitude
        ``a``: NTK and NNGP fix the shape of the prior, but hardly its scale; see `fit`.

    Raises
    ------
    ValueError
        As `KernelRegime`; or if sigma is negative, the amplitude not positive, or the kernel
        known by its products only.

    Notes
    -----
    Cost: that of `KernelRegime`, once; it is shared by all that `fit` returns.  Sources: Neal,
    "Priors for infinite networks" (1994); Novak et al., "Bayesian deep convolutional networks
    with many channels are Gaussian processes" (ICLR 2019); Cheng, Gadelha, Maji and Sheldon,
    "A Bayesian perspective on the deep image prior" (CVPR 2019); He, Lakshminarayanan and Teh,
    "Bayesian deep ensembles via the neural tangent kernel" (NeurIPS 2020, arXiv 2007.05864);
    Rasmussen and Williams, "Gaussian processes for machine learning" (2006), chapter 2.
    """

    def __init__(self, W: Kernel, A: LinearOperator, sigma: float, amplitude: float = 1.0):
        _require_scale(sigma, amplitude)
        if isinstance(W, MatrixFreeKernel):
            raise ValueError(
                "a posterior needs all eigenpairs of A W A*, and this kernel is known by its "
                "products only; form it (ntkdip.kernels.empirical, or "
                "DenseKernel(W.dense(), W.space))"
            )
        self.W, self.A = W, A
        self._regime = KernelRegime(W, A)
        self.spectrum = self._regime.exact_spectrum("posterior variances")
        self.sigma, self.amplitude = sigma, amplitude
        self._priors: dict[bool, np.ndarray] = {}

    def mean(self, y: Inexact[Any, "..."]) -> Inexact[np.ndarray, "..."]:
        """Posterior mean ``a W A* (a S + s^2 I)^-1 y``.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.

        Returns
        -------
        Image ``A.domain.shape``, float64 or complex128: also the most probable one.
        """
        data = self._regime.start_residual(y)
        return self.A.domain.unembed(self._means(data[:, None])[:, 0])

    def deviation(self, *, frequencies: bool = False) -> Float64[np.ndarray, "..."]:
        """Posterior standard deviation of every pixel or Fourier coefficient; needs no data.

        Parameters
        ----------
        frequencies
            Of the coefficients (orthonormal FFT, zero frequency at ``n // 2``) instead.

        Returns
        -------
        ``A.domain.shape``, float64, unit of the image.  For complex values the root of the
        *summed* variance of both parts; where these are alike (kernels of infinite width
        under an ``A`` that is linear over the complex numbers) each has it over ``sqrt(2)``.

        Notes
        -----
        A variance is a difference here: deviations below 1e-7 of `prior_deviation` are
        rounding.  Cost: a noise map (`KernelRegime.variance_map`).
        """
        explained = self._explained_variance(frequencies)
        left = np.maximum(self._prior(frequencies) - explained, 0.0)
        return np.sqrt(self.amplitude * left)

    def prior_deviation(self, *, frequencies: bool = False) -> Float64[np.ndarray, "..."]:
        """The same before any data are seen."""
        return np.sqrt(self.amplitude * self._prior(frequencies))

    def explained(self, *, frequencies: bool = True) -> Float64[np.ndarray, "..."]:
        """Share of the prior variance that the data explain, 0 to 1; as `deviation`.

        NaN where the prior has no variance to explain.
        """
        prior = self._prior(frequencies)
        floor = self.A.domain.real_size * np.finfo(np.float64).eps * prior.max()
        share = np.full(prior.shape, np.nan)
        np.divide(self._explained_variance(frequencies), prior, out=share, where=prior > floor)
        return np.clip(share, 0.0, 1.0)

    def band_deviation(self, bands: BandEdges = 8) -> BandDeviation:
        """Deviation on bands of frequency radii, prior and posterior.

        Parameters
        ----------
        bands
            Number of bands of equal width, or their edges in cycles a field of view.

        Raises
        ------
        ValueError
            If there is no band, or edges do not rise.
        """
        rings = radial_bands(self.A.domain.shape, bands)
        counts = rings.members.sum(1)

        def root_mean(deviation: np.ndarray) -> np.ndarray:
            mean = np.full(len(counts), np.nan)
            np.divide(rings.sums(deviation.ravel() ** 2), counts, out=mean, where=counts > 0)
            return np.sqrt(mean)

        posterior, prior = self.deviation(frequencies=True), self.prior_deviation(frequencies=True)
        return BandDeviation(rings.edges, root_mean(posterior), root_mean(prior))

    def draws(
        self, key: Array, count: int, y: Inexact[Any, "..."] | None = None
    ) -> Inexact[np.ndarray, "count ..."]:
        """Random images: of the prior, or of the posterior given ``y``.

        Parameters
        ----------
        key
            PRNG key.
        count
            How many, at least 1.
        y
            Data, shape ``A.range.shape``; None draws from the prior.

        Returns
        -------
        ``(count, *A.domain.shape)``, float64 or complex128.

        Notes
        -----
        A draw of the posterior is one of the prior, moved by the mean that belongs to what
        its own simulated data miss (Matheron's rule; Journel and Huijbregts, "Mining
        geostatistics", 1978).  Cost: `ntkdip.theory.prior.prior_draws`, and one mean a draw.
        """
        _require_count(count)
        data = None if y is None else self._regime.start_residual(y)
        images, simulated = self._simulated(key, count)
        if data is not None:
            images = images + self._means(data[:, None] - simulated)
        return _stacked(images, self.A.domain)

    def simulate(
        self, key: Array, count: int
    ) -> tuple[Inexact[np.ndarray, "count ..."], Inexact[np.ndarray, "count ..."]]:
        """Images drawn from the prior, and noisy data of each; parameters as for `draws`."""
        _require_count(count)
        images, data = self._simulated(key, count)
        return _stacked(images, self.A.domain), _stacked(data, self.A.range)

    def coverage(
        self,
        x: Inexact[Any, "images ..."],
        y: Inexact[Any, "data ..."],
        levels: Sequence[float] = LEVELS,
    ) -> Coverage:
        """How often central intervals ``mean +- z sd`` of the posterior hold the truth.

        Parameters
        ----------
        x, y
            True images and their data, stacked along a first axis.  `simulate` draws some that
            the prior is right about; for real images coverage is what tests the prior.
        levels
            Probabilities of the intervals, between 0 and 1.

        Returns
        -------
        `Coverage`, over the pixels (real and imaginary parts count apart, each with half of
        the variance) whose deviation is more than rounding, 1e-6 of the prior's.

        Raises
        ------
        ValueError
            If the stacks do not fit, a level is no such probability, or all pixels are known.
        """
        images, data, domain = np.asarray(x), np.asarray(y), self.A.domain
        probabilities(levels)
        if images.ndim < 1 or len(images) != len(data) or not len(images):
            raise ValueError(
                "images and data come stacked, one first axis for both; got shapes "
                f"{images.shape} and {data.shape}"
            )
        for image in images:
            domain.check(image, "true image")
            require_finite(image, "true image")
        deviation = self.deviation()
        open_ = deviation > RESOLVED * self.prior_deviation()
        if not open_.any():
            raise ValueError("the data determine every pixel: no interval has a width to test")
        columns = [self._regime.start_residual(one) for one in data]
        found = _stacked(self._means(np.stack(columns, axis=1)), domain)
        return counted((images - found)[:, open_] / deviation[open_], levels)

    def log_evidence(self, y: Inexact[Any, "..."]) -> float:
        """``log p(y)``, natural, a density on the real embedding of the data.

        Raises `ValueError` for ``sigma = 0``, where data may have no density.
        """
        data = self._regime.start_residual(y)
        if self.sigma == 0:
            raise ValueError(
                "without noise, data outside the range of A W A* have no density; give sigma > 0"
            )
        return evidence_of(self.spectrum, data).log(self.amplitude, self._s2)

    def fit(self, y: Inexact[Any, "..."], *, noise: bool = False) -> GaussianProcess:
        """The same process with the amplitude that makes the data most likely.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.
        noise
            Fit ``sigma`` too, rather than keep it.

        Returns
        -------
        A new process that shares the eigenpairs.

        Raises
        ------
        ValueError
            If the likeliest amplitude is 0 (everything passes for noise), or sigma is 0 and
            the data cannot be without noise.

        Notes
        -----
        Cost: one dimension is searched, 400 values and their best cell, a sum over
        eigenvalues each; for ``sigma = 0`` the answer is closed.  With ``noise`` the amplitude
        is closed for every ratio ``s^2 / a`` from 1e-13 of ``lambda_max`` up; a ``sigma`` at
        this end says that the prior explains the noise too, as one may that was made from the
        same data (a network whose input is the zero-filled image).  One image holds one draw
        of the prior: of a model that is wrong the amplitude makes up for it.
        Source: type II maximum likelihood (Rasmussen and Williams, chapter 5).
        """
        evidence = evidence_of(self.spectrum, self._regime.start_residual(y))
        fitted = copy.copy(self)
        if noise:
            fitted.amplitude, s2 = evidence.both()
            fitted.sigma = float(np.sqrt(2 * s2 if self.A.range.is_complex else s2))
        elif self.sigma == 0:
            fitted.amplitude = evidence.noise_free_amplitude()
        else:
            fitted.amplitude = evidence.amplitude(self._s2)
        return fitted

    @property
    def _s2(self) -> float:
        return float(self._regime.noise_variance(self.sigma))

    def inverse(self, values: Float64[np.ndarray, " r"]) -> Float64[np.ndarray, " r"]:
        """``1 / (l + s^2/a)`` at eigenvalues; 0 where ``l`` is rounding and there is no noise."""
        least = self.spectrum.rank_tolerance * self.spectrum.largest
        shifted = values + self._s2 / self.amplitude
        kept = (shifted > 0) & ((values > least) | (self._s2 > 0))
        return np.divide(1.0, shifted, out=np.zeros_like(shifted), where=kept)

    def _means(self, data: Float64[np.ndarray, "m T"]) -> Float64[np.ndarray, "n T"]:
        coefficients = np.stack([self.spectrum.coefficients(one) for one in data.T], axis=1)
        return self.spectrum.images(self.inverse(self.spectrum.values)[:, None] * coefficients)

    def _explained_variance(self, frequencies: bool) -> np.ndarray:
        """What the data explain of `_prior`, which has no amplitude."""
        root: Filter = lambda values: np.sqrt(self.inverse(values))[None]  # noqa: E731
        return self.spectrum.noise_map(root, frequencies)[0]

    def _prior(self, frequencies: bool) -> np.ndarray:
        if frequencies not in self._priors:
            variance = prior_variance(self.W, frequencies=frequencies)
            self._priors[frequencies] = np.maximum(variance, 0.0)
        return self._priors[frequencies]

    def _simulated(self, key: Array, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Embedded images and noisy data, ``(n, count)`` and ``(m, count)``."""
        image_key, noise_key = jax.random.split(key)
        images = np.sqrt(self.amplitude) * prior_draws(self.W, image_key, count)
        noise = normals(noise_key, (self.A.range.real_size, count))
        data = apply_to_rows(self.A, np.ascontiguousarray(images.T)).T
        return images, data + np.sqrt(self._s2) * noise


def _stacked(columns: np.ndarray, space: Space) -> np.ndarray:
    return np.stack([space.unembed(column) for column in columns.T])


def _require_scale(sigma: float, amplitude: float) -> None:
    if not 0 <= sigma < np.inf:
        raise ValueError(f"sigma is a noise level, finite and at least 0; got {sigma}")
    if not 0 < amplitude < np.inf:
        raise ValueError(f"the amplitude scales variances, finite and above 0; got {amplitude}")


def _require_count(count: int) -> None:
    if count < 1:
        raise ValueError(f"count is the number of draws, at least 1; got {count}")
