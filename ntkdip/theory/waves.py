"""The same for kernels that shifts leave as they are, under an ``A`` that is diagonal there.

A stationary kernel mixes only frequencies that are a whole number of coarse periods apart
(the aliasing groups of a Deep Decoder; single frequencies for a circulant kernel), and
``A*A`` of masked Fourier sampling mixes none.  With ``A = Q D^(1/2) F`` (``Q`` a partial
isometry, ``F`` the Fourier transform, ``D = F A*A F*`` diagonal) the dynamics fall apart into
one small Hermitian problem ``D^(1/2) (F W F*) D^(1/2)`` a group, and data come in through
``Q* y = D^(-1/2) F A* y``.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cached_property

import numpy as np
import scipy.fft
from jaxtyping import Bool, Complex128, Float64, Int

from ntkdip.kernels import BothParts, Kernel, StationaryKernel, require_memory
from ntkdip.operators import Identity, LinearOperator, MaskedFourier, apply_to_rows
from ntkdip.progress import ticking
from ntkdip.theory.spectra import ExactSpectrum, Filter, require_adjoint, require_positive, resolved


@dataclasses.dataclass(frozen=True, eq=False)
class WaveSpectrum(ExactSpectrum):
    """Eigenpairs in ``K`` groups of ``M`` frequencies, ``r = K M`` complex coordinates.

    ``places`` (K, M) are flat indices into a plain FFT; ``sampled`` (K, M) is ``D``;
    ``vectors`` (K, M, M) the eigenvectors of every group, ``waves`` (K, M, M) ``F W A* U``.
    """

    A: LinearOperator
    values: Float64[np.ndarray, " r"]
    carries: Bool[np.ndarray, " r"]
    multiplicity: int
    places: Int[np.ndarray, "K M"]
    sampled: Float64[np.ndarray, "K M"]
    vectors: Complex128[np.ndarray, "K M M"]
    waves: Complex128[np.ndarray, "K M M"]

    def coefficients(self, data: Float64[np.ndarray, " m"]) -> Complex128[np.ndarray, " r"]:
        return (self._adjoint_vectors @ self._seen(data)[..., None]).ravel()

    def images(self, c: Complex128[np.ndarray, "r T"]) -> Float64[np.ndarray, "n T"]:
        groups, M = self.places.shape
        return self._from_modes((self.waves @ c.reshape(groups, M, -1)).reshape(c.shape))

    def data(self, c: Complex128[np.ndarray, " r"]) -> Float64[np.ndarray, " m"]:
        modes = self._over_root((self.vectors @ c.reshape(*self.places.shape, 1))[..., 0])
        return apply_to_rows(self.A, self._from_modes(modes.reshape(-1, 1)).T)[0]

    def _seen(self, data: np.ndarray) -> np.ndarray:
        """``Q* data``."""
        back = self.A.domain.unembed(apply_to_rows(self.A, data[None], adjoint=True)[0])
        return self._over_root(scipy.fft.fftn(back, norm="ortho").ravel()[self.places])

    def _over_root(self, modes: np.ndarray) -> np.ndarray:
        """``D^(-1/2)`` where there is something, 0 elsewhere."""
        zero = np.zeros(modes.shape, np.complex128)
        return np.divide(modes, np.sqrt(self.sampled), out=zero, where=self.sampled > 0)

    def _from_modes(self, modes: np.ndarray) -> np.ndarray:
        """Embedded images (n, T) of Fourier coefficients (r, T), group by group."""
        ordered, space = np.empty(modes.shape, np.complex128), self.A.domain
        ordered[self.places.ravel()] = modes
        axes = tuple(range(len(space.shape)))
        images = scipy.fft.ifftn(ordered.reshape(*space.shape, -1), axes=axes, norm="ortho")
        flat = images.reshape(modes.shape)
        return np.concatenate([flat.real, flat.imag]) if space.is_complex else flat.real

    @property
    def _adjoint_vectors(self) -> np.ndarray:
        return self.vectors.conj().transpose(0, 2, 1)

    @cached_property
    def energies(self) -> Float64[np.ndarray, " r"]:
        return self.multiplicity * np.sum(np.abs(self.waves) ** 2, axis=1).ravel()

    def noise_map(self, phi: Filter, frequencies: bool) -> Float64[np.ndarray, "T ..."]:
        weights = (phi(self.values) ** 2).reshape(-1, *self.places.shape)
        found = [self._one_map(w, frequencies) for w in weights]
        return self.multiplicity * np.stack(found)

    def _one_map(self, weights: np.ndarray, frequencies: bool) -> np.ndarray:
        shape, q = self.A.domain.shape, self.A.domain.size
        if frequencies:
            power = np.empty(q)
            power[self.places.ravel()] = np.einsum(
                "kfm,km->kf", np.abs(self.waves) ** 2, weights
            ).ravel()
            return np.fft.fftshift(power.reshape(shape))
        # The covariance in a group, at aliased frequencies, is the Fourier series of its
        # diagonal over the phases.
        scaled = self.waves * np.sqrt(weights)[:, None, :]
        covariance = np.sum(scaled @ scaled.conj().transpose(0, 2, 1), axis=0)
        diagonal = np.zeros(q, np.complex128)
        offsets = self.places[0] - self.places[0, 0]
        index = np.array(np.unravel_index(offsets, shape))
        for a in range(len(offsets)):
            away = (index[:, [a]] - index) % np.array(shape)[:, None]
            np.add.at(diagonal, np.ravel_multi_index(tuple(away), shape), covariance[a])
        return scipy.fft.ifftn(diagonal.reshape(shape)).real

    def backprojected(self, data: Float64[np.ndarray, " m"], phi: Filter) -> np.ndarray:
        left = (1 - self.values * phi(self.values)) * self.coefficients(data)
        groups, M = self.places.shape
        seen = self.vectors @ left.T.reshape(groups, M, -1)
        return np.sum(np.abs(seen) ** 2 * self._inverse_sampled[..., None], axis=(0, 1))

    def backprojected_freedom(self, phi: Filter) -> tuple[np.ndarray, float]:
        weights = np.einsum("kfm,kf->km", np.abs(self.vectors) ** 2, self._inverse_sampled)
        freedom = phi(self.values) @ (self.values * weights.ravel())
        return self.multiplicity * freedom, self.multiplicity * float(self._inverse_sampled.sum())

    @property
    def _inverse_sampled(self) -> np.ndarray:
        zero = np.zeros_like(self.sampled)
        return np.divide(1.0, self.sampled, out=zero, where=self.sampled > 0)


def wave_spectrum(W: Kernel, A: LinearOperator) -> WaveSpectrum | None:
    """`WaveSpectrum` where kernel and operator allow it; None where they do not.

    Raises
    ------
    ValueError
        If ``A W A*`` is not PSD beyond rounding.
    MemoryError
        If the blocks do not fit: ``48 M q`` bytes for ``M`` phases and ``q`` pixels.
    """
    kernel = W.part if isinstance(W, BothParts) else W
    if not isinstance(kernel, StationaryKernel) or not isinstance(A, MaskedFourier | Identity):
        return None
    require_adjoint(A)
    space = A.domain
    groups = space.size // math.prod(kernel.period)
    require_memory(
        48 * space.size * math.prod(kernel.period),
        f"the blocks of a kernel on {space} of period {kernel.period}",
        None,
        "use a smaller image, or fewer upsamplings",
    )
    places, blocks = _fourier_blocks(kernel)
    sampled = _sampled(A)[places]
    root, blind = np.sqrt(sampled), sampled == 0
    seen = root[:, :, None] * blocks * root[:, None, :]
    # Unsampled frequencies are kept apart from what is sampled and has eigenvalue 0.
    scale = float(np.abs(seen).max()) or 1.0
    alone = np.arange(places.shape[1])
    seen[:, alone, alone] -= 2 * scale * blind
    with ticking(f"{groups} eigenproblems of size {places.shape[1]}"):
        values, vectors = np.linalg.eigh(seen)
    carries = values > -scale
    require_positive(values[carries].min(), values.max())
    waves = blocks @ (root[..., None] * vectors)
    waves *= resolved(np.linalg.norm(waves, axis=1, keepdims=True), waves.shape[1])
    dimensions = 2 if space.is_complex else 1
    return WaveSpectrum(
        A, np.maximum(values, 0.0).ravel(), carries.ravel(), dimensions, places, sampled,
        vectors, waves,
    )  # fmt: skip


def _sampled(A: MaskedFourier | Identity) -> Float64[np.ndarray, " q"]:
    """``D``: how much of each frequency of a plain FFT ``A`` sees.

    A real image's frequencies ``k`` and ``-k`` are one, and half of it is seen at each.
    """
    shape = A.domain.shape
    if isinstance(A, Identity):
        return np.ones(A.domain.size)
    centred = np.zeros(A.domain.size)
    centred[np.asarray(A.indices)] = 1
    mask = np.fft.ifftshift(centred.reshape(shape))
    if not A.domain.is_complex:
        mask = (mask + np.roll(np.flip(mask), 1, axis=tuple(range(len(shape))))) / 2
    return mask.ravel()


def _fourier_blocks(
    kernel: StationaryKernel,
) -> tuple[Int[np.ndarray, "K M"], Complex128[np.ndarray, "K M M"]]:
    """``F W F*`` group by group: flat frequencies of each, and its block.

    ``(F W F*)(k, l) = 1/M sum_a exp(-2 pi i (k - l) a / n) sum_d rows[a, d] exp(2 pi i l d / n)``
    for phases ``a``; zero unless ``k - l`` is a multiple of the coarse sides.
    """
    period, shape = kernel.period, kernel.space.shape
    axes, M = len(period), math.prod(period)
    series = scipy.fft.fftn(kernel.rows, axes=tuple(range(axes, 2 * axes))).conj()
    series = scipy.fft.fftn(series, axes=tuple(range(axes))) / M
    coarse = tuple(n // m for n, m in zip(shape, period, strict=True))
    base = np.indices(coarse).reshape(axes, -1, 1)
    aliases = np.indices(period).reshape(axes, 1, M) * np.array(coarse).reshape(axes, 1, 1)
    places = np.ravel_multi_index(tuple(base + aliases), shape)
    alias = np.indices(period).reshape(axes, M)
    difference = (alias[:, :, None] - alias[:, None, :]) % np.array(period).reshape(axes, 1, 1)
    apart = np.ravel_multi_index(tuple(difference), period)
    flat = series.reshape(M, -1)
    blocks = flat[apart[None], places[:, None, :]]
    return places, (blocks + blocks.conj().transpose(0, 2, 1)) / 2
