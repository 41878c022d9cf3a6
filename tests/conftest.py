"""What all tests share: compiled programs, types checked at run time, strict promotion."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Before JAX is imported; test workers and the processes that tests start inherit it.
    _compiled = tempfile.TemporaryDirectory(prefix="ntkdip-compiled-", ignore_cleanup_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"

import jax
import matplotlib as mpl
import numpy as np
import pytest
from jaxtyping import install_import_hook

from tests import runtime_types

mpl.use("agg")
_hook = install_import_hook("ntkdip", f"{runtime_types.__name__}.typechecked")


@pytest.fixture(autouse=True)
def strict_promotion() -> Iterator[None]:
    """No silent promotion of dtypes or ranks anywhere in our code."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def tolerance(dtype: object) -> float:
    """What a well-conditioned computation of this precision must reach."""
    return {np.float32: 1e-6, np.float64: 1e-12}[np.dtype(dtype).type]
