"""The theorems on a kernel, a mask and an image from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkdip import kernels, operators, theory
from ntkdip.studies.files import read_array


def verdicts_of_files(
    kernel: Path, mask: Path, image: Path, sigma: float, seed: int
) -> list[theory.Verdict]:
    """`ntkdip.theory.examine` on what was saved.

    Parameters
    ----------
    kernel
        File written by `ntkdip.kernels.save` or ``ntkdip kernel``.
    mask
        Boolean or 0/1 array (.npy) of the image's shape, zero frequency at ``n // 2``.
    image
        The true image (.npy), real or complex as the kernel's images are.
    sigma, seed
        Noise level, and seed of the simulated noise.

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If one holds something else, or they do not fit together.
    """
    sampled, x = read_array(mask), read_array(image)
    W = kernels.load(kernel).kernel
    A = operators.masked_fourier(sampled, shape=W.space.shape, complex_image=W.space.is_complex)
    return theory.examine(W, A, x.astype(np.result_type(x.dtype, np.float64)), sigma, seed=seed)
