"""Pictures of what is recovered show the numbers they were given."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip import plotting, theory
from ntkdip.theory import BandDeviation, Coverage, Sources
from tests.theory.zoo import KERNELS, OPERATORS

SHAPE = (4, 6)


@pytest.fixture
def columns() -> int:
    return 2


@pytest.fixture
def mask() -> np.ndarray:
    sampled = np.zeros(SHAPE, bool)
    sampled[:, [0, 3]] = True
    return sampled


def _labelled(ax) -> bool:
    return all((ax.get_xlabel(), ax.get_ylabel(), ax.get_title()))


def test_the_recovery_map_leaves_its_scale_to_what_is_unsampled(ax, mask) -> None:
    share = np.where(mask, 1.0, 0.25)
    share[1, 1] = np.nan
    plotting.recovery_map(ax, share, "WCNN", sampled=mask)
    values, layer = (image.get_array() for image in ax.images)
    np.testing.assert_array_equal(np.ma.getmaskarray(values), np.isnan(share))
    np.testing.assert_allclose(values.compressed(), share[np.isfinite(share)])
    np.testing.assert_array_equal(layer[..., 3] > 0, mask)
    assert ax.images[0].get_clim() == (0, 1)
    assert ax.get_title() == "WCNN: mean 25.0% where unsampled"
    assert _labelled(ax)


def test_zero_frequency_is_at_zero_in_every_map(axes, mask) -> None:
    share = np.zeros(SHAPE)
    share[2, 3] = 1
    plotting.recovery_map(axes[0], share, "WCNN")
    image = axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    column = int((0 - left) / (right - left) * 6)
    row = int((0 - top) / (bottom - top) * 4)
    assert share[row, column] == 1
    assert axes[0].get_title() == "WCNN: mean 4.2%"


def test_a_signals_recovery_is_a_line(ax) -> None:
    share = np.linspace(0, 1, 7)
    plotting.recovery_map(ax, share, "WCNN", sampled=share > 0.5)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), np.arange(-3, 4))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), share)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), share[share > 0.5])
    assert _labelled(ax)


def test_sources_are_relative_and_mark_their_frequency(ax, mask) -> None:
    direct = np.zeros((2, *SHAPE), complex)
    direct[1][mask] = 0.5j
    direct[1, 0, 0] = 2.0
    direct[1, 1, 0] = 1e-9
    sources = Sources(np.array([[0, 1], [-2, 2]]), direct, np.zeros_like(direct))
    plotting.sources_map(ax, sources, "WCNN", sampled=mask, index=1)
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(shown), ~mask)
    assert shown[0, 0] == 1
    assert shown[1, 0] == pytest.approx(1e-4)
    assert shown[2, 3] == pytest.approx(0.25)
    assert ax.lines[0].get_xydata().tolist() == [[2.0, -2.0]]
    assert "largest weight 2" in ax.get_title()
    assert _labelled(ax)


def test_no_sources_at_all_can_be_shown(ax, mask) -> None:
    nothing = np.zeros((1, *SHAPE), complex)
    sources = Sources(np.array([[1, 1]]), nothing, nothing)
    plotting.sources_map(ax, sources, "Deep Decoder", sampled=mask)
    assert "largest weight 0" in ax.get_title()


def test_deviation_and_error_share_one_scale(axes) -> None:
    truth = np.zeros(SHAPE, complex)
    image = np.full(SHAPE, 3 + 4j)
    deviation = np.full(SHAPE, 2.0)
    plotting.deviation_and_error(axes, deviation, image, truth, "WCNN")
    np.testing.assert_allclose(axes[0].images[0].get_array(), 2.0)
    np.testing.assert_allclose(axes[1].images[0].get_array(), 5.0)
    assert axes[0].images[0].get_clim() == axes[1].images[0].get_clim() == (0, 5)
    assert [ax.get_title() for ax in axes] == ["WCNN: deviation, RMS 2", "error, RMS 5"]
    assert len(axes[0].figure.axes) == 3


def test_deviation_and_error_may_have_their_own(axes) -> None:
    ones = np.ones(SHAPE)
    plotting.deviation_and_error(axes, 2 * ones, 5 * ones, 0 * ones, "WCNN", shared=False)
    assert [ax.images[0].get_clim() for ax in axes] == [(0, 2), (0, 5)]
    assert len(axes[0].figure.axes) == 4


def test_calibration_has_bars_where_there_are_errors(ax) -> None:
    levels = np.array([0.5, 0.9])
    exact = Coverage(levels, np.array([0.4, 0.8]), np.array([0.01, 0.02]))
    single = Coverage(levels, np.array([0.6, 1.0]), np.full(2, np.nan))
    plotting.calibration_curve(ax, {"NNGP": exact, "NTK-GP": single})
    lines = [container.lines[0] for container in ax.containers]
    np.testing.assert_allclose(lines[0].get_ydata(), [40, 80])
    np.testing.assert_allclose(lines[1].get_ydata(), [60, 100])
    segments = ax.collections[0].get_segments()
    np.testing.assert_allclose([np.ptp(s[:, 1]) for s in segments], [4, 8])
    assert _labelled(ax)


def test_bands_are_steps_for_posterior_and_prior(ax) -> None:
    bands = BandDeviation(np.array([0.0, 1, 3]), np.array([0.1, 0.2]), np.array([1.0, 0.5]))
    plotting.band_curve(ax, {"NNGP": bands})
    posterior, prior = (patch.get_data() for patch in ax.patches)
    np.testing.assert_array_equal(posterior.values, bands.posterior)
    np.testing.assert_array_equal(prior.values, bands.prior)
    np.testing.assert_array_equal(posterior.edges, bands.edges)
    assert ax.get_yscale() == "log"
    assert _labelled(ax)


def test_what_does_not_fit_is_refused(axes, mask) -> None:
    with pytest.raises(ValueError, match="of one shape; got"):
        plotting.recovery_map(axes[0], np.zeros((3, 3)), "WCNN", sampled=mask)
    flat = Sources(np.array([[1]]), np.zeros((1, 6), complex), np.zeros((1, 6), complex))
    with pytest.raises(ValueError, match="shows 2D images"):
        plotting.sources_map(axes[0], flat, "WCNN", sampled=np.ones(6, bool))
    with pytest.raises(ValueError, match="two axes and maps"):
        plotting.deviation_and_error(axes, np.zeros((2, 2)), 1.0 * mask, 1.0 * mask, "WCNN")
    with pytest.raises(ValueError, match="two axes and maps"):
        plotting.deviation_and_error(axes[:1], np.zeros(SHAPE), 1.0 * mask, 1.0 * mask, "WCNN")


def test_the_figures_take_what_theory_gives(axes) -> None:
    A, _ = OPERATORS["fourier"](True)
    process = theory.GaussianProcess(KERNELS["wishart"](A.domain), A, 0.1)
    sampled = np.zeros(24, bool)
    sampled[np.asarray(A.indices)] = True
    plotting.recovery_map(axes[0], process.explained(), "W", sampled=sampled.reshape(SHAPE))
    plotting.band_curve(axes[1], {"W": process.band_deviation(3)})
