"""Small files in the layouts of others, written with their own libraries."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation>
    <relativeReceiverNoiseBandwidth>{bandwidth}</relativeReceiverNoiseBandwidth>
  </acquisitionSystemInformation>
  <experimentalConditions><H1resonanceFrequency_Hz>63500000</H1resonanceFrequency_Hz>
  </experimentalConditions>
  <encoding>
    <encodedSpace><matrixSize><x>{ex}</x><y>{ey}</y><z>{ez}</z></matrixSize>
      <fieldOfView_mm><x>600</x><y>300</y><z>6</z></fieldOfView_mm></encodedSpace>
    <reconSpace><matrixSize><x>{rx}</x><y>{ry}</y><z>{rz}</z></matrixSize>
      <fieldOfView_mm><x>300</x><y>300</y><z>6</z></fieldOfView_mm></reconSpace>
    <encodingLimits>
      <kspace_encoding_step_1><minimum>0</minimum><maximum>{ey}</maximum>
        <center>{c1}</center></kspace_encoding_step_1>
      <kspace_encoding_step_2><minimum>0</minimum><maximum>{ez}</maximum>
        <center>{c2}</center></kspace_encoding_step_2>
    </encodingLimits>
    <trajectory>{trajectory}</trajectory>
  </encoding>
</ismrmrdHeader>
"""


def header(
    encoded: tuple[int, int, int],
    recon: tuple[int, int, int],
    centres: tuple[int, int] | None = None,
    trajectory: str = "cartesian",
    bandwidth: float = 1.0,
) -> str:
    """An ISMRMRD header with one encoding."""
    c1, c2 = centres or (encoded[1] // 2, encoded[2] // 2)
    sides = dict(zip(("ex", "ey", "ez", "rx", "ry", "rz"), (*encoded, *recon), strict=True))
    return HEADER.format(**sides, c1=c1, c2=c2, trajectory=trajectory, bandwidth=bandwidth)


def noise(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Complex standard normal numbers (complex64), none of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(np.complex64)


def fastmri(path: Path, kspace: np.ndarray, *, options: Any = None, **others: Any) -> Path:
    """A fastMRI file: ``kspace``, then datasets by name; ``attributes`` is a dictionary."""
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=kspace, **(options or {}))
        for name, value in others.pop("attributes", {}).items():
            file.attrs[name] = value
        for name, value in others.items():
            file.create_dataset(name, data=value)
    return path


def line(samples: np.ndarray, step: int = 0, *, flags: Iterable[int] = (), **head: Any) -> Any:
    """One acquisition, ``(channels, n)``; ``slice=...`` and the like go to its counters."""
    head.setdefault("center_sample", samples.shape[1] // 2)
    head.setdefault("sample_time_us", 5.0)
    counters = {"kspace_encode_step_1": step}
    for name in ("kspace_encode_step_2", "slice", "contrast", "repetition", "average", "set"):
        counters[name] = head.pop(name, 0)
    found = ismrmrd.Acquisition.from_array(samples.astype(np.complex64), **head)
    for name, value in counters.items():
        setattr(found.idx, name, value)
    for flag in flags:
        found.set_flag(flag)
    return found


def raw(path: Path, xml: str, lines: Iterable[Any], group: str = "dataset") -> Path:
    """An ISMRMRD file."""
    with ismrmrd.Dataset(str(path), group) as dataset:
        dataset.write_xml_header(xml)
        for one in lines:
            dataset.append_acquisition(one)
    return path


def plane(kspace: np.ndarray, **head: Any) -> list[Any]:
    """The lines of one slice ``(channels, nx, ny)``, all steps in order."""
    return [line(kspace[:, :, j], j, **head) for j in range(kspace.shape[2])]


def cfl(path: Path, array: np.ndarray) -> Path:
    """A pair of BART's; ``path`` is that of the .cfl."""
    dims = [*array.shape, *[1] * (16 - array.ndim)]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, dims)) + " \n")
    array.astype("<c8").ravel(order="F").tofile(path)
    return path
