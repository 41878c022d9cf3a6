"""Kernels with known spectra, dense and as a network's products would be."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space


def with_spectrum(values: np.ndarray, seed: int = 0) -> DenseKernel:
    """A dense kernel on real images with these eigenvalues and random eigenvectors."""
    n = len(values)
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]
    W = (Q * values) @ Q.T
    return DenseKernel((W + W.T) / 2, Space((n,), False))


class Single:
    """Products in float32, lifted to float64, and counted: nothing else of a kernel."""

    def __init__(self, W: DenseKernel) -> None:
        self.space, self.single, self.products = W.space, W.matrix.astype(np.float32), 0

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        self.products += 1 if v.ndim == 1 else v.shape[1]
        return (self.single @ v.astype(np.float32)).astype(np.float64)


class Traceable(Single):
    """The same with a product that JAX can trace."""

    def product(self, v: jax.Array) -> jax.Array:
        return jnp.asarray(self.single) @ v
