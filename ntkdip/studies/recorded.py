"""Problems made of files: fully sampled k-space, and photographs, undersampled here."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

from ntkdip import baselines, data, operators
from ntkdip.data import DataError, KSpace
from ntkdip.studies.imaging import Built, another_contrast, lines

WHOLE = 1.5
"""Acceleration up to which k-space counts as fully sampled: scanners leave out some edges."""

LEAST_SIDE = 32
"""Pixels, for windows of metrics and the levels of networks; the studies are tested at this."""

DOCUMENTS = {
    ".txt", ".md", ".rst", ".csv", ".json", ".yaml", ".yml", ".toml", ".pdf", ".html", ".xml", "",
}  # fmt: skip
"""Endings of what lies beside the files of a data set and is left out, as are hidden files."""


@dataclasses.dataclass(frozen=True)
class RecordedSlice:
    """The middle slice of a file of k-space, undersampled 1D.

    Coils are estimated from the centre that the undersampled scan has; the truth is what they
    make of all of k-space.
    """

    path: str = dataclasses.field(compare=False)
    """As `ntkdip.data.load` takes it."""
    digest: str
    """Of the file's content (`digest_of`): the same file elsewhere is the same problem."""
    acceleration: float = 4.0
    seed: int = 0
    """Of the lines."""

    @property
    def name(self) -> str:
        """File and acceleration."""
        return f"{Path(self.path).stem}, {self.acceleration:g}x"

    def build(self) -> Built:
        """Truth, operator and data; the noise is the scanner's, its level not asked for."""
        k = recorded_kspace(self.path)
        mask = lines(k.shape, self.acceleration, self.seed) & k.mask
        # Coils from what the undersampled scan has of the centre.
        seen = dataclasses.replace(k, samples=k.samples * mask, mask=mask)
        maps = data.estimate_sensitivities(seen, "low-resolution")
        truth = np.asarray(operators.multi_coil_fourier(k.mask, maps).adjoint(k.data()))
        peak = float(np.abs(truth).max())
        A = operators.multi_coil_fourier(mask, maps)
        contrast = functools.partial(another_contrast, truth / peak)
        return Built(truth / peak, A, k.samples[:, mask] / peak, contrast, None)


@dataclasses.dataclass(frozen=True)
class RecordedPhotograph:
    """A photograph of a file, as grey values, of which a share of the pixels is known."""

    path: str = dataclasses.field(compare=False)
    """As `ntkdip.data.load` takes it."""
    digest: str
    """Of the file's content."""
    kept: float = 0.5
    """Share of the pixels that are known."""
    seed: int = 0
    """Of the pixels."""

    @property
    def name(self) -> str:
        """File and share."""
        return f"{Path(self.path).stem}, {self.kept:.0%}"

    def build(self) -> Built:
        """Truth, operator and data; the reference is the biharmonic interpolation."""
        truth = recorded_photograph(self.path)
        A = operators.pixel_mask(
            operators.masks.random_pixels(truth.shape, self.kept, seed=self.seed)
        )
        y = np.asarray(A(truth))
        return Built(truth, A, y, functools.partial(baselines.biharmonic_inpainting, A, y), None)


def recorded_kspace(path: str) -> KSpace:
    """Fully sampled k-space of a file, its oversampled readout cropped.

    Raises
    ------
    DataError
        If the file cannot be read, holds no k-space, k-space that is itself undersampled, or
        fewer than `LEAST_SIDE` pixels a side.
    """
    k = data.load(path)
    if not isinstance(k, KSpace):
        raise DataError(path, "", "an image; this study undersamples k-space itself: give raw data")
    if k.acceleration > WHOLE:
        raise DataError(
            path, "mask", f"undersampled {k.acceleration:.1f}x, so that the truth is not known; "
            "give fully sampled k-space",
        )  # fmt: skip
    k = k if k.image_shape is None else k.crop_readout()
    _require_side(path, k.shape)
    return k


def recorded_photograph(path: str) -> np.ndarray:
    """``(h, w)`` float32, maximum 1.

    Raises
    ------
    DataError
        If the file cannot be read, is no real image, is 0 everywhere, or has fewer than
        `LEAST_SIDE` pixels a side.
    """
    image = data.load(path)
    if isinstance(image, KSpace) or np.iscomplexobj(image.pixels):
        raise DataError(path, "", "no photograph; give PNG, JPEG, TIFF or a real array")
    grey = np.asarray(image.grey(), np.float32)
    if not grey.max() > 0:
        raise DataError(path, "", "black everywhere: nothing can be compared with it")
    _require_side(path, grey.shape)
    return grey / grey.max()


def _require_side(path: str, shape: tuple[int, ...]) -> None:
    if min(shape) < LEAST_SIDE:
        raise DataError(
            path,
            "",
            f"only {shape} pixels; this study's methods take at least {LEAST_SIDE} a side",
        )


def files_of(folder: Path) -> list[Path]:
    """The files of a folder, by name, or one file; hidden ones and documents are left out.

    Raises
    ------
    DataError
        If there is none.
    """
    found = [folder] if folder.is_file() else []
    if folder.is_dir():
        found = sorted(p for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
        # A .hdr is BART's, and read with its .cfl.
        found = [p for p in found if p.suffix != ".hdr" and p.suffix.lower() not in DOCUMENTS]
    if not found:
        raise DataError(folder, "", "no data file, and no folder with one in it")
    return found


def digest_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content, shortened; of BART's pairs of both files."""
    found = hashlib.sha256()
    pair = [path.with_suffix(end) for end in (".cfl", ".hdr")]
    for each in pair if path in pair else [path]:
        with each.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:24]
