"""The family ``data``: a file of raw k-space becomes an operator and its data.

The file, in fastMRI's layout, is written before the clock starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from benchmarks.cases import Case
from ntkdip import baselines, data, operators

SIGMA = 0.005
"""Noise of a sample; the image's maximum is 1."""

HEADER = """<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding><reconSpace><matrixSize>
<x>{0}</x><y>{1}</y><z>1</z></matrixSize></reconSpace></encoding></ismrmrdHeader>"""


class Ready(NamedTuple):
    """What reconstruction starts from."""

    maps: np.ndarray
    A: operators.LinearOperator
    image: np.ndarray


def image(case: Case) -> np.ndarray:
    """The phantom in the middle of a field of view that is oversampled along the readout."""
    readout, phase = case.shape
    head = data.shepp_logan(min(readout // 2, phase) * 7 // 8)
    whole = np.zeros(case.shape)
    data.transforms.centre_crop(whole, head.shape)[:] = head
    return whole


def sensitivities(case: Case) -> np.ndarray:
    """Of the coils that the file's data come from, on the cropped image."""
    maps = data.biot_savart_sensitivities(case.shape, case.width[0], distance=1.6)
    return data.transforms.centre_crop(maps, (case.shape[0] // 2, case.shape[1]))


def write(case: Case, path: Path) -> None:
    """The file: one slice, 4x random lines, complex noise."""
    maps = data.biot_savart_sensitivities(case.shape, case.width[0], distance=1.6)
    lines = operators.masks.random_lines(case.shape, 4)[0]
    kspace = data.add_noise(data.transforms.to_kspace(maps * image(case)), sigma=SIGMA, seed=0)
    side = min(case.shape[0] // 2, case.shape[1])
    with h5py.File(path, "w") as file:
        file["kspace"] = (kspace * np.asarray(lines)).astype(np.complex64)[None]
        file["mask"] = np.asarray(lines, np.float32)
        file["ismrmrd_header"] = HEADER.format(case.shape[0] // 2, side)


def read(path: Path) -> Ready:
    """Read, crop the readout, estimate sensitivities (ESPIRiT), apply the adjoint."""
    k = data.load(path)
    if not isinstance(k, data.KSpace):
        raise TypeError(f"{path.name} was taken for an image")
    k = k.crop_readout()
    maps = data.estimate_sensitivities(k)
    A = operators.multi_coil_fourier(k.mask, maps)
    return Ready(maps, A, baselines.zero_filled(A, k.data()))


def mismatch(case: Case, ready: Ready) -> float:
    """Median of ``1 - |<S, estimate>|`` over the phantom: a common phase is free."""
    truth = sensitivities(case)
    inside = data.transforms.centre_crop(image(case), truth.shape[1:]) > 0.05
    return float(np.median(1 - np.abs(np.sum(truth.conj() * ready.maps, axis=0))[inside]))
