"""The family ``data``: a file of raw k-space becomes an operator."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import cases, contest, raw_data

CASE = cases.SMALL_DATA[0]


def test_the_file_is_the_phantom_through_the_coils(tmp_path) -> None:
    pytest.importorskip("sigpy")
    raw_data.write(CASE, tmp_path / "slice.h5")
    ready = raw_data.read(tmp_path / "slice.h5")
    assert ready.A.range.shape == (4, 96 * 32)
    assert ready.A.domain.shape == (96, 128)
    assert raw_data.mismatch(CASE, ready) < 0.1
    assert raw_data.mismatch(CASE, ready._replace(maps=ready.maps[::-1])) > 0.1
    truth = raw_data.image(CASE)[48:144]
    assert np.corrcoef(np.abs(ready.image).ravel(), truth.ravel())[0, 1] > 0.7


def test_it_is_held_to_its_bounds_without_a_peer() -> None:
    pytest.importorskip("sigpy")
    result = contest.contest(CASE, contest.Settings(), contest.Peer("neural-tangents", ()))
    assert result.fault == ""
    assert result.residual < 0.1
    assert result.met is True
