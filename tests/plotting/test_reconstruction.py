"""Figures of a reconstruction show the data they were given."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip import metrics, plotting


@pytest.fixture
def columns() -> int:
    return 6


def test_step_curves_draw_a_line_a_run_and_marks_where_rules_stop(ax) -> None:
    steps = np.arange(5)
    runs = [(steps, steps + 1.0), (steps[:3], steps[:3] + 2.0)]
    plotting.step_curves(
        ax, {"image": runs}, ylabel="PSNR (dB)", title="a title",
        picks={"a rule": [2.5, np.nan], "another": np.full(2, np.nan)}, level=(3.0, "noise"),
    )  # fmt: skip
    first, second, mark, level = ax.lines
    np.testing.assert_allclose(first.get_ydata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(second.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(mark.get_xydata(), [[2.5, 3.5]])
    np.testing.assert_allclose(level.get_ydata(), 3)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["image", "a rule", "noise"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "PSNR (dB)")


def test_marks_of_one_run_name_their_step_and_gaps_stay_gaps(ax) -> None:
    values = np.array([1.0, np.inf, 3.0])
    plotting.step_curves(
        ax, {"loss": [(np.arange(3) * 1000, values)]}, ylabel="loss", title="t",
        picks={"a rule": [2000]}, logarithmic=True,
    )  # fmt: skip
    assert np.isnan(ax.lines[0].get_ydata()[1])
    assert ax.get_legend().get_texts()[1].get_text() == "a rule: 2,000"
    assert ax.get_yscale() == "log"


def test_inputs_are_magnitudes_on_one_scale(axes) -> None:
    inputs = np.zeros((2, 3, 4, 2), np.float32)
    inputs[0, 0, 0], inputs[1, 2, 3] = (3, 4), (6, 8)
    plotting.input_evolution(axes, np.array([0, 1500]), inputs)
    images = [ax.images[0] for ax in axes[:2]]
    assert [image.get_array().max() for image in images] == [5, 10]
    assert {image.get_clim() for image in images} == {(0, 10)}
    assert axes[1].get_title() == "step 1,500"
    assert not axes[2].axison
    with pytest.raises(ValueError, match="2 inputs need as many axes; got 1"):
        plotting.input_evolution(axes[:1], np.array([0, 1]), inputs)


def test_compared_images_share_scales_and_state_their_psnr(axes) -> None:
    truth = np.array([[1.0, 2j], [0.0, 1.0]])
    images = {"a": truth + 0.1, "b": truth + 0.5}
    plotting.compared_images(axes[:3], axes[3:], images, truth)
    assert axes[1].get_title() == f"a\n{metrics.psnr(images['a'], truth):.2f} dB"
    assert {ax.images[0].get_clim() for ax in axes[:3]} == {(0, 2)}
    np.testing.assert_allclose(axes[5].images[0].get_array(), 0.5)
    assert axes[4].images[0].get_clim() == axes[5].images[0].get_clim() == (0, 0.5)
    assert not axes[3].axison
