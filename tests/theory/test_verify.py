from __future__ import annotations

import json

import pytest

from ntkdip import theory


@pytest.fixture(scope="module")
def checks() -> list[theory.Check]:
    return theory.verify()


def test_every_check_holds(checks) -> None:
    assert [c.name for c in checks if not c.passed] == []


def test_every_theorem_is_there(checks) -> None:
    names = {c.name for c in checks}
    assert len(names) == len(checks) >= 8
    for part in ("theorem-1a", "theorem-1b", "theorem-1c", "corollary-1-complex"):
        assert any(name.startswith(part) for name in names)
    for field in ("real", "complex"):
        assert sum(name.startswith(f"theorem-2-{field}") for name in names) == 3


def test_json_has_the_promised_keys(checks) -> None:
    for check in json.loads(json.dumps([c.as_dict() for c in checks])):
        assert {"name", "statement", "hypotheses", "measured", "bound", "passed"} == set(check)
        assert check["hypotheses"]


@pytest.mark.parametrize("seed", [1, 2])
def test_other_seeds_hold_too(seed: int) -> None:
    assert all(c.passed for c in theory.verify(seed=seed))


def test_an_injected_fault_is_seen() -> None:
    checks = theory.verify(inject_fault=True)
    failed = {c.name for c in checks if not c.passed}
    assert len(failed) >= 12
    for part in ("theorem-1a-error", "theorem-1c-error", "corollary-1-complex-limit",
                 "closed-form-recursion", "theorem-2-real-t20"):  # fmt: skip
        assert part in failed


def test_a_violated_hypothesis_fails_a_check() -> None:
    false = theory.Hypothesis("something else", 1.0, holds=False)
    assert not theory.Check("name", "statement", (false,), 0.0, 1.0).passed
    assert not theory.Check("name", "statement", (), float("nan"), 1.0).passed
