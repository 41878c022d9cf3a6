"""``ntkdip reconstruct``: a file of measurements in, a folder of results out."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import jax

from ntkdip import training
from ntkdip.networks import ImageNetwork
from ntkdip.networks.padding import PaddedNetwork
from ntkdip.progress import ticking
from ntkdip.studies.configuration_file import mapping_of
from ntkdip.studies.files import writable_folder, write_json, write_text
from ntkdip.studies.network import network_of
from ntkdip.studies.predicted_stop import predicted_stop
from ntkdip.studies.problem import Measured, measured_problem
from ntkdip.studies.reconstruction_configuration import CONFIGURATION, ReconstructionConfiguration
from ntkdip.studies.reconstruction_results import Found, write_results
from ntkdip.training import Optimiser, StoppingRule

CHECKPOINTS = "checkpoints"


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """All that is decided before training: problem, network, settings and rules."""

    config: ReconstructionConfiguration
    problem: Measured
    net: ImageNetwork
    rules: tuple[StoppingRule, ...]
    notes: tuple[str, ...]


def run_reconstruction(
    config: ReconstructionConfiguration, out: Path, *, resume: bool = False
) -> Found:
    """Reconstruct, and write images, numbers, figures and ``report.html``.

    Parameters
    ----------
    config
        What to run.
    out
        Output folder, made if missing.
    resume
        Continue the run that the folder holds; without one it starts.

    Returns
    -------
    `Found`.  The folder's ``config.json`` reproduces it: bit for bit on CPU.

    Raises
    ------
    FileExistsError
        If the folder holds a run and ``resume`` is not set.
    OSError
        If a file cannot be read or the folder cannot be written.
    ValueError
        If the options do not fit the file or each other.  All of these before any training.
    DivergenceError, InterruptedRunError
        After what was found until then has been written.
    """
    began = time.perf_counter()
    _claim(out, resume)
    plan = _planned(config)
    run, fault = _run(plan, out, resume)
    begun = tuple(o for o in run.outcomes if o.metrics["step"].size)
    found = Found(
        plan.config, plan.problem, dataclasses.replace(run, outcomes=begun), plan.net.name,
        plan.notes, None if fault is None else str(fault), time.perf_counter() - began,
    )  # fmt: skip
    if begun:
        write_results(found, out)
    if fault is not None:
        raise fault
    return found


def _run(
    plan: Plan, out: Path, resume: bool
) -> tuple[training.Reconstruction, BaseException | None]:
    """What training found, and what ended it early."""
    file = out / CONFIGURATION
    before = file.read_text(encoding="utf-8") if file.exists() else None
    write_json(file, _absolute(plan.config))
    try:
        return _trained(plan, out, resume), None
    except (training.DivergenceError, training.InterruptedRunError) as ended:
        return ended.run, ended
    except BaseException:
        # What was refused leaves the folder as it was.
        if before is not None:
            write_text(file, before)
        elif not (out / CHECKPOINTS).exists():
            file.unlink()
        raise


def _claim(out: Path, resume: bool) -> None:
    """Refuse a folder with a run in it, before anything is read or written."""
    taken = [name for name in (CONFIGURATION, CHECKPOINTS) if (out / name).exists()]
    if taken and not resume:
        raise FileExistsError(
            f"{str(out)!r} holds a run ({taken[0]}); continue it with --resume, or name another "
            "folder with --out"
        )
    writable_folder(out)


def _planned(config: ReconstructionConfiguration) -> Plan:
    """Everything that can be refused is refused here."""
    if config.options.needs_reference and config.problem.reference is None:
        raise ValueError(f"the method {config.method} starts from an image: give --reference FILE")
    problem = measured_problem(config.problem)
    space, linear = problem.A.domain, config.method == "linearised"
    own = network_of(config.network, space.shape, complex_image=space.is_complex, ntk=linear)
    notes = list(problem.notes)
    if isinstance(own, PaddedNetwork):
        sides = " x ".join(str(n) for n in own.net.fitting_shape(space.shape))
        notes.append(f"The {own.name} makes images of {sides}; their middle is the image.")
    config, rules = _with_theory(config, own, problem, notes)
    net: ImageNetwork = training.LinearisedNetwork(own) if linear else own
    return Plan(config, problem, net, rules, tuple(notes))


def _with_theory(
    config: ReconstructionConfiguration, own: ImageNetwork, problem: Measured, notes: list[str]
) -> tuple[ReconstructionConfiguration, tuple[StoppingRule, ...]]:
    """The configuration with its rate, and the rules: what asks the kernel before training."""
    settings, stopping = config.settings, config.stopping
    rules = _rules(config, problem)
    free = settings.optimiser in (Optimiser(), Optimiser(name="gd"))
    search = config.method == "linearised" and free
    if not (search or stopping.predict_stop):
        return config, rules
    if stopping.predict_stop:
        _require_predictable(config, problem, search)
    # The network's own start, not its expansion's: the weights are the same.
    params, z = training.starting_points(
        own, problem.A, problem.y, config.options, key=jax.random.key(config.seed),
        settings=settings, reference=problem.reference,
    )[0]  # fmt: skip
    if search:
        with ticking("largest stable rate"):
            rate = training.stable_rate(own, problem.A, params, z)
        notes.append(f"Gradient descent at half of its largest stable rate: {rate:.4g}.")
        settings = dataclasses.replace(settings, optimiser=Optimiser(name="gd", rate=rate))
        config = dataclasses.replace(config, settings=settings)
    if stopping.predict_stop:
        assert problem.sigma is not None
        step = predicted_stop(
            own, problem.A, problem.y, problem.sigma, params, z, settings.optimiser.rate,
            settings.steps,
        )  # fmt: skip
        notes.append(f"The kernel at the start of the first seed predicts the best step: {step}.")
        rules = (*rules, training.AtIteration(step))
    return config, rules


def _rules(config: ReconstructionConfiguration, problem: Measured) -> tuple[StoppingRule, ...]:
    settings, stopping = config.settings, config.stopping
    every = settings.record_every
    window = max(stopping.window, 2 * every)
    rules: list[StoppingRule] = [training.WindowedVariance(window, stopping.patience, every)]
    noise = problem.noise_norm(settings)
    if noise is not None:
        rules.append(training.Discrepancy(noise))
    if settings.held_out:
        rules.append(training.HeldOut(stopping.patience))
    return tuple(rules)


def _require_predictable(
    config: ReconstructionConfiguration, problem: Measured, search: bool
) -> None:
    optimiser, options = config.settings.optimiser, config.options
    descent = search or dataclasses.replace(optimiser, rate=1.0) == Optimiser("gd", 1.0)
    plain = isinstance(options, training.Vanilla) and not (
        isinstance(options, training.TotalVariation) or options.perturbation
    )
    if not (descent and plain) or problem.sigma is None or config.settings.held_out:
        raise ValueError(
            "--predict-stop knows gradient descent at one rate on 1/2 ||A f - y||^2 from a fixed "
            "input, under noise of a known level: use --method linearised, or vanilla or "
            "reference-guided with --optimiser.name gd; give --sigma; leave out --held-out"
        )


def _trained(plan: Plan, out: Path, resume: bool) -> training.Reconstruction:
    problem, config = plan.problem, plan.config
    return training.reconstruct(
        plan.net, problem.A, problem.y, config.options, key=jax.random.key(config.seed),
        settings=config.settings, truth=problem.truth, reference=problem.reference,
        rules=plan.rules, folder=out / CHECKPOINTS, resume=resume,
    )  # fmt: skip


def _absolute(config: ReconstructionConfiguration) -> dict[str, Any]:
    """What ``config.json`` holds: files by their whole paths, so that it works from anywhere."""
    content = mapping_of(config)
    for name in ("data", "reference", "mask", "truth", "sensitivities"):
        value = content[name]
        if value is not None and Path(value).exists():
            content[name] = str(Path(value).resolve())
    return content
