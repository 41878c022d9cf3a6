"""Self-guided deep image prior with and without its denoiser regulariser."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from ntkdip import plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Trial, UNet
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import AVERAGED, BEST, FINAL

WITHOUT = 0.0
"""``alpha`` that switches the regulariser off; the input is trained all the same."""

LINEAR = 0.01
"""Up to here the axis of ``alpha`` is linear, so that 0 is on it."""


@dataclasses.dataclass(frozen=True)
class Fig3Configuration:
    """What is trained: every ``alpha`` from every seed, with the same steps and rates."""

    problem: Mri = dataclasses.field(default_factory=Mri)
    """The slice, its coils and lines."""
    net: UNet = dataclasses.field(default_factory=UNet)
    """Trained anew for every ``alpha`` and seed."""
    steps: int = 3000
    """Of every run."""
    record_every: int = 20
    """Steps between records."""
    optimiser: Optimiser = dataclasses.field(default_factory=lambda: Optimiser(rate=3e-3))
    """The same for every ``alpha``."""
    alphas: tuple[float, ...] = (WITHOUT, 0.01, 0.05, 0.2, 1.0)
    """Weights of the regulariser; 0 is among them."""
    shown: float = 0.05
    """The weight that the verdicts are on: the method's default, chosen on another mask."""
    seeds: int = 3
    """Networks for each weight."""

    def __post_init__(self) -> None:
        if not {WITHOUT, self.shown} <= set(self.alphas):
            raise ValueError(
                f"alphas must hold 0 and the weight shown, {self.shown}; got {self.alphas}"
            )


SMALL = Mri(size=64, distance=1.5, sigma=0.02, seed=3)

PRESETS = {
    "smoke": Fig3Configuration(
        Mri(size=32, coils=4, seed=3), net=UNet((4, 8)), steps=20, record_every=5,
        alphas=(WITHOUT, 0.05), seeds=2,
    ),
    "quick": Fig3Configuration(
        SMALL, net=UNet((8, 16, 16), 0.1), steps=600, record_every=10,
        optimiser=Optimiser(rate=1e-2, input_rate=3e-2),
        alphas=(WITHOUT, 0.02, 0.1, 0.5), shown=0.1,
    ),
    "full": Fig3Configuration(),
}  # fmt: skip


def cells(c: Fig3Configuration) -> dict[Any, Cell]:
    """A cell for each weight and seed."""
    return {
        (alpha, seed): Trial(
            c.problem, training.SelfGuided(alpha=alpha), c.optimiser, c.net, c.steps, seed,
            c.record_every,
        ).cell(f"alpha {alpha:g}")
        for alpha in c.alphas
        for seed in range(c.seeds)
    }  # fmt: skip


def report(c: Fig3Configuration, results: Mapping[Any, Result]) -> Report:
    """A table of PSNR against ``alpha``, curves, and what the regulariser gives."""

    def psnr(alpha: float, image: str) -> tuple[float, ...]:
        return tuple(float(results[alpha, s][f"psnr of {image}"]) for s in range(c.seeds))

    def lost(alpha: float) -> tuple[float, ...]:
        return paired(psnr(alpha, BEST), psnr(alpha, FINAL))

    rows: tuple[tuple[Entry, ...], ...] = tuple(
        (f"{alpha:g}", *(Spread(psnr(alpha, image), 2) for image in (FINAL, AVERAGED, BEST)),
         Spread(lost(alpha), 2))
        for alpha in c.alphas
    )  # fmt: skip
    p = c.problem
    table = Table(
        "fig3", f"Self-guided DIP at {p.size}², {p.acceleration:g}x, {c.steps:,} steps, "
        f"{c.seeds} seeds: PSNR (dB), mean ± sd",
        ("alpha", "final", "averaged", "best by the truth", "lost from best to final"), rows,
    )  # fmt: skip
    verdicts = [
        Verdict(f"with the regulariser (alpha = {c.shown:g}) self-guided DIP ends above the same "
                "without it", paired(psnr(c.shown, FINAL), psnr(WITHOUT, FINAL)), unit="dB"),
        Verdict("without the regulariser more is lost from the best image to the last",
                paired(lost(WITHOUT), lost(c.shown)), unit="dB"),
    ]  # fmt: skip
    return Report([table], _pictures(c, results, psnr), verdicts)


def _pictures(c: Fig3Configuration, results: Mapping[Any, Result], psnr: Any) -> Iterator[Picture]:
    with plotting.style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2))
        curves = {
            f"alpha = {alpha:g}": [
                (results[alpha, s]["step"], results[alpha, s]["psnr"]) for s in range(c.seeds)
            ]
            for alpha in c.alphas
        }
        plotting.step_curves(left, curves, ylabel="PSNR (dB)", title="image at each step")
        start = min(float(values[0]) for runs in curves.values() for _, values in runs)
        ends = [float(values[-1]) for runs in curves.values() for _, values in runs]
        left.set_ylim(bottom=max(start, min(ends) - 4))
        for image, line in ((FINAL, "o-"), (AVERAGED, "s--")):
            gains = np.array(
                [paired(psnr(alpha, image), psnr(WITHOUT, image)) for alpha in c.alphas]
            )
            _gains(right, c.alphas, gains, image, line)
        right.legend()
        yield Picture(
            "fig3", "The regulariser's weight",
            "Left: every seed. Right: gain over the same seed without the denoiser (alpha = 0, "
            "where the input is trained all the same); thin lines are seeds, thick ones their "
            f"mean. The axis of alpha is linear up to {LINEAR:g}.", figure,
        )  # fmt: skip


def _gains(
    ax: Axes, alphas: tuple[float, ...], gains: Float[np.ndarray, "alphas seeds"], image: str,
    line: str,
) -> None:  # fmt: skip
    ax.plot(alphas, gains, line[1:], color="0.6", linewidth=0.8)
    ax.plot(alphas, gains.mean(axis=1), line, color="black", markersize=5, label=image)
    ax.set_xscale("symlog", linthresh=LINEAR)
    ax.set(xlabel="alpha", ylabel="gain over alpha = 0 (dB)", title="what the regulariser gives")
    ax.set_xlim(left=-LINEAR / 4)
    ax.grid(True)


STUDY: Study[Fig3Configuration] = Study(
    "fig3",
    "Self-guided DIP with and without its regulariser",
    "What does the denoiser term of self-guided deep image prior give, and at which weight?",
    PRESETS,
    cells,
    report,
)
