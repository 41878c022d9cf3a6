"""What kernel self-guidance gains on a real slice, mask by mask, and what is left to gain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from ntkdip import data, metrics, networks, operators, plotting
from ntkdip.plotting.guidance import chosen_iterates
from ntkdip.progress import track
from ntkdip.studies.measurement import measured
from ntkdip.theory.ridge_choice import RidgeRule
from ntkdip.theory.self_guidance import self_guidance

PRESETS: dict[str, dict[int, int]] = {
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


def guidance_study(
    seeds: dict[int, int],
    *,
    coils: int = 1,
    sigma: float = 0.0,
    ridge: float | RidgeRule = 1e-4,
    depth: int = DEPTH,
    kernel_size: int = KERNEL_SIZE,
) -> tuple[GuidanceRow, ...]:
    """Kernel self-guidance on `ntkdip.data.mri_slice`, complex, 4x random lines.

    Parameters
    ----------
    seeds
        Number of masks for each image size: `PRESETS`, or ``{48: 5}``.
    coils
        1, or a ring of several (`ntkdip.data.ring_sensitivities`).
    sigma
        Noise level, ``E|n_i|^2 = sigma^2`` a sample (the image's maximum is 1).
    ridge
        As for `ntkdip.theory.self_guidance`.
    depth, kernel_size
        Of the WCNN, circular.

    Returns
    -------
    A row for each size and mask.  Seconds a mask at 48², half a minute at 64², on one core;
    ``coils^3`` times that where solving dominates.

    Raises
    ------
    ValueError
        If there is no mask.
    """
    if not seeds or min(seeds.values()) < 1:
        raise ValueError(f"every size needs at least one mask; got {seeds}")
    net = networks.wide_cnn(depth=depth, kernel_size=kernel_size)
    tasks = [(size, seed) for size, count in seeds.items() for seed in range(count)]
    return tuple(_row(net, *task, coils, sigma, ridge) for task in track(tasks, "masks"))


def guidance_figures(rows: Sequence[GuidanceRow]) -> Iterator[tuple[str, Figure]]:
    """``self_guidance``: PSNR of every iterate and the chosen one, one axes an image size.

    The figure is closed after it was used.
    """
    sizes = list(dict.fromkeys(row.size for row in rows))
    with plotting.style():
        figure, axes = plt.subplots(1, len(sizes), figsize=(5.2 * len(sizes), 4), squeeze=False)
        for ax, size in zip(axes[0], sizes, strict=True):
            curves = {f"mask {r.seed}": (r.psnr, r.chosen) for r in rows if r.size == size}
            title = f"{size} x {size}: median gain {median_gain(rows, size):.2f} dB"
            chosen_iterates(ax, curves, title)
        yield "self_guidance", figure
        plt.close(figure)


def _row(
    net: networks.Architecture,
    size: int,
    seed: int,
    coils: int,
    sigma: float,
    ridge: float | RidgeRule,
) -> GuidanceRow:
    x = data.mri_slice(size)
    A, y = _measurement(x, seed, coils, sigma)
    level = sigma or None
    run = self_guidance(net, A, y, ridge=ridge, sigma=level)
    informed = self_guidance(net, A, y, start=x, ridge=ridge, sigma=level, iterations=1)
    curve = [metrics.psnr(image, x) for image in run.iterates]
    return GuidanceRow(
        size=size,
        seed=seed,
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


def _measurement(
    x: np.ndarray, seed: int, coils: int, sigma: float
) -> tuple[operators.LinearOperator, np.ndarray]:
    mask = operators.masks.random_lines(x.shape, ACCELERATION, seed=seed)
    A: operators.LinearOperator = operators.masked_fourier(mask)
    if coils > 1:
        A = operators.multi_coil_fourier(mask, data.ring_sensitivities(x.shape, coils))
    y, _ = measured(A, x)
    return A, data.add_noise(y, sigma=sigma, seed=seed)
