"""Problems with a known truth, and the cells that reconstruct them: what several studies share."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from ntkdip import data, metrics, networks, operators, training
from ntkdip.studies.cells import Cell
from ntkdip.training import Optimiser, Settings

SCORES = {"psnr": metrics.psnr, "ssim": metrics.ssim, "nmse": metrics.nmse}
"""What every reconstruction is judged by."""

DISCREPANCY = 1.05
"""Residual over the noise at which a run is stopped; from 1 to 1.05 little changes (two masks)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Built:
    """A problem ready to be solved: truth, operator, data and the expected norm of the noise."""

    truth: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray
    noise_norm: float | None

    @property
    def rules(self) -> list[training.StoppingRule]:
        """When to stop: without and, where there is noise, with knowledge of its level."""
        found: list[training.StoppingRule] = [training.WindowedVariance()]
        if self.noise_norm is not None:
            found.append(training.Discrepancy(self.noise_norm, factor=DISCREPANCY))
        return found


@dataclasses.dataclass(frozen=True)
class Mri:
    """A slice seen by coils on a ring, 1D undersampled as the paper's authors do.

    Coils have ``S_c ~ exp(i phi_c) / d_c`` and unit root-sum-of-squares.
    """

    size: int = 128
    """Pixels a side."""
    acceleration: float = 4.0
    """All lines over sampled ones."""
    seed: int = 0
    """Of lines and noise."""
    coils: int = 8
    """On a ring of radius ``distance`` half-fields-of-view."""
    distance: float = 1.05
    """Of the coils from the centre."""
    sigma: float = 0.01
    """Noise a sample of k-space; the image's maximum is 1."""

    def build(self) -> Built:
        """Truth, operator and data."""
        truth = data.mri_slice(self.size)
        maps = data.ring_sensitivities(truth.shape, self.coils, distance=self.distance)
        mask = operators.masks.random_lines(truth.shape, self.acceleration, seed=self.seed)
        A = operators.multi_coil_fourier(mask, maps)
        clean = np.asarray(A(truth.astype(np.complex64)))
        if not self.sigma:
            return Built(truth, A, clean, None)
        y = data.add_noise(clean, sigma=self.sigma, seed=self.seed)
        return Built(truth, A, y, training.expected_noise_norm(self.sigma, y.size))


@dataclasses.dataclass(frozen=True)
class Trial:
    """One network trained on one problem by one method."""

    problem: Mri
    method: training.Method
    optimiser: Optimiser
    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Of the U-Net's levels."""
    steps: int = 3000
    seed: int = 0
    """Of weights, input and noise on it."""
    record_every: int = 20
    """Steps between records."""
    slope: float = 0.0
    """Of the U-Net's leaky ReLU below zero."""

    def cell(self, label: str) -> Cell:
        """The cell that trains it."""
        return Cell(f"{label}, seed {self.seed}", train, self)


def train(trial: Trial) -> dict[str, Any]:
    """Train a network and score what comes of it.

    Returns
    -------
    ``step`` (t,) and each record (t,), as in `ntkdip.training.Outcome`; ``psnr of final`` and
    so on for every kind of image there is, beside ``step of final`` and ``final`` itself; the
    network's inputs as ``input_steps`` and ``inputs``.  A rule that did not trigger has no image.
    """
    p = trial.problem.build()
    settings = Settings(
        steps=trial.steps, record_every=trial.record_every, optimiser=trial.optimiser
    )
    net = networks.unet(
        trial.channels, complex_image=p.A.domain.is_complex, slope=trial.slope
    )  # fmt: skip
    run = training.reconstruct(
        net, p.A, p.y, trial.method, key=jax.random.key(trial.seed), settings=settings,
        truth=p.truth, reference=another_contrast(p.truth), rules=p.rules,
    )  # fmt: skip
    (outcome,) = run.outcomes
    unused = {name for name, pick in outcome.stopped.items() if not pick.triggered}
    images = {name: image for name, image in outcome.images.items() if name not in unused}
    found: dict[str, Any] = dict(outcome.metrics)
    steps = run.picked_steps()
    for kind, image in images.items():
        found |= {f"{name} of {kind}": score(image, p.truth) for name, score in SCORES.items()}
        found |= {f"step of {kind}": int(steps[kind][0]), kind: image}
    return found | {"input_steps": outcome.input_steps, "inputs": outcome.inputs}


def another_contrast(truth: np.ndarray) -> np.ndarray:
    """A scan of the same subject with another contrast: magnitudes, squared."""
    return np.abs(truth).astype(np.float32) ** 2
