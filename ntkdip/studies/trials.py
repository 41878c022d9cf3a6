"""One image made of one problem, by training a network or without: the cells studies share."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np

from ntkdip import baselines, metrics, networks, theory, training
from ntkdip.networks import ImageNetwork
from ntkdip.networks.padding import fitted
from ntkdip.studies.cells import Cell, Result
from ntkdip.studies.imaging import Built, Inpainting, Mri
from ntkdip.studies.recorded import RecordedPhotograph, RecordedSlice
from ntkdip.training import Optimiser, Settings
from ntkdip.training.results import AVERAGED, BEST, FINAL

Problem = Mri | Inpainting | RecordedSlice | RecordedPhotograph
"""What can be built, and stand in a cell's settings."""

SCORES = {"psnr": metrics.psnr, "ssim": metrics.ssim, "nmse": metrics.nmse}
"""What every reconstruction is judged by."""


@dataclasses.dataclass(frozen=True)
class UNet:
    """`ntkdip.networks.unet`."""

    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Of its levels."""
    slope: float = 0.0
    """Of its leaky ReLU below zero."""

    def network(self, complex_image: bool) -> ImageNetwork:
        """The network itself."""
        return networks.unet(self.channels, complex_image=complex_image, slope=self.slope)


@dataclasses.dataclass(frozen=True)
class Decoder:
    """`ntkdip.networks.deep_decoder`, its weights scaled as Adam likes them."""

    width: int = 64
    """Channels of every block."""
    blocks: int = 4
    """Times the sides double."""

    def network(self, complex_image: bool) -> ImageNetwork:
        """The network itself."""
        return networks.deep_decoder(
            self.width, self.blocks, complex_image=complex_image, parameterisation="standard"
        )


@dataclasses.dataclass(frozen=True)
class Trial:
    """One network trained on one problem by one method."""

    problem: Problem
    method: training.Method
    optimiser: Optimiser
    net: UNet | Decoder = dataclasses.field(default_factory=UNet)
    steps: int = 3000
    seed: int = 0
    """Of weights, input and noise on it."""
    record_every: int = 20
    """Steps between records."""

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
    run = training.reconstruct(
        fitted(trial.net.network(p.A.domain.is_complex), p.A.domain.shape), p.A, p.y, trial.method,
        key=jax.random.key(trial.seed), settings=settings, truth=p.truth,
        reference=p.reference if _sees_reference(trial.method) else None, rules=p.rules,
    )  # fmt: skip
    (outcome,) = run.outcomes
    unused = {name for name, pick in outcome.stopped.items() if not pick.triggered}
    images = {name: image for name, image in outcome.images.items() if name not in unused}
    found: dict[str, Any] = dict(outcome.metrics)
    steps = run.picked_steps()
    for kind, image in images.items():
        found |= scored(kind, image, p.truth) | {f"step of {kind}": int(steps[kind][0])}
    return found | {"input_steps": outcome.input_steps, "inputs": outcome.inputs}


def _sees_reference(method: training.Method) -> bool:
    return method.needs_reference or getattr(method, "start_from", "") == "reference"


Solver = Literal["zero-filled", "CG-SENSE", "TV", "wavelets", "biharmonic"]

WEIGHTS: dict[Solver, tuple[float, ...]] = {
    "CG-SENSE": (0.001, 0.003, 0.01, 0.03),
    "TV": (0.0003, 0.001, 0.003, 0.01),
    "wavelets": (0.0003, 0.001, 0.003, 0.01),
}
"""Tried; the best by the truth is shown as `TUNED`, which favours these solvers."""

TUNED = "best weight (oracle)"
"""Kind of image whose weight was chosen with the truth."""

FROM_SIGPY: tuple[Solver, ...] = ("TV", "wavelets")


@dataclasses.dataclass(frozen=True)
class Classical:
    """One problem solved without a network."""

    problem: Problem
    solver: Solver

    def cell(self) -> Cell:
        """The cell that solves it."""
        return Cell(f"{self.problem.name}: {self.solver}", solve, self)


def available(solvers: Iterable[Solver]) -> tuple[Solver, ...]:
    """Those whose packages are installed."""
    found = importlib.util.find_spec("sigpy") is not None
    return tuple(s for s in solvers if found or s not in FROM_SIGPY)


def solve(given: Classical) -> dict[str, Any]:
    """Solve, under each weight there is, and keep the image that is best by the truth.

    Returns
    -------
    The image as ``final``, or as `TUNED` where there are weights, and its scores as `train` names
    them; the ``weight``.
    """
    p = given.problem.build()
    weights = WEIGHTS.get(given.solver, (0.0,))
    images = [(_solved(given.solver, p, weight), weight) for weight in weights]
    image, weight = max(images, key=lambda pair: metrics.psnr(pair[0], p.truth))
    kind = TUNED if given.solver in WEIGHTS else FINAL
    return scored(kind, image, p.truth) | {"weight": weight}


def _solved(solver: Solver, p: Built, weight: float) -> np.ndarray:
    if solver == "zero-filled":
        return baselines.zero_filled(p.A, p.y)
    if solver == "biharmonic":
        return baselines.biharmonic_inpainting(p.A, p.y)  # type: ignore[arg-type]
    if solver == "CG-SENSE":
        return baselines.cg_sense(p.A, p.y, ridge=weight)
    if solver == "TV":
        return baselines.total_variation(p.A, p.y, weight=weight)
    return baselines.wavelet_compressed_sensing(p.A, p.y, weight=weight)


@dataclasses.dataclass(frozen=True)
class KernelGuided:
    """One problem solved by kernel self-guidance; dense algebra in the number of samples."""

    problem: Mri | Inpainting
    """Whose noise level is known."""
    depth: int = 6
    """Convolutions of the infinitely wide CNN."""
    kernel_size: int = 3
    """Of each."""
    iterations: int = 6
    """At most."""

    def cell(self) -> Cell:
        """The cell that solves it."""
        return Cell(f"{self.problem.name}: kernel self-guidance", guide, self)


def guide(given: KernelGuided) -> dict[str, Any]:
    """Kernel self-guidance with ridge and iterate chosen by the likelihood of the data.

    Returns
    -------
    ``final`` (the iterate chosen) and its scores, as `train` names them, and ``step of final``;
    the PSNR of every iterate as ``curve``.
    """
    p = given.problem.build()
    net = networks.wide_cnn(
        depth=given.depth, kernel_size=given.kernel_size, complex_image=p.A.domain.is_complex
    )
    run = theory.self_guidance(
        net, p.A, p.y, ridge="evidence", sigma=given.problem.sigma or None,
        iterations=given.iterations,
    )  # fmt: skip
    curve = [metrics.psnr(image, p.truth) for image in run.iterates]
    return scored(FINAL, run.image, p.truth) | {
        f"step of {FINAL}": run.chosen,
        "curve": np.array(curve),
    }


def scored(kind: str, image: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """A kind of image under its name, and its scores."""
    return {f"{name} of {kind}": score(image, truth) for name, score in SCORES.items()} | {
        kind: image
    }


def principal(result: Mapping[str, Any]) -> str:
    """The kind of image that a result stands for: `TUNED` where that is all there is."""
    return FINAL if FINAL in result else TUNED


def entries(results: Sequence[Result], name: str) -> tuple[float, ...]:
    """One number of every result; NaN where there is none."""
    return tuple(float(r[name]) if name in r else float("nan") for r in results)


def kinds(results: Iterable[Mapping[str, Any]]) -> list[str]:
    """The kinds of images there are in any result: final first, the oracle's last."""
    prefix = "psnr of "
    found = (name for result in results for name in result if name.startswith(prefix))
    names = dict.fromkeys(name.removeprefix(prefix) for name in found)
    order = {FINAL: 0, AVERAGED: 1, BEST: 3}
    return sorted(names, key=lambda n: order.get(n, 2))
