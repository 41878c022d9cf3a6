"""Checkpoints: everything that a run needs to go on bit for bit, written by orbax."""

from __future__ import annotations

import contextlib
import hashlib
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

IDENTITY = "run.json"

CHECKSUM_BYTES = hashlib.sha256().digest_size


class CheckpointError(OSError):
    """Checkpoints cannot be written to, or read from, where they were asked for."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written; the run goes on."""


class Checkpoints:
    """The checkpoints of one run in one folder.

    A checkpoint is complete or absent: orbax writes beside it and renames; a checksum tells what
    was damaged later.  Arrays are saved from the host, so that a run can go on on another
    device (there only to rounding).

    Parameters
    ----------
    folder
        One that `claim` has found good.
    example
        A pytree with the shapes and dtypes to be saved.
    runs
        How many more runs like this one will be written to the same disk, itself included.

    Raises
    ------
    CheckpointError
        If the disk has no room for them.
    """

    def __init__(self, folder: Path, example: PyTree, *, runs: int = 1):
        self.folder = folder.absolute()
        self.example = example
        blank = _packet(example)
        size = sum(array.nbytes for array in blank.values())
        _require_room(self.folder, (KEPT * runs + 1) * size)
        import orbax.checkpoint as ocp

        self._save, self._restore = ocp.args.PyTreeSave, ocp.args.PyTreeRestore(blank)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        # Orbax's other layout searches the folder by its name as a pattern, and so loses what it
        # writes where that holds brackets.
        handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
        with _quiet():
            self.manager = ocp.CheckpointManager(
                self.folder / "steps", options=options, item_handlers=handler
            )

    def save(self, step: int, content: PyTree) -> bool:
        """Write one checkpoint; a failure is a `CheckpointWarning`, and the run goes on."""
        if step in self.manager.all_steps():
            return True
        try:
            with _quiet():
                self.manager.save(step, args=self._save(_packet(content)), force=True)
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
        """Step and content of the newest checkpoint that can be read; None if there is none.

        What cannot be read is deleted, so that the run writes it anew.

        Raises
        ------
        CheckpointError
            If there are checkpoints, and none can be read.
        """
        steps = sorted(self.manager.all_steps(), reverse=True)
        for step in steps:
            try:
                with _quiet():
                    found = self.manager.restore(step, args=self._restore)
                content = _unpacked_like(found, self.example)
            except (OSError, ValueError, KeyError, RuntimeError) as fault:
                warnings.warn(
                    f"the checkpoint of step {step} in {str(self.folder)!r} is damaged "
                    f"({_first_line(fault)})", CheckpointWarning, stacklevel=2,
                )  # fmt: skip
                continue
            for damaged in (s for s in steps if s > step):
                self.manager.delete(damaged)
            return step, content
        if steps:
            raise CheckpointError(
                f"no checkpoint in {str(self.folder)!r} can be read; start anew in another folder"
            )
        return None

    def close(self) -> None:
        """Wait for what is being written."""
        with _quiet():
            self.manager.close()


def claim(folder: Path, identity: dict[str, Any], *, resume: bool) -> None:
    """Make a folder of checkpoints for one run, or find that run in it.

    Raises
    ------
    CheckpointError
        If it cannot be written; if it holds a run and ``resume`` is not set; if it is set and
        the run is another.
    """
    require_writable(folder)
    file = folder / IDENTITY
    text = json.dumps(identity, indent=2, sort_keys=True)
    if not file.exists():
        partial = file.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(file)
        return
    if not resume:
        raise CheckpointError(
            f"{str(folder)!r} holds the checkpoints of a run; continue it with resume "
            "(--resume), or name another folder"
        )
    theirs, ours = json.loads(file.read_text(encoding="utf-8")), json.loads(text)
    if theirs != ours:
        names = sorted(n for n in {*theirs, *ours} if theirs.get(n) != ours.get(n))
        raise CheckpointError(
            f"{str(folder)!r} holds another run, which differs in {', '.join(names)}; "
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


def _packet(tree: PyTree) -> dict[str, np.ndarray]:
    """The bytes of all arrays of a pytree after their checksum: one array, and so one file."""
    content = b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))
    return {"bytes": np.frombuffer(_checksum(content) + content, np.uint8)}


def _unpacked_like(packet: dict[str, Any], example: PyTree) -> PyTree:
    """The pytree that `_packet` took apart."""
    content = np.asarray(packet["bytes"]).tobytes()
    checksum, content = content[:CHECKSUM_BYTES], content[CHECKSUM_BYTES:]
    if checksum != _checksum(content):
        raise ValueError("its checksum is wrong")
    used = 0

    def next_like(leaf: Any) -> np.ndarray:
        nonlocal used
        like = np.asarray(leaf)
        found = np.frombuffer(content, like.dtype, like.size, used).reshape(like.shape)
        used += like.nbytes
        return found.copy()

    return jax.tree.map(next_like, example)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _first_line(fault: Exception) -> str:
    return str(fault).strip().splitlines()[0] if str(fault).strip() else type(fault).__name__


def require_writable(folder: Path) -> None:
    """Make a folder and prove that it can be written.

    Raises
    ------
    CheckpointError
        If not.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as fault:
        raise CheckpointError(
            f"checkpoints cannot be written to {str(folder)!r} ({fault.strerror}); name another "
            "folder"
        ) from fault


def _require_room(folder: Path, size: int) -> None:
    """What is there already counts as used: this asks for no less than is needed."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise CheckpointError(
            f"checkpoints need {size / 2**20:,.0f} MiB in {str(folder)!r}, where "
            f"{free / 2**20:,.0f} MiB are free; free some space, or name another folder"
        )
