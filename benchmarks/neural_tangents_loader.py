"""Import neural-tangents 0.6.5 (2023) on a JAX that has moved what it imports.

While it is being imported, names that JAX has moved are put back and its TensorFlow
submodule is left out; afterwards every JAX name is as it was.  Nothing inside
neural-tangents is changed.  On JAX 0.10 and 0.12 its implementations
JACOBIAN_CONTRACTION and NTK_VECTOR_PRODUCTS run; STRUCTURED_DERIVATIVES takes JAX's
inner workings apart and runs on JAX 0.5.3 and older only, on 0.5.3 after
`allow_structured_derivatives`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

INSTALL = (
    'pip install ".[bench]", or without TensorFlow: '
    'pip install ".[test]" frozendict && pip install --no-deps neural-tangents==0.6.5'
)
"""How to get it; its metadata asks for TensorFlow, which only the left-out submodule needs."""

MOVED = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
"""Names that were in `jax.core` and are in `jax.extend.core`."""


def neural_tangents() -> types.ModuleType:
    """The package ``neural_tangents``, imported once.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message says how to install it.
    """
    if "neural_tangents" in sys.modules:
        return sys.modules["neural_tangents"]
    missing = [n for n in ("neural_tangents", "frozendict") if not importlib.util.find_spec(n)]
    if missing:
        raise ModuleNotFoundError(
            f"the peer needs {' and '.join(missing)}, not installed in this Python; use {INSTALL}"
        )
    with warnings.catch_warnings(), _put_back(), _without_tensorflow():
        warnings.simplefilter("ignore")
        return importlib.import_module("neural_tangents")


def allow_structured_derivatives() -> bool:
    """Put back for good what STRUCTURED_DERIVATIVES asks JAX for each time it is called.

    For a process that does nothing but run the peer.

    Returns
    -------
    Whether this JAX is old enough (0.5.3 or older).
    """
    if tuple(map(int, jax.__version_info__)) > (0, 5, 3):
        return False
    from jax.interpreters import ad

    # Nothing public leads to this module; JAX 0.5.3 is a fixed peer, so it cannot move.
    ad.source_info_util = importlib.import_module("jax._src.source_info_util")
    ad.config = jax.config
    return True


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """Scope in which JAX answers to its names of 2023."""
    from jax.interpreters import ad

    added: list[tuple[Any, str]] = []

    def add(owner: Any, name: str, value: Callable[[], Any]) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX warns of names that it is about to move
            present = hasattr(owner, name)
        if not present:
            setattr(owner, name, value())
            added.append((owner, name))

    extended = importlib.import_module("jax.extend.core")
    util = importlib.util.find_spec("jax.util") is None
    try:
        for name in MOVED:
            add(jax.core, name, lambda name=name: getattr(extended, name))
        # A key of a table of rules, for a primitive that new JAX never emits.
        add(ad, "zeros_like_p", object)
        if util:
            sys.modules["jax.util"] = _util()
        yield
    finally:
        for owner, name in added:
            delattr(owner, name)
        if util:
            sys.modules.pop("jax.util", None)


def _util() -> types.ModuleType:
    """What neural-tangents takes from the module ``jax.util`` of old."""

    def safe_zip(*sequences: Any) -> list[Any]:
        return list(zip(*sequences, strict=True))

    def safe_map(function: Callable[..., Any], *sequences: Any) -> list[Any]:
        return [function(*items) for items in safe_zip(*sequences)]

    module = types.ModuleType("jax.util")
    module.safe_zip, module.safe_map = safe_zip, safe_map  # type: ignore[attr-defined]
    return module


@contextlib.contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Scope in which the submodule that needs TensorFlow is an empty one."""
    name = "neural_tangents.experimental"
    sys.modules[name] = types.ModuleType(name)
    try:
        yield
    finally:
        sys.modules.pop(name, None)
