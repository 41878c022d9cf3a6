"""The study of the 1D square signal: its inputs, its cells, and what it says of them."""

from __future__ import annotations

import dataclasses
import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import kernels, metrics, networks
from ntkdip.studies import fig1, square_signal
from ntkdip.studies.cells import Result
from ntkdip.studies.square_signal import (
    BARE,
    DECODER,
    GUIDED,
    INPUTS,
    RANDOM,
    REFERENCE,
    WCNN,
    ZERO_FILLED,
    Given,
    Trained,
    network_input,
    predict,
)
from ntkdip.studies.width import reference_problem

TRUTH, _, _, FILLED = reference_problem()


def given(network: str, name: str) -> Given:
    return Given(network, name, mask=0, seed=0, guidance=2)


def test_images_enter_a_wcnn_as_they_are_and_a_decoder_cell_by_cell() -> None:
    np.testing.assert_array_equal(network_input(given(WCNN, ZERO_FILLED)), FILLED[:, None])
    np.testing.assert_array_equal(
        network_input(given(DECODER, ZERO_FILLED)), FILLED.reshape(16, 16)
    )
    both = network_input(given(DECODER, REFERENCE)).reshape(256, 2)
    np.testing.assert_array_equal(both, network_input(given(WCNN, REFERENCE)))
    np.testing.assert_array_equal(both[:, :1], network_input(given(WCNN, BARE)))
    np.testing.assert_array_equal(both[:, 1], 1.0)
    assert network_input(given(WCNN, RANDOM)).shape == (256, square_signal.CHANNELS)
    assert network_input(given(DECODER, RANDOM)).shape == (16, square_signal.CHANNELS)
    assert network_input(given(WCNN, GUIDED)).shape == (256, 1)


def test_the_reference_has_the_true_edges_and_one_more() -> None:
    scan = square_signal.reference_scan(TRUTH)
    edges, true_edges = np.flatnonzero(np.diff(scan)), np.flatnonzero(np.diff(TRUTH))
    assert set(true_edges) < set(edges)
    assert edges.size == 3
    assert np.unique(scan).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("network", "name", "rmse", "rank"),
    [
        (WCNN, ZERO_FILLED, 0.0223, 256),
        (WCNN, RANDOM, 0.0524, 256),
        (WCNN, REFERENCE, 0.0, 99),
        (WCNN, BARE, 0.355, 97),
        (DECODER, RANDOM, 0.0539, 256),
        (DECODER, ZERO_FILLED, 0.0156, 256),
    ],
)
def test_limits_at_infinite_width(network: str, name: str, rmse: float, rank: int) -> None:
    found = predict(given(network, name))
    # A bare reference leaves a badly conditioned problem: its digits depend on the solver.
    assert found["limit_rmse"] == pytest.approx(rmse, abs=0.02 if name == BARE else 1e-4)
    assert found["limit_rmse"] == pytest.approx(metrics.rmse(found["limit"], TRUTH))
    assert found["zero_filled_rmse"] == pytest.approx(0.0521, abs=5e-5)
    assert found["rank"] == rank
    assert found["magnitude"].shape == (129, min(rank, 200))
    assert found["rmse"].shape == square_signal.HORIZON.shape


def test_without_ones_a_network_cannot_change_the_ratio_of_two_levels() -> None:
    """Why the bare reference fails: the kernel's rows at the two levels are proportional."""
    W = kernels.analytic(square_signal.architecture(WCNN, 1), network_input(given(WCNN, BARE)))
    left, right = W.dense()[[95, 140]]
    np.testing.assert_allclose(right, 0.5 * left, atol=1e-12 * np.abs(left).max())


def test_self_guidance_starts_from_the_zero_filled_image_and_goes_on() -> None:
    first = dataclasses.replace(given(WCNN, GUIDED), guidance=1)
    made = predict(given(WCNN, ZERO_FILLED))["limit"]
    np.testing.assert_allclose(network_input(first)[:, 0], made, atol=1e-6)
    assert predict(first)["limit_rmse"] < 0.02


def test_a_trained_network_starts_on_its_prediction() -> None:
    found = square_signal.train(Trained(given(WCNN, ZERO_FILLED), width=64, steps=3))
    assert found["step"].tolist() == [1, 2, 3]
    assert found["trained"][-1] == pytest.approx(metrics.rmse(found["image"], TRUTH))
    assert found["trained"] == pytest.approx(found["predicted"], rel=0.05)
    assert 0 < found["distance"] < 0.1
    again = square_signal.train(Trained(given(WCNN, ZERO_FILLED), width=64, steps=3))
    np.testing.assert_array_equal(again["image"], found["image"])


def test_a_finite_wcnn_is_the_one_of_the_kernel() -> None:
    z = jnp.asarray(network_input(given(WCNN, REFERENCE)), jnp.float32)
    net = square_signal.architecture(WCNN, 4)
    assert net == networks.wide_cnn(4, 4, 9, complex_image=False)
    assert net.image_space(z) == reference_problem()[1].domain


LIMITS = {
    (DECODER, RANDOM): 0.051, (DECODER, ZERO_FILLED): 0.02, (DECODER, GUIDED): 0.02,
    (DECODER, REFERENCE): 0.0, (DECODER, BARE): 0.1, (WCNN, RANDOM): 0.05,
    (WCNN, ZERO_FILLED): 0.02, (WCNN, GUIDED): 0.01, (WCNN, REFERENCE): 0.0, (WCNN, BARE): 0.3,
}  # fmt: skip
"""RMSE of which every claim is true, where zero-filling leaves 0.05."""

REVERSED = {key: {0.051: 0.02, 0.0: 0.1}.get(rmse, 0.11 - rmse) for key, rmse in LIMITS.items()}
REVERSED |= {(WCNN, RANDOM): 0.02, (WCNN, GUIDED): 0.3, (WCNN, BARE): 0.01}


def _faked(c: fig1.Fig1Configuration, true: bool) -> dict[object, Result]:
    results: dict[object, Result] = {}
    rmses = LIMITS if true else REVERSED
    for label in fig1.cells(c):
        kind, network, name, number = label
        rmse = rmses[network, name] * (1 + 0.001 * number)
        found: dict[str, object] = {"limit_rmse": rmse, "zero_filled_rmse": 0.05}
        if kind == "infinite":
            coupled = (name == ZERO_FILLED) == true
            found |= {"limit": FILLED, "rmse": np.full(square_signal.HORIZON.size, rmse)}
            found |= {"rank": 256, "coherence": (0.1 if coupled else 0.01) + 0.001 * number}
            found |= {"radius": np.arange(3.0), "magnitude": np.eye(3)}
            found |= {"mean": np.arange(3.0), "spread": np.zeros(3)}
        else:
            curve = np.array([0.3, rmse])
            found |= {"step": np.array([1, 2]), "predicted": curve, "trained": curve}
            found |= {"image": FILLED, "distance": (0.05 if true else 0.2) + 0.001 * number}
        results[label] = {key: np.asarray(value) for key, value in found.items()}
    return results


def test_verdicts_follow_the_numbers() -> None:
    c = fig1.PRESETS["quick"]
    true = fig1.report(c, _faked(c, True))
    assert {v.answer for v in true.verdicts} == {"agrees"}
    false = fig1.report(c, _faked(c, False))
    assert {v.answer for v in false.verdicts} == {"disagrees"}
    assert [v.claim for v in true.verdicts] == [v.claim for v in false.verdicts]
    first = true.verdicts[0]
    assert first.effects == pytest.approx([1 - 0.4 * (1 + 0.001 * m) for m in range(c.masks)])
    assert true.verdicts[-1].effects == pytest.approx([-5.0, -5.1, -5.2])


def test_tables_and_figures_hold_every_network_and_input() -> None:
    c = fig1.PRESETS["quick"]
    report = fig1.report(c, _faked(c, True))
    limits, training = report.tables
    assert [row[:2] for row in limits.rows] == list(itertools.product((DECODER, WCNN), INPUTS))
    assert [row[:2] for row in training.rows] == list(
        itertools.product((DECODER, WCNN), INPUTS[:4])
    )
    assert training.texts()[0][2:] == ["0.0511 ± 0.0001"] * 3 + ["5.10 ± 0.10"]
    signals, curves, eigenvectors = [picture.figure for picture in report.pictures]
    assert len(signals.axes) == 2 * len(INPUTS)
    np.testing.assert_array_equal(signals.axes[0].lines[1].get_ydata(), TRUTH)
    assert "RMSE below 0.0001" in signals.axes[7].get_title()
    above, below = curves.axes[1], curves.axes[3]
    assert [text.get_text() for text in above.get_legend().get_texts()] == list(INPUTS)
    assert len(below.lines) == 2 * c.seeds * 4 + 1
    assert eigenvectors.axes[0].get_title() == "Deep Decoder, random: coherence 0.010"


def test_the_smallest_training_is_what_claims_are_on() -> None:
    c = fig1.PRESETS["smoke"]
    trained = [label[1:3] for label in fig1.cells(c) if label[0] == "trained"]
    assert trained == [(DECODER, RANDOM), (WCNN, ZERO_FILLED)]
    assert fig1.report(c, _faked(c, True)).verdicts[-4].effects == pytest.approx((0.6,))
