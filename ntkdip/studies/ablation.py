"""What each part of self-guided deep image prior gives: one setting changed at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ntkdip import plotting, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.fig3 import SMALL
from ntkdip.studies.imaging import Mri
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Trial, UNet, entries
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.training import Optimiser
from ntkdip.training.results import AVERAGED, BEST, FINAL

Part = Literal["level", "draws", "input_rate", "alpha"]

MEANINGS: dict[Part, str] = {
    "level": "noise on the input, of its maximum",
    "draws": "draws of noise a step",
    "input_rate": "learning rate of the input",
    "alpha": "weight of the denoiser",
}
"""Parts in the order of the figures; averaging is seen beside each."""

LINEAR: dict[Part, float] = {"level": 0.05, "input_rate": 1e-3, "alpha": 0.01}
"""Up to here an axis is linear, so that 0 is on it."""


@dataclasses.dataclass(frozen=True)
class AblationConfiguration:
    """What is trained: the base, and each part at each of its values, from every seed."""

    base: Trial
    """Self-guided, with an input rate."""
    values: dict[Part, tuple[float, ...]]
    """Of each part that is changed; its value in the base is added where it is missing."""
    seeds: int = 3
    """Networks for each value."""

    def __post_init__(self) -> None:
        if not isinstance(self.base.method, training.SelfGuided):
            raise ValueError(f"parts are those of self-guided DIP; got {self.base.method}")
        if self.base.optimiser.input_rate is None:
            raise ValueError("the base needs an input rate of its own; set Optimiser.input_rate")

    def settings(self, part: Part) -> tuple[float, ...]:
        """Values of a part, the base's among them, in order."""
        return tuple(sorted({*self.values[part], self.of_base(part)}))

    def of_base(self, part: Part) -> float:
        """A part's value in the base."""
        owner = self.base.optimiser if part == "input_rate" else self.base.method
        return float(getattr(owner, part))

    def trial(self, part: Part, value: float, seed: int) -> Trial:
        """The base with one part changed."""
        base = dataclasses.replace(self.base, seed=seed)
        if part == "input_rate":
            # A rate of 0 is none: the input stays, as weights go on.
            rates = dataclasses.replace(base.optimiser, input_rate=value or FROZEN)
            return dataclasses.replace(base, optimiser=rates)
        assert isinstance(base.method, training.SelfGuided)
        changed: Any = {part: int(value) if part == "draws" else value}
        return dataclasses.replace(base, method=dataclasses.replace(base.method, **changed))


FROZEN = 1e-12
"""Rate of an input that stays: with Adam it moves by no more than this a step."""

PRESETS = {
    "smoke": AblationConfiguration(
        Trial(Mri(size=32, coils=4, seed=3), training.SelfGuided(), Optimiser(input_rate=3e-2),
              UNet((4, 8)), steps=20, record_every=5),
        {"level": (0.0,), "draws": (2,), "input_rate": (0.0,), "alpha": (0.0,)}, seeds=2,
    ),
    "quick": AblationConfiguration(
        Trial(SMALL, training.SelfGuided(alpha=0.1), Optimiser(rate=1e-2, input_rate=3e-2),
              UNet((8, 16, 16), 0.1), steps=600, record_every=10),
        {"level": (0.0, 0.5), "draws": (3,), "input_rate": (0.0, 3e-3), "alpha": (0.0, 0.5)},
        seeds=3,
    ),
    "full": AblationConfiguration(
        Trial(Mri(), training.SelfGuided(), Optimiser(rate=3e-3, input_rate=3e-2)),
        {"level": (0.0, 0.05, 0.1, 0.5), "draws": (2, 3, 5),
         "input_rate": (0.0, 1e-3, 1e-2, 1e-1), "alpha": (0.0, 0.01, 0.2, 1.0)},
        seeds=3,
    ),
}  # fmt: skip


def cells(c: AblationConfiguration) -> dict[Any, Cell]:
    """A cell for each part, value and seed; the base is one cell a seed, whatever the part."""
    return {
        (part, value, seed): c.trial(part, value, seed).cell(f"{part} {value:g}")
        for part in c.values
        for value in c.settings(part)
        for seed in range(c.seeds)
    }


def report(c: AblationConfiguration, results: Mapping[Any, Result]) -> Report:
    """A table of every value, curves over each part, and what the parts give."""

    def psnr(part: Part, value: float, image: str) -> tuple[float, ...]:
        mine = [results[part, value, seed] for seed in range(c.seeds)]
        return entries(mine, f"psnr of {image}")

    rows: list[tuple[Entry, ...]] = []
    for part in c.values:
        for value in c.settings(part):
            final, averaged, best = (psnr(part, value, i) for i in (FINAL, AVERAGED, BEST))
            mark = " (base)" if value == c.of_base(part) else ""
            rows.append((MEANINGS[part], f"{value:g}{mark}", Spread(final, 2), Spread(averaged, 2),
                         Spread(best, 2), Spread(paired(best, final), 2)))  # fmt: skip
    columns = ("part", "value", "final", "averaged", "best by the truth", "lost from best to final")
    title = f"{c.base.problem.name}, {c.base.steps:,} steps, {c.seeds} seeds: PSNR (dB), mean ± sd"
    table = Table("ablation", title, columns, tuple(rows))
    finding = (
        "every setting is trained with the base's rates and steps: what a part gives is what it "
        "gives there, and a part that is missed might be made up for by other rates"
    )
    return Report([table], _pictures(c, psnr), _verdicts(c, psnr), [finding])


def _verdicts(c: AblationConfiguration, psnr: Any) -> list[Verdict]:
    """Each part against its absence, and averaging."""
    claims: dict[Part, tuple[float, str]] = {
        "level": (0.0, "noise on the input"),
        "input_rate": (0.0, "training the input"),
        "alpha": (0.0, "the denoiser term"),
    }
    found = [
        Verdict(f"{what} raises the final image's PSNR",
                paired(psnr(part, c.of_base(part), FINAL), psnr(part, without, FINAL)), unit="dB")
        for part, (without, what) in claims.items()
        if part in c.values and without in c.settings(part)
    ]  # fmt: skip
    if "draws" in c.values:
        most, base = max(c.settings("draws")), c.of_base("draws")
        found.append(
            Verdict(f"{most:g} draws of noise a step raise it over {base:g}, at as many times the "
                    "cost", paired(psnr("draws", most, FINAL), psnr("draws", base, FINAL)),
                    unit="dB")
        )  # fmt: skip
    part = next(iter(c.values))
    base = c.of_base(part)
    found.append(
        Verdict("the moving average lies above the final image",
                paired(psnr(part, base, AVERAGED), psnr(part, base, FINAL)), unit="dB")
    )  # fmt: skip
    return found


def _pictures(c: AblationConfiguration, psnr: Any) -> Iterator[Picture]:
    with plotting.style():
        figure, axes = plt.subplots(1, len(c.values), figsize=(2.7 * len(c.values), 3.2),
                                    sharey=True, squeeze=False)  # fmt: skip
        for ax, part in zip(axes[0], c.values, strict=True):
            _panel(ax, c, part, psnr)
        axes[0, 0].set_ylabel("PSNR (dB)")
        axes[0, 0].legend()
        yield Picture(
            "ablation", "One setting at a time", "Mean over seeds; bars: standard deviation. The "
            "vertical line is the base's value. Axes that hold 0 are linear next to it.", figure,
        )  # fmt: skip


def _panel(ax: Axes, c: AblationConfiguration, part: Part, psnr: Any) -> None:
    values = c.settings(part)
    for image, line, colour in ((FINAL, "o-", "#0072B2"), (AVERAGED, "s--", "#D55E00")):
        spreads = [Spread(psnr(part, value, image)).known for value in values]
        ax.errorbar(values, [s.mean() for s in spreads],
                    yerr=[s.std(ddof=1) if s.size > 1 else 0.0 for s in spreads],
                    fmt=line, color=colour, markersize=4, capsize=2, label=image)  # fmt: skip
    if part in LINEAR:
        ax.set_xscale("symlog", linthresh=LINEAR[part])
        ax.set_xlim(left=-LINEAR[part] / 4)
    else:
        ax.set_xticks(values)
    ax.axvline(c.of_base(part), color="0.7", linewidth=1, zorder=0)
    ax.set_xlabel(MEANINGS[part], fontsize=8)
    ax.grid(True)


STUDY: Study[AblationConfiguration] = Study(
    "ablation",
    "The parts of self-guided DIP",
    "What do noise on the input, its draws, the trained input, the denoiser and averaging give?",
    PRESETS,
    cells,
    report,
)
