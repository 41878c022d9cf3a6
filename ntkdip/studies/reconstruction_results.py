"""What a reconstruction found: its table, and everything that is written of it."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Inexact
from PIL import Image as Picture

from ntkdip import data, metrics
from ntkdip.progress import ticking
from ntkdip.studies.files import save_figure, write_json, write_text
from ntkdip.studies.problem import Measured
from ntkdip.studies.provenance import environment, peak_memory_bytes
from ntkdip.studies.reconstruction_configuration import ReconstructionConfiguration
from ntkdip.training import Outcome, Reconstruction
from ntkdip.training.results import AVERAGED, BEST, FINAL

METRICS: dict[str, Callable[[Any, Any], float]] = {
    "PSNR": metrics.psnr, "SSIM": metrics.ssim, "NMSE": metrics.nmse, "HFEN": metrics.hfen
}  # fmt: skip
"""Of a table's columns; PSNR in dB, larger is better of the first two."""

FILES = {FINAL: "reconstruction", AVERAGED: "averaged", BEST: "oracle-best"}
"""Names of the images' files; a stopping rule's is ``stopped-`` and its name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """One kind of image: its step and scores, one entry a seed (NaN where there is none).

    ``why``: how it was chosen, in words; ``residual``: ``||A f - y||`` over what was trained on.
    """

    name: str
    why: str
    steps: Float[np.ndarray, " seeds"] | None
    residual: Float[np.ndarray, " seeds"] | None
    scores: dict[str, Float[np.ndarray, " seeds"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """A reconstruction and what it belongs to; ``fault`` says why it ended early, if it did."""

    config: ReconstructionConfiguration
    problem: Measured
    run: Reconstruction
    network: str
    notes: tuple[str, ...]
    fault: str | None
    seconds: float

    def rows(self) -> list[Row]:
        """``A* y`` first, then every kind of image; scores only where there is a truth."""
        truth = self.run.truth
        scores = {} if truth is None else _scores(self.run, truth)
        steps = self.run.picked_steps()
        rows = [Row(self.problem.baseline, "the data back-projected: no network", None, None,
                    {name: found.pop("") for name, found in scores.items()})]  # fmt: skip
        for name in steps:
            own = {metric: found[name] for metric, found in scores.items()}
            residual = None if name == AVERAGED else self._residual(steps[name])
            rows.append(Row(name, self._why(name), steps[name], residual, own))
        return rows

    def _residual(self, steps: np.ndarray) -> np.ndarray:
        found = np.full(len(steps), np.nan)
        for seed, outcome in enumerate(self.run.outcomes):
            here = outcome.metrics["step"] == steps[seed]
            if here.any():
                found[seed] = outcome.metrics["residual"][here][0]
        return found

    def _why(self, name: str) -> str:
        known = {
            FINAL: "the last step",
            AVERAGED: f"moving average, decay {self.config.settings.average:g} a step",
            BEST: "an oracle: the recorded step of highest PSNR, which only the truth can tell",
        }
        if name in known:
            return known[name]
        picks = [o.stopped[name] for o in self.run.outcomes if name in o.stopped]
        seed = "first seed: " if len(self.run.outcomes) > 1 else ""
        return f"stopping rule; {seed}{picks[0].reason}"


def _scores(run: Reconstruction, truth: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Scores of every kind of image by metric; under the empty name, those of ``A* y``."""
    found = {}
    for name, metric in METRICS.items():
        # Small or constant images have no SSIM or HFEN.
        with contextlib.suppress(ValueError):
            first = np.array([metric(run.zero_filled, truth)])
            found[name] = run.scores(metric) | {"": first}
    return found


def written(values: np.ndarray | None, form: str = ".2f") -> str:
    """Mean and, of several seeds, standard deviation over those that have a value."""
    if values is None or not np.isfinite(values).any():
        return ""
    kept = values[np.isfinite(values)]
    mean = format(kept.mean(), form)
    return mean if len(kept) == 1 else f"{mean} ± {format(kept.std(ddof=1), form)}"


FORMS = {"PSNR": ".2f", "SSIM": ".3f", "NMSE": ".4f", "HFEN": ".3f"}


def write_results(found: Found, out: Path) -> None:
    """Arrays, pictures, numbers, figures and report, each file in one step."""
    from ntkdip.studies.reconstruction_figures import figures
    from ntkdip.studies.reconstruction_report import write_report

    with ticking("images and figures"):
        for name, images in _images(found.run).items():
            _save_images(out, name, images)
        _save_as_given(found, out)
        write_text(out / "metrics.csv", _table(found.run.outcomes))
        write_json(out / "results.json", _numbers(found))
        drawn = []
        for name, title, caption, figure in figures(found):
            with _replacing(out) as folder:
                save_figure(figure, folder, name)
            drawn.append((name, title, caption))
        write_report(found, drawn, out)


def _images(run: Reconstruction) -> dict[str, Inexact[np.ndarray, "..."]]:
    """Every kind of image by the name of its file, with an axis of seeds if there are several."""
    kinds = dict.fromkeys(name for outcome in run.outcomes for name in outcome.images)
    found = {"zero-filled": run.zero_filled}
    for name in kinds:
        file = FILES.get(name, "stopped-" + name.replace(" ", "-"))
        blank = np.full_like(run.zero_filled, np.nan)
        images = [outcome.images.get(name, blank) for outcome in run.outcomes]
        found[file] = images[0] if len(images) == 1 else np.stack(images)
    return found


def _save_images(out: Path, name: str, images: np.ndarray) -> None:
    """``.npy``, and the first seed's magnitude as a picture."""
    with _replacing(out) as folder:
        np.save(folder / f"{name}.npy", images)
        first = np.abs(images if images.ndim == 2 else images[0])
        peak = np.nanmax(first) if np.isfinite(first).any() else 0.0
        grey = np.nan_to_num(255 * first / peak if peak > 0 else 0 * first)
        Picture.fromarray(np.round(grey).astype(np.uint8)).save(folder / f"{name}.png")


def _save_as_given(found: Found, out: Path) -> None:
    """The final image in the format that the data came in, where that is one of images."""
    origin, image = found.problem.record.origin, found.run.final
    if isinstance(found.problem.record, data.KSpace) and "HDF5" in origin.format:
        shape = found.problem.record.image_shape or image.shape
        inside = tuple(min(n, m) for n, m in zip(shape, image.shape, strict=True))
        magnitude = np.abs(data.transforms.centre_crop(image, inside)).astype(np.float32)
        with _replacing(out) as folder, h5py.File(folder / "reconstruction.h5", "w") as file:
            # fastMRI's layout: slices first.
            file.create_dataset("reconstruction", data=magnitude[None])
    elif origin.format.startswith("NIfTI"):
        with _replacing(out) as folder:
            _save_nifti(image, origin, folder / "reconstruction.nii.gz")


def _save_nifti(image: np.ndarray, origin: data.Origin, path: Path) -> None:
    """One slice, where it lies in its volume."""
    import nibabel

    source: Any = nibabel.load(origin.path)
    affine = np.array(source.affine)
    affine[:3, 3] += affine[:3, 2] * origin.index
    kind = np.complex64 if np.iscomplexobj(image) else np.float32
    # As they are read: rows are the second voxel axis.
    nibabel.save(nibabel.Nifti1Image(image.T[:, :, None].astype(kind), affine), path)


def _table(outcomes: tuple[Outcome, ...]) -> str:
    """All records of all seeds as CSV; an empty field is a number that does not exist."""
    columns = list(dict.fromkeys(name for outcome in outcomes for name in outcome.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["seed", *columns])
    for seed, outcome in enumerate(outcomes):
        values = [outcome.metrics[name] for name in columns]
        for row in zip(*values, strict=True):
            cells = ["" if np.isnan(value) else value.item() for value in row]
            writer.writerow([seed, *cells])
    return text.getvalue()


def _numbers(found: Found) -> dict[str, Any]:
    rows = [
        {
            "image": row.name,
            "why": row.why,
            "step": _finite(row.steps),
            "residual": _finite(row.residual),
        }
        | {name: _finite(values) for name, values in row.scores.items()}
        for row in found.rows()
    ]
    return {
        "complete": found.run.complete,
        "ended_by": found.fault,
        "method": found.config.method,
        "network": found.network,
        "notes": list(found.notes),
        "images": rows,
        "scale": found.run.scale,
        "seconds": round(found.seconds, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "environment": environment(),
    }


def _finite(values: np.ndarray | None) -> list[float | None] | None:
    if values is None:
        return None
    return [float(value) if np.isfinite(value) else None for value in values]


@contextlib.contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder whose files replace those of the same name in ``out``, each in one step."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=out) as folder:
        yield Path(folder)
        for file in Path(folder).iterdir():
            os.replace(file, out / file.name)
