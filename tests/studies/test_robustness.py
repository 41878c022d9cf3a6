"""The study of robustness."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip.studies import robustness
from ntkdip.studies.cells import Result
from ntkdip.studies.robustness import GUIDED, METHODS, SUPERVISED, VANILLA

QUICK = robustness.PRESETS["quick"]


def _faked(psnr: dict[str, tuple[float, float, float]], seen: dict[str, float]) -> dict:
    """By method: PSNR as taught, at the most noise, under other lines; share of the spot."""
    inside, last = QUICK.problem.inside, len(QUICK.problems) - 1

    def found(method: str, i: int, seed: int) -> tuple[float, np.ndarray]:
        taught, noisy, moved = psnr[method]
        value = taught
        if 0 < i < len(QUICK.noise):
            value = noisy
        elif i in QUICK.with_masks[1:]:
            value = moved
        image = 0.5 + seen[method] * QUICK.spot * inside * (i == last)
        return value + 0.1 * seed, image.astype(np.complex64)

    results: dict[object, Result] = {}
    for label in robustness.cells(QUICK):
        method, *rest = label
        if method == SUPERVISED:
            pairs = [found(method, i, rest[0]) for i in range(last + 1)]
            result = {f"psnr of test {i}": p for i, (p, _) in enumerate(pairs)}
            result |= {f"test {i}": image for i, (_, image) in enumerate(pairs)}
        else:
            value, image = found(method, *rest)
            result = {"psnr of final": value, "final": image}
        results[label] = {name: np.asarray(value) for name, value in result.items()}
    return results


def test_verdicts_follow_the_numbers() -> None:
    psnr = {SUPERVISED: (30.0, 20.0, 22.0), GUIDED: (28.0, 25.0, 28.0), VANILLA: (26.0, 20.0, 26.0)}
    seen = {SUPERVISED: 0.4, GUIDED: 0.9, VANILLA: 0.8}
    report = robustness.report(QUICK, _faked(psnr, seen))
    assert [v.mean for v in report.verdicts] == pytest.approx([8.0, 7.0, 3.0, 0.5], abs=1e-6)
    assert [len(v.effects) for v in report.verdicts] == [2, 2, 2, 2]
    assert report.verdicts[0].repetitions == "draws of lines"
    psnr[GUIDED], seen[GUIDED] = (28.0, 10.0, 15.0), 0.1
    flipped = robustness.report(QUICK, _faked(psnr, seen))
    # Seeds differ by the same 0.1 dB everywhere: no spread, so that the sign decides.
    for before, after in zip(report.verdicts, flipped.verdicts, strict=True):
        assert (before.mean > 0, after.mean > 0) == (True, False)
    assert report.tables[0].texts()[-1] == ["share of the spot that is seen", "0.40 ± 0.00",
                                            "0.90 ± 0.00", "0.80 ± 0.00"]  # fmt: skip


def test_problems_differ_in_one_thing_and_are_what_the_lesson_is_tested_on() -> None:
    first, *others = QUICK.problems
    assert first == dataclasses.replace(QUICK.problem, noise_seed=QUICK.problem.seed)
    for other in others:
        same = sum(getattr(first, f.name) == getattr(other, f.name)
                   for f in dataclasses.fields(first))  # fmt: skip
        assert same == len(dataclasses.fields(first)) - 1
    lesson = robustness.cells(QUICK)[SUPERVISED, 0].settings
    assert (lesson.tests, lesson.problem) == (QUICK.problems, QUICK.problem)
    assert len(robustness.cells(QUICK)) == QUICK.seeds * (1 + 2 * len(QUICK.problems))


def test_the_picture_has_noise_lines_and_spot() -> None:
    psnr = dict.fromkeys(METHODS, (30.0, 20.0, 22.0))
    (picture,) = robustness.report(QUICK, _faked(psnr, dict.fromkeys(METHODS, 0.5))).pictures
    noise, masks, spot = picture.figure.axes
    assert [text.get_text() for text in noise.get_legend().get_texts()] == list(METHODS)
    assert len(masks.lines) == len(METHODS) * QUICK.seeds
    np.testing.assert_allclose(spot.lines[0].get_ydata(), 0.5, atol=1e-6)


def test_a_change_needs_two_levels_and_masks() -> None:
    with pytest.raises(ValueError, match=r"two noise levels, the first of them 0\.02"):
        dataclasses.replace(QUICK, noise=(0.03, 0.04))
    with pytest.raises(ValueError, match="two masks"):
        dataclasses.replace(QUICK, masks=1)
