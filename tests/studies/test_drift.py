"""The study of the kernel on the way."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import optax
import pytest

from ntkdip import kernels, networks, theory, training
from ntkdip.studies import drift, width
from ntkdip.studies.cells import Result, columns_of, rows_of
from ntkdip.studies.drift import ADAM, DESCENT, DriftRow, DriftSettings


@pytest.fixture(scope="module")
def rows() -> tuple[DriftRow, ...]:
    return rows_of(DriftRow, drift.follow(DriftSettings("1D", width=8, seed=1, steps=3)))


def test_the_kernel_on_the_way_is_that_of_a_run_that_ends_there(rows) -> None:
    """Gradient descent by the public pieces, two steps only."""
    descent = rows[0]
    assert [row.method for row in rows] == [DESCENT, ADAM]
    assert descent.steps == (1, 2, 3)
    problem = width.width_problem("1D")
    net, z = width.reference_wcnn(8), networks.as_input(problem.zero_filled)
    params = net.init(z, key=jax.random.key(1))
    W = kernels.empirical(net, params, z)
    regime = theory.KernelRegime(W, problem.A)
    objective = training.least_squares(net, problem.A, problem.y, z, centre=params)
    run = training.train(objective, params, optax.sgd(regime.step_size), [2])
    expected = kernels.drift(kernels.empirical(net, run.params, z), W)
    assert descent.drifts[1] == pytest.approx(expected, rel=1e-3)
    away = np.linalg.norm(run.images[0] - regime.trajectory(problem.y, [2])[0])
    size = np.linalg.norm(regime.trajectory(problem.y, [2])[0])
    assert descent.distances[1] == pytest.approx(away / size, rel=1e-3)


def test_both_methods_move_the_kernel_and_the_image(rows) -> None:
    for row in rows:
        assert len(row.drifts) == len(row.distances) == len(row.residuals) == 3
        assert min(row.drifts) > 0
        assert min(row.distances) > 0


def _faked(
    c: drift.DriftConfiguration, curve: Callable[[str, int], tuple[list[float], list[float]]]
) -> dict[object, Result]:
    def rows(problem: str, channels: int, seed: int) -> list[DriftRow]:
        made = []
        for method in (DESCENT, ADAM):
            drifts, distances = (
                tuple(v * (1 + 0.01 * seed) for v in values) for values in curve(method, channels)
            )
            made.append(
                DriftRow(problem, method, channels, seed, (1, 2), drifts, distances, (0.5, 0.1))
            )
        return made

    return {label: columns_of(rows(*label)) for label in drift.cells(c)}


def test_verdicts_follow_the_numbers() -> None:
    c = drift.PRESETS["quick"]

    def true(method: str, w: int) -> tuple[list[float], list[float]]:
        if method == DESCENT:
            return [w**-0.5, w**-0.5], [0.4 * w**-0.5, 0.2 * w**-0.5]
        return [0.1 * w**-0.5, w**-0.5], [0.8, 0.6]

    def false(method: str, w: int) -> tuple[list[float], list[float]]:
        if method == DESCENT:
            return [0.001 * w**0.5, 0.01 * w**0.5], [0.1, 0.6]
        return [0.01 * w**0.5, 0.01 * w**0.5], [0.4 * w**-0.5, 0.2 * w**-0.5]

    agreeing = drift.report(c, _faked(c, true)).verdicts
    assert {v.answer for v in agreeing} == {"agrees"}
    assert agreeing[0].effects == pytest.approx([0.5] * 4)
    assert agreeing[2].effects == pytest.approx([0.9] * 15)
    assert agreeing[3].effects == pytest.approx([np.log(2)] * 15)
    assert agreeing[-1].effects == pytest.approx([0.5] * 4)
    disagreeing = drift.report(c, _faked(c, false)).verdicts
    assert {v.answer for v in disagreeing} == {"disagrees"}
    assert [v.claim for v in agreeing] == [v.claim for v in disagreeing]


def test_the_report_has_a_table_and_a_figure_a_problem() -> None:
    c = drift.DriftConfiguration({"1D": {8: 1, 16: 2}, "2D": {8: 1, 16: 1}}, 2)
    report = drift.report(c, _faked(c, lambda method, w: ([0.1, 0.2], [0.32, 1 / w])))
    assert [table.name for table in report.tables] == ["drift_1D", "drift_2D"]
    assert report.tables[0].texts()[1] == [
        DESCENT, "16", "2", "10.1 ± 0.1", "20.1 ± 0.1", "32.2 ± 0.2", "6.3 ± 0.0", "0.31 ± 0.00"
    ]  # fmt: skip
    first, second = report.pictures
    assert (first.name, second.name) == ("drift_1D", "drift_2D")
    against_drift = first.figure.axes[2]
    mean = next(line for line in against_drift.lines if line.get_label() == "8")
    np.testing.assert_allclose(mean.get_xdata(), [0.1, 0.2])
    np.testing.assert_allclose(mean.get_ydata(), [0.32, 0.125])
    shown = first.figure.axes[3].get_legend().get_texts()
    assert [text.get_text() for text in shown] == ["8", "16"]


def test_bad_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="two widths"):
        drift.DriftConfiguration({"1D": {64: 3}})
    with pytest.raises(ValueError, match="knows the problems"):
        drift.DriftConfiguration({"3D": {8: 1, 16: 1}})
