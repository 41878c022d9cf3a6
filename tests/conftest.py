"""What all tests share: compiled programs, types checked at run time, strict promotion."""

from __future__ import annotations

import os
import signal
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests import runtime_types

# One cache of compiled programs for each test worker and the processes that its tests start: JAX
# writes entries in place, so that another worker could read half of one.
_compiled = tempfile.TemporaryDirectory(prefix="ntkdip-compiled-", ignore_cleanup_errors=True)
for _name, _value in (
    ("jax_compilation_cache_dir", _compiled.name),
    ("jax_persistent_cache_min_compile_time_secs", 0.1),
):
    jax.config.update(_name, _value)
    os.environ[_name.upper()] = str(_value)

mpl.use("agg")

# Shells start a job in the background with Ctrl-C ignored; some tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_hook = install_import_hook("ntkdip", f"{runtime_types.__name__}.typechecked")


@pytest.fixture(autouse=True)
def strict_promotion() -> Iterator[None]:
    """No silent promotion of dtypes or ranks anywhere in our code."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


MAPPINGS = Path("/proc/self/maps")
MANY = 20_000
"""Of the 65,530 memory mappings that Linux gives a process; a compiled program takes about 15,
and where none is left XLA ends in a segmentation fault."""


@pytest.fixture(scope="module", autouse=True)
def few_mappings() -> Iterator[None]:
    """Compiled programs are dropped after a file once there are many, with their mappings."""
    yield
    if MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > MANY:
        jax.clear_caches()


def pytest_unconfigure() -> None:
    """Leave no compiled programs behind."""
    _compiled.cleanup()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--one-case``: for another version of JAX, say, beside a whole run on this one."""
    parser.addoption(
        "--one-case", action="store_true", help="one case of each parametrised test, not all"
    )


@pytest.hookimpl(trylast=True)  # after -m has had its say
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if config.getoption("one_case"):
        kept = {id(item) for item in _one_case_each(items)}
        config.hook.pytest_deselected(items=[item for item in items if id(item) not in kept])
        items[:] = [item for item in items if id(item) in kept]


def _one_case_each(items: list[pytest.Item]) -> list[pytest.Item]:
    """One case of each test, chosen by the test's name: not the same operator for all, say."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return [found[zlib.crc32(name.encode()) % len(found)] for name, found in cases.items()]


def tolerance(dtype: object) -> float:
    """What a well-conditioned computation of this precision must reach."""
    return {np.float32: 1e-6, np.float64: 1e-12}[np.dtype(dtype).type]
