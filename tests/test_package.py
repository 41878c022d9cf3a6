"""The house: light import, one-way data flow, no global state changed."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import ntkdip

PACKAGE = Path(ntkdip.__file__).parent
ROOMS = [
    "spaces", "memory", "progress", "neural_tangents_loader", "operators", "networks", "data",
    "baselines", "metrics", "kernels", "spectrum", "theory", "training", "plotting", "studies",
    "cli",
]  # fmt: skip
KNOWS_NOTHING_OF = {
    "operators": {"networks"},
    "networks": {"operators"},
    "data": {"networks"},
    "baselines": {"networks"},
    "metrics": set(ROOMS),
    "kernels": {"operators"},
    "spectrum": {"operators"},
    "theory": {"training"},
    "training": {"theory"},
}

PROBE = """
import json, sys
import jax
before, modules = dict(jax.config.values), set(sys.modules)
import ntkdip
print(json.dumps({
    "loaded": sorted(set(sys.modules) - modules),
    "changed": [k for k, v in jax.config.values.items() if before.get(k) != v],
}))
"""


def _fresh(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_import_is_light_and_changes_no_setting() -> None:
    seen = json.loads(_fresh(PROBE))
    heavy = {"matplotlib", "flax", "optax", "orbax", "h5py", "skimage", "scipy"}
    assert not heavy & {name.split(".")[0] for name in seen["loaded"]}
    assert seen["changed"] == []


def test_import_alone_loads_none_of_the_heavy_packages() -> None:
    loaded = _fresh("import ntkdip, sys; print(*sys.modules)").split()
    assert not {"matplotlib", "flax", "optax", "orbax", "h5py", "skimage"} & set(loaded)


@pytest.mark.parametrize("room", ntkdip.__all__)
def test_public_names_load_on_first_use(room: str) -> None:
    module = getattr(ntkdip, room)
    assert module.__name__ == f"ntkdip.{room}"
    assert module.__doc__


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'kernel'"):
        ntkdip.kernel  # noqa: B018


def _imported_rooms(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    rooms = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ntkdip"):
            parts = (node.module or "").split(".")
            rooms |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
    return rooms & set(ROOMS)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_rooms_import_only_from_rooms_above(path: Path) -> None:
    room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if room in ("__init__", "__main__"):
        return
    imported = _imported_rooms(path) - {room}
    below = {r for r in imported if ROOMS.index(r) > ROOMS.index(room)}
    assert not below, f"{path.name} imports from below: {below}"
    assert not imported & (KNOWS_NOTHING_OF.get(room, set()) - {room})


def test_no_private_jax_imports() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert "jax._src" not in path.read_text()
