"""Pictures of spectra show the numbers they were given, on labelled axes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip import plotting, spectrum
from ntkdip.kernels import DenseKernel
from tests.spectrum.kernels import circulant, random, stationary


@pytest.fixture
def lowpass() -> DenseKernel:
    radius = spectrum.frequency_radius((6, 6))
    return stationary(2.0**-radius, True)


def _labelled(ax) -> bool:
    return all((ax.get_xlabel(), ax.get_ylabel(), ax.get_title()))


def test_no_two_methods_of_a_figure_share_a_colour() -> None:
    names = ["net ab", "net ba", "WCNN", "Deep Decoder"]
    assert plotting.colour("net ab") == plotting.colour("net ba")
    chosen = plotting.colours(names)
    assert len(set(chosen.values())) == 4
    assert chosen["WCNN"] == plotting.COLOURS["WCNN"]
    assert plotting.colours(["net ba"]) == {"net ba": plotting.colour("net ba")}
    assert len(plotting.colours(map(str, range(9)))) == 9


def test_density_shows_its_band(ax) -> None:
    W = random((12,), False, seed=0)
    density = spectrum.spectral_density(W, key=jax.random.key(0), probes=3, order=8)
    plotting.density_curve(ax, {"WCNN": density})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), density.density)
    top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx((density.density + 2 * density.standard_error).max())
    assert _labelled(ax)
    assert ax.get_xscale() == "log"


def test_a_power_law_lies_on_its_eigenvalues(ax) -> None:
    values = 5.0 * np.arange(1, 31) ** -2.0
    plotting.eigenvalue_decay(ax, {"WCNN": values})
    plotting.power_law(ax, spectrum.fit_power_law(values, 4, 20), "WCNN", largest=values[0])
    ranks, shown = ax.lines[1].get_data()
    assert ranks[[0, -1]] == pytest.approx([4, 20])
    np.testing.assert_allclose(shown, ranks**-2.0)
    label = ax.get_legend().get_texts()[1].get_text()
    assert "= 2.00" in label
    assert "ranks 4 to 20" in label


def test_bounds_of_the_dimension_are_a_band_and_exact_ones_a_line(ax) -> None:
    values, mu = np.arange(1.0, 21) ** -1.0, np.logspace(-3, 1, 5)
    exact = spectrum.effective_dimension(values, mu)
    bounds = spectrum.effective_dimension(values[:5], mu, size=20)
    plotting.effective_dimension_curve(ax, mu, {"all": exact, "leading": bounds})
    assert len(ax.lines) == 3
    for line, expected in zip(ax.lines, (exact.lower, bounds.upper, bounds.lower), strict=True):
        np.testing.assert_allclose(line.get_ydata(), expected)
    assert len(ax.collections) == 1
    assert _labelled(ax)


def test_columns_of_eigenspaces_are_as_wide_as_their_dimension(ax, lowpass) -> None:
    spaces = spectrum.leading_eigenspaces(lowpass, 30)
    content = spectrum.eigenspace_content(spaces, lowpass.space)
    plotting.eigenspace_fourier(ax, content, "Deep Decoder")
    mesh = ax.collections[0]
    widths = np.diff(mesh.get_coordinates()[0, :, 0])
    np.testing.assert_allclose(widths, content.dimension)
    np.testing.assert_allclose(np.asarray(mesh.get_array()).sum(0), 1.0)
    assert _labelled(ax)


def test_a_gallery_has_one_panel_an_eigenspace(axes, lowpass) -> None:
    spaces = spectrum.leading_eigenspaces(lowpass, 20)[:3]
    plotting.eigenvector_gallery(axes, spaces, lowpass.space)
    assert [a.get_visible() for a in axes] == [True, True, True, False]
    assert [a.get_title().split(",")[0] for a in axes[:2]] == ["$i$ = 1 to 2", "$i$ = 3 to 10"]
    for panel, eigenspace in zip(axes, spaces, strict=False):
        shown = np.asarray(panel.images[0].get_array())
        image = spectrum.eigenspace_image(eigenspace, lowpass.space)
        np.testing.assert_allclose(shown[:, :6] * image.real.max(), image.real, atol=1e-12)
        np.testing.assert_allclose(shown[:, 6:] * image.real.max(), image.imag, atol=1e-12)
        assert panel.images[0].get_clim() == (-1, 1)


@pytest.mark.parametrize("is_complex", [False, True])
def test_a_gallery_of_signals_has_lines(axes, is_complex) -> None:
    W = random((9,), is_complex)
    plotting.eigenvector_gallery(axes, spectrum.leading_eigenspaces(W, 4), W.space)
    for panel in axes:
        parts = [line.get_ydata() for line in panel.lines[: 1 + is_complex]]
        assert max(np.abs(part).max() for part in parts) == pytest.approx(1)
    assert (axes[0].get_legend() is not None) == is_complex


def test_a_gallery_refuses_what_it_cannot_show(axes) -> None:
    W = random((9,), False)
    with pytest.raises(ValueError, match="5 eigenspaces need as many axes; got 4"):
        plotting.eigenvector_gallery(axes, spectrum.leading_eigenspaces(W, 5), W.space)
    volume = random((2, 2, 2), False)
    with pytest.raises(ValueError, match="one or two dimensions; got R\\^2x2x2"):
        plotting.eigenvector_gallery(axes, spectrum.leading_eigenspaces(volume, 2), volume.space)


def test_a_cut_eigenspace_says_so(axes, lowpass) -> None:
    spaces = spectrum.eigenspaces(*lowpass.eigh(5))
    plotting.eigenvector_gallery(axes, spaces, lowpass.space, first_rank=1)
    assert "cut" not in axes[0].get_title()
    assert axes[1].get_title().startswith("$i$ = 3 to 5, cut")


def test_a_filter_is_placed_by_its_pixel(axes) -> None:
    W = random((4, 6), True)
    row = spectrum.kernel_row(W, (1, 2), centred=False)
    plotting.kernel_filter(axes[0], row, "WCNN", block=(1, 0))
    image = axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), row.blocks[1, 0] / np.abs(row.blocks).max())
    assert image.get_extent() == [-2.5, 3.5, 2.5, -1.5]
    plotting.kernel_filter(axes[1], spectrum.kernel_row(circulant((9,), False), (3,)), "line")
    offsets, values = axes[1].lines[0].get_data()
    np.testing.assert_array_equal(offsets, np.arange(-4, 5))
    assert offsets[np.argmax(values)] == 0
    assert "pixel 3" in axes[1].get_title()
    assert all(_labelled(a) for a in axes[:2])


def test_alignment_and_angles_have_units(axes, lowpass) -> None:
    found = spectrum.alignment(lowpass, np.ones((6, 6)), 20)
    plotting.alignment_curve(axes[0], {"Deep Decoder": found})
    np.testing.assert_allclose(axes[0].lines[0].get_ydata(), 100.0)
    np.testing.assert_array_equal(axes[0].lines[0].get_xdata(), found.dimension)
    angles = spectrum.PrincipalAngles(np.array([0.0, np.pi / 4, np.pi / 2]), 0.5)
    plotting.angle_curve(axes[1], {"pair": angles})
    np.testing.assert_allclose(axes[1].lines[0].get_ydata(), [0, 45, 90])
    assert "50.0%" in axes[1].get_legend().get_texts()[0].get_text()
    assert "%" in axes[0].get_ylabel()
    assert "degrees" in axes[1].get_ylabel()


def test_answers_to_single_frequencies_peak_at_their_own(ax, lowpass) -> None:
    columns = spectrum.kernel_columns(lowpass, [(0, 0), (0, -2), (0, 9)])
    plotting.coupling_columns(ax, columns, "Deep Decoder")
    lines = [line.get_ydata() for line in ax.lines if len(line.get_ydata()) > 1]
    assert [int(np.argmax(line)) for line in lines] == [0, 2, 3]
    assert [line.max() for line in lines] == [1, 1, 1]
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == [0, 2, 3]
    assert _labelled(ax)


def test_estimated_shares_have_bars_and_exact_ones_none(ax) -> None:
    W = random((8,), False)
    estimate = spectrum.off_diagonal_estimate(W, key=jax.random.key(0))
    exact = spectrum.kernel_content(W).off_diagonal
    plotting.off_diagonal_shares(ax, {"estimated": estimate, "exact": exact})
    bars = [c for c in ax.collections if len(c.get_segments())]
    (segment,) = bars[0].get_segments()
    assert len(bars) == 1
    assert np.ptp(segment[:, 0]) == pytest.approx(400 * estimate.standard_error)
    dots = [container.lines[0].get_xdata()[0] for container in ax.containers]
    assert dots == pytest.approx([100 * estimate.share, 100 * exact])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["estimated", "exact"]
