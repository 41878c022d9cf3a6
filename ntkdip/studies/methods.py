"""Deep image priors side by side on one undersampled slice, with what needs no training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

from ntkdip import baselines, data, metrics, networks, operators, plotting, training
from ntkdip.progress import track
from ntkdip.training import Optimiser, Settings
from ntkdip.training.results import AVERAGED, BEST, FINAL

WEIGHTS = (0.0003, 0.001, 0.003, 0.01)
"""Of total variation and wavelets; the best by the truth is shown, which favours them."""

RIDGES = (0.001, 0.003, 0.01, 0.03)
"""Of CG-SENSE, likewise."""

DISCREPANCY = 1.05
"""Residual over the noise at which a run is stopped; from 1 to 1.05 little changes (two masks)."""


@dataclasses.dataclass(frozen=True)
class MethodsConfiguration:
    """What the study of methods trains."""

    size: int = 128
    """Pixels a side."""
    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Of the U-Net's levels, the same for every method."""
    steps: int = 3000
    """Of every method."""
    seeds: int = 3
    """Networks of each method."""
    mask_seed: int = 0
    """Of the sampled lines and the noise."""
    coils: int = 8
    """On a ring of radius ``distance`` half-fields-of-view."""
    distance: float = 1.05
    """Of the coils from the centre."""
    sigma: float = 0.01
    """Noise a sample of k-space; the image's maximum is 1."""
    record_every: int = 20
    """Steps between records."""


PRESETS = {
    "smoke": MethodsConfiguration(
        size=32, channels=(4, 8), steps=20, seeds=1, coils=4, record_every=5
    ),
    "quick": MethodsConfiguration(
        size=64, channels=(8, 16, 16), steps=600, seeds=2, distance=1.5, sigma=0.02
    ),
    "full": MethodsConfiguration(),
}
"""Presets of the study of methods."""


@dataclasses.dataclass(frozen=True)
class MethodRow:
    """One kind of image of one method: PSNR and step of every seed."""

    method: str
    image: str
    psnr: tuple[float, ...]
    ssim: tuple[float, ...]
    step: tuple[float, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class MethodsStudy:
    """Rows of methods, PSNR of what needs no training, curves and images of the first seeds."""

    configuration: MethodsConfiguration
    rows: tuple[MethodRow, ...]
    baselines: dict[str, float]
    curves: dict[str, list[dict[str, np.ndarray]]]
    images: dict[str, np.ndarray]
    truth: np.ndarray

    def row(self, method: str, image: str) -> MethodRow:
        """The row of this method and kind of image."""
        return next(r for r in self.rows if (r.method, r.image) == (method, image))


@dataclasses.dataclass(frozen=True, eq=False)
class MriProblem:
    """The MRI test problem: truth, operator and data."""

    truth: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray


def mri_problem(configuration: MethodsConfiguration) -> MriProblem:
    """The complex slice, coils on a ring, the paper's 4x lines, complex noise.

    Coils have ``S_c ~ exp(i phi_c) / d_c`` and unit root-sum-of-squares.
    """
    c = configuration
    truth = data.mri_slice(c.size)
    maps = data.ring_sensitivities(truth.shape, c.coils, distance=c.distance)
    mask = operators.masks.random_lines(truth.shape, 4, seed=c.mask_seed)
    A = operators.multi_coil_fourier(mask, maps)
    clean = np.asarray(A(truth.astype(np.complex64)))
    return MriProblem(truth, A, data.add_noise(clean, sigma=c.sigma, seed=c.mask_seed))


def methods_study(configuration: MethodsConfiguration) -> MethodsStudy:
    """Train every method on the MRI test problem, with rates tuned on another mask.

    Returns
    -------
    `MethodsStudy`.  The full preset takes about an hour on two cores.
    """
    problem = mri_problem(configuration)
    compared = untrained(problem)
    rows: list[MethodRow] = []
    curves, images = {}, dict(compared)
    for name, (method, optimiser) in contenders().items():
        run = _run(problem, configuration, method, optimiser)
        rows += _rows(name, run)
        curves[name] = [outcome.metrics for outcome in run.outcomes]
        images[name] = run.averaged
    scores = {name: metrics.psnr(image, problem.truth) for name, image in compared.items()}
    return MethodsStudy(configuration, tuple(rows), scores, curves, images, problem.truth)


def contenders() -> dict[str, tuple[training.Method, Optimiser]]:
    """Every method with the rates that did best on another mask (seed 1), by name."""
    slow, fast = Optimiser(rate=3e-3), Optimiser(rate=1e-2)
    return {
        "self-guided": (training.SelfGuided(), slow),
        "vanilla": (training.Vanilla(), fast),
        "vanilla, perturbed": (training.Vanilla(perturbation=1 / 30), fast),
        "vanilla + TV": (training.TotalVariation(), fast),
        "sequential": (training.Sequential(), slow),
        "reference-guided": (training.ReferenceGuided(), slow),
    }


def untrained(problem: MriProblem) -> dict[str, np.ndarray]:
    """Reconstructions without a network, each with the weight that is best by the truth."""
    A, y, truth = problem.A, problem.y, problem.truth

    def best(candidates: Iterator[np.ndarray]) -> np.ndarray:
        return max(candidates, key=lambda image: metrics.psnr(image, truth))

    found = {
        "zero-filled": baselines.zero_filled(A, y),
        "CG-SENSE": best(baselines.cg_sense(A, y, ridge=r) for r in RIDGES),
    }
    solvers = {
        "TV": baselines.total_variation,
        "wavelets": baselines.wavelet_compressed_sensing,
    }
    try:
        for name, solve in track(solvers.items(), "compressed sensing"):
            found[name] = best(solve(A, y, weight=w) for w in WEIGHTS)
    except ImportError:  # sigpy is an extra; what needs no training is beside the point here
        return found
    return found


def methods_figures(study: MethodsStudy) -> Iterator[tuple[str, Figure]]:
    """``methods``: PSNR against steps, beside what needs no training; ``methods_images``."""
    with plotting.style():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
        for ax, column, title in zip(
            axes, ("psnr", "average_psnr"), ("image at each step", "moving average"), strict=True
        ):
            curves = {
                name: [(run["step"], run[column]) for run in runs]
                for name, runs in study.curves.items()
            }
            plotting.step_curves(ax, curves, ylabel="PSNR (dB)", title=title)
            for name, value in study.baselines.items():
                ax.axhline(value, color="0.4", linestyle=":", linewidth=1)
                ax.annotate(name, (1, value), xycoords=("axes fraction", "data"), fontsize=7,
                            xytext=(3, 0), textcoords="offset points", va="center",
                            color="0.3")  # fmt: skip
            ax.legend(loc="lower right", ncols=2)
        # Below the zero-filled image curves only show where they come from.
        axes[0].set_ylim(bottom=study.baselines["zero-filled"] - 4)
        yield "methods", figure
        plt.close(figure)
        names = list(study.images)
        figure, grid = plt.subplots(2, len(names) + 1, figsize=(2.1 * (len(names) + 1), 4.6))
        peak = float(np.abs(study.truth).max())
        plotting.magnitude(grid[0, 0], study.truth, "truth", peak=peak)
        grid[1, 0].axis("off")
        for i, name in enumerate(names, 1):
            image = study.images[name]
            label = f"{name}\n{metrics.psnr(image, study.truth):.1f} dB"
            plotting.magnitude(grid[0, i], image, label, peak=peak)
            plotting.error_map(grid[1, i], image, study.truth, "", peak=0.2 * peak)
        yield "methods_images", figure
        plt.close(figure)


def methods_tables(study: MethodsStudy) -> list[Table]:
    """Baselines, and every method's images."""
    first = Table("without training", "PSNR (dB)")
    for name, value in study.baselines.items():
        first.add_row(name, f"{value:.2f}")
    c = study.configuration
    title = f"{c.size} x {c.size}, {c.steps:,} steps, {c.seeds} seeds: mean ± sd"
    table = Table("method", "image", "PSNR (dB)", "SSIM", "step", title=title)
    for row in study.rows:
        table.add_row(
            row.method, row.image, spread(row.psnr, 2), spread(row.ssim, 3), spread(row.step, 0),
            end_section=row.image == BEST,
        )  # fmt: skip
    return [first, table]


def spread(values: tuple[float, ...], digits: int) -> str:
    """Mean and standard deviation over seeds; a mean alone if there is one."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _run(
    problem: MriProblem, c: MethodsConfiguration, method: training.Method, optimiser: Optimiser
) -> training.Reconstruction:
    settings = Settings(
        steps=c.steps, seeds=c.seeds, record_every=c.record_every, optimiser=optimiser
    )
    noise = training.expected_noise_norm(c.sigma, problem.y.size)
    # A scan of the same subject with another contrast: magnitudes, squared.
    reference = np.abs(problem.truth).astype(np.float32) ** 2
    return training.reconstruct(
        networks.unet(c.channels), problem.A, problem.y, method, key=jax.random.key(0),
        settings=settings, truth=problem.truth, reference=reference,
        rules=[training.WindowedVariance(), training.Discrepancy(noise, factor=DISCREPANCY)],
    )  # fmt: skip


def _rows(name: str, run: training.Reconstruction) -> list[MethodRow]:
    psnr, ssim, steps = run.scores(), run.scores(metrics.ssim), run.picked_steps()
    order = [FINAL, AVERAGED, *(n for n in psnr if n not in (FINAL, AVERAGED, BEST)), BEST]
    return [
        MethodRow(name, image, *(tuple(map(float, v[image])) for v in (psnr, ssim, steps)))
        for image in order
    ]


def content(study: MethodsStudy) -> dict[str, Any]:
    """What is stored of a study, JSON-ready."""
    return {
        "configuration": dataclasses.asdict(study.configuration),
        "without_training_psnr_db": study.baselines,
        "rows": [dataclasses.asdict(row) for row in study.rows],
    }
