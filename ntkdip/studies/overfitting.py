"""Self-guided against vanilla deep image prior in runs that leave vanilla's best step behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt

from ntkdip import plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.fig3 import SMALL
from ntkdip.studies.imaging import Mri
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Trial, UNet
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import AVERAGED, BEST, FINAL

GUIDED = "self-guided"
FALLING = "vanilla"
CONSTANT = "vanilla, constant rate"


@dataclasses.dataclass(frozen=True)
class OverfittingConfiguration:
    """What is trained: each contender from every seed, for the same steps."""

    problem: Mri = dataclasses.field(default_factory=Mri)
    """The slice, its coils and lines."""
    guided: training.SelfGuided = dataclasses.field(default_factory=training.SelfGuided)
    """The self-guided contender."""
    guided_rates: Optimiser = dataclasses.field(
        default_factory=lambda: Optimiser(
            rate=5e-3, input_rate=3e-2, schedule="exponential", final_share=0.01
        )
    )
    """Its rates, chosen on another mask."""
    vanilla_rate: float = 1e-2
    """Vanilla's best constant rate, on another mask; falling, it starts from there."""
    net: UNet = dataclasses.field(default_factory=UNet)
    """Trained anew by every contender from every seed."""
    steps: int = 10_560
    """Of every run; the table says how far past its best step each went."""
    record_every: int = 20
    """Steps between records."""
    seeds: int = 3
    """Networks of each contender."""

    @property
    def contenders(self) -> dict[str, tuple[training.Method, Optimiser]]:
        """Self-guided, and vanilla with the same schedule and without one."""
        constant = Optimiser(rate=self.vanilla_rate)
        falling = dataclasses.replace(
            constant,
            schedule=self.guided_rates.schedule,
            final_share=self.guided_rates.final_share,
        )
        return {
            GUIDED: (self.guided, self.guided_rates),
            FALLING: (training.Vanilla(), falling),
            CONSTANT: (training.Vanilla(), constant),
        }


PRESETS = {
    "smoke": OverfittingConfiguration(
        Mri(size=32, coils=4, seed=3), net=UNet((4, 8)), steps=20, record_every=5, seeds=2
    ),
    "quick": OverfittingConfiguration(
        SMALL, training.SelfGuided(alpha=0.1),
        Optimiser(rate=1e-2, input_rate=3e-2, schedule="exponential", final_share=0.01),
        net=UNet((8, 16, 16), 0.1), steps=2000,
    ),
    "full": OverfittingConfiguration(),
}  # fmt: skip


def cells(c: OverfittingConfiguration) -> dict[Any, Cell]:
    """A cell for each contender and seed."""
    return {
        (name, seed): Trial(
            c.problem, method, optimiser, c.net, c.steps, seed, c.record_every
        ).cell(name)
        for name, (method, optimiser) in c.contenders.items()
        for seed in range(c.seeds)
    }


def report(c: OverfittingConfiguration, results: Mapping[Any, Result]) -> Report:
    """A table of every seed, curves, and whether self-guidance keeps what it finds."""

    def numbers(name: str, entry: str) -> tuple[float, ...]:
        return tuple(float(results[name, s][entry]) for s in range(c.seeds))

    def psnr(name: str, image: str) -> tuple[float, ...]:
        return numbers(name, f"psnr of {image}")

    p = c.problem
    columns = ("contender", "seed", "best by the truth", "at step", "final", "averaged",
               "steps over best step", "final less best")  # fmt: skip
    table = Table(
        "overfitting", f"{p.size}², {p.acceleration:g}x, {c.steps:,} steps: PSNR (dB)", columns,
        tuple(_rows(c, numbers)),
    )  # fmt: skip
    ours, kept = psnr(GUIDED, FINAL), paired(psnr(GUIDED, FINAL), psnr(GUIDED, BEST))
    verdicts = [
        *(
            Verdict(f"self-guided DIP ends above the {kind} image of {name}, by {bar:g} dB",
                    paired(ours, psnr(name, image)), bar, "dB")
            for name in (FALLING, CONSTANT)
            for kind, image, bar in (("best", BEST, 0.5), ("last", FINAL, 1.0))
        ),
        Verdict("self-guided DIP ends at most 0.3 dB below its own best", kept, -0.3, "dB"),
    ]  # fmt: skip
    past = {name: _steps_over_best(c, numbers, name) for name in (FALLING, CONSTANT)}
    findings = [
        f"{name} is trained for {min(ratios):.2f} to {max(ratios):.2f} times the steps to its best "
        "image" for name, ratios in past.items()
    ]  # fmt: skip
    return Report([table], _pictures(c, results), verdicts, findings)


def _steps_over_best(c: OverfittingConfiguration, numbers: Any, name: str) -> tuple[float, ...]:
    """All steps over those to the best image, for each seed."""
    return tuple(c.steps / max(step, 1.0) for step in numbers(name, f"step of {BEST}"))


def _rows(c: OverfittingConfiguration, numbers: Any) -> Iterator[tuple[Entry, ...]]:
    for name in c.contenders:
        best, final, averaged = (numbers(name, f"psnr of {i}") for i in (BEST, FINAL, AVERAGED))
        steps, ratios = numbers(name, f"step of {BEST}"), _steps_over_best(c, numbers, name)
        each = (best, steps, final, averaged, ratios, paired(final, best))
        digits = (2, 0, 2, 2, 2, 2)
        for seed in range(c.seeds):
            single = (Spread((n[seed],), d) for n, d in zip(each, digits, strict=True))
            yield (name, str(seed), *single)
        yield (name, "all", *(Spread(n, d) for n, d in zip(each, digits, strict=True)))


def _pictures(c: OverfittingConfiguration, results: Mapping[Any, Result]) -> Iterator[Picture]:
    with plotting.style():
        figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True)
        titles = {"psnr": "image at each step", "average_psnr": "moving average"}
        for ax, (column, title) in zip(axes, titles.items(), strict=True):
            curves = {
                name: [(results[name, s]["step"], results[name, s][column])
                       for s in range(c.seeds)]
                for name in c.contenders
            }  # fmt: skip
            plotting.step_curves(ax, curves, ylabel="PSNR (dB)", title=title)
        ends = [float(r["psnr"][-1]) for r in results.values()]
        start = min(float(r["psnr"][0]) for r in results.values())
        axes[0].set_ylim(bottom=max(start, min(ends) - 4))
        yield Picture(
            "overfitting", "PSNR against steps", "Every seed of every contender; the rates of "
            "self-guided and of vanilla fall alike, the third keeps its own.", figure,
        )  # fmt: skip


STUDY: Study[OverfittingConfiguration] = Study(
    "overfitting",
    "Self-guided and vanilla DIP in long runs",
    "Does self-guidance keep a deep image prior from fitting the noise?",
    PRESETS,
    cells,
    report,
)
