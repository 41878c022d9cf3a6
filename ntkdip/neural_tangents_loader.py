"""Import neural-tangents 0.6.5 (2023) on a JAX that has moved what it imports.

While it is being imported, names that JAX has moved are put back and its TensorFlow
submodule is left out; afterwards every JAX name is as it was.  Nothing inside
neural-tangents is changed.  On the JAX of today its `stax` kernels and its empirical
implementations JACOBIAN_CONTRACTION and NTK_VECTOR_PRODUCTS run; STRUCTURED_DERIVATIVES
takes JAX's inner workings apart and runs on JAX 0.5.3 and older only.

Needs JAX alone, neither Flax nor another module of this package.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax

INSTALL = (
    'pip install "ntkdip[neural-tangents]", or without TensorFlow: '
    "pip install frozendict && pip install --no-deps neural-tangents==0.6.5"
)
"""How to get it; its metadata asks for TensorFlow, which only the left-out submodule needs."""

TESTED = (((0, 10, 2), (0, 12)), ((0, 5, 3), (0, 5, 3)))
"""First and last JAX of each range on which this was tested; the last ones as prefixes."""

MOVED = ("Jaxpr", "JaxprEqn", "Literal", "Primitive", "Var")
"""Names that were in `jax.core` and are in `jax.extend.core`."""


class NeuralTangentsImportError(ImportError):
    """neural-tangents is installed, but does not import on the JAX that is installed."""


def neural_tangents() -> types.ModuleType:
    """The package ``neural_tangents``, imported once.

    Returns
    -------
    The module.  Its submodule ``experimental``, which needs TensorFlow, is empty.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message says how to install it.
    NeuralTangentsImportError
        If it does not import on this JAX; the message names the tested versions.

    Warns
    -----
    UserWarning
        If it imports on a JAX on which it was not tested.

    Source: ours.  Cost: about a second, once.
    """
    if "neural_tangents" in sys.modules:
        return sys.modules["neural_tangents"]
    missing = [n for n in ("neural_tangents", "frozendict") if not importlib.util.find_spec(n)]
    if missing:
        raise ModuleNotFoundError(
            f"neural-tangents needs {' and '.join(missing)}, not installed in this Python; "
            f"use {INSTALL}"
        )
    before = set(sys.modules)
    try:
        with warnings.catch_warnings(), _put_back(), _without_tensorflow():
            warnings.simplefilter("ignore")
            module = importlib.import_module("neural_tangents")
    except Exception as fault:
        # A second try must not meet halves of the first.
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == "neural_tangents":
                del sys.modules[name]
        raise NeuralTangentsImportError(
            f"neural-tangents does not import on {_range()} ({fault}); "
            'install a tested one, for example pip install "jax==0.10.2"'
        ) from fault
    if not _tested():
        warnings.warn(
            f"neural-tangents imports on {_range()}; compare its results with another route",
            stacklevel=2,
        )
    return module


def _tested() -> bool:
    """Whether this JAX is in one of the tested ranges."""
    version = tuple(map(int, jax.__version_info__))
    return any(
        version[: len(first)] >= first and version[: len(last)] <= last for first, last in TESTED
    )


def _range() -> str:
    """This JAX, and those on which the loader was tested."""
    ranges = [
        ".".join(map(str, first))
        + (f" to {'.'.join(map(str, last))}.x" if len(last) < len(first) else "")
        for first, last in TESTED
    ]
    verdict = "a tested version" if _tested() else "not a tested version"
    return f"JAX {jax.__version__}, {verdict} (tested: {' and '.join(ranges)})"


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
            add(jax.core, name, functools.partial(getattr, extended, name))
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
