"""How far the input may move before the joint kernel's prediction ends."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip.studies import joint
from ntkdip.studies.cells import columns_of
from ntkdip.studies.joint import JointConfiguration


@pytest.fixture(scope="module")
def study() -> joint.JointStudy:
    smoke = joint.PRESETS["smoke"]
    found = {
        label: joint.train_jointly(cell.settings) for label, cell in joint.cells(smoke).items()
    }
    return joint.study_of(smoke, found)


def test_smooth_networks_agree_to_first_order(study) -> None:
    for row in study.moving("Erf"):
        # Measured: 1.08 and 1.05.
        assert row.slope == pytest.approx(1.0, abs=0.15)
        # Measured: at most 0.5 % of the effect; without the input's kernel it would be all.
        assert row.errors[0] < 0.02 * row.effects[0]
    slow, fast = study.moving("Erf")
    # Measured: 0.70 and 0.75, at rates ten times apart.
    assert fast.factor == pytest.approx(slow.factor, rel=0.3)


def test_kinks_come_before_the_second_order(study) -> None:
    for row, smooth in zip(study.moving("ReLU"), study.moving("Erf"), strict=True):
        # Measured: 4 % and 9 %; slopes 1.03 and 0.74; factors 4 and 6 times those of Erf.
        assert row.errors[0] < 0.15 * row.effects[0]
        assert 0.3 < row.slope < 1.2
        assert row.factor > 2 * smooth.factor


def test_it_ends(study) -> None:
    slow, fast = study.moving("ReLU")
    assert slow.ends_at is None
    assert 0.01 < fast.ends_at < fast.movements[-1]
    for row in (slow, fast):
        assert row.movements[0] < row.effect_ends_at < row.movements[-1]


def test_the_fixed_input_is_the_baseline(study) -> None:
    for fixed in (row for row in study.rows if row.input_rate == 0):
        assert set(fixed.movements) == set(fixed.effects) == set(fixed.errors) == {0.0}
        assert fixed.input_share == pytest.approx(0.0, abs=1e-12)
        assert fixed.slope is None
        assert fixed.steps == (1, 2, 4, 8, 16, 32)
        shares = [r.input_share for r in study.rows if r.activation == fixed.activation]
        assert shares == sorted(shares)


def test_the_report_holds_every_moving_run(study) -> None:
    results = {
        label: columns_of([r for r in study.rows if (r.activation, r.seed) == label])
        for label in joint.cells(study.configuration)
    }
    report = joint.report(study.configuration, results)
    assert len(report.tables[0].rows) == 4
    erf = next(v for v in report.verdicts if v.claim.startswith("Erf"))
    assert erf.effects == tuple(row.slope for row in study.moving("Erf"))
    (picture,) = report.pictures
    assert all(len(ax.get_legend().get_texts()) >= 2 for ax in picture.figure.axes)
    picture.figure.canvas.draw()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0.01, 0.02, 0.04), None),
        ((0.2, 0.3, 0.4), 1.0),
        ((0.01, 0.1, 1.0), 10.0),
        ((0.01, 0.01, 1.0), 10**1.5),
    ],
)
def test_crossings_lie_on_the_logarithmic_line(values, expected) -> None:
    crossing = joint._crossing(np.array([1.0, 10.0, 100.0]), np.array(values), 0.1)
    assert crossing == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 0}, "give a seed"),
        ({"steps": 0}, "give a seed"),
        ({"input_rates": ()}, "give a seed"),
        ({"input_rates": (0.0, 1.0)}, "give a seed"),
        ({"step_share": 2.0}, "stable between 0 and 2"),
        ({"activations": ("tanh",)}, "activations are out of"),
        ({"width": 16, "input_rates": (1e6,)}, "is not stable"),
    ],
)
def test_bad_configurations_are_refused(change, message: str) -> None:
    def run() -> None:
        c = dataclasses.replace(JointConfiguration(), **change)
        for cell in joint.cells(c).values():
            cell.run(cell.settings)

    with pytest.raises(ValueError, match=message):
        run()
