"""What the input of self-guided deep image prior becomes, and what its kernel then sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import jax
import matplotlib.pyplot as plt
import numpy as np
from jaxtyping import Float, Inexact
from matplotlib.figure import Figure

from ntkdip import kernels, metrics, networks, operators, plotting, spectrum, theory, training
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Entry, Spread, Table
from ntkdip.studies.trials import Trial, UNet, train
from ntkdip.studies.verdicts import Verdict
from ntkdip.training import Optimiser

Start = Literal["random", "zero-filled"]
STARTS: tuple[Start, ...] = ("random", "zero-filled")
RANDOM, ZERO_FILLED, TRUTH = "random input", "zero-filled input", "true image as input"
CHANNELS = 32
"""Of the random input whose alignment is shown for comparison."""


@dataclasses.dataclass(frozen=True)
class Lens:
    """The infinitely wide CNN through whose kernel inputs are looked at."""

    depth: int = 6
    """Convolutions."""
    kernel_size: int = 3
    """Of each."""

    def alignment(self, z: Any, truth: Inexact[np.ndarray, "n n"], p: int) -> float:
        """``||P x|| / ||x||`` with ``P`` onto the ``p`` leading eigenvectors of ``W(z)``.

        All in the real embedding, where a complex sample is two measurements and every
        eigenvalue of ``W`` stands twice.
        """
        W = kernels.analytic(self.network, z)
        found = spectrum.alignment(W, truth, p)
        return float(np.sqrt(found.share[-1]))

    @property
    def network(self) -> networks.Architecture:
        """The network itself."""
        return networks.wide_cnn(depth=self.depth, kernel_size=self.kernel_size)


@dataclasses.dataclass(frozen=True)
class Evolution:
    """A self-guided training whose inputs are looked at."""

    trial: Trial
    lens: Lens


@dataclasses.dataclass(frozen=True)
class Guidance:
    """Kernel self-guidance on the same problem, its inputs looked at likewise."""

    problem: Mri
    lens: Lens
    iterations: int


@dataclasses.dataclass(frozen=True)
class Fig4Configuration:
    """What is trained and what is looked at; one coil, so that measurements are frequencies."""

    problem: Mri
    net: UNet = dataclasses.field(default_factory=UNet)
    optimiser: Optimiser = dataclasses.field(default_factory=lambda: Optimiser(rate=3e-3))
    steps: int = 3000
    alpha: float = 0.05
    lens: Lens = dataclasses.field(default_factory=Lens)
    iterations: int = 12
    """Of kernel self-guidance."""
    seeds: int = 3
    record_every: int = 20

    def __post_init__(self) -> None:
        if self.problem.coils != 1:
            raise ValueError(
                "alignment counts measured frequencies, which several coils share; got "
                f"{self.problem.coils} coils, use 1"
            )


PRESETS = {
    "smoke": Fig4Configuration(
        Mri(size=16, coils=1), UNet((4, 8)), steps=20, lens=Lens(3), iterations=2, seeds=1,
        record_every=5,
    ),
    "quick": Fig4Configuration(
        Mri(size=32, coils=1, sigma=0.005, seed=3), UNet((8, 16, 16), 0.1),
        Optimiser(rate=1e-2, input_rate=3e-2), steps=600, alpha=0.1, seeds=4, record_every=10,
    ),
    "full": Fig4Configuration(Mri(size=64, coils=1, sigma=0.005, seed=3)),
}  # fmt: skip


def evolve(given: Evolution) -> dict[str, Any]:
    """Train, and look at every input that was kept.

    Returns
    -------
    ``step`` and ``psnr`` (t,) of the image; ``inputs`` (k, n, n, 2), ``input_steps`` (k,), their
    ``alignment`` (k,) and ``likeness`` (k,) to the truth (`likeness`).
    """
    found = train(given.trial)
    built = given.trial.problem.build()
    p, inputs = built.A.range.real_size, found["inputs"]
    return {name: found[name] for name in ("step", "psnr", "inputs", "input_steps")} | {
        "alignment": np.array([given.lens.alignment(z, built.truth, p) for z in inputs]),
        "likeness": np.array([likeness(z[..., 0] + 1j * z[..., 1], built.truth) for z in inputs]),
    }


def guide(given: Guidance) -> dict[str, Any]:
    """Kernel self-guidance, and its iterates as `evolve` looks at inputs.

    Returns
    -------
    ``alignment``, ``likeness`` and ``psnr`` of every iterate, and which was ``chosen``;
    ``levels`` (3,): alignment for a random input, the zero-filled image and the truth.
    """
    built = given.problem.build()
    x, p = built.truth, built.A.range.real_size
    run = theory.self_guidance(
        given.lens.network, built.A, built.y, ridge="evidence",
        sigma=given.problem.sigma or None, iterations=given.iterations,
    )  # fmt: skip
    seen = [given.lens.alignment(networks.as_input(z), x, p) for z in run.iterates]
    noise = networks.random_input(given.lens.network, x.shape, CHANNELS, key=jax.random.key(0))
    shown = (noise, networks.as_input(np.asarray(built.A.adjoint(built.y))), networks.as_input(x))
    return {
        "alignment": np.array(seen),
        "likeness": np.array([likeness(z, x) for z in run.iterates]),
        "psnr": np.array([metrics.psnr(z, x) for z in run.iterates]),
        "chosen": run.chosen,
        "levels": np.array([given.lens.alignment(z, x, p) for z in shown]),
    }


def likeness(z: Inexact[np.ndarray, "n n"], x: Inexact[np.ndarray, "n n"]) -> float:
    """``|<z, x>| / (||z|| ||x||)``: 1 for the same image in any unit and global phase."""
    size = float(np.linalg.norm(z) * np.linalg.norm(x))
    return float(np.abs(np.vdot(z, x))) / size if size else 0.0


def cells(c: Fig4Configuration) -> dict[Any, Cell]:
    """A training for each start and seed, and kernel self-guidance."""
    found: dict[Any, Cell] = {}
    for start in STARTS:
        method = training.SelfGuided(alpha=c.alpha, start_from=start)
        for seed in range(c.seeds):
            trial = Trial(c.problem, method, c.optimiser, c.net, c.steps, seed, c.record_every)
            label = f"self-guided from {start}, seed {seed}"
            found[start, seed] = Cell(label, evolve, Evolution(trial, c.lens))
    guidance = Guidance(c.problem, c.lens, c.iterations)
    return found | {"kernel": Cell("kernel self-guidance", guide, guidance)}


def report(c: Fig4Configuration, results: Mapping[Any, Result]) -> Report:
    """Alignment and likeness at the start and at the end, the pictures, and what rose."""

    def ends(start: Start, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        curves = [results[start, seed][name] for seed in range(c.seeds)]
        return tuple(float(v[0]) for v in curves), tuple(float(v[-1]) for v in curves)

    rows: list[tuple[Entry, ...]] = []
    for start in STARTS:
        spreads = (Spread(v, 3) for n in ("alignment", "likeness") for v in ends(start, n))
        rows.append((f"self-guided from {start}", *spreads))
    kernel = results["kernel"]
    chosen = int(kernel["chosen"])
    picked = (float(kernel[n][i]) for n in ("alignment", "likeness") for i in (0, chosen))
    rows.append(
        (f"kernel self-guidance, iterate {chosen} chosen", *(Spread((v,), 3) for v in picked))
    )
    for name, level in zip((RANDOM, ZERO_FILLED, TRUTH), kernel["levels"], strict=True):
        rows.append((name, Spread((float(level),), 3), None, None, None))
    columns = ("input", "alignment, first", "alignment, last", "likeness, first", "likeness, last")
    p = c.problem.build().A.range.size
    table = Table("fig4", f"{c.problem.name}, {p:,} measured frequencies", columns, tuple(rows))
    rises = [
        Verdict(f"from the {start} input on, self-guided training raises {what}",
                tuple(b - a for a, b in zip(*ends(start, name), strict=True)))
        for start in STARTS
        for name, what in (("alignment", "the alignment of the input's kernel with the image"),
                           ("likeness", "the likeness of the input to the image"))
    ]  # fmt: skip
    return Report([table], _pictures(c, results), rises)


def _pictures(c: Fig4Configuration, results: Mapping[Any, Result]) -> Iterator[Picture]:
    with plotting.style():
        for start in STARTS:
            name = start.replace("-", "_")
            yield Picture(
                f"fig4_{name}", f"The input, from {start}", "First seed. Above: magnitude, one "
                "grey scale; below: its k-space in dB under the largest sample.",
                _evolution(results[start, 0]),
            )  # fmt: skip
        yield Picture(
            "fig4_alignment", "What the kernel of the input sees", "Norm of the true image within "
            "as many leading eigenvectors of the infinitely wide CNN's kernel as frequencies are "
            "measured. Left: inputs of self-guided training, every seed. Right: "
            "iterates of kernel self-guidance, each the next one's input; circle: the one chosen "
            "without the truth.",
            _alignment(c, results),
        )  # fmt: skip


def _evolution(result: Result) -> Figure:
    steps, inputs = result["input_steps"], result["inputs"]
    kept = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
    figure, grid = plt.subplots(2, len(kept), figsize=(1.75 * len(kept), 4), squeeze=False)
    plotting.input_evolution(list(grid[0]), steps[kept], inputs[kept])
    for ax, z in zip(grid[1], inputs[kept], strict=True):
        image = z[..., 0] + 1j * z[..., 1]
        samples = np.asarray(operators.centred_fft(image.astype(np.complex64)))
        plotting.log_kspace(ax, samples[None], "k-space", decibels=60)
        ax.set_title("")
    grid[1, 0].set_ylabel("k-space, 0 to -60 dB", fontsize=8)
    return figure


def _alignment(c: Fig4Configuration, results: Mapping[Any, Result]) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
    palette = {"random": "#E69F00", "zero-filled": "#0072B2"}
    for start in STARTS:
        for seed in range(c.seeds):
            r = results[start, seed]
            left.plot(r["input_steps"], r["alignment"], "o-", color=palette[start], markersize=3,
                      linewidth=1, label=None if seed else f"trained from {start}")  # fmt: skip
    curve: Float[np.ndarray, " K"] = results["kernel"]["alignment"]
    right.plot(np.arange(curve.size), curve, "o-", color="black", markersize=4,
               label="kernel self-guidance")  # fmt: skip
    chosen = int(results["kernel"]["chosen"])
    right.plot(chosen, curve[chosen], "o", color="black", markersize=9, fillstyle="none")
    right.xaxis.get_major_locator().set_params(integer=True)
    lines = ((RANDOM, ":"), (ZERO_FILLED, "--"), (TRUTH, "-."))
    for (name, line), level in zip(lines, results["kernel"]["levels"], strict=True):
        left.axhline(float(level), color="0.5", linestyle=line, linewidth=1, label=name)
        right.axhline(float(level), color="0.5", linestyle=line, linewidth=1)
    left.set(xlabel="step", ylabel=r"$\Vert P x \Vert / \Vert x \Vert$",
             title="inputs of self-guided training")  # fmt: skip
    right.set(xlabel="iteration", title="inputs of kernel self-guidance")
    for ax in (left, right):
        ax.grid(True)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


STUDY: Study[Fig4Configuration] = Study(
    "fig4",
    "The input of self-guided DIP",
    "What does the trained input become, and does its kernel come to see the image?",
    PRESETS,
    cells,
    report,
)
