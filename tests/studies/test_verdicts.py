"""Verdicts: what data say of a claim."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from ntkdip.studies.verdicts import Verdict, paired

GAINS = (1.0, 1.2, 0.8)


def test_flipped_data_flip_the_verdict() -> None:
    better = Verdict("a is better than b", GAINS, unit="dB")
    worse = Verdict("a is better than b", tuple(-g for g in GAINS), unit="dB")
    assert (better.answer, worse.answer) == ("agrees", "disagrees")
    assert str(better).startswith("agrees: a is better than b (+1 dB, 95% interval +0.503 to")


def test_spread_and_bar_make_it_inconclusive() -> None:
    assert Verdict("c", (2.0, -0.5, 1.0)).answer == "inconclusive"
    assert Verdict("c", GAINS, bar=1.1).answer == "inconclusive"
    assert Verdict("c", GAINS, bar=2.0).answer == "disagrees"
    assert Verdict("c", (5.0,)).answer == "inconclusive"
    assert "no spread" in str(Verdict("c", (5.0,)))


def test_the_interval_is_that_of_the_t_test() -> None:
    low, high = Verdict("c", GAINS).interval
    expected = scipy.stats.ttest_1samp(GAINS, 0.0).confidence_interval(0.95)
    np.testing.assert_allclose((low, high), (expected.low, expected.high), rtol=1e-12)


def test_nothing_can_be_said_of_nothing() -> None:
    for effects in ((), (1.0, np.nan), (np.inf,)):
        with pytest.raises(ValueError, match="finite effects"):
            Verdict("c", effects)
    with pytest.raises(ValueError, match="equal numbers"):
        paired([1.0], [1.0, 2.0])
    assert paired([3.0, 2.0], [1.0, 4.0]) == (2.0, -2.0)
