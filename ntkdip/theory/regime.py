"""The kernel regime: what gradient descent does when the kernel stays constant.

``z_{t+1} = z_t + eta W A*(y - A z_t)`` has the closed form (design page, section 1)

    z_t = z_0 + W A* U phi_t(L) U^T (y - A z_0),    S = A W A* = U L U^T,
    phi_t(l) = (1 - (1 - eta l)^t) / l,

valid for every PSD ``W`` and every ``t``, on real embeddings.  One spectral problem
(`ntkdip.theory.spectra`); everything after it is a filter (`ntkdip.theory.filters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Inexact

from ntkdip.kernels import Kernel, MatrixFreeKernel
from ntkdip.operators import LinearOperator, apply_to_rows
from ntkdip.spaces import require_finite
from ntkdip.theory.bands import BandEdges, radial_bands
from ntkdip.theory.filters import GradientDescent, Method
from ntkdip.theory.krylov import KrylovSettings, KrylovSpectrum
from ntkdip.theory.search import Best, Curve, smallest
from ntkdip.theory.spectra import (
    ExactSpectrum,
    Filter,
    Spectrum,
    dense_spectrum,
    powers,
    require_same_space,
)
from ntkdip.theory.waves import wave_spectrum

Times = Sequence[float] | np.ndarray
"""Iterations, non-negative integers (or times, for gradient flow), or ``inf``."""


CURVE_ENTRIES = 2**23
"""Entries of images that a search over iterations makes at a time."""

EVERYTHING = 2**30
"""Products are made once for all iterations."""


class MeanSquaredError(NamedTuple):
    """Theorem 2 at given iterations: ``total = bias + variance``, sums over pixels.

    ``bias`` (T,) is the squared norm of the noise-free error.  For several noise levels
    ``total``, ``variance`` and ``error`` have one row each, ``(levels, T)``.  ``error`` is the
    standard error of ``variance``: 0, unless it was estimated from products (`krylov`).
    """

    total: Float64[np.ndarray, "*levels T"]
    bias: Float64[np.ndarray, " T"]
    variance: Float64[np.ndarray, "*levels T"]
    error: Float64[np.ndarray, "*levels T"]


class BandError(NamedTuple):
    """Theorem 2 on bands of frequency: bias and variance (T, B) and the bands' edges (B + 1,)."""

    edges: Float64[np.ndarray, " edges"]
    bias: Float64[np.ndarray, "T B"]
    variance: Float64[np.ndarray, "T B"]


class KernelRegime:
    """Dynamics of gradient descent under a constant kernel ``W`` and an operator ``A``.

    Parameters
    ----------
    W
        Kernel on the images of ``A``, symmetric PSD.  Only what the dynamics see of it,
        ``A W A*``, is tested for that.
    A
        Forward operator; its adjoint is tested (dot test).
    step_size
        ``eta`` of gradient descent, in ``0 < eta < 2 / lambda_max(A W A*)``; ``1 / lambda_max``
        if None.
    z0
        Start ``z_0``, an image; zero if None (a centred network).
    method
        Another iteration (`ntkdip.theory.filters`): momentum, gradient flow, weight decay.  It
        brings its own step size and bound.
    krylov
        How Lanczos works for kernels that are known by their products.  Given, every kernel
        is treated so; None: those of `ntkdip.kernels.matrix_free`, which needs it.

    Raises
    ------
    ValueError
        If ``W`` and ``A`` act on different spaces, ``A.adjoint`` is not the adjoint,
        ``A W A*`` is not symmetric or not PSD beyond rounding (its smallest eigenvalue is
        named), ``W`` is zero on the data, the step size is not stable (the bound is named),
        the start is not finite, or a matrix-free kernel comes without ``krylov``.

    Notes
    -----
    With ``n = A.domain.real_size``, ``p = A.range.real_size``, construction costs

    - dense kernels: ``p`` products with ``W`` and one eigenproblem of size ``p``: O(n^2 p + p^3)
      time, about ``40 (n p + p^2)`` bytes at its peak;
    - kernels that know a factor of ``r`` columns (`ntkdip.kernels.Factored`; twice as many for
      complex images): the SVD of ``A F``: O(p r^2) and ``r`` applications of ``A``, about
      ``32 p r`` bytes; nothing of ``n x n`` or ``p x p`` is made;
    - stationary kernels of ``M`` phases under masked Fourier sampling or the identity: FFTs and
      ``q / M`` eigenproblems of size ``M``, O(M q log q + M^2 q), ``48 M q`` bytes;
    - products only: Lanczos for the largest eigenvalue; each vector of data then costs some
      hundred products, and ``8 n`` bytes a product.

    Every call after that costs the same for any ``t``.  Source: design page, section 1.
    """

    def __init__(
        self,
        W: Kernel,
        A: LinearOperator,
        *,
        step_size: float | None = None,
        z0: Inexact[Any, "..."] | None = None,
        method: Method | None = None,
        krylov: KrylovSettings | None = None,
    ):
        require_same_space(W, A)
        if method is not None and step_size is not None:
            raise ValueError(
                f"the method brings its own step size ({method}); give one of step_size and method"
            )
        self.W, self.A = W, A
        if z0 is None:
            self._z0 = np.zeros(W.space.real_size)
        else:
            require_finite(z0, "start z0")
            self._z0 = W.space.embed(np.asarray(z0)).astype(np.float64)
        self._spectrum = _spectrum(W, A, krylov)
        chosen = GradientDescent(step_size) if method is None else method
        self.method = chosen.resolved(self._spectrum.largest)

    @property
    def step_size(self) -> float:
        """``eta``."""
        assert self.method.step_size is not None
        return self.method.step_size

    def step_size_bound(self) -> float:
        """Smaller positive step sizes are stable, no others.

        ``2 / lambda_max(A W A*)`` for gradient descent.
        """
        return self.method.step_size_bound(self._spectrum.largest)

    def data_eigenvalues(self) -> Float64[np.ndarray, " r"]:
        """Nonzero eigenvalues of ``A W A*`` on the real embedding, falling.

        Raises `ValueError` where the kernel is only known by its products.
        """
        spectrum = self.exact_spectrum("the eigenvalues of A W A*")
        values = np.repeat(np.sort(spectrum.values)[::-1], spectrum.multiplicity)
        return values[values > spectrum.rank_tolerance * spectrum.largest]

    def limit(self, y: Inexact[Any, "..."]) -> Inexact[np.ndarray, "..."]:
        """``z_inf = z_0 + W A* (A W A*)^+ (y - A z_0)``: Theorem 1's reconstruction.

        With a ridge ``r`` it is ``z_0 + W A* (A W A* + r I)^-1 (y - A z_0)``.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.

        Returns
        -------
        Image of shape ``A.domain.shape``, float64 or complex128.
        """
        return self.trajectory(y, [np.inf])[0]

    def trajectory(self, y: Inexact[Any, "..."], t: Times) -> Inexact[np.ndarray, "T ..."]:
        """Reconstructions ``z_t``; any ``t`` costs the same.

        Parameters
        ----------
        y
            Data, shape ``A.range.shape``.
        t
            Iterations, non-negative integers or ``inf``.

        Returns
        -------
        Images ``(T, *A.domain.shape)``, float64 or complex128.
        """
        return self.trajectory_with_error(y, t)[0]

    def trajectory_with_error(
        self, y: Inexact[Any, "..."], t: Times
    ) -> tuple[Inexact[np.ndarray, "T ..."], Float64[np.ndarray, " T"]]:
        """`trajectory`, and estimates of ``||error of z_t|| / ||z_t - z_0||``, ``(T,)``.

        0 where the dynamics are exact to rounding; where they come from products, the change
        that the last products made.
        """
        moved, error = self._spectrum.moved(self.start_residual(y), self.filter(t))
        images = [self.W.space.unembed(self._z0 + column) for column in moved.T]
        return np.stack(images), error

    def residual(self, y: Inexact[Any, "..."], t: Times) -> Float64[np.ndarray, " T"]:
        """``||y - A z_t||``, ``(T,)``; parameters as for `trajectory`."""
        return np.sqrt(self._spectrum.misfit(self.start_residual(y), self.filter(t)))

    def mse(
        self, x: Inexact[Any, "..."], sigma: float | Sequence[float] | np.ndarray, t: Times
    ) -> MeanSquaredError:
        """Theorem 2: expected squared error at iterations ``t``, bias and variance apart.

        Parameters
        ----------
        x
            The true image, shape ``A.domain.shape``.
        sigma
            Noise level: ``E|n_i|^2 = sigma^2`` a sample, real or complex (so ``sigma^2``
            or ``sigma^2 / 2`` a real dimension).  Several levels cost no more than one.
        t
            Iterations, non-negative integers or ``inf``.

        Returns
        -------
        `MeanSquaredError`: ``E ||z_t - x||^2`` (a sum over pixels) and its parts.
        """
        phi, s2 = self.filter(t), self.noise_variance(sigma)
        bias = np.sum(self._noise_free_error(x, phi) ** 2, axis=0)
        energy, error = self._spectrum.noise(phi)
        variance = np.multiply.outer(s2, energy)
        return MeanSquaredError(bias + variance, bias, variance, np.multiply.outer(s2, error))

    def bias_map(
        self, x: Inexact[Any, "..."], t: Times, *, frequencies: bool = False
    ) -> Float64[np.ndarray, "T ..."]:
        """Squared noise-free error of every pixel, or every (centred) Fourier coefficient.

        Parameters
        ----------
        x, t
            As for `mse`.
        frequencies
            In k-space (orthonormal FFT, zero frequency at ``n // 2``) instead of the image.

        Returns
        -------
        ``(T, *A.domain.shape)``; sums to `mse`'s bias.
        """
        error, space = self._noise_free_error(x, self.filter(t)), self.A.domain
        return powers(error, space, frequencies).reshape(-1, *space.shape)

    def variance_map(
        self, sigma: float, t: Times, *, frequencies: bool = False
    ) -> Float64[np.ndarray, "T ..."]:
        """Variance of every pixel, or of every Fourier coefficient: as `bias_map`.

        Notes
        -----
        Cost: dense kernels ``O(n p T)`` and FFTs of ``p`` images for frequencies; stationary
        ones a map an iteration.
        """
        phi, s2 = self.filter(t), self.noise_variance(sigma)
        return s2 * self._spectrum.noise_map(phi, frequencies)

    def mse_by_band(
        self, x: Inexact[Any, "..."], sigma: float, t: Times, bands: BandEdges = 3
    ) -> BandError:
        """Theorem 2 on rings of k-space.

        Parameters
        ----------
        x, sigma, t
            As for `mse`.
        bands
            Number of bands of equal width, or their edges in cycles a field of view.

        Returns
        -------
        `BandError`; sums over bands that cover k-space are `mse`'s.
        """
        rings = radial_bands(self.A.domain.shape, bands)
        maps = (
            self.bias_map(x, t, frequencies=True),
            self.variance_map(sigma, t, frequencies=True),
        )
        flat = (rings.sums(m.reshape(len(m), -1)) for m in maps)
        return BandError(rings.edges, *flat)

    def freedom(self, t: Times) -> Float64[np.ndarray, " T"]:
        """``tr(A W A* phi_t(A W A*))``, ``(T,)``: degrees of freedom that fit the data."""
        return self._spectrum.freedom(self.filter(t))

    def optimal_stopping(self, x: Inexact[Any, "..."], sigma: float) -> Best:
        """``t* = argmin MSE_t`` over all iterations; infinity is an answer.

        Parameters
        ----------
        x, sigma
            As for `mse`.

        Returns
        -------
        ``t`` and the smallest MSE.  Without the truth: `ntkdip.theory.stop`.
        """
        return self.best_iteration(lambda t: self.mse(x, sigma, t).total)

    def best_iteration(self, curve: Curve) -> Best:
        """Where a curve over iterations of these dynamics is smallest (`search.smallest`)."""
        many = max(1, CURVE_ENTRIES // self.A.domain.real_size) if self.is_exact else EVERYTHING

        def in_parts(t: np.ndarray) -> np.ndarray:
            parts = [t[i : i + many] for i in range(0, len(t), many)]
            return np.concatenate([curve(part) for part in parts])

        return smallest(in_parts, self.horizon, self.method.swings)

    @property
    def horizon(self) -> float:
        """Iterations after which the slowest direction has arrived, to rounding."""
        spectrum = self._spectrum
        slowest = spectrum.rank_tolerance * spectrum.largest
        if isinstance(spectrum, ExactSpectrum):
            slowest = float(spectrum.values[spectrum.values > slowest].min())
        return 40.0 / (self.step_size * (slowest + self.method.ridge))

    @property
    def is_exact(self) -> bool:
        """Whether all eigenpairs of ``A W A*`` are known."""
        return isinstance(self._spectrum, ExactSpectrum)

    def noise_variance(self, sigma: Any) -> np.ndarray:
        """``s^2``, the noise variance of a real dimension of the data."""
        sigma = np.asarray(sigma, np.float64)
        if sigma.ndim > 1 or not ((sigma >= 0) & (sigma < np.inf)).all():
            raise ValueError(f"sigma is a noise level, finite and at least 0; got {sigma}")
        return np.asarray(sigma**2 / 2 if self.A.range.is_complex else sigma**2)

    def exact_spectrum(self, what: str) -> ExactSpectrum:
        """All eigenpairs of ``A W A*``; `ValueError` if the kernel is only known by products."""
        if not isinstance(self._spectrum, ExactSpectrum):
            raise ValueError(
                f"{what} need all eigenpairs, and this kernel is known by its products only; "
                "form it (ntkdip.kernels.empirical, or DenseKernel(W.dense(), W.space))"
            )
        return self._spectrum

    def start_residual(self, y: Inexact[Any, "..."]) -> Float64[np.ndarray, " p"]:
        """``y - A z_0`` on the real embedding, after a look at ``y``."""
        self.A.range.check(y, "data")
        require_finite(y, "data")
        embedded = self.A.range.embed(np.asarray(y)).astype(np.float64)
        return embedded - self._forward(self._z0) if self._z0.any() else embedded

    def _noise_free_error(self, x: Any, phi: Filter) -> Float64[np.ndarray, "n T"]:
        self.A.domain.check(x, "true image")
        require_finite(x, "true image")
        away = self.W.space.embed(np.asarray(x)).astype(np.float64) - self._z0
        return self._spectrum.moved(self._forward(away), phi).values - away[:, None]

    def filter(self, t: Times) -> Filter:
        """``phi_t`` of eigenvalues ``(r,)``: ``(T, r)``.

        In the limit, eigenvalues of the size of rounding count as zero.
        """
        infinite = np.isinf(np.atleast_1d(np.asarray(t, np.float64)))
        least = self._spectrum.rank_tolerance * self._spectrum.largest

        def phi(values: np.ndarray) -> np.ndarray:
            filtered = self.method(values, t)
            if self.method.ridge == 0 and infinite.any():
                filtered[np.ix_(infinite, values <= least)] = 0.0
            return filtered

        return phi

    def _forward(self, v: np.ndarray) -> np.ndarray:
        return apply_to_rows(self.A, v[None])[0]


def _spectrum(W: Kernel, A: LinearOperator, krylov: KrylovSettings | None) -> Spectrum:
    if krylov is not None:
        return KrylovSpectrum(W, A, krylov)
    if isinstance(W, MatrixFreeKernel):
        raise ValueError(
            "a matrix-free kernel needs krylov=ntkdip.theory.KrylovSettings(key), which says how "
            "Lanczos works; or form the kernel (ntkdip.kernels.empirical)"
        )
    return wave_spectrum(W, A) or dense_spectrum(W, A)
