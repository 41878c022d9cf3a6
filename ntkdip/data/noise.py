"""Noise: adding it, measuring it, whitening it."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Complex, Complex128, Float64, Inexact

from ntkdip.data.errors import DataError
from ntkdip.data.records import KSpace

# The median of |n|^2 of complex Gaussian noise is its mean times this.
MEDIAN_TO_MEAN = np.log(2.0)


def add_noise(
    y: Inexact[np.ndarray, "..."],
    *,
    seed: int | np.random.Generator,
    sigma: float | None = None,
    snr: float | None = None,
    covariance: Complex[np.ndarray, "coils coils"] | None = None,
) -> Inexact[np.ndarray, "..."]:
    """Data with white Gaussian noise; across coils correlated if ``covariance`` is given.

    Give one of ``sigma``, ``snr`` and ``covariance``.  Noise is complex where data are:
    ``E|n_i|^2 = sigma^2``, half of it in each part; ``N(0, sigma^2)`` where data are real
    (design page, section 1).

    Parameters
    ----------
    y
        Data of any shape; ``(coils, ...)`` with ``covariance``.
    seed
        Seed or generator: the same seed gives the same noise.
    sigma
        Standard deviation an entry, in the unit of the data.
    snr
        Signal-to-noise ratio in dB: ``10 log10(mean |y_i|^2 / sigma^2)``.
    covariance
        ``E n_i n_i^H`` between the coils, Hermitian and positive semidefinite, in the squared
        unit of the data; data must be complex.

    Returns
    -------
    Array of the shape and dtype of ``y``.

    Raises
    ------
    ValueError
        Unless exactly one kind of noise is given, finite and not negative, and the covariance
        fits.
    """
    kinds = {"sigma": sigma, "snr": snr, "covariance": covariance}
    given = [name for name, value in kinds.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"give one of sigma, snr and covariance; got {given or 'none of them'}")
    if snr is not None:
        if not np.isfinite(snr):
            raise ValueError(f"snr is a finite number of decibels; got {snr}")
        sigma = float(np.sqrt(np.mean(np.abs(y) ** 2)) * 10 ** (-snr / 20))
    rng = np.random.default_rng(seed)
    if covariance is not None:
        mixing = _root_of(covariance, y)
        return (y + np.tensordot(mixing, _white(y, rng), 1)).astype(y.dtype)
    if not (sigma is not None and np.isfinite(sigma) and sigma >= 0):
        raise ValueError(f"sigma is a finite standard deviation, 0 or more; got {sigma}")
    return (y + sigma * _white(y, rng)).astype(y.dtype)


def _white(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not np.iscomplexobj(y):
        return rng.standard_normal(y.shape)
    parts = rng.standard_normal((2, *y.shape)) / np.sqrt(2)
    return parts[0] + 1j * parts[1]


def _root_of(covariance: np.ndarray, y: np.ndarray) -> np.ndarray:
    coils = y.shape[0] if y.ndim else 0
    if covariance.shape != (coils, coils) or not np.iscomplexobj(y):
        raise ValueError(
            f"a noise covariance of {coils} coils is ({coils}, {coils}) and belongs to complex "
            f"data; got shape {covariance.shape} for {y.dtype} data"
        )
    values, vectors = np.linalg.eigh(covariance)
    scale = np.abs(covariance).max(initial=0)
    if not np.allclose(covariance, covariance.conj().T, atol=1e-6 * scale) or (
        values.min() < -1e-6 * scale
    ):
        raise ValueError("a covariance is Hermitian and positive semidefinite; this one is not")
    return vectors * np.sqrt(np.maximum(values, 0))


def noise_covariance(k: KSpace, *, share: float = 0.05) -> Complex128[np.ndarray, "coils coils"]:
    """Noise covariance between the coils, ``E n n^H``, of one sample.

    From the noise scan if the file has one: the mean of ``n n^H`` over its samples.  Otherwise
    from the periphery of k-space, the ``share`` of the measured samples that lie farthest from
    the centre (distances in units of each axis's largest frequency): correlations are means
    over them, variances come from the median of ``|n|^2``, which a few strong samples hardly
    move.  What signal is left there counts as noise: an upper estimate.  Source: ours.

    Parameters
    ----------
    k
        K-space of a file or a simulation.
    share
        Of the measured samples that make the periphery, in (0, 1].

    Returns
    -------
    ``(coils, coils)`` complex128, in the squared unit of the samples.

    Raises
    ------
    DataError
        If there are fewer samples than 8 a coil, or a coil has no noise at all.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is of the measured samples, above 0 and at most 1; got {share}")
    if k.noise_scan is not None:
        noise, place = k.noise_scan.astype(np.complex128), "noise scan"
    else:
        noise, place = _outer_samples(k, share), "periphery of k-space"
    if noise.shape[1] < 8 * k.coils:
        raise DataError(
            k.origin.path, place,
            f"{noise.shape[1]} samples for {k.coils} coils; at least {8 * k.coils} are needed. "
            "Give the noise level yourself, or a larger `share`",
        )  # fmt: skip
    covariance = noise @ noise.conj().T / noise.shape[1]
    if k.noise_scan is None:
        robust = np.sqrt(np.median(np.abs(noise) ** 2, axis=1) / MEDIAN_TO_MEAN)
        plain = np.sqrt(np.diag(covariance).real)
        scale = np.divide(robust, plain, out=np.zeros_like(plain), where=plain > 0)
        covariance *= np.outer(scale, scale)
    silent = np.flatnonzero(np.diag(covariance).real <= 0)
    if silent.size:
        raise DataError(
            k.origin.path, place,
            f"coil {int(silent[0])} has no noise there (most samples are exactly 0); was k-space "
            "filtered or filled with zeros? Give the noise level yourself",
        )  # fmt: skip
    return covariance


def _outer_samples(k: KSpace, share: float) -> Complex128[np.ndarray, "coils n"]:
    rows, columns = ((np.arange(n) - n // 2) / max(n // 2, 1) for n in k.shape)
    distance = np.hypot(rows[:, None], columns)[k.mask]
    farthest = np.argsort(-distance, kind="stable")[: max(round(share * distance.size), 1)]
    return k.samples[:, k.mask][:, farthest].astype(np.complex128)


def noise_level(k: KSpace, *, share: float = 0.05) -> Float64[np.ndarray, " coils"]:
    """Standard deviation ``sigma_c`` of a complex sample, coil by coil (`noise_covariance`)."""
    return np.sqrt(np.diag(noise_covariance(k, share=share)).real)


def prewhiten(k: KSpace, covariance: Complex[np.ndarray, "coils coils"] | None = None) -> KSpace:
    """K-space whose noise has ``sigma = 1`` in every coil and no correlation between them.

    With the Cholesky factor ``L`` of the covariance, samples become ``L^{-1} samples``; so do
    the sensitivities that are estimated from them afterwards.
    Source: Pruessmann et al., Magn. Reson. Med. 46, 2001 (virtual coils).

    Parameters
    ----------
    k
        K-space.
    covariance
        Of the noise; by default `noise_covariance` of ``k``.

    Returns
    -------
    `KSpace` in units of the noise's standard deviation, without the file's own reconstruction,
    whose unit no longer fits.

    Raises
    ------
    ValueError
        If the covariance does not fit or is not positive definite.
    """
    if covariance is None:
        covariance = noise_covariance(k)
    if covariance.shape != (k.coils, k.coils):
        raise ValueError(
            f"a noise covariance of {k.coils} coils is ({k.coils}, {k.coils}); "
            f"got {covariance.shape}"
        )
    try:
        factor = np.linalg.cholesky(covariance.astype(np.complex128))
    except np.linalg.LinAlgError as fault:
        raise ValueError(
            "the noise covariance is not positive definite, so that it cannot be whitened: are "
            "two coils the same, or was the noise scan shorter than the number of coils?"
        ) from fault
    mixing = np.linalg.inv(factor).astype(np.complex64)
    scan = None if k.noise_scan is None else mixing @ k.noise_scan
    samples = np.tensordot(mixing, k.samples, 1)
    return dataclasses.replace(k, samples=samples, noise_scan=scan, reference=None)
