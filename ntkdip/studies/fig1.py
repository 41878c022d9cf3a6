"""The 1D square signal: what a Deep Decoder and a WCNN make of it, input by input.

Inputs and networks are those of `ntkdip.studies.square_signal`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ntkdip import plotting, spectrum
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.square_signal import (
    BARE,
    DECODER,
    GUIDED,
    HORIZON,
    INPUTS,
    RANDOM,
    REFERENCE,
    WCNN,
    ZERO_FILLED,
    Given,
    Trained,
    predict,
    train,
)
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Spread, Table
from ntkdip.studies.verdicts import Verdict, paired
from ntkdip.studies.width import reference_problem

NETWORKS = (DECODER, WCNN)

JUDGED = {DECODER: RANDOM, WCNN: ZERO_FILLED}
"""The input of each trained network whose RMSE there is a claim on."""

CLOSE = 0.05
"""A limit no further below the zero-filled RMSE than this share counts as no better."""

RECOVERED = 0.9
"""Share of the zero-filled RMSE that a recovery takes away."""

TOLERANCE = 10.0
"""Distance (%) up to which training is said to follow its prediction."""

PEAK = 0.5
"""End of the colour scale of eigenvectors' Fourier transforms."""

LOWEST = 1e-4
"""Where axes of RMSE end: below, a signal is recovered."""


@dataclasses.dataclass(frozen=True)
class Fig1Configuration:
    """How many masks are predicted at infinite width, and which networks are trained."""

    masks: int = 16
    """Seeds of the mask and of the random input, from 0; each a repetition."""
    guidance: int = 12
    """Iterations of self-guidance, at most."""
    wcnn_width: int = 512
    """Channels of the trained WCNN."""
    decoder_width: int = 1024
    """Channels of the trained Deep Decoder."""
    steps: int = 10_000
    """Of training, with ``eta = 1 / lambda_max(A W A*)``."""
    seeds: int = 4
    """Networks for each input, all on mask 0."""
    every_input: bool = True
    """Whether training sees each input but the bare reference, or those of `JUDGED` alone."""

    def trained(self, network: str) -> tuple[str, ...]:
        """The inputs with which a network is trained."""
        every = tuple(name for name in INPUTS if name != BARE)
        return every if self.every_input else (JUDGED[network],)


PRESETS = {
    "smoke": Fig1Configuration(2, 2, 8, 8, 10, 1, every_input=False),
    "quick": Fig1Configuration(5, 12, 128, 256, 600, 3),
    "full": Fig1Configuration(),
}


def cells(c: Fig1Configuration) -> dict[Any, Cell]:
    """A cell for each kernel at infinite width, and for each trained network."""
    widths = {DECODER: c.decoder_width, WCNN: c.wcnn_width}
    found: dict[Any, Cell] = {}
    for network, width in widths.items():
        for name in INPUTS:
            for mask in range(c.masks):
                label = f"{network}, {name}, mask {mask}"
                found["infinite", network, name, mask] = Cell(
                    label, predict, Given(network, name, mask, mask, c.guidance)
                )
        for name in c.trained(network):
            for seed in range(c.seeds):
                given = Given(network, name, 0, seed, c.guidance)
                found["trained", network, name, seed] = Cell(
                    f"{network}, {name}, width {width}, seed {seed}", train,
                    Trained(given, width, c.steps),
                )  # fmt: skip
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """The results of a configuration, by what they are of."""

    c: Fig1Configuration
    results: Mapping[Any, Result]

    def infinite(self, network: str, name: str, quantity: str) -> tuple[float, ...]:
        """A number of every mask."""
        return tuple(
            float(self.results["infinite", network, name, mask][quantity])
            for mask in range(self.c.masks)
        )

    def trained(self, network: str, name: str, quantity: str) -> tuple[float, ...]:
        """A number of every seed; the last one of a curve."""
        return tuple(
            float(np.atleast_1d(self.results["trained", network, name, seed][quantity])[-1])
            for seed in range(self.c.seeds)
        )

    def gain(self, network: str, name: str) -> tuple[float, ...]:
        """How far the limit is below the zero-filled RMSE, as a share of it, mask by mask."""
        limits = self.infinite(network, name, "limit_rmse")
        levels = self.infinite(network, name, "zero_filled_rmse")
        return tuple(1 - limit / level for limit, level in zip(limits, levels, strict=True))


def report(c: Fig1Configuration, results: Mapping[Any, Result]) -> Report:
    """Tables of limits and of training, the three figures, and what follows."""
    found = Found(c, results)
    verdicts = [*_verdicts_on_limits(found), *_verdicts_on_training(found)]
    return Report([_limits(found), _training(found)], _pictures(found), verdicts)


def _limits(found: Found) -> Table:
    def row(network: str, name: str) -> tuple[Any, ...]:
        return (
            network,
            name,
            Spread(found.infinite(network, name, "limit_rmse"), 4),
            Spread(tuple(100 * gain for gain in found.gain(network, name)), 1),
            Spread(found.infinite(network, name, "rank"), 0),
            Spread(found.infinite(network, name, "coherence"), 3),
        )

    levels = Spread(found.infinite(WCNN, RANDOM, "zero_filled_rmse"), 4)
    return Table(
        "fig1_limits",
        f"Infinite width, t = infinity, {found.c.masks} masks (zero-filled RMSE: {levels})",
        ("network", "input", "RMSE", "below zero-filled (%)", "rank of W", "coherence of F W Fᴴ"),
        tuple(row(network, name) for network in NETWORKS for name in INPUTS),
    )


def _training(found: Found) -> Table:
    def row(network: str, name: str) -> tuple[Any, ...]:
        quantities = ("predicted", "trained", "limit_rmse")
        rmses = (Spread(found.trained(network, name, q), 4) for q in quantities)
        distances = tuple(100 * d for d in found.trained(network, name, "distance"))
        return (network, name, *rmses, Spread(distances, 2))

    c = found.c
    return Table(
        "fig1_training",
        f"Mask 0, finite networks (Deep Decoder {c.decoder_width}, WCNN {c.wcnn_width} "
        f"channels), {c.steps:,} steps, {c.seeds} seeds: RMSE",
        ("network", "input", "predicted", "trained", "own kernel's limit", "distance (%)"),
        tuple(row(network, name) for network in NETWORKS for name in c.trained(network)),
    )


def _verdicts_on_limits(found: Found) -> list[Verdict]:
    """Shares of the zero-filled RMSE, mask by mask."""

    def below(network: str, name: str, claim: str, bar: float = 0.0) -> Verdict:
        return Verdict(f"infinite width: {claim}", found.gain(network, name), bar,
                       repetitions="masks")  # fmt: skip

    def not_below(network: str, name: str, claim: str, bar: float) -> Verdict:
        effects = tuple(-gain for gain in found.gain(network, name))
        return Verdict(f"infinite width: {claim}", effects, bar, repetitions="masks")

    coupling = paired(found.infinite(WCNN, ZERO_FILLED, "coherence"),
                      found.infinite(DECODER, RANDOM, "coherence"))  # fmt: skip
    guided = paired(found.gain(WCNN, GUIDED), found.gain(WCNN, ZERO_FILLED))
    almost = f"ends no more than {CLOSE:.0%} below the zero-filled RMSE"
    return [
        below(WCNN, ZERO_FILLED, "the WCNN that sees the zero-filled image ends below its RMSE"),
        not_below(DECODER, RANDOM, f"the Deep Decoder that sees noise {almost}", -CLOSE),
        not_below(WCNN, RANDOM, f"the WCNN that sees noise {almost}", -CLOSE),
        below(DECODER, ZERO_FILLED,
              "the Deep Decoder, too, ends below once it sees the zero-filled image"),
        Verdict("infinite width: the WCNN that sees the self-guided image ends lower than with the "
                "zero-filled one (share of the zero-filled RMSE)", guided, repetitions="masks"),
        below(WCNN, REFERENCE, "with another contrast and ones as its input the WCNN takes "
              f"{RECOVERED:.0%} of the zero-filled RMSE away", RECOVERED),
        not_below(WCNN, BARE, "without the ones the same contrast leaves it above the "
                  "zero-filled RMSE", 0.0),
        Verdict("infinite width: the kernel of the WCNN that sees the zero-filled image couples "
                "frequencies more than that of the Deep Decoder that sees noise (coherence)",
                coupling, repetitions="masks"),
    ]  # fmt: skip


def _verdicts_on_training(found: Found) -> list[Verdict]:
    def gains(network: str) -> tuple[float, ...]:
        name = JUDGED[network]
        trained = found.trained(network, name, "trained")
        levels = found.trained(network, name, "zero_filled_rmse")
        return tuple(1 - rmse / level for rmse, level in zip(trained, levels, strict=True))

    def nearness(network: str) -> tuple[float, ...]:
        all_inputs = [found.trained(network, name, "distance") for name in found.c.trained(network)]
        return tuple(-100 * max(seed) for seed in zip(*all_inputs, strict=True))

    return [
        Verdict("trained: the WCNN that sees the zero-filled image ends below its RMSE (share)",
                gains(WCNN)),
        Verdict(f"trained: the Deep Decoder that sees noise ends no more than {CLOSE:.0%} below "
                "it (share)", tuple(-gain for gain in gains(DECODER)), -CLOSE),
        *(Verdict(f"the trained {network} ends within {TOLERANCE:g} % of its own kernel's "
                  "prediction, whatever its input (shown: minus the largest distance)",
                  nearness(network), -TOLERANCE, "%") for network in NETWORKS),
    ]  # fmt: skip


def _pictures(found: Found) -> Iterator[Picture]:
    with plotting.style():
        yield Picture(
            "fig1_signals", "The signal, input by input",
            "Mask 0: the limit of the infinitely wide network. Axes of all panels are the same "
            "and end where the signals do; larger errors leave them.", _signals(found),
        )  # fmt: skip
        yield Picture(
            "fig1_rmse", "RMSE against iteration",
            "Mask 0. Above: infinite width, predicted. Below: finite networks, trained (dots) "
            "and predicted from their own kernel at the start (lines), every seed. Dashed: the "
            "zero-filled image. A curve that leaves the axes below has recovered the signal.",
            _curves(found),
        )  # fmt: skip
        yield Picture(
            "fig1_eigenvectors", "Fourier transform of the eigenvector matrices",
            "Mask 0, infinite width. A column is one eigenvector, +k and -k folded together; "
            "narrow columns are Fourier modes, wide ones couple frequencies, unless their "
            "eigenvalues nearly coincide (WCNN that sees noise), where a solver mixes them "
            "freely. The coherence of F W F^H, in the titles, does not depend on that. "
            "Eigenvalues of rounding size are left out.", _eigenvectors(found),
        )  # fmt: skip


def _signals(found: Found) -> Figure:
    truth, _, _, zero_filled = reference_problem()
    figure, axes = plt.subplots(
        len(INPUTS), 2, figsize=(7.2, 1.6 * len(INPUTS)), sharex=True, sharey=True
    )
    for row, name in zip(axes, INPUTS, strict=True):
        for ax, network in zip(row, NETWORKS, strict=True):
            result = found.results["infinite", network, name, 0]
            ax.plot(zero_filled, color="#aaaaaa", linewidth=1.6, label="zero-filled")
            ax.plot(truth, color=plotting.colour("truth"), linewidth=0.8, label="truth")
            ax.plot(result["limit"], color=plotting.colour(network), linewidth=1, label=network)
            rmse = float(result["limit_rmse"])
            shown = f"{rmse:.4f}" if rmse > LOWEST else f"below {LOWEST:g}"
            ax.set_title(f"{network}, {name}: RMSE {shown}")
        row[0].set_ylabel("value")
    for ax in axes[0]:
        ax.legend(loc="upper right", handlelength=1, fontsize=7)
        ax.set_ylim(-0.25, 1.25)
    for ax in axes[-1]:
        ax.set_xlabel("pixel")
    return figure


def _curves(found: Found) -> Figure:
    figure, axes = plt.subplots(2, 2, figsize=(7.2, 6), sharey="row")
    palette = plotting.colours(INPUTS)
    for column, network in zip(axes.T, NETWORKS, strict=True):
        above, below = column
        for name in INPUTS:
            rmse = found.results["infinite", network, name, 0]["rmse"]
            above.loglog(HORIZON, rmse, color=palette[name], label=name)
        for name in found.c.trained(network):
            for seed in range(found.c.seeds):
                _trained(below, found.results["trained", network, name, seed], palette[name])
        level = found.infinite(network, RANDOM, "zero_filled_rmse")[0]
        for ax, what in ((above, "infinite width"), (below, "trained")):
            ax.axhline(level, color="black", linestyle="--", linewidth=1)
            ax.set(title=f"{network}, {what}", xlabel="iteration")
            ax.grid(True, which="major")
        above.set_ylim(bottom=LOWEST)
        plotting.decimal_ticks(below.yaxis)
    for ax in axes[:, 0]:
        ax.set_ylabel("RMSE a pixel")
    axes[0, 1].legend()
    return figure


def _trained(ax: Axes, result: Result, shade: str) -> None:
    ax.loglog(result["step"], result["predicted"], color=shade, linewidth=0.8)
    ax.loglog(result["step"], result["trained"], "o", color=shade, markersize=3,
              markerfacecolor="white", markeredgewidth=0.8)  # fmt: skip


def _eigenvectors(found: Found) -> Figure:
    figure, axes = plt.subplots(len(INPUTS), 2, figsize=(7.2, 2.3 * len(INPUTS)))
    for row, name in zip(axes, INPUTS, strict=True):
        for ax, network in zip(row, NETWORKS, strict=True):
            result = found.results["infinite", network, name, 0]
            fields = spectrum.EigenvectorContent._fields
            content = spectrum.EigenvectorContent(*(result[field] for field in fields))
            plotting.eigenvector_fourier(ax, content, network, peak=PEAK)
            ax.set_title(f"{network}, {name}: coherence {float(result['coherence']):.3f}")
    return figure


STUDY: Study[Fig1Configuration] = Study(
    "fig1",
    "The 1D square signal",
    "Which network recovers a signal from half of its spectrum, and what has it to see for that?",
    PRESETS,
    cells,
    report,
)
