"""ISMRMRD's lines on a Cartesian grid: a slice of a 2D encoding, or one across a 3D encoding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Complex, Int, UInt

from ntkdip.data.formats.checks import Notes, clip_shape, kspace, require_finite
from ntkdip.data.formats.ismrmrd_lines import Acquisitions, in_reading_order, place
from ntkdip.data.formats.request import Request
from ntkdip.data.records import KSpace

Cell = Callable[[int, int, np.ndarray], tuple[tuple, np.ndarray]]


@dataclasses.dataclass
class Grid:
    """Encoded and wanted matrix (x, y, z), the counters of encoding steps 1 and 2 at which
    k-space has its centre, and the bandwidth of the noise scan relative to the nominal one."""

    encoded: tuple[int, int, int]
    wanted: tuple[int, int, int]
    centres: tuple[int, int]
    noise_bandwidth: float = 1.0


def read_plane(
    request: Request, found: Acquisitions, rows: Int[np.ndarray, " m"], grid: Grid, notes: Notes
) -> KSpace:
    """A slice of a 2D encoding: axes (readout, encoding step 1)."""
    slices = np.unique(found.heads["slice"][rows])
    index = request.choose(int(slices.size), "slices")
    rows = rows[found.heads["slice"][rows] == slices[index]]
    nx, ny, _ = grid.encoded
    columns = _positions(request, found, rows, grid, 1)

    def cell(j: int, start: int, line: np.ndarray) -> tuple[tuple, np.ndarray]:
        return (slice(start, start + line.shape[1]), columns[j]), line

    record = _gather(request, found, rows, grid, notes, (nx, ny), cell)
    return dataclasses.replace(
        record,
        origin=notes.origin(request, "ISMRMRD raw", index, int(slices.size)),
        image_shape=clip_shape(grid.wanted[:2], (nx, ny)),
    )


def read_volume(
    request: Request, found: Acquisitions, rows: Int[np.ndarray, " m"], grid: Grid, notes: Notes
) -> KSpace:
    """A slice across the readout of a 3D encoding: axes (encoding step 1, encoding step 2)."""
    slabs = found.heads["slice"][rows]
    if (slabs != slabs[0]).any():
        notes.ignored.append(f"{np.unique(slabs).size - 1} further slabs; read is {slabs.min()}")
        rows = rows[slabs == slabs.min()]
    nx, ny, nz = grid.encoded
    count = min(grid.wanted[0], nx)
    index = request.choose(count, "slices across the readout")
    first, second = (_positions(request, found, rows, grid, axis) for axis in (1, 2))
    k = np.arange(nx) - nx // 2
    # One row of the centred inverse transform: of each line one pixel is wanted.
    weights = np.exp(2j * np.pi / nx * k * (index - count // 2)) / np.sqrt(nx)

    def cell(j: int, start: int, line: np.ndarray) -> tuple[tuple, np.ndarray]:
        return (first[j], second[j]), line @ weights[start : start + line.shape[1]]

    notes.understood.append("3D: transformed along the readout, slices across it")
    record = _gather(request, found, rows, grid, notes, (ny, nz), cell)
    return dataclasses.replace(
        record,
        origin=notes.origin(request, "ISMRMRD raw", index, count),
        image_shape=clip_shape(grid.wanted[1:], (ny, nz)),
    )


def _gather(
    request: Request,
    found: Acquisitions,
    rows: Int[np.ndarray, " m"],
    grid: Grid,
    notes: Notes,
    shape: tuple[int, int],
    cell: Cell,
) -> KSpace:
    """The mean of the lines that fall on each place of a plane of ``shape``."""
    channels = int(found.heads["active_channels"][rows[0]])
    noise_rows = np.flatnonzero(found.flagged(request, "NOISE_MEASUREMENT"))
    noise_bytes = 8 * channels * int(found.heads["number_of_samples"][noise_rows].sum())
    # Beside the samples: counts, a mask, and temporaries of one coil.
    request.require_memory(found.field, shape[0] * shape[1] * (8 * channels + 32) + noise_bytes)
    samples = np.zeros((channels, *shape), np.complex64)
    counts = np.zeros(shape, np.uint32)
    reverse = found.flagged(request, "REVERSE")[rows]
    with np.errstate(over="ignore", invalid="ignore"):
        for j, stored in enumerate(found.lines(request, rows)):
            head, line = in_reading_order(*stored, bool(reverse[j]))
            start, keep = place(request, f"{found.field}[{rows[j]}]", head, grid.encoded[0])
            where, values = cell(j, start, line[:, keep])
            samples[(slice(None), *where)] += values
            counts[where] += 1
        samples /= np.maximum(counts, 1)
    _note_lines(found, rows, int(reverse.sum()), counts, notes)
    noise = _noise_scan(request, found, rows, noise_rows, grid, notes)
    origin = notes.origin(request, "ISMRMRD raw")
    return kspace(request, found.field, samples, counts > 0, origin, noise_scan=noise)


def _positions(
    request: Request, found: Acquisitions, rows: Int[np.ndarray, " m"], grid: Grid, axis: int
) -> Int[np.ndarray, " m"]:
    """Index on the grid of each line along encoding step ``axis``; the centre is at ``n // 2``."""
    n, centre = grid.encoded[axis], grid.centres[axis - 1]
    steps = found.heads[f"kspace_encode_step_{axis}"][rows]
    positions = steps - centre + n // 2
    outside = (positions < 0) | (positions >= n)
    if outside.any():
        raise request.error(
            f"{found.field}: kspace_encode_step_{axis}",
            f"{np.count_nonzero(outside)} lines have steps off the encoded matrix: steps are "
            f"{steps.min()} to {steps.max()}, with {centre} at the middle of {n}",
        )
    return positions


def _note_lines(
    found: Acquisitions,
    rows: Int[np.ndarray, " m"],
    reverse: int,
    counts: UInt[np.ndarray, "ny nx"],
    notes: Notes,
) -> None:
    notes.understood.append(f"{rows.size} lines")
    if reverse:
        notes.understood.append(f"{reverse} of them read backwards: turned around")
    if counts.max() > 1:
        few = counts[counts > 0].min()
        notes.understood.append(f"repeated lines averaged, {few} to {counts.max()} times")
    if found.heads["trajectory_dimensions"][rows].any():
        notes.ignored.append("trajectories stored beside Cartesian lines")


def _noise_scan(
    request: Request,
    found: Acquisitions,
    rows: Int[np.ndarray, " m"],
    noise_rows: Int[np.ndarray, " k"],
    grid: Grid,
    notes: Notes,
) -> Complex[np.ndarray, "coils n"] | None:
    """Noise acquisitions side by side, scaled to the noise of one line of the image.

    The variance of a sample is inverse to its dwell time, and a noise scan sees only
    ``noise_bandwidth`` of it.  Source: Kellman & McVeigh, Magn. Reson. Med. 54 (2005) 1439.
    """
    channels = found.heads["active_channels"]
    same = noise_rows[channels[noise_rows] == channels[rows[0]]]
    if same.size < noise_rows.size:
        notes.ignored.append(f"{noise_rows.size - same.size} noise lines of other channels")
    same = same[found.heads["number_of_samples"][same] > 0]
    if same.size == 0:
        return None
    noise = np.concatenate([line for _, line in found.lines(request, same)], axis=1)
    require_finite(request, f"{found.field}: noise", noise)
    dwell = found.heads["sample_time_us"]
    times = np.array([dwell[same[0]], dwell[rows[0]]])
    text = f"noise scan: {noise.shape[1]} samples"
    if np.isfinite(times).all() and (times > 1e-3).all() and (times < 1e6).all():
        factor = np.sqrt(times[0] / times[1] / grid.noise_bandwidth)
        noise = (noise * factor).astype(np.complex64)
        text += f", scaled by {factor:.3g} for its dwell time and bandwidth"
    else:
        notes.ignored.append("dwell times, which make no sense")
    notes.understood.append(text)
    return noise
