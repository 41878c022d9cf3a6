"""Reconstruction: one method, one network, measured data; one seed or many."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, PyTree

from ntkdip import metrics
from ntkdip.networks import ImageNetwork
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite
from ntkdip.training.holdout import training_weights
from ntkdip.training.methods import Method, Problem, SelfGuided
from ntkdip.training.objectives import on_device
from ntkdip.training.results import Reconstruction
from ntkdip.training.running import Plan, run_seeds, start
from ntkdip.training.settings import Settings
from ntkdip.training.stopping import StoppingRule

LARGEST = 1e30
"""Units of the data between this and its inverse leave room in single precision."""


def reconstruct(
    net: ImageNetwork,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    method: Method | None = None,
    *,
    key: Array,
    settings: Settings | None = None,
    truth: Inexact[Array | np.ndarray, "..."] | None = None,
    reference: Inexact[Array | np.ndarray, "..."] | None = None,
    rules: Sequence[StoppingRule] = (),
    folder: Path | None = None,
    resume: bool = False,
) -> Reconstruction:
    """Reconstruct an image from measurements by training a network on them.

    Parameters
    ----------
    net
        The network; its images have the shape of ``A.domain``.
    A, y
        Forward operator and data, shape ``A.range.shape``, in any unit.
    method
        What is minimised, and over what; `SelfGuided` by default.
    key
        PRNG key.  The same key gives the same reconstruction, bit for bit on CPU.
    settings
        Steps, optimiser, records, seeds.
    truth
        The true image in the data's unit, to measure against; training never sees it.
    reference
        Image of the same subject in any unit, for the methods that start from one.
    rules
        Stopping rules; each has its pick in the result.
    folder
        Where checkpoints go: at a cadence, at the end, and when Ctrl-C or SIGTERM ends the
        run.  None keeps none.
    resume
        Continue from the folder's checkpoints as if nothing had happened.

    Returns
    -------
    `Reconstruction`, images in the data's unit.

    Raises
    ------
    ValueError
        Before anything is computed: if network, operator, data, truth, reference and rules do
        not fit together, or something is not finite.
    CheckpointError
        Before anything is computed: if the folder cannot be used.
    DivergenceError
        If a run leaves the finite numbers or its loss grows a thousandfold; ``run`` holds the
        `Reconstruction` up to then, and the last good state is in the folder.
    InterruptedRunError
        If Ctrl-C or SIGTERM ended the run; ``run`` likewise.

    Notes
    -----
    Data are scaled by the maximum of the zero-filled image ``A* y``, never by the truth.
    Memory: a training step's, and an image a rule.  Source: design page, section 1.
    """
    method, settings = method or SelfGuided(), (settings or Settings()).resolved()
    _check_rules(rules, settings)
    problem, scale, zero_filled = _prepared(net, A, y, method, settings, truth, reference)
    plan = Plan(
        problem=problem,
        method=method,
        settings=settings,
        rules=tuple(rule.observed_every(settings.record_every) for rule in rules),
        measure=None if truth is None else metrics.against(np.asarray(truth) / scale),
        scale=scale,
        folder=folder,
        resume=resume,
        identity=_identity(net, A, y, method, settings, key, truth, reference, rules),
    )
    template = Reconstruction(
        (), zero_filled, None if truth is None else np.asarray(truth), scale, complete=False
    )
    return run_seeds(plan, jax.random.split(key, settings.seeds), template)


def starting_points(
    net: ImageNetwork,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    method: Method,
    *,
    key: Array,
    settings: Settings | None = None,
    reference: Inexact[Array | np.ndarray, "..."] | None = None,
) -> list[tuple[PyTree, Float[Array, "*pixels channels"]]]:
    """Parameters and input from which `reconstruct` starts with the same arguments, by seed.

    For what theory has to say of a run before it is made: its kernel, a stable rate.

    Raises
    ------
    ValueError
        As `reconstruct`.
    """
    settings = settings or Settings()
    problem, _, _ = _prepared(net, A, y, method, settings, None, reference)
    starts = (start(method, problem, k)[:2] for k in jax.random.split(key, settings.seeds))
    return [(t["params"], (t | c)["input"]) for t, c in starts]


def _prepared(
    net: ImageNetwork, A: LinearOperator, y: Any, method: Method, settings: Settings, truth: Any,
    reference: Any,
) -> tuple[Problem, float, np.ndarray]:  # fmt: skip
    """The checked problem in scaled units, the scale, and the zero-filled image."""
    y = np.asarray(y)
    _check(net, A, y, truth, reference)
    if method.needs_reference and reference is None:
        raise ValueError(f"{type(method).__name__} needs a reference image; none was given")
    peak = float(np.abs(y).max())
    if not 1 / LARGEST < peak < LARGEST and peak:
        raise ValueError(
            f"the largest of the data is {peak:.3g}, too far from 1 for single precision; multiply "
            "data and truth by a number that brings it there"
        )
    y = y.astype(np.complex64 if A.range.is_complex else np.float32)
    zero_filled = np.asarray(A.adjoint(y))
    weights = training_weights(y, settings.held_out, settings.held_out_seed)
    initial = zero_filled if weights.ndim == 0 else np.asarray(A.adjoint(y * weights))
    scale = float(np.abs(initial).max())
    if scale == 0:
        raise ValueError("the zero-filled image is zero: the data hold nothing to reconstruct")
    problem = Problem(
        net.for_training(),
        (*on_device(A, y / y.dtype.type(scale)), jnp.asarray(weights, y.dtype)),
        initial / initial.dtype.type(scale),
        None if reference is None else _unit_maximum(np.asarray(reference)),
        A.norm(tolerance=1e-3) if method.needs_norm else None,
    )
    return problem, scale, zero_filled


def self_guided(
    net: ImageNetwork,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    *,
    key: Array,
    **options: Any,
) -> Reconstruction:
    """`reconstruct` by self-guided deep image prior; ``options`` as there."""
    return reconstruct(net, A, y, SelfGuided(), key=key, **options)


def _check(net: ImageNetwork, A: LinearOperator, y: np.ndarray, truth: Any, reference: Any) -> None:
    net.input_shape(A.domain.shape)
    if net.complex_image != A.domain.is_complex:
        kinds = ("real", "complex")
        raise ValueError(
            f"{net.name} makes {kinds[net.complex_image]} images, the operator takes "
            f"{kinds[A.domain.is_complex]} ones; build it with "
            f"complex_image={A.domain.is_complex}"
        )
    A.range.check(y, "data")
    require_finite(y, "data")
    for name, image in (("truth", truth), ("reference", reference)):
        if image is None:
            continue
        if np.shape(image) != A.domain.shape:
            raise ValueError(
                f"the {name} has shape {np.shape(image)}, the operator takes images of "
                f"{A.domain.shape}"
            )
        require_finite(image, name)
        if np.iscomplexobj(image) and not A.domain.is_complex:
            raise ValueError(f"the {name} is complex, the images are real; take its magnitude")


def _check_rules(rules: Sequence[StoppingRule], settings: Settings) -> None:
    names = [rule.name for rule in rules]
    if len(set(names)) < len(names):
        raise ValueError(f"stopping rules need names of their own; got {', '.join(names)}")
    blind = [rule.name for rule in rules if rule.needs_held_out]
    if settings.stop_early and not rules:
        raise ValueError("stop_early ends a run when its rules say so, and none was given")
    if blind and not settings.held_out:
        raise ValueError(
            f"the rule {blind[0]!r} judges by samples that are not trained on: set held_out, such "
            "as 0.05"
        )


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.complex64 if np.iscomplexobj(values) else np.float32)


def _unit_maximum(image: np.ndarray) -> np.ndarray:
    peak = np.abs(image).max()
    if peak == 0:
        raise ValueError("the reference is zero everywhere; it says nothing")
    return _single(image / peak)


def _identity(
    net: ImageNetwork, A: LinearOperator, y: Any, method: Method, settings: Settings,
    key: Array, truth: Any, reference: Any, rules: Sequence[StoppingRule],
) -> dict[str, Any]:  # fmt: skip
    """What decides the numbers of a run, by name, JSON-ready."""
    leaves, structure = jax.tree.flatten(A)
    operator = [str(structure), *(_digest(leaf) for leaf in leaves)]
    decisive = dataclasses.asdict(settings)
    for name in ("checkpoint_every", "scan"):  # they change no number beyond rounding
        del decisive[name]
    found = {
        # A function's address is another in every process.
        "network": re.sub(r" at 0x[0-9a-f]+", "", repr(net)),
        "method": {"name": type(method).__name__, **dataclasses.asdict(method)},
        "settings": decisive,
        "rules": [repr(rule) for rule in rules],
        "operator": operator,
        "data": _digest(np.asarray(y)),
        "key": _digest(jax.random.key_data(key)),
        "truth": None if truth is None else _digest(truth),
        "reference": None if reference is None else _digest(reference),
    }
    return json.loads(json.dumps(found, default=lambda value: value.item()))


def _digest(values: Any) -> str:
    array = np.ascontiguousarray(values)
    text = f"{array.dtype} {array.shape}".encode()
    return hashlib.sha256(text + array.tobytes()).hexdigest()[:16]
