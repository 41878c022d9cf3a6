"""The study of the regulariser."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip.studies import fig3
from ntkdip.studies.cells import Result


def _faked(c: fig3.Fig3Configuration, finals: dict[float, float]) -> dict[object, Result]:
    def result(alpha: float, seed: int) -> Result:
        final = finals[alpha] + 0.1 * seed
        curve = np.array([0.0, finals[alpha] + 1.0, final])
        found = {"psnr of final": final, "psnr of averaged": final, "psnr of oracle best": 30.0}
        arrays = found | {"step": np.arange(3), "psnr": curve}
        return {name: np.asarray(value) for name, value in arrays.items()}

    return {label: result(*label) for label in fig3.cells(c)}


def test_verdicts_follow_the_numbers() -> None:
    c = fig3.PRESETS["quick"]
    zero, low, shown, high = c.alphas
    better = fig3.report(c, _faked(c, {zero: 24.0, low: 25.0, shown: 26.0, high: 25.0}))
    assert [v.answer for v in better.verdicts] == ["agrees", "agrees"]
    assert [v.effects for v in better.verdicts] == [pytest.approx([2.0] * c.seeds)] * 2
    worse = fig3.report(c, _faked(c, {zero: 26.0, low: 25.0, shown: 24.0, high: 25.0}))
    assert [v.answer for v in worse.verdicts] == ["disagrees", "disagrees"]
    assert better.tables[0].texts()[2][:2] == ["0.1", "26.10 ± 0.10"]
    (picture,) = better.pictures
    left, right = picture.figure.axes
    assert len(left.lines) == len(c.alphas) * c.seeds
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["final", "averaged"]
    means = right.lines[c.seeds]
    np.testing.assert_allclose(means.get_ydata(), [0.0, 1.0, 2.0, 1.0])
    np.testing.assert_allclose(means.get_xdata(), c.alphas)


def test_the_weight_shown_is_one_of_those_trained() -> None:
    with pytest.raises(ValueError, match="must hold 0 and the weight shown"):
        fig3.Fig3Configuration(alphas=(0.1, 0.2))
