"""ISMRMRD raw data, as of mridata.org: lines in the order of acquisition, sorted into a grid.

Layout: https://ismrmrd.readthedocs.io; only Cartesian encodings.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int

from ntkdip.data.formats import hdf5, xml_header
from ntkdip.data.formats.checks import Notes
from ntkdip.data.formats.ismrmrd_grid import Grid, read_plane, read_volume
from ntkdip.data.formats.ismrmrd_lines import Acquisitions, imaging, read_heads
from ntkdip.data.formats.request import Request, listing
from ntkdip.data.records import KSpace

LARGEST_SIDE = 2**16
"""Encoding counters are 16-bit."""


MEMBERS = {"data", "xml"}


def read(request: Request, file: Any, groups: list[str]) -> KSpace:
    """K-space of one slice; see `ntkdip.data.load`."""
    request.require_kind("kspace", "leave kind out; .magnitude() is its image")
    request.package("ismrmrd", "ismrmrd")
    notes = Notes()
    name = "dataset" if "dataset" in groups else groups[0]
    if groups != [name]:
        notes.ignored.append(f"groups {listing([g for g in groups if g != name])}")
    with request.parsing(name, "HDF5"):
        header = hdf5.text(request, file[name], "xml", f"{name}/xml")
        dataset = hdf5.dataset(request, file[name], "data", f"{name}/data")
        if header is None or dataset is None:
            raise request.error(name, "'data' or 'xml' is missing")
        found = read_heads(request, dataset, f"{name}/data")
        others = sorted(hdf5.members(request, file, name) - MEMBERS)
    if others:
        notes.ignored.append(f"members {listing(others)} of {name}")
    rows = imaging(request, found, notes)
    grid = _grid(
        request, header, f"{name}/xml", int(found.heads["encoding_space_ref"][rows[0]]), notes
    )
    _require_one_array(request, found, rows)
    steps = found.heads["kspace_encode_step_2"][rows]
    volume = grid.encoded[2] > 1 and bool((steps != steps[0]).any())
    read_one = read_volume if volume else read_plane
    return read_one(request, found, rows, grid, notes)


def _grid(request: Request, document: str, field: str, encoding: int, notes: Notes) -> Grid:
    """What the header says; `DataError` if that is no Cartesian grid."""
    schema = request.package("ismrmrd.xsd", "ismrmrd")
    with request.parsing(field, "ismrmrd"):
        header = schema.CreateFromDocument(xml_header.harmless(request, field, document))
    if encoding >= len(header.encoding):
        raise request.error(field, f"encoding {encoding} is used, {len(header.encoding)} known")
    chosen = header.encoding[encoding]
    trajectory = getattr(chosen.trajectory, "value", chosen.trajectory)
    if trajectory != "cartesian":
        raise request.error(
            f"{field}: trajectory",
            f"it is {trajectory!r}; only Cartesian k-space is read: put it on a grid first, for "
            "instance with `bart`, and store that",
        )
    encoded = _matrix(request, field, "encodedSpace", chosen.encodedSpace)
    wanted = _matrix(request, field, "reconSpace", chosen.reconSpace)
    centres = []
    for axis, n in ((1, encoded[1]), (2, encoded[2])):
        limit = getattr(chosen.encodingLimits, f"kspace_encoding_step_{axis}", None)
        centre = getattr(limit, "center", None)
        if not isinstance(centre, int):
            centre = n // 2
            if n > 1:
                notes.understood.append(f"centre of encoding step {axis} not named: {centre}")
        centres.append(centre)
    system = header.acquisitionSystemInformation
    named = getattr(system, "relativeReceiverNoiseBandwidth", None)
    bandwidth = named if isinstance(named, float) and 0.1 < named < 10 else 1.0
    notes.understood.append(f"encoded matrix {encoded}, images of {wanted}")
    return Grid(encoded, wanted, (centres[0], centres[1]), bandwidth)


def _matrix(request: Request, field: str, name: str, space: Any) -> tuple[int, int, int]:
    matrix = getattr(space, "matrixSize", None)
    sides: list[Any] = [getattr(matrix, axis, None) for axis in "xyz"]
    if not all(isinstance(n, int) and 0 < n <= LARGEST_SIDE for n in sides):
        raise request.error(
            f"{field}: {name}", f"a matrix has sides of 1 to {LARGEST_SIDE}; this has {sides}"
        )
    return sides[0], sides[1], sides[2]


def _require_one_array(request: Request, found: Acquisitions, rows: Int[np.ndarray, " m"]) -> None:
    channels = np.unique(found.heads["active_channels"][rows])
    if channels.size > 1 or channels[0] == 0 or not found.heads["number_of_samples"][rows].all():
        raise request.error(
            found.field,
            f"every line should have samples and the same channels; there are {channels} channels",
        )
