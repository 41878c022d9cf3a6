"""Figures of a reconstruction: images, curves, bands of k-space, the input, the sampling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ntkdip import plotting
from ntkdip.studies.reconstruction_results import Found
from ntkdip.training.results import AVERAGED, BEST, FINAL

BANDS = ("low", "middle", "high")

Titled = tuple[str, str, str, Figure]
"""Name of the file, title, caption, figure."""


def figures(found: Found) -> Iterator[Titled]:
    """Every figure that there is something for; each is closed after it was used."""
    for draw in (_images, _curves, _bands, _inputs, _sampling):
        with plotting.style():
            made = draw(found)
            if made is not None:
                yield made
                plt.close(made[3])


def _images(found: Found) -> Titled:
    outcome, problem = found.run.outcomes[0], found.problem
    panels = {problem.baseline: found.run.zero_filled} | outcome.images
    panels = {name: problem.comparable(image) for name, image in panels.items()}
    seed = " of the first seed" if len(found.run.outcomes) > 1 else ""
    columns = len(panels) + (problem.truth is not None)
    rows = 1 if problem.truth is None else 2
    wide = problem.A.domain.shape[1] / problem.A.domain.shape[0]
    figure, axes = plt.subplots(
        rows, columns, figsize=(1.9 * columns + 0.8, rows * (1.9 / wide + 0.35) + 0.2),
        squeeze=False,
    )  # fmt: skip
    if problem.truth is None:
        shown = (found.run.zero_filled, outcome.final)
        peak = max(float(np.abs(image).max()) for image in shown) or 1.0
        for ax, (name, image) in zip(axes[0], panels.items(), strict=True):
            grey = plotting.magnitude(ax, image, name, peak=peak)
        figure.colorbar(grey, ax=axes[0], label="magnitude", fraction=0.03)
        return "images", f"The images{seed}", "Magnitudes on one scale.", figure
    grey, heat = plotting.compared_images(list(axes[0]), list(axes[1]), panels, problem.truth)
    figure.colorbar(grey, ax=axes[0], label="magnitude", fraction=0.03)
    figure.colorbar(heat, ax=axes[1], label="|error|", fraction=0.03)
    of = ""
    if problem.A.domain.is_complex:
        of = " of the magnitude" if problem.only_magnitude else ", phase included,"
    caption = f"Magnitudes above, errors{of} below, each row on one scale."
    return "images", f"The images{seed} and their errors", caption, figure


def _curves(found: Found) -> Titled:
    picks: dict[str, Any] = {
        name: steps for name, steps in found.run.picked_steps().items()
        if name not in (FINAL, AVERAGED)
    }  # fmt: skip
    blind = {name: steps for name, steps in picks.items() if name != BEST}
    panels = 2 if found.problem.truth is None else 3
    figure, axes = plt.subplots(1, panels, figsize=(4.2 * panels, 3.4))
    plotting.step_curves(
        axes[0], {"loss": _records(found, "loss")}, ylabel="loss (arbitrary unit)",
        title="What is minimised", logarithmic=True,
    )  # fmt: skip
    noise = found.problem.noise_norm(found.config.settings)
    level = None if noise is None else (noise, "norm of the noise")
    residual = {"residual": _records(found, "residual")}
    plotting.step_curves(
        axes[1], residual, ylabel="||A f - y|| (unit of the data)", title="Misfit to the data",
        picks=blind, logarithmic=True, level=level,
    )  # fmt: skip
    caption = "Marks are the picks of the stopping rules, a line a seed."
    if panels == 3:
        psnr = {"image": _records(found, "psnr"), "averaged": _records(found, "average_psnr")}
        plotting.step_curves(
            axes[2], psnr, ylabel="PSNR (dB)", title="Distance to the truth", picks=picks
        )
        caption += " The oracle's best needs the truth; the rules do not see it."
    return "curves", "The run", caption, figure


def _bands(found: Found) -> Titled | None:
    present = [b for b in BANDS if f"band_error_{b}" in found.run.outcomes[0].metrics]
    if found.problem.only_magnitude or not present:
        return None
    figure, ax = plt.subplots(figsize=(5.6, 3.6))
    curves = {f"{band} frequencies": _records(found, f"band_error_{band}") for band in present}
    plotting.step_curves(
        ax, curves, ylabel="relative error", title="Errors by band of k-space", logarithmic=True
    )
    caption = (
        "Three rings of k-space of equal width, from the middle to the corners; the error of a "
        "band is relative to what the truth has in it."
    )
    return "bands", "Frequencies", caption, figure


def _inputs(found: Found) -> Titled | None:
    outcome = found.run.outcomes[0]
    inputs = outcome.inputs
    if len(inputs) < 2 or not np.ptp(inputs, axis=0).any():
        return None
    figure, axes = plt.subplots(1, len(inputs), figsize=(1.9 * len(inputs) + 0.8, 2.3))
    grey = plotting.input_evolution(list(axes), outcome.input_steps, inputs)
    figure.colorbar(grey, ax=axes, label="|input|", fraction=0.03)
    caption = (
        "Magnitude of the network's input, in units in which the zero-filled image has maximum 1: "
        "from what it starts as to the image."
    )
    return "input", "The evolution of the input", caption, figure


def _sampling(found: Found) -> Titled | None:
    mask = found.problem.mask
    if mask is None or mask.all():
        return None
    figure, ax = plt.subplots(figsize=(4.0, 3.6))
    if found.problem.of_kspace:
        plotting.sampling_mask(ax, mask, "sampled k-space")
        return "sampling", "The measurement", "Sampled k-space in white.", figure
    plotting.magnitude(ax, mask.astype(float), f"known pixels: {mask.mean():.0%}")
    return "sampling", "The measurement", "Known pixels in white.", figure


def _records(found: Found, name: str) -> list[tuple[Any, Any]]:
    return [(o.metrics["step"], o.metrics[name]) for o in found.run.outcomes]
