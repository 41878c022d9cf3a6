from __future__ import annotations

from ntkdip import memory


def test_a_control_group_limits_what_is_available(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(memory, "CONTROL_GROUP", tmp_path)
    free = memory.available_bytes()
    assert free > 2**20
    (tmp_path / "memory.current").write_text("900000\n")
    (tmp_path / "memory.stat").write_text("anon 200000\ninactive_file 700000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    assert memory.available_bytes() == 800000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_bytes() > 2**20
