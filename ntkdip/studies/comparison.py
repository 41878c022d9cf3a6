"""Theory against training: one network, predicted from its kernel and trained for real."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Complex, Float, Inexact

from ntkdip import kernels, metrics, networks, spectrum, theory, training
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite

LEADING = 200
"""Eigenvectors whose Fourier content is kept: the tail is nearly degenerate, hence arbitrary."""


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """Prediction and training of one centred network, from the same start and step size.

    ``steps`` (T,) are the recorded iterations of both; ``predicted`` and ``trained``
    (T, ...) the images there; ``horizon`` (H,) and ``horizon_psnr`` (dB) continue the
    prediction to where training cannot follow; ``limit`` is t = infinity.
    """

    name: str
    step_size: float
    eigenvalues: Float[np.ndarray, " n"]
    eigenvectors: spectrum.EigenvectorContent
    coupling: spectrum.KernelContent
    data_eigenvalues: Float[np.ndarray, " r"]
    steps: np.ndarray
    predicted: Inexact[np.ndarray, "T ..."]
    trained: Inexact[np.ndarray, "T ..."]
    predicted_psnr: Float[np.ndarray, " T"]
    trained_psnr: Float[np.ndarray, " T"]
    distance: Float[np.ndarray, " T"]
    horizon: np.ndarray
    horizon_psnr: Float[np.ndarray, " H"]
    limit: Inexact[np.ndarray, "..."]
    limit_psnr: float

    def summary(self) -> dict[str, Any]:
        """Every number of the comparison, under names that explain themselves."""
        best = int(np.argmax(self.horizon_psnr))
        return {
            "step_size": self.step_size,
            "kernel": {
                "dimension": self.eigenvalues.size,
                "largest_eigenvalue": self.eigenvalues[0],
                "smallest_eigenvalue_over_largest": self.eigenvalues[-1] / self.eigenvalues[0],
                "eigenvalues_above_1e-10_of_largest": int(
                    np.sum(self.eigenvalues > 1e-10 * self.eigenvalues[0])
                ),
                "leading_eigenvectors": self.eigenvectors.mean.size,
                "leading_eigenvectors_mean_frequency_spread_cycles": float(
                    self.eigenvectors.spread.mean()
                ),
                "off_diagonal_energy_share_in_fourier_basis": self.coupling.off_diagonal,
            },
            "prediction": {
                "largest_eigenvalue_of_A_W_Astar": self.data_eigenvalues[0],
                "limit_psnr_db": self.limit_psnr,
                "best_psnr_db_of_horizon_with_truth_known": self.horizon_psnr[best],
                "best_iteration_of_horizon_with_truth_known": int(self.horizon[best]),
                "horizon_iterations": self.horizon,
                "horizon_psnr_db": self.horizon_psnr,
            },
            "training": {
                "iterations": self.steps,
                "trained_psnr_db": self.trained_psnr,
                "predicted_psnr_db": self.predicted_psnr,
                "relative_distance_between_them": self.distance,
                "final_trained_psnr_db": self.trained_psnr[-1],
                "final_predicted_psnr_db": self.predicted_psnr[-1],
                "final_relative_distance": self.distance[-1],
            },
        }


def compare(
    net: networks.Architecture,
    z: Float[Array, "*pixels channels"],
    A: LinearOperator,
    y: Complex[np.ndarray, " p"],
    truth: Inexact[np.ndarray, "..."],
    *,
    record_at: np.ndarray,
    key: Array,
    horizon: float = 1e6,
) -> Comparison:
    """Predict and train one network, centred (``f_theta - f_theta0``), by gradient descent.

    Parameters
    ----------
    net, z
        The architecture and its fixed input.
    A, y
        Forward operator and data.
    truth
        The true image, for PSNR only.
    record_at
        Iterations at which both are compared.
    key
        PRNG key of the initial parameters.
    horizon
        The prediction goes on to this iteration.

    Returns
    -------
    `Comparison`, with step size ``1 / lambda_max(A W A*)``.
    """
    require_finite(truth, "true image")
    params = net.init(z, key=key)
    W = kernels.empirical(net, params, z)
    eigenvalues, vectors = W.eigh()
    eigenvectors = spectrum.eigenvector_content(vectors[:, :LEADING], W.space)
    regime = theory.KernelRegime(W, A)
    run = train_centred(net, params, z, A, y, regime.step_size, record_at, net.name)
    predicted = regime.trajectory(y, run.steps)
    later = np.unique(np.round(np.geomspace(1, horizon, 60)))
    limit = regime.limit(y)
    # The start of a centred network is zero: there is no distance to speak of there.
    distance = [
        metrics.relative_distance(a, b) if np.any(b) else 0.0
        for a, b in zip(run.images, predicted, strict=True)
    ]
    return Comparison(
        name=net.name,
        step_size=regime.step_size,
        eigenvalues=eigenvalues,
        eigenvectors=eigenvectors,
        coupling=spectrum.kernel_content(W),
        data_eigenvalues=regime.data_eigenvalues(),
        steps=run.steps,
        predicted=predicted,
        trained=run.images,
        predicted_psnr=_psnrs(predicted, truth),
        trained_psnr=_psnrs(run.images, truth),
        distance=np.array(distance),
        horizon=later,
        horizon_psnr=_psnrs(regime.trajectory(y, later), truth),
        limit=limit,
        limit_psnr=metrics.psnr(limit, truth),
    )


def train_centred(
    net: networks.Architecture,
    params: nnx.State,
    z: Float[Array, "*pixels channels"],
    A: LinearOperator,
    y: Complex[np.ndarray, "..."],
    step_size: float,
    record_at: Sequence[float] | np.ndarray,
    name: str,
) -> training.Run:
    """Plain gradient descent on ``f_theta - f_theta0``, the training that theory speaks of."""
    # Accelerators round products to 10 or 8 bits by default, which would hide the agreement.
    with jax.default_matmul_precision("highest"):
        return training.train(
            training.least_squares(net, A, y, z, centre=params),
            params,
            optax.sgd(step_size),
            record_at,
            name=f"{name}: training",
        )


def _psnrs(images: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return np.array([metrics.psnr(image, truth) for image in images])
