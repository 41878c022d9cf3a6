"""The main job: a real MRI slice, two networks, prediction and training side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from ntkdip import data, kernels, metrics, networks, operators, theory
from ntkdip.progress import ticking, track
from ntkdip.studies.comparison import Comparison, compare
from ntkdip.studies.configuration import DemoConfiguration
from ntkdip.studies.figures import CAPTIONS, demo_figures
from ntkdip.studies.files import save_figure, writable_folder, write_json
from ntkdip.studies.measurement import measured
from ntkdip.studies.provenance import environment, peak_memory_bytes
from ntkdip.studies.report import write_report

EIGENPROBLEM_MATRICES = 10
"""Matrices of the kernel's size alive at once: kernel, eigenvectors, work space, spectra."""


@dataclasses.dataclass(frozen=True, eq=False)
class DemoResult:
    """Truth, zero-filled image, mask, comparisons and checks, with all numbers in ``numbers``."""

    truth: np.ndarray
    zero_filled: np.ndarray
    mask: np.ndarray
    comparisons: list[Comparison]
    checks: list[theory.Check]
    numbers: dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class _Problem:
    """The undersampled slice and the two networks with their inputs."""

    truth: np.ndarray
    mask: np.ndarray
    A: operators.LinearOperator
    y: np.ndarray
    zero_filled: np.ndarray
    inputs: list[tuple[networks.Architecture, Array]]


def run_demo(out: Path, config: DemoConfiguration | None = None) -> DemoResult:
    """Run the demo and write figures, arrays, ``results.json`` and ``report.html``.

    Parameters
    ----------
    out
        Output folder, made if missing.
    config
        What to run; the defaults take about two minutes on two cores.

    Returns
    -------
    `DemoResult`.  ``results.json`` and the arrays are written as they come, so an
    interrupted run keeps what it has.

    Raises
    ------
    ValueError
        If the size is out of range, no multiple of the decoder's upsampling, or there is
        no iteration to train.
    MemoryError
        If the kernels would not fit in memory.
    OSError
        If the folder cannot be written.  All of these before any computation.
    """
    config = config or DemoConfiguration()
    if config.steps < 1:
        raise ValueError(f"steps counts training iterations, at least 1; got {config.steps}")
    architectures = _architectures(config)
    _require_fit(architectures, config)
    log = _Log(writable_folder(out), config)
    with log.stage("undersampled slice"):
        problem = _problem(config, architectures)
        log.numbers |= _sampling_numbers(problem)
    comparisons, summaries = [], log.numbers.setdefault("networks", {})
    steps = np.unique(np.round(np.geomspace(1, config.steps, 24)).astype(int))
    keys = jax.random.split(jax.random.key(config.seed + 1), len(problem.inputs))
    for (net, z), key in zip(problem.inputs, keys, strict=True):
        with log.stage(f"{net.name}: kernel, prediction, training"):
            comparison = compare(
                net, z, problem.A, problem.y, problem.truth, record_at=np.r_[0, steps], key=key
            )
            comparisons.append(comparison)
            summaries[net.name] = comparison.summary()
            _save_arrays(out, comparison)
    with log.stage("theorem checks"):
        checks = theory.verify(seed=config.seed)
        log.numbers["checks"] = [check.as_dict() for check in checks]
    result = DemoResult(
        problem.truth, problem.zero_filled, problem.mask, comparisons, checks, log.numbers
    )
    with log.stage("figures and report"):
        for name, figure in track(demo_figures(result), "figures", total=len(CAPTIONS)):
            save_figure(figure, out, name)
        log.finish()
        write_report(result, out)
    return result


class _Log:
    """Numbers, written after every stage."""

    def __init__(self, out: Path, config: DemoConfiguration):
        self._file = out / "results.json"
        self._started = time.perf_counter()
        self.numbers: dict[str, Any] = {
            "complete": False,
            "configuration": dataclasses.asdict(config),
            "environment": environment(),
            "seconds": {},
        }

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        since = time.perf_counter()
        with ticking(name):
            yield
        self.numbers["seconds"][name] = round(time.perf_counter() - since, 2)
        write_json(self._file, self.numbers)

    def finish(self) -> None:
        self.numbers["seconds"]["total"] = round(time.perf_counter() - self._started, 2)
        self.numbers["peak_memory_bytes"] = peak_memory_bytes()
        self.numbers["complete"] = True


def _architectures(config: DemoConfiguration) -> list[networks.Architecture]:
    return [
        networks.deep_decoder(
            config.decoder_width, config.decoder_blocks, normalisation=False, upsampling="circular"
        ),
        networks.wide_cnn(config.wcnn_width, config.wcnn_depth, config.wcnn_kernel_size),
    ]


def _require_fit(architectures: list[networks.Architecture], config: DemoConfiguration) -> None:
    """Refuse sizes that do not divide or do not fit, before anything is allocated."""
    decoder, cnn = architectures
    if not 2 <= config.size <= data.SAMPLE_SIZE:
        raise ValueError(f"size must lie between 2 and {data.SAMPLE_SIZE}; got {config.size}")
    shape = (config.size, config.size)
    coarse = networks.input_shape(decoder, shape)
    what = f"the demo at size {config.size} (kernels of {2 * config.size**2} rows)"
    kernels.require_memory(EIGENPROBLEM_MATRICES * 8 * (2 * config.size**2) ** 2, what)
    for net, size in ((decoder, (*coarse, config.decoder_width)), (cnn, (*shape, 2))):
        dense = kernels.estimate(net, jax.ShapeDtypeStruct(size, np.float32)).routes[0]
        kernels.require_memory(dense.bytes, what)


def _problem(config: DemoConfiguration, architectures: list[networks.Architecture]) -> _Problem:
    shape = (config.size, config.size)
    truth = data.mri_slice(config.size)
    mask = operators.masks.random_lines(shape, config.acceleration, seed=config.seed)
    A = operators.masked_fourier(mask, shape=shape)
    y, zero_filled = measured(A, truth)
    decoder, cnn = architectures
    noise = networks.decoder_input(
        decoder, shape, config.decoder_width, key=jax.random.key(config.seed)
    )
    inputs = [(decoder, noise), (cnn, networks.as_input(zero_filled))]
    return _Problem(truth, mask, A, y, zero_filled, inputs)


def _sampling_numbers(problem: _Problem) -> dict[str, Any]:
    return {
        "sampling": {
            "image_shape": problem.truth.shape,
            "kspace_samples": int(problem.mask.sum()),
            "acceleration_achieved": problem.mask.size / problem.mask.sum(),
        },
        "zero_filled": {
            "psnr_db": metrics.psnr(problem.zero_filled, problem.truth),
            "relative_error": metrics.relative_distance(problem.zero_filled, problem.truth),
        },
    }


def _save_arrays(out: Path, comparison: Comparison) -> None:
    """Images and eigenvalues of one network, for whoever wants to look further."""
    np.savez_compressed(
        out / f"{comparison.name.lower().replace(' ', '_')}.npz",
        eigenvalues=comparison.eigenvalues,
        iterations=comparison.steps,
        predicted=comparison.predicted.astype(np.complex64),
        trained=comparison.trained,
        limit=comparison.limit.astype(np.complex64),
    )
