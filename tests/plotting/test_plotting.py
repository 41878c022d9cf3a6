"""Figures carry labels and units, and show the data they were given."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest

from ntkdip import plotting, spectrum
from ntkdip.kernels import DenseKernel
from ntkdip.spaces import Space


@pytest.fixture
def kernel() -> DenseKernel:
    G = np.random.default_rng(0).standard_normal((32, 32))
    return DenseKernel(G @ G.T, Space((4, 4), True))


def test_style_is_scoped() -> None:
    before = dict(mpl.rcParams)
    with plotting.style():
        assert mpl.rcParams["figure.constrained_layout.use"]
    assert dict(mpl.rcParams) == before


def test_methods_keep_their_colours() -> None:
    assert plotting.colour("WCNN") == plotting.COLOURS["WCNN"]
    assert plotting.colour("a new method") == plotting.colour("a new method")


def test_eigenvalue_decay_leaves_rounding_out(ax) -> None:
    plotting.eigenvalue_decay(ax, {"WCNN": np.array([2.0, 1.0, 1e-14, -1e-16])})
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.0, 0.5])
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_psnr_curves_show_prediction_training_and_limit(ax) -> None:
    steps, psnr = np.array([0, 1, 10]), np.array([5.0, 6.0, 7.0])
    plotting.psnr_curves(ax, "WCNN", (steps, psnr), (steps, psnr + 1), 9.0)
    predicted, trained, limit = ax.lines
    np.testing.assert_allclose(predicted.get_ydata(), [6, 7])
    np.testing.assert_allclose(trained.get_ydata(), [7, 8])
    np.testing.assert_allclose(limit.get_ydata(), [9, 9])
    assert "dB" in ax.get_ylabel()


def test_mse_curves_show_bias_variance_and_where_rules_stop(ax) -> None:
    t, bias = np.array([0, 1, 10, np.inf]), np.array([9.0, 4.0, 1.0, 0.5])
    plotting.mse_curves(ax, t, bias, bias[::-1].copy(), stops={"oracle": 10, "SURE": np.inf})
    error, squared_bias, variance, oracle, _ = ax.lines
    np.testing.assert_allclose(error.get_ydata(), [5, 5])
    np.testing.assert_allclose(squared_bias.get_ydata(), [4, 1])
    np.testing.assert_allclose(variance.get_ydata(), [1, 4])
    assert (oracle.get_xdata()[0], oracle.get_ydata()[0]) == pytest.approx((10, 5))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[3:] == ["oracle: t = 10", r"SURE: $t = \infty$"]
    assert "squared error" in ax.get_ylabel()


def test_distance_is_in_percent(ax) -> None:
    plotting.distance_curve(ax, "WCNN", np.array([0, 1, 2]), np.array([0, 0.01, 0.02]))
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [1.0, 2.0])
    assert "%" in ax.get_ylabel()


def test_kernel_pictures(ax, kernel) -> None:
    content = spectrum.kernel_content(kernel)
    plotting.kernel_fourier(ax, content, "WCNN")
    shown = np.asarray(ax.images[0].get_array())
    assert shown.max() == 1.0
    assert shown.min() >= 1e-6
    assert "cycles" in ax.get_xlabel()


def test_coherence_is_one_on_the_diagonal(ax, kernel) -> None:
    plotting.kernel_coherence(ax, spectrum.kernel_content(kernel), "WCNN")
    np.testing.assert_allclose(np.diag(np.asarray(ax.images[0].get_array())), 1.0)


def test_coherence_of_unreached_frequencies_is_zero(ax) -> None:
    constant = DenseKernel(np.ones((16, 16)), Space((4, 4), False))
    plotting.kernel_coherence(ax, spectrum.kernel_content(constant), "WCNN")
    shown = np.asarray(ax.images[0].get_array())
    assert shown[0, 0] == pytest.approx(1.0)
    assert np.abs(shown[1:, 1:]).max() == 0


def test_eigenvector_picture_has_unit_columns(ax, kernel) -> None:
    content = spectrum.eigenvector_content(kernel.eigh()[1], kernel.space)
    plotting.eigenvector_fourier(ax, content, "WCNN")
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(np.linalg.norm(shown, axis=0), 1.0)
    plotting.eigenvector_fourier(ax, content, "WCNN", peak=0.5)
    assert [image.get_clim() for image in ax.images] == [(0.0, 1.0), (0.0, 0.5)]


def test_runs_by_width_have_geometric_means(ax) -> None:
    x = np.array([1.0, 10.0])
    runs = {64: [(x, np.array([0.1, 0.4]))], 8: [(x, np.array([1.0, 4.0])), (2 * x, x / x)]}
    plotting.runs_by_width(ax, runs, xlabel="x", ylabel="y", title="runs")
    means = {line.get_label(): line for line in ax.lines if line.get_label() in ("8", "64")}
    assert list(means) == ["8", "64"]
    np.testing.assert_allclose(means["8"].get_xdata(), np.sqrt(2) * x)
    np.testing.assert_allclose(means["8"].get_ydata(), [1.0, 2.0])
    ax.figure.canvas.draw()
    assert "0.5" in [text.get_text() for text in ax.get_yticklabels()]


def test_images_share_their_scale(ax) -> None:
    image = np.array([[0.0, 3j], [1.0, 0.5]])
    grey = plotting.magnitude(ax, image, "title", peak=2.0)
    np.testing.assert_allclose(grey.get_array(), np.abs(image))
    assert grey.get_clim() == (0.0, 2.0)
    heat = plotting.error_map(ax, image, np.abs(image), "error", peak=5.0)
    np.testing.assert_allclose(heat.get_array(), [[0, 3 * np.sqrt(2)], [0, 0]])
    assert plotting.phase(ax, image, "phase").get_clim() == (-np.pi, np.pi)
