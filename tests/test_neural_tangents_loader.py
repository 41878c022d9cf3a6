"""neural-tangents on the JAX that is installed, which is left as it was."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import types

import jax
import pytest

from ntkdip import neural_tangents_loader as loader
from ntkdip.networks import to_neural_tangents, wide_cnn

installed = all(map(importlib.util.find_spec, ("neural_tangents", "frozendict")))

PROBE = """
import json, sys
import jax, jax.extend.core
from jax.interpreters import ad
from ntkdip import networks
early = "neural_tangents" in sys.modules
watched = {"jax.core": jax.core, "ad": ad, "jax.extend.core": jax.extend.core}
before = {name: dict(vars(module)) for name, module in watched.items()}
settings, modules = dict(jax.config.values), set(sys.modules)
networks.to_neural_tangents(networks.wide_cnn(4, 2))
changed = [
    f"{name}.{key}"
    for name, module in watched.items()
    for key in before[name].keys() | vars(module).keys()
    if before[name].get(key, ad) is not vars(module).get(key, jax)
]
changed += [key for key, value in settings.items() if jax.config.values[key] != value]
print(json.dumps({
    "early": early,
    "late": "neural_tangents" in sys.modules,
    "changed": changed,
    "stand-ins": [
        n for n in set(sys.modules) - modules
        if n.split(".")[0] in ("jax", "neural_tangents") and sys.modules[n].__spec__ is None
    ],
    "tensorflow": [n for n in sys.modules if n.split(".")[0] in ("tensorflow", "tf2jax")],
}))
"""


@pytest.mark.skipif(not installed, reason="neural-tangents is not installed")
def test_every_name_of_jax_is_as_it_was() -> None:
    run = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    seen = json.loads(run.stdout)
    assert not seen["early"]
    assert seen["late"]
    assert seen["changed"] == []
    assert seen["stand-ins"] == []
    assert seen["tensorflow"] == []


@pytest.fixture
def not_imported(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [n for n in sys.modules if n.partition(".")[0] == "neural_tangents"]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_a_missing_package_says_how_to_install_it(not_imported: pytest.MonkeyPatch) -> None:
    not_imported.setattr(loader.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'"ntkdip\[neural-tangents\]", or without'):
        to_neural_tangents(wide_cnn(4, 2))


def _other_jax(patch: pytest.MonkeyPatch, version: str, imported) -> None:
    """Another version of JAX, and what importing neural-tangents then does."""
    real = importlib.import_module
    patch.setattr(jax, "__version__", version)
    patch.setattr(jax, "__version_info__", tuple(map(int, version.split("."))))
    patch.setattr(
        loader.importlib,
        "import_module",
        lambda name: imported() if name == "neural_tangents" else real(name),
    )
    patch.setattr(loader.importlib.util, "find_spec", lambda name: None if "jax" in name else 1)


def test_a_failing_import_names_the_tested_versions(not_imported: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        sys.modules["neural_tangents.half"] = types.ModuleType("neural_tangents.half")
        raise AttributeError("jax.core has no Value")

    _other_jax(not_imported, "0.13.1", fail)
    with pytest.raises(loader.NeuralTangentsImportError) as caught:
        loader.neural_tangents()
    for part in ("JAX 0.13.1, not a tested", "0.10.2 to 0.12.x and 0.5.3", "no Value", "install"):
        assert part in str(caught.value)
    assert not [n for n in sys.modules if n.startswith("neural_tangents")]
    assert not hasattr(jax.interpreters.ad, "zeros_like_p")


@pytest.mark.parametrize(
    ("version", "tested"),
    {"0.5.3": True, "0.6.0": False, "0.10.1": False, "0.10.2": True, "0.11.0": True,
     "0.12.0.1": True, "0.12.7": True, "0.13.0": False, "1.0.0": False}.items(),
)  # fmt: skip
def test_a_version_that_is_not_tested_warns(
    not_imported: pytest.MonkeyPatch, version: str, tested: bool
) -> None:
    module = types.ModuleType("neural_tangents")
    _other_jax(not_imported, version, lambda: module)
    if tested:
        assert loader.neural_tangents() is module
    else:
        with pytest.warns(UserWarning, match=rf"JAX {version}, not a tested version"):
            assert loader.neural_tangents() is module
