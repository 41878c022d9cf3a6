from __future__ import annotations

import numpy as np
import pytest

from ntkdip import metrics


def test_psnr_by_hand_and_on_magnitudes() -> None:
    truth = np.array([2.0, 0.0, 0.0, 0.0])
    assert metrics.psnr(truth + np.array([0, 0.2, 0, 0]), truth) == pytest.approx(26.0206, abs=1e-4)
    assert metrics.psnr(1j * truth, truth) == np.inf


def test_rmse_and_distance_see_the_phase() -> None:
    truth = np.array([3.0, 4.0])
    assert metrics.rmse(1j * truth, truth) == pytest.approx(5.0)
    assert metrics.relative_distance(1j * truth, truth) == pytest.approx(np.sqrt(2))


def test_zero_truth_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="not zero everywhere"):
        metrics.psnr(np.ones(2), np.zeros(2))
    with pytest.raises(ValueError, match="equal shapes"):
        metrics.psnr(np.ones(2), np.ones(3))
    for metric in (metrics.psnr, metrics.rmse, metrics.relative_distance):
        with pytest.raises(ValueError, match=r"equal shapes.*\(4, 4\), \(4,\)"):
            metric(np.ones((4, 4)), np.ones(4))
        with pytest.raises(ValueError, match="the image has NaN"):
            metric(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="not zero"):
        metrics.relative_distance(np.ones(2), np.zeros(2))
