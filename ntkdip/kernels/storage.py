"""Kernels on disk: plain HDF5 behind a seal, so that damage is found before it is read.

The file begins with an HDF5 user block of 512 bytes, which HDF5 readers skip.  It holds
one line, ``ntkdip-kernel <format> <SHA-256 of all bytes after the block>``, and zeros.
The seal covers matrix, metadata and HDF5's own structure, and is checked before HDF5
sees a byte: a damaged file can neither crash the reader nor pass for a kernel.  Ours.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ntkdip.kernels.dense import DenseKernel, Kernel
from ntkdip.networks import Architecture, layers
from ntkdip.spaces import Space

FORMAT = 1
"""Version of the file format; raised when an older reader would misread a file."""

MAGIC = b"ntkdip-kernel"
BLOCK = 512
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
PACKAGES = ("ntkdip", "jax", "flax", "numpy")


class StoredKernel(NamedTuple):
    """A kernel read from disk and what was stored with it.

    ``metadata`` has the keys ``architecture`` (an `Architecture`; a dictionary where this
    version has no such layer; None where none was given), ``seed`` (int or None),
    ``attributes`` (as given) and ``versions`` (of the packages that wrote the file).
    """

    kernel: DenseKernel
    metadata: dict[str, Any]


def save(
    W: Kernel,
    path: str | os.PathLike[str],
    *,
    architecture: Architecture | None = None,
    seed: int | None = None,
    attributes: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a kernel's dense matrix, float64, with what it was computed from.

    Parameters
    ----------
    W
        The kernel.
    path
        The file, in a folder that exists; ``.h5`` is usual.  It is replaced in one step:
        a crash leaves the old file or the new one.
    architecture
        Network whose kernel this is.
    seed
        Seed of its parameters.
    attributes
        Anything else, in JSON's types (``None``, numbers, strings, lists, dictionaries
        with string keys).
    overwrite
        Replace a file that is there.

    Raises
    ------
    FileExistsError
        If the file is there and ``overwrite`` is False.
    OSError
        If it cannot be written.
    ValueError
        If ``attributes`` would not come back as they are.

    Notes
    -----
    ``8 n^2`` bytes on disk, read once more for the seal.
    """
    import h5py

    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} is there already; choose another name, or say overwrite=True"
        )
    kernel = DenseKernel(W.dense(), W.space)
    metadata = json.dumps(
        {
            "space": dataclasses.asdict(kernel.space),
            "architecture": _encode(architecture),
            "seed": seed,
            "attributes": _plain(attributes or {}),
            "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        }
    )
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb"):  # the operating system's own words where that fails
            pass
        with h5py.File(partial, "w", userblock_size=BLOCK) as file:
            file.create_dataset("matrix", data=kernel.matrix.astype("<f8", copy=False))
            file.create_dataset("metadata", data=np.frombuffer(metadata.encode(), np.uint8))
        _seal(partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> StoredKernel:
    """Read a kernel written by `save`, after checking that not a byte has changed.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    `StoredKernel`.

    Raises
    ------
    OSError
        If it cannot be opened.
    ValueError
        If it was not written by `save`, is of a newer format, is damaged or cut short, or
        does not hold a kernel: what was found, and what to do.

    Notes
    -----
    The file is read twice: once for the seal, once for the matrix.
    """
    import h5py

    path = Path(path)
    _check_seal(path)
    with h5py.File(path, "r") as file:
        missing = {"matrix", "metadata"} - set(file)
        if missing:
            raise ValueError(
                f"{str(path)!r} is sealed but holds no {' and no '.join(sorted(missing))}; "
                "write it again with ntkdip.kernels.save"
            )
        matrix = np.asarray(file["matrix"][()], np.float64)
        metadata = json.loads(file["metadata"][()].tobytes())
    space = metadata.pop("space")
    kernel = DenseKernel(matrix, Space(tuple(space["shape"]), space["is_complex"]))
    metadata["architecture"] = _decode(metadata["architecture"])
    return StoredKernel(kernel, metadata)


def _seal(path: Path) -> None:
    """Write format and checksum into the user block, and all of it to the disk."""
    with path.open("r+b") as file:
        file.seek(BLOCK)
        digest = hashlib.file_digest(file, "sha256").hexdigest().encode()
        file.seek(0)
        file.write(b"%s %d %s\n" % (MAGIC, FORMAT, digest))
        file.flush()
        os.fsync(file.fileno())


def _check_seal(path: Path) -> None:
    name = repr(str(path))
    with path.open("rb") as file:
        block = file.read(BLOCK)
        digest = hashlib.file_digest(file, "sha256").hexdigest().encode()
    if not block.startswith(MAGIC + b" "):
        kind = "an HDF5 file of another program" if block.startswith(HDF5_MAGIC) else "no kernel"
        raise ValueError(
            f"{name} is {kind if block else 'empty'}: it does not begin with "
            f"{MAGIC.decode()!r}. Load files written by ntkdip.kernels.save"
        )
    line, _, rest = block.partition(b"\n")
    _, version, *seal = line.split(b" ")
    if version.isdigit() and int(version) > FORMAT:
        raise ValueError(
            f"{name} is of format {int(version)}, and this ntkdip reads formats up to {FORMAT}; "
            "upgrade ntkdip"
        )
    if len(block) < BLOCK or version != b"%d" % FORMAT or seal != [digest] or rest.strip(b"\0"):
        raise ValueError(
            f"{name} is damaged or cut short: its bytes ({path.stat().st_size}) do not match "
            "the checksum in its first line. Copy it again from where it came from, or "
            "compute the kernel again"
        )


def _encode(value: Any) -> Any:
    """A frozen description in JSON's types, classes by name."""
    if dataclasses.is_dataclass(value):
        fields = {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": type(value).__name__, "fields": fields}
    return [_encode(item) for item in value] if isinstance(value, tuple) else value


def _decode(value: Any) -> Any:
    """The inverse; the encoded form itself where this version knows no such description."""
    known = {"Architecture": Architecture} | {
        name: cls
        for name, cls in vars(layers).items()
        if isinstance(cls, type) and dataclasses.is_dataclass(cls)
    }

    def build(item: Any) -> Any:
        if isinstance(item, list):
            return tuple(build(entry) for entry in item)
        if isinstance(item, dict):
            return known[item["class"]](**{k: build(v) for k, v in item["fields"].items()})
        return item

    try:
        return build(value)
    except (KeyError, TypeError):
        return value


def _plain(attributes: dict[str, Any]) -> dict[str, Any]:
    try:
        same = json.loads(json.dumps(attributes, allow_nan=False)) == attributes
    except (TypeError, ValueError) as fault:
        raise ValueError(f"attributes are stored as JSON: {fault}; convert them first") from fault
    if not same:
        raise ValueError(
            "attributes are stored as JSON and would come back changed; use lists for tuples "
            f"and strings for keys. Got {attributes}"
        )
    return attributes
