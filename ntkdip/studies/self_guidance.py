"""What kernel self-guidance gains on a real slice, mask by mask, and what is left to gain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from ntkdip import data, metrics, networks, operators, plotting
from ntkdip.plotting.guidance import chosen_iterates
from ntkdip.studies.cells import Cell, Result, columns_of, rows_of
from ntkdip.studies.measurement import measured
from ntkdip.studies.study import Picture, Report, Study
from ntkdip.studies.tables import Table
from ntkdip.studies.verdicts import Verdict
from ntkdip.theory.ridge_choice import RidgeRule
from ntkdip.theory.self_guidance import self_guidance

PRESETS: dict[str, Mapping[int, int]] = {
    "smoke": {16: 1},
    "quick": {32: 3},
    "full": {48: 5, 64: 5},
}
"""Number of masks for each image size, by preset."""

DEPTH, KERNEL_SIZE = 10, 3
"""Of the WCNN: small patches many times over gain most at 48 and at 64 pixels a side."""

ACCELERATION = 4.0


@dataclasses.dataclass(frozen=True)
class GuidanceRow:
    """One mask: PSNR in dB, magnitudes, and iterations.

    ``start_psnr`` is that of ``A^+ y`` (with noise: as `ntkdip.theory.self_guidance` starts),
    ``gain`` is over it; ``chosen_psnr`` that of the iterate chosen without
    the truth, number ``chosen`` of ``iterations``; ``best_psnr`` that of the best iterate,
    which needs the truth; ``truth_input_psnr`` that of one step from the true image; ``psnr``
    that of every iterate, the start's first.
    """

    size: int
    seed: int
    start_psnr: float
    chosen_psnr: float
    gain: float
    chosen: int
    iterations: int
    best_psnr: float
    truth_input_psnr: float
    reason: str
    psnr: tuple[float, ...]


def median_gain(rows: Sequence[GuidanceRow], size: int) -> float:
    """Median over masks of the gain over the start in dB, for one image size."""
    return float(np.median([row.gain for row in rows if row.size == size]))


@dataclasses.dataclass(frozen=True)
class GuidanceSettings:
    """One mask on `ntkdip.data.mri_slice`, complex, 4x random lines."""

    size: int
    """Pixels a side."""
    seed: int
    """Of the mask and the noise."""
    coils: int = 1
    """1, or a ring of several (`ntkdip.data.ring_sensitivities`)."""
    sigma: float = 0.0
    """Noise level, ``E|n_i|^2 = sigma^2`` a sample; the image's maximum is 1."""
    ridge: float | RidgeRule = 1e-4
    """As for `ntkdip.theory.self_guidance`."""
    depth: int = DEPTH
    """Convolutions of the WCNN, circular."""
    kernel_size: int = KERNEL_SIZE
    """Of the WCNN."""


def guidance(given: GuidanceSettings) -> GuidanceRow:
    """Kernel self-guidance under one mask.

    Seconds at 48², half a minute at 64², on one core; ``coils^3`` times that where solving
    dominates.
    """
    x = data.mri_slice(given.size)
    net = networks.wide_cnn(depth=given.depth, kernel_size=given.kernel_size)
    A, y = _measurement(x, given.seed, given.coils, given.sigma)
    options: dict[str, Any] = {"ridge": given.ridge, "sigma": given.sigma or None}
    run = self_guidance(net, A, y, **options)
    informed = self_guidance(net, A, y, start=x, iterations=1, **options)
    curve = [metrics.psnr(image, x) for image in run.iterates]
    return GuidanceRow(
        size=given.size,
        seed=given.seed,
        start_psnr=curve[0],
        chosen_psnr=curve[run.chosen],
        gain=curve[run.chosen] - curve[0],
        chosen=run.chosen,
        iterations=len(curve) - 1,
        best_psnr=max(curve[1:]),
        truth_input_psnr=metrics.psnr(informed.iterates[1], x),
        reason=run.reason,
        psnr=tuple(curve),
    )


def guidance_cell(given: GuidanceSettings) -> dict[str, np.ndarray]:
    """`guidance` as a cell's result."""
    return columns_of([guidance(given)])


def cells(masks: Mapping[int, int]) -> dict[Any, Cell]:
    """A cell for each size and mask."""
    return {
        (size, seed): Cell(f"{size} x {size}, mask {seed}", guidance_cell,
                           GuidanceSettings(size, seed))
        for size, count in masks.items()
        for seed in range(count)
    }  # fmt: skip


def report(masks: Mapping[int, int], results: Mapping[Any, Result]) -> Report:
    """A table of masks, their curves, and whether the iteration gains."""
    rows = rows_of(GuidanceRow, *results.values())
    entries: list[tuple[Any, ...]] = []
    for size in masks:
        entries += [
            (size, str(r.seed), r.start_psnr, r.chosen_psnr, r.gain,
             f"{r.chosen} of {r.iterations}", r.best_psnr, r.truth_input_psnr)
            for r in rows if r.size == size
        ]  # fmt: skip
        entries.append((size, "median", None, None, median_gain(rows, size), None, None, None))
    columns = ("size", "mask", "A⁺y", "self-guided", "gain", "iterate", "best iterate",
               "from the true image")  # fmt: skip
    table = Table("self_guidance", "Kernel self-guidance, PSNR (dB)", columns, tuple(entries))
    gains = [(size, tuple(r.gain for r in rows if r.size == size)) for size in masks]
    verdicts = [
        Verdict(f"at {size} x {size} kernel self-guidance, stopped without the truth, gains over "
                "the pseudo-inverse", found, unit="dB", repetitions="masks")
        for size, found in gains
    ]  # fmt: skip
    return Report([table], guidance_pictures(rows), verdicts)


def guidance_pictures(rows: Sequence[GuidanceRow]) -> Iterator[Picture]:
    """``self_guidance``: PSNR of every iterate and the chosen one, one axes an image size."""
    sizes = list(dict.fromkeys(row.size for row in rows))
    with plotting.style():
        figure, axes = plt.subplots(1, len(sizes), figsize=(5.2 * len(sizes), 4), squeeze=False)
        for ax, size in zip(axes[0], sizes, strict=True):
            curves = {f"mask {r.seed}": (r.psnr, r.chosen) for r in rows if r.size == size}
            title = f"{size} x {size}: median gain {median_gain(rows, size):.2f} dB"
            chosen_iterates(ax, curves, title)
        yield Picture(
            "self_guidance", "PSNR of every iterate",
            "Each image becomes the input of the kernel that makes the next. Circles: the "
            "iterate chosen without the truth.", figure,
        )  # fmt: skip


STUDY: Study[Mapping[int, int]] = Study(
    "self-guidance",
    "Kernel self-guidance",
    "Does a kernel that sees its own reconstruction recover more than the pseudo-inverse?",
    PRESETS,
    cells,
    report,
)


def _measurement(
    x: np.ndarray, seed: int, coils: int, sigma: float
) -> tuple[operators.LinearOperator, np.ndarray]:
    mask = operators.masks.random_lines(x.shape, ACCELERATION, seed=seed)
    A: operators.LinearOperator = operators.masked_fourier(mask)
    if coils > 1:
        A = operators.multi_coil_fourier(mask, data.ring_sensitivities(x.shape, coils))
    y, _ = measured(A, x)
    return A, data.add_noise(y, sigma=sigma, seed=seed)
