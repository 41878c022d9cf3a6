"""Deep image priors side by side on one undersampled slice, with what needs no training."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import matplotlib.pyplot as plt
import numpy as np

from ntkdip import baselines, metrics, networks, plotting, training
from ntkdip.progress import track
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.imaging import Built, Mri, another_contrast
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Spread, Table
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser, Settings
from ntkdip.training.results import AVERAGED, BEST, FINAL

WEIGHTS = (0.0003, 0.001, 0.003, 0.01)
"""Of total variation and wavelets; the best by the truth is shown, which favours them."""

RIDGES = (0.001, 0.003, 0.01, 0.03)
"""Of CG-SENSE, likewise."""

UNTRAINED = "without training"


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
    """NaN where a rule has not triggered."""
    ssim: tuple[float, ...]
    step: tuple[float, ...]


def mri_problem(configuration: MethodsConfiguration) -> Built:
    """The complex slice, coils on a ring, the paper's 4x lines, complex noise."""
    c = configuration
    return Mri(c.size, 4.0, c.mask_seed, c.coils, c.distance, c.sigma).build()


@dataclasses.dataclass(frozen=True)
class MethodSettings:
    """One method on the problem of a configuration, all seeds."""

    configuration: MethodsConfiguration
    name: str
    method: training.Method
    optimiser: Optimiser


def train_method(given: MethodSettings) -> dict[str, Any]:
    """Train a method from every seed.

    Returns
    -------
    Columns of `MethodRow`; ``curve_step`` (t,), ``curve_psnr`` and ``curve_average_psnr``
    (seeds, t); ``averaged``: the first seed's moving average.
    """
    problem = mri_problem(given.configuration)
    run = _run(problem, given.configuration, given.method, given.optimiser)
    curves = {
        f"curve_{name}": np.stack([outcome.metrics[name] for outcome in run.outcomes])
        for name in ("psnr", "average_psnr")
    }
    step = run.outcomes[0].metrics["step"]
    rows = columns_of(_rows(given.name, run))
    return rows | curves | {"curve_step": step, AVERAGED: run.averaged}


def reconstruct_untrained(given: MethodsConfiguration) -> dict[str, Any]:
    """`untrained`, by name."""
    return dict(untrained(mri_problem(given)))


def cells(c: MethodsConfiguration) -> dict[Any, Cell]:
    """A cell for each method, and one for what needs no training."""
    first = Cell(UNTRAINED, reconstruct_untrained, c)
    return {UNTRAINED: first} | {
        name: Cell(name, train_method, MethodSettings(c, name, method, optimiser))
        for name, (method, optimiser) in contenders().items()
    }


def report(c: MethodsConfiguration, results: Mapping[Any, Result]) -> Report:
    """Tables of PSNR and SSIM, curves, images, and whether self-guidance helps."""
    compared = dict(results[UNTRAINED])
    trained = {name: found for name, found in results.items() if name != UNTRAINED}
    truth = mri_problem(c).truth
    scores = {name: metrics.psnr(image, truth) for name, image in compared.items()}
    rows = rows_of(MethodRow, *trained.values())
    first = Table("without_training", "Without training: the best weight by the truth",
                  ("method", "PSNR (dB)"), tuple(scores.items()))  # fmt: skip
    table = Table(
        "methods", f"{c.size} x {c.size}, {c.steps:,} steps, {c.seeds} seeds: mean ± sd",
        ("method", "image", "PSNR (dB)", "SSIM", "step"),
        tuple((r.method, r.image, Spread(r.psnr, 2), Spread(r.ssim, 3), Spread(r.step, 0))
              for r in rows),
    )  # fmt: skip
    images = compared | {name: found[AVERAGED] for name, found in trained.items()}
    return Report([first, table], methods_pictures(trained, scores, images, truth), _verdicts(rows))


def _verdicts(rows: tuple[MethodRow, ...]) -> list[Verdict]:
    of = {(r.method, r.image): r.psnr for r in rows}
    ours = of["self-guided", FINAL]
    lost = paired(of["self-guided", BEST], ours)
    return [
        Verdict("self-guided DIP ends above the best image that vanilla DIP passes",
                paired(ours, of["vanilla", BEST]), unit="dB"),
        Verdict("self-guided DIP ends above vanilla DIP",
                paired(ours, of["vanilla", FINAL]), unit="dB"),
        Verdict("self-guided DIP ends at its best (shown: what it loses, at most 0.3 dB allowed)",
                tuple(0.3 - loss for loss in lost), unit="dB"),
    ]  # fmt: skip


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


def untrained(problem: Built) -> dict[str, np.ndarray]:
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


def methods_pictures(
    trained: Mapping[Any, Result],
    scores: Mapping[str, float],
    images: Mapping[str, np.ndarray],
    truth: np.ndarray,
) -> Iterator[Picture]:
    """``methods``: PSNR against steps, beside what needs no training; ``methods_images``."""
    with plotting.style():
        figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True)
        for ax, column, title in zip(
            axes, ("psnr", "average_psnr"), ("image at each step", "moving average"), strict=True
        ):
            curves = {
                name: [(found["curve_step"], values) for values in found[f"curve_{column}"]]
                for name, found in trained.items()
            }
            plotting.step_curves(ax, curves, ylabel="PSNR (dB)", title=title)
            for name, value in scores.items():
                ax.axhline(value, color="0.4", linestyle=":", linewidth=1)
                ax.annotate(name, (1, value), xycoords=("axes fraction", "data"), fontsize=7,
                            xytext=(3, 0), textcoords="offset points", va="center",
                            color="0.3")  # fmt: skip
            ax.legend(loc="lower right", ncols=2)
        # Below the zero-filled image curves only show where they come from.
        axes[0].set_ylim(bottom=scores["zero-filled"] - 4)
        yield Picture("methods", "PSNR against steps", "Every seed of every method; dotted: "
                      "without training.", figure)  # fmt: skip
        figure, grid = plt.subplots(2, len(images) + 1, figsize=(2.1 * (len(images) + 1), 4.6))
        peak = float(np.abs(truth).max())
        plotting.magnitude(grid[0, 0], truth, "truth", peak=peak)
        grid[1, 0].axis("off")
        for i, (name, image) in enumerate(images.items(), 1):
            label = f"{name}\n{metrics.psnr(image, truth):.1f} dB"
            plotting.magnitude(grid[0, i], image, label, peak=peak)
            plotting.error_map(grid[1, i], image, truth, "", peak=0.2 * peak)
        yield Picture("methods_images", "Images and errors", "The first seed's moving average, "
                      "and errors five times as bright.", figure)  # fmt: skip


def _run(
    problem: Built, c: MethodsConfiguration, method: training.Method, optimiser: Optimiser
) -> training.Reconstruction:
    settings = Settings(
        steps=c.steps, seeds=c.seeds, record_every=c.record_every, optimiser=optimiser
    )
    return training.reconstruct(
        networks.unet(c.channels), problem.A, problem.y, method, key=jax.random.key(0),
        settings=settings, truth=problem.truth, reference=another_contrast(problem.truth),
        rules=problem.rules,
    )  # fmt: skip


def _rows(name: str, run: training.Reconstruction) -> list[MethodRow]:
    psnr, ssim, steps = run.scores(), run.scores(metrics.ssim), run.picked_steps()
    order = [FINAL, AVERAGED, *(n for n in psnr if n not in (FINAL, AVERAGED, BEST)), BEST]

    def reached(image: str, values: np.ndarray) -> tuple[float, ...]:
        stopped = (outcome.stopped.get(image) for outcome in run.outcomes)
        return tuple(
            float("nan") if pick is not None and not pick.triggered else float(value)
            for pick, value in zip(stopped, values, strict=True)
        )

    return [
        MethodRow(name, image, *(reached(image, v[image]) for v in (psnr, ssim, steps)))
        for image in order
    ]


STUDY: Study[MethodsConfiguration] = Study(
    "methods",
    "Deep image priors side by side",
    "What do deep image priors make of one undersampled slice, beside what needs no training?",
    PRESETS,
    cells,
    report,
)
