"""BART's pairs of files: ``name.hdr``, a text with the dimensions, and ``name.cfl``, the numbers.

Layout: https://mrirecon.github.io/bart; complex64, little endian, the first axis fastest.
"""

from __future__ import annotations

import math
import re

import numpy as np
from jaxtyping import Complex

from ntkdip.data.formats.checks import (
    Notes,
    any_coil,
    image,
    kspace,
    measured_lines,
)
from ntkdip.data.formats.request import Request
from ntkdip.data.records import Image, KSpace

MAGIC = b"# Dimensions"
MOST_HEADER = 2**16
DIMENSIONS = (
    "readout", "phase encoding 1", "phase encoding 2", "coils", "maps", "echo times",
    "coefficients", "coefficients 2", "iterations", "cycles", "time", "time 2", "levels",
    "slices", "averages", "batch",
)  # fmt: skip
X, Y, Z, COIL, SLICE = 0, 1, 2, 3, 13


def is_header(request: Request) -> bool:
    """Whether the file is a .hdr of BART's."""
    with open(request.path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(request: Request) -> KSpace | Image:
    """One slice of the pair of which ``request.path`` is the .hdr; see `ntkdip.data.load`."""
    dims = _dimensions(request)
    data = request.at(request.path.with_suffix(".cfl"))
    try:
        held = data.path.stat().st_size
    except OSError as error:
        raise data.error("", f"missing or unreadable, but its .hdr is there ({error})") from error
    needed = 8 * math.prod(dims)
    if not data.path.is_file() or held != needed:
        raise data.error(
            "", f"its .hdr gives the dimensions {dims}, {needed:,} bytes; it has {held:,}"
        )
    if dims[COIL] == 1 and request.kind is None:
        raise request.error(
            "Dimensions",
            f"{dims[:4]} is one coil, or an image: say load(..., kind='kspace') or kind='image'",
        )
    for axis, n in enumerate(dims):
        if axis > COIL and axis != SLICE and n > 1:
            raise request.error(
                "Dimensions",
                f"dimension {axis} ({_name(axis)}) has {n} entries; choose one of them: "
                f"bart slice {axis} 0 <name> <new name>",
            )
    return _image(data, dims) if request.kind == "image" else _kspace(data, dims)


def _name(axis: int) -> str:
    return DIMENSIONS[axis] if axis < len(DIMENSIONS) else "unknown"


def _dimensions(request: Request) -> tuple[int, ...]:
    """The dimensions of the header, at least 16 of them."""
    with open(request.path, "rb") as file:
        lines = file.read(MOST_HEADER).splitlines()
    numbers = lines[1].split() if len(lines) > 1 else []
    good = all(re.fullmatch(rb"[0-9]{1,18}", n) and int(n) for n in numbers)
    if not numbers or not good or len(numbers) > 32:
        raise request.error(
            "Dimensions", "the second line should give positive dimensions, such as 256 256 1 8"
        )
    dims = tuple(int(n) for n in numbers)
    return dims + (1,) * (len(DIMENSIONS) - len(dims))


def _mapped(data: Request, dims: tuple[int, ...], index: int) -> Complex[np.ndarray, "x y z c"]:
    """The numbers of one slice, on disk."""
    shape = (*dims[:SLICE], math.prod(dims[SLICE:]))
    mapped = np.memmap(data.path, "<c8", "r", shape=shape, order="F")
    return mapped[..., index].reshape(dims[:4], order="F")


def _kspace(data: Request, dims: tuple[int, ...]) -> KSpace:
    """(x, y) of each coil; of a 3D encoding (y, z) at one place along the readout."""
    notes = Notes(["the readout is dimension 0"])
    x, y, z, coils = dims[:4]
    if z > 1:
        if dims[SLICE] > 1:
            raise data.error("Dimensions", "several 3D slabs; choose one: bart slice 13 0 ...")
        index, count, shape = data.choose(x, "slices across the readout"), x, (y, z)
        notes.understood.append("3D: transformed along the readout, slices across it")
    else:
        count, shape = dims[SLICE], (x, y)
        index = data.choose(count, "slices")
    data.require_memory("Dimensions", shape[0] * shape[1] * (8 * coils + 32) + 16 * x)
    mapped = _mapped(data, dims, 0 if z > 1 else index)
    samples = np.empty((coils, *shape), np.complex64)
    with np.errstate(over="ignore", invalid="ignore"):
        for c in range(coils):
            if z == 1:
                samples[c] = mapped[:, :, 0, c]
                continue
            weights = np.exp(2j * np.pi / x * (np.arange(x) - x // 2) * (index - x // 2))
            for k in range(z):
                samples[c, :, k] = weights @ mapped[:, :, k, c] / np.sqrt(x)
    origin = notes.origin(data, "BART", index, count)
    mask = any_coil(samples) if z > 1 else measured_lines(samples)
    return kspace(data, "samples", samples, mask, origin)


def _image(data: Request, dims: tuple[int, ...]) -> Image:
    """(x, y) of one slice: dimension 2 or 13."""
    if dims[COIL] > 1:
        raise data.error(
            "Dimensions", f"an image of {dims[COIL]} coils; combine them: bart rss 8 ..."
        )
    if dims[Z] > 1 and dims[SLICE] > 1:
        raise data.error("Dimensions", "slices in two dimensions, 2 and 13; bart slice 13 0 ...")
    count = dims[Z] * dims[SLICE]
    index = data.choose(count, "slices")
    data.require_memory("Dimensions", 2 * 24 * dims[X] * dims[Y])
    mapped = _mapped(data, dims, index if dims[SLICE] > 1 else 0)
    plane = mapped[:, :, index if dims[Z] > 1 else 0, 0]
    origin = Notes(["rows are dimension 0"]).origin(data, "BART", index, count)
    return image(data, "samples", np.array(plane), origin)
