"""The study of stopping rules: its rows, and what it says of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip.studies import stopping
from ntkdip.studies.cells import Result

C = dataclasses.replace(stopping.PRESETS["smoke"], sigmas=(0.05, 0.2))


@pytest.fixture(scope="module")
def results() -> dict[int, Result]:
    return {seed: stopping.stop(cell.settings) for seed, cell in stopping.cells(C).items()}


def test_every_rule_is_told_the_level_and_estimates_it(results) -> None:
    report = stopping.report(C, results)
    (table,) = report.tables
    told = [row[:3] for row in table.rows]
    assert told[:3] == [
        (0.05, "oracle", "known"), (0.05, "plug-in", "known"), (0.05, "plug-in", "estimated")
    ]  # fmt: skip
    assert len(told) == len(set(told)) == 2 * (1 + 2 * 4)
    for row in table.rows:
        assert len(row[-1].values) == C.seeds
        assert min(row[-1].values) >= -1e-9
        if row[1] == "oracle":
            assert max(row[-1].values) == pytest.approx(0.0, abs=1e-9)


def test_the_curve_is_the_error_at_the_picks(results) -> None:
    first = results[0]
    for sigma, variance in zip(C.sigmas, first["variance"], strict=True):
        chosen = (first["sigma"] == sigma) & (first["rule"] == "oracle")
        best = first["mse"][chosen].min()
        assert best <= (first["bias"] + variance).min() * (1 + 1e-9)
        assert best == pytest.approx((first["bias"] + variance).min(), rel=1e-3)


def test_verdicts_follow_the_losses(results) -> None:
    def answers(loss: float) -> list[str]:
        changed = {
            seed: found | {"excess": np.full_like(found["excess"], 1 + loss + 1e-4 * seed)}
            for seed, found in results.items()
        }
        return [v.answer for v in stopping.report(C, changed).verdicts]

    assert answers(0.01) == ["agrees", "agrees"]
    assert answers(0.2) == ["disagrees", "disagrees"]
