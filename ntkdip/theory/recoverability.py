"""What a kernel can recover through an operator: angles, frequencies, samples, gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from jaxtyping import Complex128, Float64, Inexact, Int

from ntkdip.kernels import BothParts, Kernel, StationaryKernel
from ntkdip.metrics import rmse
from ntkdip.operators import LinearOperator, MaskedFourier, apply_to_rows
from ntkdip.spaces import Space, require_finite
from ntkdip.spectrum import PrincipalAngles, leading_eigenspaces
from ntkdip.theory.posterior import GaussianProcess
from ntkdip.theory.regime import KernelRegime
from ntkdip.theory.spectra import powers, require_adjoint, require_same_space

ROW_RANK = 1e-10
"""Singular values of ``A`` below this share of the largest count as zero."""

UNSEEN = 1e-10
"""Smaller shares of a frequency that lie in ``N(A)`` are rounding."""


class Sources(NamedTuple):
    """From which samples frequencies are filled in.

    ``frequency`` (F, d): in cycles a field of view, within the Nyquist frequency.
    ``direct``, ``mirrored`` (F, *shape): complex weights at the samples' places in centred
    k-space, 0 where nothing is sampled: the reconstruction's coefficient at a frequency is
    ``sum(direct * y) + sum(mirrored * conj(y))``.  ``mirrored`` is 0 for complex images under
    kernels without cross terms.
    """

    frequency: Int[np.ndarray, "F d"]
    direct: Complex128[np.ndarray, "F ..."]
    mirrored: Complex128[np.ndarray, "F ..."]

    @property
    def magnitude(self) -> Float64[np.ndarray, "F ..."]:
        """``sqrt(|direct|^2 + |mirrored|^2)``: root mean square over the phase of a sample."""
        return np.hypot(np.abs(self.direct), np.abs(self.mirrored))


class Gain(NamedTuple):
    """What the limit of Theorem 1 has over reconstructions that know no network.

    ``limit``, ``pseudo_inverse``, ``zero_filled``: RMSE of ``z_inf``, ``A^+ y``, ``A* y``.
    ``unseen`` (*shape): share of each (centred) frequency that lies in ``N(A)``; 1 for an
    unsampled one.  ``error``, ``baseline`` (*shape): squared error of every frequency in the
    limit and in ``A^+ y``.
    """

    limit: float
    pseudo_inverse: float
    zero_filled: float
    unseen: Float64[np.ndarray, "..."]
    error: Float64[np.ndarray, "..."]
    baseline: Float64[np.ndarray, "..."]

    @property
    def over_pseudo_inverse(self) -> float:
        """dB of RMSE; above 0 where the network helps."""
        return _decibel(self.pseudo_inverse, self.limit)

    @property
    def over_zero_filled(self) -> float:
        """dB of RMSE; for real images and asymmetric masks ``A^+ y`` alone has some."""
        return _decibel(self.zero_filled, self.limit)

    @property
    def filled(self) -> float:
        """Share of the error of ``A^+ y`` on unsampled frequencies that the limit removes.

        1: all is filled in; 0: as good as nothing; below 0: worse.  NaN without such error.
        """
        before = float(np.sum(self.unseen * self.baseline))
        return 1 - float(np.sum(self.unseen * self.error)) / before if before else math.nan


def null_space_angles(
    W: Kernel, A: LinearOperator, k: int, *, rtol: float = 1e-6
) -> PrincipalAngles:
    """Angles of the ``k`` leading eigenvectors' span ``R`` to the null space of ``A``.

    Parameters
    ----------
    W, A
        Kernel and operator on the same images.
    k
        Dimension of the span; must not cut an eigenspace.
    rtol
        Relative gap below which eigenvalues share an eigenspace
        (`ntkdip.spectrum.eigenspaces`).

    Returns
    -------
    `PrincipalAngles`: ``k`` of them, rising, in rad; those beyond the dimension of ``N(A)``
    are ``pi / 2``.  If the first is above 0 then ``R`` and ``N(A)`` meet in 0 only, an image
    in ``R`` is recovered exactly (Theorem 1 (b), for a kernel of rank ``k``), and noise in the
    data is amplified by up to one over its sine, for an orthonormal mask.  ``overlap`` is the
    mean squared cosine: the share of ``R`` that no data see.

    Raises
    ------
    ValueError
        If the spaces differ, or as `ntkdip.spectrum.principal_angles`.

    Notes
    -----
    Sines are the singular values of ``P V``, cosines those of ``(I - P) V``, with ``P`` onto
    ``R(A*)`` and eigenvectors ``V``; both, so that small and large angles are exact to
    rounding.  Cost: ``W.eigh(k + 1)``, O(n k^2), and for ``P`` four FFTs a vector under masked
    Fourier sampling, else an SVD of ``A``, O(n m^2) for ``m`` data.  Source: Bjorck and Golub,
    Mathematics of Computation 27 (1973).
    """
    require_same_space(W, A)
    require_adjoint(A)
    spaces = leading_eigenspaces(W, k, rtol)
    reached = sum(s.dimension for s in spaces)
    if reached < k:
        raise ValueError(
            f"k={k} cuts an eigenspace, so that the leading span depends on the solver; "
            f"the next smaller k that does not is {reached}"
        )
    V = np.concatenate([s.basis for s in spaces], axis=1)
    seen = _onto_row_space(A, V)
    sines = np.sort(scipy.linalg.svdvals(seen))
    cosines = np.sort(scipy.linalg.svdvals(V - seen))[::-1]
    return PrincipalAngles(np.arctan2(sines, cosines), float(np.mean(cosines**2)))


def explained(
    W: Kernel, A: LinearOperator, sigma: float = 0.0, *, amplitude: float = 1.0
) -> Float64[np.ndarray, "..."]:
    """Which frequencies a kernel fills in: share of the prior variance that data explain.

    Parameters
    ----------
    W, A, sigma, amplitude
        As for `GaussianProcess`: ``x ~ N(0, a W)``, noise of level ``sigma``.

    Returns
    -------
    ``A.domain.shape``, centred k-space, 0 to 1.  Without noise it is 1 at sampled
    frequencies (for real images, at their mirror images too).  For a circulant kernel and
    complex images it is the mask: nothing else is filled in (Corollary 1).  NaN where the
    prior has no power.

    Notes
    -----
    Cost and errors: as `GaussianProcess` and its deviation.  Source: ours; the variance
    reduction of Gaussian process regression, in k-space.
    """
    return GaussianProcess(W, A, sigma, amplitude).explained()


def sources(
    W: Kernel,
    A: LinearOperator,
    frequency: Sequence[int] | Sequence[tuple[int, ...]],
    sigma: float = 0.0,
    *,
    amplitude: float = 1.0,
) -> Sources:
    """Weights of all samples in the reconstruction of some frequencies.

    Parameters
    ----------
    W, A, sigma, amplitude
        As for `GaussianProcess`; ``A`` is masked Fourier sampling.
    frequency
        One frequency, or several: signed integers in cycles a field of view, one an axis;
        modulo the shape.  Usually unsampled ones: without noise, a sampled one is its own
        source.

    Returns
    -------
    `Sources`: the rows of ``F W A* (A W A* + s^2/a I)^+`` that belong to the frequencies.

    Raises
    ------
    ValueError
        If ``A`` is another operator, or a frequency has not one entry an axis.

    Notes
    -----
    Without noise the weights of an ill-conditioned kernel are large and cancel: those are
    the ones of Theorem 1.  Cost: `GaussianProcess`, and two products with ``W`` a frequency.
    Source: ours.
    """
    if not isinstance(A, MaskedFourier):
        raise ValueError(
            f"sources are a map over k-space and need masked Fourier sampling; got "
            f"{type(A).__name__}. GaussianProcess.explained answers for every operator"
        )
    shape = A.domain.shape
    wanted = np.atleast_2d(np.asarray(frequency))
    if wanted.ndim != 2 or wanted.shape[1] != len(shape) or wanted.dtype.kind not in "iu":
        raise ValueError(
            f"frequencies of {A.domain} are {len(shape)} integers each; got {frequency}"
        )
    process = GaussianProcess(W, A, sigma, amplitude)
    half = np.array(shape) // 2
    places = (wanted + half) % shape
    found = [_weights(process, A, tuple(place)) for place in places.tolist()]
    direct, mirrored = (np.stack(maps) for maps in zip(*found, strict=True))
    return Sources(places - half, direct, mirrored)


def gain(W: Kernel, A: LinearOperator, x: Inexact[Any, "..."]) -> Gain:
    """What the limit ``z_inf`` of Theorem 1 recovers of an image, from noise-free data.

    Parameters
    ----------
    W, A
        Kernel and operator.
    x
        The true image, shape ``A.domain.shape``.

    Returns
    -------
    `Gain` over ``A^+ y``, and over zero filling ``A* y``; the two are the same for a complex
    image and an orthonormal mask (Corollary 1).

    Raises
    ------
    ValueError
        As `KernelRegime`; or if the image does not fit or is not finite.

    Notes
    -----
    ``A^+ y`` is the limit under the identity as kernel.  Cost: two `KernelRegime`, of ``W``
    and of the identity.
    """
    require_same_space(W, A)
    A.domain.check(x, "true image")
    require_finite(x, "true image")
    embedded = A.domain.embed(np.asarray(x)).astype(np.float64)
    truth, rows = A.domain.unembed(embedded), apply_to_rows(A, embedded[None])
    y = A.range.unembed(rows[0])
    limit = KernelRegime(W, A).limit(y)
    white = GaussianProcess(_identity(A.domain), A, 0.0)
    inverse = white.mean(y)
    zero_filled = A.domain.unembed(apply_to_rows(A, rows, adjoint=True)[0])
    unseen = 1 - white.explained()
    errors = np.stack([A.domain.embed(image - truth) for image in (limit, inverse)], axis=1)
    error, baseline = powers(errors, A.domain, True).reshape(2, *A.domain.shape)
    return Gain(
        rmse(limit, truth),
        rmse(inverse, truth),
        rmse(zero_filled, truth),
        np.where(unseen > UNSEEN, unseen, 0.0),
        error,
        baseline,
    )


def _identity(space: Space) -> Kernel:
    rows = np.zeros((*(1,) * len(space.shape), *space.shape))
    rows.flat[0] = 1.0
    kernel = StationaryKernel(rows)
    return BothParts(kernel) if space.is_complex else kernel


def _weights(
    process: GaussianProcess, A: MaskedFourier, place: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """``direct`` and ``mirrored`` of one frequency, by its index in centred k-space."""
    space = A.domain
    unit = np.zeros(space.shape, np.complex128)
    unit[place] = 1
    wave = np.fft.fftshift(np.fft.ifftn(np.fft.ifftshift(unit), norm="ortho"))
    waves = [wave, 1j * wave] if space.is_complex else [wave.real, -wave.imag]
    columns = process.W @ np.stack([space.embed(w) for w in waves], axis=1)
    # Real and imaginary part of the coefficient are inner products of the data with these.
    real, imaginary = (
        A.range.unembed(_solved(process, row))
        for row in apply_to_rows(A, np.ascontiguousarray(columns.T))
    )
    maps = np.zeros((2, space.size), np.complex128)
    maps[0, np.asarray(A.indices)] = (real - 1j * imaginary).conj() / 2
    maps[1, np.asarray(A.indices)] = (real + 1j * imaginary) / 2
    return maps[0].reshape(space.shape), maps[1].reshape(space.shape)


def _solved(process: GaussianProcess, data: np.ndarray) -> np.ndarray:
    """``(S + s^2/a I)^+ data`` for embedded data in the range of ``S``."""
    spectrum = process.spectrum
    c = process.inverse(spectrum.values) * spectrum.coefficients(data)
    return spectrum.data(c)


def _onto_row_space(A: LinearOperator, V: Float64[np.ndarray, "n k"]) -> np.ndarray:
    """``P V`` for the orthogonal projector ``P`` onto ``R(A*)``."""
    if isinstance(A, MaskedFourier):
        # A*A has the eigenvalues 0, 1 and, for real images, 1/2 (k sampled, -k not), which
        # 3 v - 2 v^2 takes to 0, 1 and 1.
        once = _normal(A, V)
        return 3 * once - 2 * _normal(A, once)
    basis, sizes, _ = scipy.linalg.svd(
        apply_to_rows(A, np.eye(A.range.real_size), adjoint=True).T, full_matrices=False
    )
    basis = basis[:, sizes > ROW_RANK * sizes.max()]
    return basis @ (basis.T @ V)


def _normal(A: LinearOperator, V: np.ndarray) -> np.ndarray:
    return apply_to_rows(A, apply_to_rows(A, np.ascontiguousarray(V.T)), adjoint=True).T


def _decibel(before: float, after: float) -> float:
    if not after:
        return math.inf if before else 0.0
    return 20 * math.log10(before / after) if before else -math.inf
