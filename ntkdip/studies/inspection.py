"""What is in a file, in words and as a picture: ``ntkdip data info``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from ntkdip import data, plotting
from ntkdip.studies.files import writable_file


def inspect(
    path: Path, picture: Path, *, index: int | None = None, kind: str | None = None
) -> dict[str, str]:
    """Read a file, write its preview (PNG), and describe it.

    Parameters
    ----------
    path
        Anything that `ntkdip.data.load` takes; ``index`` and ``kind`` as there.
    picture
        PNG file of the preview, replaced if it exists.

    Returns
    -------
    Facts by name, in the order in which they read best.

    Raises
    ------
    DataError
        If the file cannot be used.
    OSError
        If the picture cannot be written; found out before the file is read.
    """
    writable_file(picture, "--out")
    record = data.load(path, index=index, kind=kind)
    facts = _of_kspace(record) if isinstance(record, data.KSpace) else _of_image(record)
    with plotting.style():
        figure = _of_samples(record) if isinstance(record, data.KSpace) else _of_pixels(record)
        figure.savefig(picture, format="png")
    return facts


def _origin(origin: data.Origin) -> dict[str, str]:
    facts = {"format": origin.format}
    if origin.count > 1:
        facts["which"] = f"{origin.index + 1} of {origin.count} (index {origin.index})"
    facts["understood"] = "\n".join(origin.understood) or "nothing beyond the array"
    facts["ignored"] = "\n".join(origin.ignored) or "nothing"
    return facts


def _of_kspace(k: data.KSpace) -> dict[str, str]:
    facts = {
        "k-space": f"{k.shape[0]} x {k.shape[1]} (readout first)",
        "coils": str(k.coils),
        "measured": f"{np.count_nonzero(k.mask):,} of {k.mask.size:,} positions",
        "acceleration": f"{k.acceleration:.2f}",
    }
    try:
        facts["calibration region"] = "{} x {}".format(*data.calibration_region(k, max(k.shape)))
    except data.DataError:
        facts["calibration region"] = "none: the centre of k-space is not fully sampled"
    largest = float(np.abs(k.samples).max())
    facts["largest sample"] = f"{largest:.4g}"
    try:
        sigma = float(np.median(data.noise_level(k)))
        ratio = 20 * np.log10(largest / sigma)
        facts["noise level"] = f"{sigma:.4g} a sample (median over coils)"
        facts["dynamic range"] = f"{ratio:.0f} dB, largest sample over noise level"
    except data.DataError as fault:
        facts["noise level"] = f"unknown: {fault}"
        smallest = float(np.abs(k.samples[k.samples != 0]).min())
        ratio = 20 * np.log10(largest / smallest)
        facts["dynamic range"] = f"{ratio:.0f} dB, largest over smallest sample that is not 0"
    if k.image_shape is not None:
        facts["images cropped to"] = "{} x {}".format(*k.image_shape)
    if k.reference is not None:
        facts["file's own image"] = "{} x {}".format(*k.reference.shape)
    return _origin(k.origin) | facts


def _of_image(image: data.Image) -> dict[str, str]:
    magnitude = np.abs(image.pixels)
    nonzero = magnitude[magnitude > 0]
    facts = {
        "image": f"{image.shape[0]} x {image.shape[1]}",
        "values": "complex" if np.iscomplexobj(image.pixels) else "real",
        "colours": str(image.colours),
        "magnitude": f"{magnitude.min():.4g} to {magnitude.max():.4g}",
    }
    if nonzero.size:
        ratio = 20 * np.log10(nonzero.max() / nonzero.min())
        facts["dynamic range"] = f"{ratio:.0f} dB, largest over smallest magnitude that is not 0"
    return _origin(image.origin) | facts


def _of_samples(k: data.KSpace) -> Figure:
    image = k.magnitude()
    panels = 3 if k.reference is None else 4
    figure = Figure(figsize=(3.0 * panels, 3.4))
    axes = np.atleast_1d(figure.subplots(1, panels))
    plotting.sampling_mask(axes[0], k.mask, "sampling")
    plotting.log_kspace(axes[1], k.samples, "k-space, all coils")
    peak = float(image.max())
    plotting.magnitude(axes[2], image, "zero-filled, root-sum-of-squares", peak=peak)
    if k.reference is not None:
        peak = float(k.reference.max())
        plotting.magnitude(axes[3], k.reference, "the file's own image", peak=peak)
    return figure


def _of_pixels(image: data.Image) -> Figure:
    panels = 2 if np.iscomplexobj(image.pixels) else 1
    figure = Figure(figsize=(4.0 * panels, 4.2))
    axes = np.atleast_1d(figure.subplots(1, panels))
    name = image.origin.path.name
    if image.colours == 3:
        plotting.photograph(axes[0], image.pixels, name)
        return figure
    peak = float(np.abs(image.pixels).max()) or 1.0
    plotting.magnitude(axes[0], image.pixels, name, peak=peak)
    if panels == 2:
        plotting.phase(axes[1], image.pixels, "phase")
    return figure
