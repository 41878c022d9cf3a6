"""Cases built to satisfy the hypotheses of the theorems, with a NumPy-only operator oracle."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Bool, Float64

from ntkdip.kernels import DenseKernel
from ntkdip.operators import MaskedFourier, masked_fourier
from ntkdip.spaces import Space

SIDE = 8
SAMPLED_SHARE = 0.4


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A kernel, an operator and an image on real embeddings.

    ``W`` is the kernel that the case is about and ``given`` what the library is handed:
    the same, unless a fault was injected.  ``matrix`` is the operator's real matrix,
    built with NumPy alone; ``x`` the embedded image.
    """

    W: Float64[np.ndarray, "n n"]
    given: DenseKernel
    A: MaskedFourier
    matrix: Float64[np.ndarray, "p n"]
    x: Float64[np.ndarray, " n"]

    @property
    def image(self) -> np.ndarray:
        """The true image, in the shape of the operator's domain."""
        return self.A.domain.unembed(self.x)

    @property
    def data(self) -> np.ndarray:
        """Noise-free data, in the shape of the operator's range."""
        return self.A.range.unembed(self.matrix @ self.x)


def make_case(
    W: Float64[np.ndarray, "n n"],
    mask: Bool[np.ndarray, "h w"],
    x: Float64[np.ndarray, " n"],
    *,
    complex_image: bool = True,
    inject_fault: bool = False,
) -> Case:
    """Assemble a `Case`; a fault adds ``lambda_max(W)`` to the entry ``W[0, 0]``."""
    A = masked_fourier(mask, complex_image=complex_image)
    given = W.copy()
    if inject_fault:
        given[0, 0] += np.linalg.eigvalsh(W)[-1]
    kernel = DenseKernel(given, A.domain)
    return Case(W, kernel, A, fourier_matrix(mask, complex_image), x)


def fourier_matrix(
    mask: Bool[np.ndarray, "h w"], complex_image: bool
) -> Float64[np.ndarray, "p n"]:
    """Real matrix of masked Fourier sampling, by NumPy's FFT of every basis image."""
    space = Space(mask.shape, complex_image)
    columns = []
    for unit in np.eye(space.real_size):
        kspace = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(space.unembed(unit)), norm="ortho"))
        samples = kspace[mask]
        columns.append(np.concatenate([samples.real, samples.imag]))
    return np.stack(columns, axis=1)


def random_mask(rng: np.random.Generator) -> Bool[np.ndarray, "h w"]:
    """Random k-space points, zero frequency included; not symmetric under ``k -> -k``."""
    mask = rng.random((SIDE, SIDE)) < SAMPLED_SHARE
    mask[SIDE // 2, SIDE // 2] = True
    return mask


def wishart(rng: np.random.Generator, n: int, rank: int) -> Float64[np.ndarray, "n n"]:
    """Random PSD kernel of a given rank; well conditioned on its range where rank < n."""
    G = rng.standard_normal((n, rank))
    W = G @ G.T / rank
    return W + 0.1 * np.eye(n) if rank == n else W


def circulant(
    rng: np.random.Generator, complex_image: bool
) -> tuple[Float64[np.ndarray, "n n"], Float64[np.ndarray, "h w"]]:
    """A nonsingular circulant kernel and its eigenvalues, one a frequency (centred).

    Symmetric under ``k -> -k``, so the convolution filter is real: the kernel acts alike
    on real and imaginary parts.
    """
    weights = rng.uniform(0.2, 1.0, (SIDE, SIDE))
    flipped = np.roll(np.flip(weights), 1, axis=(0, 1))
    spectrum = np.fft.fftshift((weights + flipped) / 2)
    full = fourier_matrix(np.ones((SIDE, SIDE), bool), complex_image)
    return full.T @ (np.tile(spectrum.ravel(), 2)[:, None] * full), spectrum


def examples(seed: int = 0) -> dict[str, Case]:
    """A case for each part of Theorem 1, and one for Corollary 1, on complex 8 x 8 images."""
    rng = np.random.default_rng(seed)
    mask = random_mask(rng)
    n, samples = 2 * mask.size, int(mask.sum())
    singular = wishart(rng, n, 3 * samples // 2)
    return {
        "nonsingular kernel": make_case(wishart(rng, n, n), mask, rng.standard_normal(n)),
        "singular kernel, image in its range": make_case(
            singular, mask, singular @ rng.standard_normal(n)
        ),
        "singular kernel, another image": make_case(singular, mask, rng.standard_normal(n)),
        "circulant kernel": make_case(circulant(rng, True)[0], mask, rng.standard_normal(n)),
    }
