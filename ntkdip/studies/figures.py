"""The demo's figures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ntkdip import metrics, plotting

if TYPE_CHECKING:
    from ntkdip.studies.demo import DemoResult

CAPTIONS = {
    "gallery": (
        "The same data, two networks",
        "Truth, zero-filled image, and what each network makes of the same samples after the "
        "last training step: predicted from its kernel, and trained. Error maps include the "
        "phase and share one scale.",
    ),
    "prediction_and_training": (
        "Prediction and training",
        "PSNR against iteration: predicted from kernel and operator alone (line) and reached by "
        "gradient descent from the same start with the same step size (dots); the prediction "
        "goes on where training stops. Right: how far the two images are apart.",
    ),
    "eigenvector_fourier": (
        "Fourier content of the eigenvectors",
        "Where the leading eigenvectors of each kernel live in k-space. A column is one "
        "eigenvector; +k and -k are folded together and frequencies pooled by radius. Narrow "
        "columns are Fourier modes; wide ones couple frequencies.",
    ),
    "kernel_fourier": (
        "The kernels in the Fourier basis",
        "Frequencies sorted by radius; below, relative to the diagonal. A diagonal matrix cannot "
        "carry information from sampled to unsampled frequencies. Unlike eigenvectors, this does "
        "not depend on how a solver orders degenerate ones.",
    ),
    "eigenvalue_decay": (
        "Eigenvalue decay",
        "Eigenvalues of both kernels, relative to the largest.",
    ),
    "sampling": (
        "The measurement",
        "The magnitude of the slice, its phase, and the sampled k-space lines.",
    ),
}
"""Figure names in the order of the report: title and caption."""


def demo_figures(result: DemoResult) -> Iterator[tuple[str, Figure]]:
    """Draw every figure of the demo; each is closed after it was used."""
    draw = {
        "gallery": _gallery,
        "prediction_and_training": _dynamics,
        "eigenvector_fourier": _eigenvectors,
        "kernel_fourier": _coupling,
        "eigenvalue_decay": _decay,
        "sampling": _sampling,
    }
    for name in CAPTIONS:
        with plotting.style():
            figure = draw[name](result)
            yield name, figure
            plt.close(figure)


def _gallery(result: DemoResult) -> Figure:
    truth = result.truth
    panels = [("zero-filled\n", result.zero_filled)]
    for c in result.comparisons:
        panels.append((f"{c.name}\npredicted, ", c.predicted[-1]))
        panels.append((f"{c.name}\ntrained, ", c.trained[-1]))
    errors = [np.abs(image - truth) for _, image in panels]
    peak = float(np.quantile(np.stack(errors), 0.995))
    figure, axes = plt.subplots(2, len(panels) + 1, figsize=(10, 3.6))
    grey = plotting.magnitude(axes[0, 0], truth, "truth\n")
    for column, (name, image) in enumerate(panels, 1):
        title = f"{name}{metrics.psnr(image, truth):.1f} dB"
        plotting.magnitude(axes[0, column], image, title)
        heat = plotting.error_map(axes[1, column], image, truth, "", peak=peak)
    plotting.magnitude(axes[1, 0], result.mask.astype(float), "sampled k-space")
    figure.colorbar(grey, ax=axes[0], label="magnitude", fraction=0.02)
    figure.colorbar(heat, ax=axes[1], label="|error|", fraction=0.02)
    return figure


def _dynamics(result: DemoResult) -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), width_ratios=(3, 2))
    for c in result.comparisons:
        plotting.psnr_curves(
            left, c.name, (c.horizon, c.horizon_psnr), (c.steps, c.trained_psnr), c.limit_psnr
        )
        plotting.distance_curve(right, c.name, c.steps, c.distance)
    zero_filled = metrics.psnr(result.zero_filled, result.truth)
    left.axhline(
        zero_filled,
        color=plotting.colour("zero-filled"),
        linestyle="--",
        linewidth=1.2,
        label=f"zero-filled, {zero_filled:.1f} dB",
    )
    left.legend(loc="lower right", ncols=1)
    right.legend()
    return figure


def _eigenvectors(result: DemoResult) -> Figure:
    figure, axes = plt.subplots(1, len(result.comparisons), figsize=(10, 3.8))
    for ax, c in zip(axes, result.comparisons, strict=True):
        plotting.eigenvector_fourier(ax, c.eigenvectors, c.name)
    return figure


def _coupling(result: DemoResult) -> Figure:
    figure, axes = plt.subplots(2, len(result.comparisons), figsize=(10, 8.2))
    for column, c in zip(axes.T, result.comparisons, strict=True):
        plotting.kernel_fourier(column[0], c.coupling, c.name)
        plotting.kernel_coherence(column[1], c.coupling, c.name)
    return figure


def _decay(result: DemoResult) -> Figure:
    figure, ax = plt.subplots(figsize=(5.5, 3.8))
    plotting.eigenvalue_decay(ax, {c.name: c.eigenvalues for c in result.comparisons})
    return figure


def _sampling(result: DemoResult) -> Figure:
    figure, axes = plt.subplots(1, 3, figsize=(9, 3))
    grey = plotting.magnitude(axes[0], result.truth, "magnitude")
    figure.colorbar(grey, ax=axes[0], label="magnitude")
    phase = plotting.phase(axes[1], result.truth, "phase")
    figure.colorbar(phase, ax=axes[1], label="phase (rad)")
    plotting.magnitude(axes[2], result.mask.astype(float), "sampled k-space (white)")
    axes[2].set(xlabel="$k_x$ (phase encoding)", ylabel="$k_y$ (readout)")
    return figure
