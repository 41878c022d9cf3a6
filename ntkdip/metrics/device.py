"""The same metrics as pure JAX functions of an image, for use inside a compiled step."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float64, Inexact

from ntkdip.metrics import host

Metrics = dict[str, Float[Array, ""]]


def against(truth: Inexact[Any, "..."], *, bands: int = 3) -> Against:
    """A function that scores images against one truth, on the device.

    What depends on the truth alone is computed here, once, in float64 on the host.  The
    function that comes back is pure, compiled, and traces under ``jit``, ``vmap`` and ``scan``.
    It holds no convolution, which is slow inside loops on CPU, and no matrix product, which
    accelerators round.

    Parameters
    ----------
    truth
        The true image: real or complex, any number of axes.
    bands
        Rings of k-space for the band errors, at least 1.

    Returns
    -------
    Function of an image of the truth's shape, real or complex (computed in float32 and
    complex64), to a dict of float32 scalars, always with the same keys:

    ``psnr``, ``nmse``
        As `ntkdip.metrics.psnr` (dB) and `ntkdip.metrics.nmse`.
    ``ssim``
        As `ntkdip.metrics.ssim`; only for 2D images of at least 11 pixels a side.
    ``hfen``
        As `ntkdip.metrics.hfen`; only where the true magnitude is not constant.
    ``band_error_low``, ``band_error_middle``, ``band_error_high``
        As `ntkdip.metrics.band_errors`, each only where the truth is not 0 in its band; with
        other than three bands ``band_error_1``, ``band_error_2``, ... from the centre.

    PSNR is infinite where magnitudes agree exactly.  An image with NaN or infinite entries
    gives NaN (``psnr`` may be -inf) and raises nothing, as it may be met inside a compiled loop.

    Raises
    ------
    ValueError
        At once: if the truth has no axes, is not finite or zero everywhere, or ``bands`` is below
        1.  When the function is called or traced: if the image's shape differs.

    Notes
    -----
    Cost an image: one FFT and about 130 multiplications a pixel in 2D, some 1 ms at 128 x 128
    and 20 ms at 512 x 512 on one CPU core; memory of some twelve images; compiling takes about
    a second.  A metric agrees with the host's to about 1e-6 relative, but an image in float32
    is itself rounded by 6e-8: at a relative error of 1e-3 four digits are left.
    Source: ours; those of the metrics are named at the host's functions.
    """
    truth = np.asarray(truth)
    magnitude = _checked_magnitude(truth, bands)
    ssim = magnitude.ndim == 2 and min(magnitude.shape) >= host.SSIM_WINDOW
    return Against(
        reference=jnp.asarray(truth, jnp.complex64),
        magnitude=_single(magnitude),
        peak_db=_single(20 * np.log10(magnitude.max())),
        energy=_single(np.sum(magnitude**2)),
        ssim=_ssim_of_truth(magnitude) if ssim else None,
        hfen=(
            _single(np.linalg.norm(host.laplacian_of_gaussian(magnitude)))
            if np.ptp(magnitude) > 0
            else None
        ),
        bands=_bands_of_truth(truth, bands),
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Against:
    """What `against` returns: a function, and a pytree of what it knows of the truth.

    As an argument of a compiled function it is data, so truths of one shape share a compilation.
    """

    reference: Array
    magnitude: Array
    peak_db: Array
    energy: Array
    ssim: dict[str, Array] | None
    hfen: Array | None
    bands: dict[str, tuple[Array, Array]]

    def __call__(self, image: Inexact[Array, "..."]) -> Metrics:
        """Score an image; see `against`."""
        if image.shape != self.reference.shape:
            raise ValueError(
                f"images of equal shapes compare; got {image.shape}, the truth is "
                f"{self.reference.shape}"
            )
        return _score(self, image)


@jax.jit
def _score(truth: Against, image: Array) -> Metrics:
    image = image.astype(jnp.complex64)
    metrics = _band_errors(image - truth.reference, truth.bands)
    difference = jnp.abs(image) - truth.magnitude
    if truth.hfen is not None:
        metrics = _hfen(difference, truth.hfen) | metrics
    if truth.ssim is not None:
        metrics = _ssim(difference, truth.magnitude, truth.ssim) | metrics
    error = jnp.sum(difference**2)
    of_pixels = {
        "psnr": truth.peak_db - 10 * jnp.log10(error / np.float32(image.size)),
        "nmse": error / truth.energy,
    }
    return of_pixels | metrics


def _single(values: Any) -> Array:
    return jnp.asarray(values, jnp.float32)


def _checked_magnitude(truth: np.ndarray, bands: int) -> np.ndarray:
    """Magnitude of the truth in float64."""
    if bands < 1:
        raise ValueError(f"bands is at least 1; got {bands}")
    if truth.ndim == 0:
        raise ValueError("the truth is an image with one axis or more; got a single number")
    if not np.isfinite(truth).all():
        raise ValueError("the truth has NaN or infinite entries; nothing can be compared with it")
    magnitude = np.abs(truth.astype(np.complex128))
    if magnitude.size == 0 or magnitude.max() == 0:
        raise ValueError("metrics need a true image that is not zero everywhere")
    return magnitude


def _ssim_of_truth(magnitude: np.ndarray) -> dict[str, Array]:
    """Local mean and variance, and the two constants."""
    from scipy import signal

    window = _gaussian(host.SSIM_WINDOW // 2)
    both = np.outer(window, window)
    mean, square = (signal.correlate2d(x, both, "valid") for x in (magnitude, magnitude**2))
    c1, c2 = ((k * magnitude.max()) ** 2 for k in (0.01, 0.03))
    known = {"mean": mean, "variance": square - mean**2, "c1": c1, "c2": c2}
    return {name: _single(values) for name, values in known.items()}


def _ssim(difference: Array, true: Array, known: dict[str, Array]) -> Metrics:
    window = _gaussian(host.SSIM_WINDOW // 2)
    mean, variance = known["mean"], known["variance"]
    # Moments of the difference, not of the image: they keep their digits as it gets small.
    moments = jnp.stack([difference, difference**2, difference * true])
    shift, square, product = _inside(_inside(moments, window, 1), window, 2)
    covariance = product - shift * mean
    image_mean = mean + shift
    image_variance = variance + 2 * covariance + square - shift**2
    local = (2 * mean * image_mean + known["c1"]) * (2 * (variance + covariance) + known["c2"])
    local /= (mean**2 + image_mean**2 + known["c1"]) * (variance + image_variance + known["c2"])
    return {"ssim": jnp.sum(local) / np.float32(local.size)}


def _hfen(difference: Array, norm: Array) -> Metrics:
    padded = jnp.pad(difference, host.HFEN_RADIUS, mode="symmetric")
    return {"hfen": jnp.sqrt(jnp.sum(_laplacian_of_gaussian(padded) ** 2)) / norm}


def _bands_of_truth(truth: np.ndarray, bands: int) -> dict[str, tuple[Array, Array]]:
    """Members and norm of every band in which the truth is not 0."""
    band = host.radial_band(truth.shape, bands)
    energies = np.bincount(band.ravel(), (np.abs(np.fft.fftn(truth)) ** 2).ravel(), bands)
    names = ("low", "middle", "high") if bands == 3 else range(1, bands + 1)
    return {
        f"band_error_{name}": (jnp.asarray(band == b), _single(np.sqrt(energies[b])))
        for b, name in enumerate(names)
        if energies[b] > 0
    }


def _band_errors(difference: Array, bands: dict[str, tuple[Array, Array]]) -> Metrics:
    transform = jnp.fft.fftn(difference)
    power = transform.real**2 + transform.imag**2
    return {
        name: jnp.sqrt(jnp.sum(jnp.where(inside, power, np.float32(0)))) / norm
        for name, (inside, norm) in bands.items()
    }


def _laplacian_of_gaussian(padded: Array) -> Array:
    """Second derivatives of the smoothed image, summed over axes; the padding is used up."""
    smooth = _gaussian(host.HFEN_RADIUS)
    offsets = np.arange(-host.HFEN_RADIUS, host.HFEN_RADIUS + 1)
    second = smooth * (offsets**2 / host.SIGMA**4 - 1 / host.SIGMA**2)
    terms = []
    for derived in range(padded.ndim):
        term = padded
        for axis in range(padded.ndim):
            term = _inside(term, second if axis == derived else smooth, axis)
        terms.append(term)
    return sum(terms[1:], terms[0])


def _gaussian(radius: int) -> Float64[np.ndarray, " taps"]:
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * host.SIGMA**2))
    return weights / weights.sum()


def _inside(x: Array, weights: Float64[np.ndarray, " taps"], axis: int) -> Array:
    """Weighted sums over the windows that lie inside, along one axis.

    A loop over taps: unrolled, XLA fuses the passes along all axes into one, which then takes
    seconds to compile and ten times as long to run.
    """
    count = x.shape[axis] - len(weights) + 1
    taps = jnp.asarray(weights, jnp.float32)

    def add(i: Array, total: Array) -> Array:
        return total + taps[i] * lax.dynamic_slice_in_dim(x, i, count, axis)

    return lax.fori_loop(
        0, len(weights), add, jnp.zeros_like(lax.slice_in_dim(x, 0, count, axis=axis))
    )
