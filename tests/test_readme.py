"""The README's code runs as written."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import pytest

README = Path(__file__).parent.parent / "README.md"


def test_api_examples_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    lines = [line for line in blocks[0].splitlines() if line.strip()]
    assert 15 <= len(lines) <= 25
    names: dict[str, object] = {}
    # A user's session promotes dtypes as JAX does by default.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "predicted limit" in printed
    distance = re.search(r"relative distance ([0-9.]+)", printed)
    assert distance is not None
    assert float(distance.group(1)) < 0.35  # 0.217: 64 channels, 4 seeds
    assert "6, 64, 64) 3.0x" in printed
    cg_sense = re.search(r"CG-SENSE ([0-9.]+) dB", printed)
    assert cg_sense is not None
    assert float(cg_sense.group(1)) > 25
    assert "fails" not in printed


def test_pictures_exist() -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README.read_text()):
        assert (README.parent / target).is_file(), target
