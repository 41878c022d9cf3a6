"""Checkpoints: everything that a run needs to go on bit for bit, written by orbax."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

KEPT = 2
"""Checkpoints on disk at once: should the newest be damaged, there is one before it."""

ROOM = KEPT + 1
"""Checkpoints that must fit on the disk: those kept and the one being written."""

IDENTITY = "run.json"


class CheckpointError(OSError):
    """Checkpoints cannot be written to, or read from, where they were asked for."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the run goes on."""


class Checkpoints:
    """The checkpoints of one run in one folder.

    A checkpoint is complete or absent: orbax writes beside it and renames.  Arrays are saved
    from the host, so that a run can go on on another device (there only to rounding).

    Parameters
    ----------
    folder
        Made if it is not there.
    identity
        What decides the run's numbers, JSON-ready; a run goes on only from its own checkpoints.
    example
        A pytree with the shapes and dtypes to be saved.
    resume
        Go on from what the folder holds, or start anew, in an empty folder.

    Raises
    ------
    CheckpointError
        If the folder cannot be written or has no room; if it holds a run and ``resume`` is
        not set; if it is set and the run is another.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], example: PyTree, *, resume: bool):
        self.folder = folder.absolute()
        self.example = _plain(example)
        _require_writable(self.folder, sum(leaf.nbytes for leaf in jax.tree.leaves(self.example)))
        self._claim(identity, resume)
        import orbax.checkpoint as ocp

        self._ocp = ocp
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        with _quiet():
            self.manager = ocp.CheckpointManager(self.folder / "steps", options=options)

    def save(self, step: int, content: PyTree) -> bool:
        """Write one checkpoint; a failure is a `CheckpointWarning`, and the run goes on."""
        if self.manager.latest_step() == step:
            return True
        try:
            with _quiet():
                arrays = self._ocp.args.StandardSave(_plain(content))
                self.manager.save(step, args=arrays, force=True)
        # What a full or vanished disk raises differs between orbax's layers.
        except (OSError, ValueError, RuntimeError) as fault:
            warnings.warn(
                f"no checkpoint at step {step}: {str(self.folder)!r} cannot be written "
                f"({_first_line(fault)}). The run goes on; free some space there",
                CheckpointWarning, stacklevel=2,
            )  # fmt: skip
            return False
        return True

    def latest(self) -> tuple[int, PyTree] | None:
        """Step and content of the newest checkpoint that can be read; None if there is none."""
        for step in sorted(self.manager.all_steps(), reverse=True):
            try:
                target = self._ocp.args.StandardRestore(self.example)
                with _quiet():
                    found = self.manager.restore(step, args=target)
            except (OSError, ValueError, KeyError, RuntimeError) as fault:
                warnings.warn(
                    f"the checkpoint of step {step} in {str(self.folder)!r} is damaged "
                    f"({_first_line(fault)}); the one before it is used",
                    CheckpointWarning, stacklevel=2,
                )  # fmt: skip
                continue
            return step, jax.tree.map(np.asarray, found)
        return None

    def close(self) -> None:
        """Wait for what is being written."""
        with _quiet():
            self.manager.close()

    def _claim(self, identity: dict[str, Any], resume: bool) -> None:
        file = self.folder / IDENTITY
        text = json.dumps(identity, indent=2, sort_keys=True)
        if not file.exists():
            partial = file.with_suffix(".partial")
            partial.write_text(text, encoding="utf-8")
            partial.replace(file)
            return
        if not resume:
            raise CheckpointError(
                f"{str(self.folder)!r} holds the checkpoints of a run; continue it with resume "
                "(--resume), or name another folder"
            )
        theirs, ours = json.loads(file.read_text(encoding="utf-8")), json.loads(text)
        if theirs != ours:
            names = sorted(n for n in {*theirs, *ours} if theirs.get(n) != ours.get(n))
            raise CheckpointError(
                f"{str(self.folder)!r} holds another run, which differs in {', '.join(names)}; "
                "resume with the same data and settings, or name another folder"
            )


def packed(state: PyTree) -> list[np.ndarray]:
    """A state's arrays on the host, keys as the numbers that they are."""
    return [np.asarray(jax.device_get(_unkeyed(leaf))) for leaf in jax.tree.leaves(state)]


def unpacked(arrays: list[np.ndarray], example: PyTree) -> PyTree:
    """The state whose arrays these are, on the device; ``example`` has its structure."""
    leaves, structure = jax.tree.flatten(example)
    made = [_like(array, leaf) for array, leaf in zip(arrays, leaves, strict=True)]
    return jax.tree.unflatten(structure, made)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _unkeyed(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(array: np.ndarray, leaf: Any) -> Any:
    if _is_key(leaf):
        return jax.random.wrap_key_data(jnp.asarray(array), impl=jax.random.key_impl(leaf))
    return jnp.asarray(array, leaf.dtype)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Orbax logs the steps of every save as warnings; what fails is raised all the same."""
    log = logging.getLogger("absl")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _plain(tree: PyTree) -> PyTree:
    return jax.tree.map(np.asarray, tree)


def _first_line(fault: Exception) -> str:
    return str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__


def _require_writable(folder: Path, size: int) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        free = shutil.disk_usage(folder).free
    except OSError as fault:
        raise CheckpointError(
            f"checkpoints cannot be written to {str(folder)!r} ({fault.strerror}); name another "
            "folder"
        ) from fault
    if free < ROOM * size:
        raise CheckpointError(
            f"checkpoints need {ROOM * size / 2**20:,.0f} MiB in {str(folder)!r}, where "
            f"{free / 2**20:,.0f} MiB are free; free some space, or name another folder"
        )
