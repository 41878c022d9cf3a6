"""ISMRMRD's acquisitions: which of them belong to one image, and their way to the grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Int, UInt8

from ntkdip.data.formats import hdf5, hdf5_storage
from ntkdip.data.formats.checks import Notes
from ntkdip.data.formats.request import Request

HEAD_FIELDS = (
    "flags", "number_of_samples", "active_channels", "discard_pre", "discard_post",
    "center_sample", "encoding_space_ref", "trajectory_dimensions", "sample_time_us",
)  # fmt: skip
COUNTERS = (
    "kspace_encode_step_1", "kspace_encode_step_2", "average", "slice", "contrast", "phase",
    "repetition", "set",
)  # fmt: skip
HEAD = np.dtype(
    [(name, "<f8" if name == "sample_time_us" else "<u8") for name in HEAD_FIELDS]
    + [(name, "<i8") for name in COUNTERS]
)
FIRST_ONLY = ("encoding_space_ref", "contrast", "phase", "repetition", "set")
NO_IMAGE = (
    "NAVIGATION_DATA", "PHASECORR_DATA", "HPFEEDBACK_DATA", "DUMMYSCAN_DATA", "RTFEEDBACK_DATA",
    "SURFACECOILCORRECTIONSCAN_DATA", "PHASE_STABILIZATION_REFERENCE", "PHASE_STABILIZATION",
)  # fmt: skip
BYTES_AT_ONCE = 2**18


@dataclasses.dataclass
class Acquisitions:
    """Of each entry of the dataset ``data``: what is needed of its header, and where its samples
    are (as HDF5 refers to a sequence)."""

    field: str
    heads: np.ndarray
    samples: UInt8[np.ndarray, "n 16"]
    heaps: hdf5_storage.Heaps

    def flagged(self, request: Request, *names: str) -> Bool[np.ndarray, " n"]:
        """Which have any of the flags ``ACQ_IS_<name>``."""
        ismrmrd = request.package("ismrmrd", "ismrmrd")
        # Flags are numbered from 1.
        bits = sum(1 << (getattr(ismrmrd, f"ACQ_IS_{name}") - 1) for name in names)
        return self.heads["flags"] & np.uint64(bits) != 0

    def lines(
        self, request: Request, rows: Int[np.ndarray, " m"]
    ) -> Iterator[tuple[np.void, Complex[np.ndarray, "channels samples"]]]:
        """Header and samples of some entries, one after the other."""
        with open(request.path, "rb") as file:
            for row in rows:
                head, field = self.heads[row], f"{self.field}[{row}]"
                descriptor = self.samples[row].tobytes()
                numbers, start = self.heaps.find(file, field, descriptor, 4)
                channels, samples = int(head["active_channels"]), int(head["number_of_samples"])
                if numbers != 2 * channels * samples:
                    raise request.error(
                        field,
                        f"its header promises {channels} channels of {samples} samples, but it "
                        f"has {numbers} numbers instead of twice their product",
                    )
                file.seek(start)
                values = np.frombuffer(file.read(4 * numbers), "<c8")
                yield head, values.reshape(channels, samples)


def read_heads(request: Request, dataset: Any, field: str) -> Acquisitions:
    """The headers of all entries; under `Request.parsing`.

    Raises `DataError` for an unknown layout.
    """
    kind = dataset.dtype
    head = kind["head"] if "head" in (kind.names or ()) else np.dtype([])
    counters = head["idx"] if "idx" in (head.names or ()) else np.dtype([])
    missing = [n for n in HEAD_FIELDS if n not in (head.names or ())]
    missing += [n for n in COUNTERS if n not in (counters.names or ())]
    if missing or dataset.ndim != 1 or not {"traj", "data"} <= set(kind.names):
        raise request.error(
            field, f"it is no list of ISMRMRD acquisitions: {missing or dataset.shape} is amiss"
        )
    import h5py

    if h5py.check_vlen_dtype(kind["data"]) != np.float32:
        raise request.error(f"{field}: data", f"samples are float32; these are {kind['data']}")
    count = int(dataset.shape[0])
    # The file's own headers are read in pieces, but say how much it must hold.
    each = HEAD.itemsize + hdf5_storage.DESCRIPTOR_BYTES
    stored = hdf5.rows(request, field, dataset, count, each)
    layout = dataset.id.get_type()
    offsets = [
        layout.get_member_offset(layout.get_member_index(name)) for name in (b"head", b"data")
    ]
    samples = np.empty((count, hdf5_storage.DESCRIPTOR_BYTES), np.uint8)
    heaps = hdf5_storage.Heaps(request, dataset.file.userblock_size)
    found = Acquisitions(field, np.empty(count, HEAD), samples, heaps)
    # Chunks as a whole, or else each would be decompressed many times.
    most = stored.length * max(1, BYTES_AT_ONCE // stored.form.itemsize // stored.length)
    with open(request.path, "rb") as file:
        for first in range(0, count, most):
            rows = slice(first, min(first + most, count))
            block = np.empty(rows.stop - first, stored.form)
            stored.fill(file, first, block)
            _take_heads(found, rows, block.view(np.uint8).reshape(block.size, -1), head, offsets)
    return found


def _take_heads(
    found: Acquisitions,
    rows: slice,
    block: UInt8[np.ndarray, "n bytes"],
    head: np.dtype,
    offsets: list[int],
) -> None:
    """Keep what is needed of some entries, given as bytes."""
    first, second = offsets
    piece = block[:, first : first + head.itemsize].copy().view(head)[:, 0]
    for name in HEAD_FIELDS:
        found.heads[name][rows] = piece[name]
    for name in COUNTERS:
        found.heads[name][rows] = piece["idx"][name]
    found.samples[rows] = block[:, second : second + hdf5_storage.DESCRIPTOR_BYTES]


def imaging(request: Request, found: Acquisitions, notes: Notes) -> Int[np.ndarray, " m"]:
    """Rows of the first image series: no noise, navigators, calibration, later contrasts."""
    noise = found.flagged(request, "NOISE_MEASUREMENT")
    other = found.flagged(request, *NO_IMAGE) & ~noise
    calibration = found.flagged(request, "PARALLEL_CALIBRATION") & ~noise & ~other
    calibration &= ~found.flagged(request, "PARALLEL_CALIBRATION_AND_IMAGING")
    for dropped, what in (
        (other, "navigator, phase-correction, feedback or dummy lines"),
        (calibration, "lines for calibration only"),
    ):
        if dropped.any():
            notes.ignored.append(f"{np.count_nonzero(dropped)} {what}")
    rows = np.flatnonzero(~(noise | other | calibration))
    if rows.size == 0:
        raise request.error(found.field, "it has no lines of an image")
    for name in FIRST_ONLY:
        values = found.heads[name][rows]
        first = values.min()
        if (values != first).any():
            count = np.unique(values).size - 1
            what = "encoding" if name == "encoding_space_ref" else name
            notes.ignored.append(
                f"{count} further of {what} ({np.count_nonzero(values != first)} lines); "
                f"read is {first}"
            )
            rows = rows[values == first]
    return rows


def place(request: Request, field: str, head: np.void, nx: int) -> tuple[int, slice]:
    """Where a line, already in reading order, begins on the grid, and its samples to keep.

    The centre of the echo goes to ``nx // 2``.  A line of the full length fills the grid.
    """
    n = int(head["number_of_samples"])
    before, after = int(head["discard_pre"]), int(head["discard_post"])
    kept = n - before - after
    start = 0 if kept == nx else nx // 2 - (int(head["center_sample"]) - before)
    if kept < 1 or start < 0 or start + kept > nx:
        raise request.error(
            field,
            f"a line of {n} samples, of which {before} and {after} are to be discarded, with "
            f"its centre at {head['center_sample']}, does not fit the encoded matrix of {nx}",
        )
    return start, slice(before, n - after)


def in_reading_order(
    head: np.void, line: Complex[np.ndarray, "channels samples"], reverse: bool
) -> tuple[np.void, Complex[np.ndarray, "channels samples"]]:
    """A line read backwards, turned around, with what its header says about its samples."""
    if not reverse:
        return head, line
    head = head.copy()
    head["discard_pre"], head["discard_post"] = head["discard_post"], head["discard_pre"]
    head["center_sample"] = max(0, int(head["number_of_samples"]) - 1 - int(head["center_sample"]))
    return head, line[:, ::-1]
