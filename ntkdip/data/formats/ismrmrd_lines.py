"""ISMRMRD's acquisitions: which of them belong to one image, and their way to the grid."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex, Int

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
HEADS_AT_ONCE = 512
BYTES_AT_ONCE = 2**23
MOST_TRAJECTORY = 2**24


@dataclasses.dataclass
class Acquisitions:
    """The dataset ``data`` of a file, and what is needed of the header of each entry."""

    dataset: Any
    field: str
    heads: np.ndarray
    places: Int[np.ndarray, " n"] | None
    offsets: dict[str, int]
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
        """Header and samples of some entries, read a few at a time."""
        most = int(self.heads["number_of_samples"].max() * self.heads["active_channels"].max())
        for first, last in _runs(rows, max(1, BYTES_AT_ONCE // (8 * most))):
            self._require_lengths(request, first, last)
            with request.parsing(f"{self.field}[{first}:{last}]", "HDF5"):
                block = self.dataset.fields("data")[first:last]
            for row, values in zip(range(first, last), block, strict=True):
                head = self.heads[row]
                self._require_length(request, row, values.size)
                channels = int(head["active_channels"])
                yield head, values.view(np.complex64).reshape(channels, -1)

    def _require_lengths(self, request: Request, first: int, last: int) -> None:
        """Compare what is stored with the headers before HDF5 allocates what is declared."""
        if self.places is None:
            return
        with open(request.path, "rb") as file:
            for row in range(first, last):
                field = f"{self.field}[{row}]"
                # The trajectory is read along with the samples, although nobody wants it.
                for member, most in (("traj", MOST_TRAJECTORY), ("data", None)):
                    place = int(self.places[row]) + self.offsets[member]
                    length, _ = self.heaps.find(file, field, place, 4)
                    if most is None:
                        self._require_length(request, row, length)
                    elif length > most:
                        raise request.error(field, f"a trajectory of {length} numbers")

    def _require_length(self, request: Request, row: int, numbers: int) -> None:
        head = self.heads[row]
        channels, samples = int(head["active_channels"]), int(head["number_of_samples"])
        if numbers != 2 * channels * samples:
            raise request.error(
                f"{self.field}[{row}]",
                f"its header promises {channels} channels of {samples} samples, but it has "
                f"{numbers} numbers instead of twice their product",
            )


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
    hdf5.require_room(request, field, dataset, count, HEAD.itemsize)
    stored = dataset.id.get_type()
    offsets = {
        stored.get_member_name(i).decode(): stored.get_member_offset(i)
        for i in range(stored.get_nmembers())
    }
    places = hdf5_storage.row_places(request, field, dataset)
    heaps = hdf5_storage.Heaps(request, dataset.file.userblock_size)
    found = Acquisitions(dataset, field, np.empty(count, HEAD), places, offsets, heaps)
    for first in range(0, count, HEADS_AT_ONCE):
        rows = slice(first, min(first + HEADS_AT_ONCE, count))
        piece = _stored_heads(request, found, rows, head)
        for name in HEAD_FIELDS:
            found.heads[name][rows] = piece[name]
        for name in COUNTERS:
            found.heads[name][rows] = piece["idx"][name]
    return found


def _stored_heads(request: Request, found: Acquisitions, rows: slice, head: np.dtype) -> np.ndarray:
    """Headers as the file has them.  h5py would read the samples along with them."""
    if found.places is None:
        return found.dataset.fields("head")[rows]
    content = np.memmap(request.path, np.uint8, "r")
    starts = found.places[rows] + found.offsets["head"]
    return content[starts[:, None] + np.arange(head.itemsize)].view(head)[:, 0]


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


def _runs(rows: Int[np.ndarray, " m"], most: int) -> Iterator[tuple[int, int]]:
    """Stretches of consecutive rows, none longer than ``most``."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    for stretch in np.split(rows, ends):
        first, last = int(stretch[0]), int(stretch[-1]) + 1
        for start in range(first, last, most):
            yield start, min(start + most, last)
