"""Reconstructions without a network, each against another way to the same image."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.optimize import lsq_linear

from ntkdip import baselines, data, metrics, operators
from ntkdip.operators import masks
from tests.operators.zoo import CASES, Case

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@every_case
def test_zero_filled_is_the_adjoint(case: Case) -> None:
    y = case.data(1, np.float32)
    got = baselines.zero_filled(case.build(), y)
    want = case.returned(y)
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


@every_case
def test_cg_sense_against_the_dense_normal_equations(case: Case) -> None:
    A, y, M = case.build(), case.data(2), case.embedded()
    right = M.T @ A.range.embed(y)
    want = A.domain.unembed(np.linalg.solve(M.T @ M + 0.3 * np.eye(M.shape[1]), right))
    with operators.host_float64():
        got = baselines.cg_sense(A, y, ridge=0.3, tolerance=1e-12)
    np.testing.assert_allclose(got, want, atol=1e-9 * np.abs(want).max())


def test_cg_sense_stops_early_in_the_precision_of_the_data() -> None:
    case = CASES["multi-coil-complex-image-2d"]
    A, y = case.build(), case.data(2, np.float32)
    zero = baselines.cg_sense(A, y, iterations=0)
    assert zero.dtype == np.complex64
    assert not zero.any()
    # The first step of CG is steepest descent.
    g = case.returned(y)
    step = np.vdot(g, g).real / np.linalg.norm(case.measured(g)) ** 2
    np.testing.assert_allclose(baselines.cg_sense(A, y, iterations=1), step * g, rtol=1e-4)


def _total_variation_by_its_dual(y: np.ndarray, weight: float) -> np.ndarray:
    """``argmin |x - y|^2 / 2 + weight |D x|_1 = y - D^T u``, ``|u| <= weight``: a bounded fit."""
    n = y.size
    D = np.eye(n) - np.roll(np.eye(n), -1, axis=1)
    u = lsq_linear(D.T, y, bounds=(-weight, weight), tol=1e-14).x
    return y - D.T @ u


def test_total_variation_against_its_dual() -> None:
    pytest.importorskip("sigpy")
    rng = np.random.default_rng(0)
    y = np.repeat([0.0, 1.0, 0.3], 8) + 0.1 * rng.standard_normal(24)
    A = operators.identity((24,), complex_image=False)
    with operators.host_float64():
        got = baselines.total_variation(A, y, weight=0.15, iterations=3000)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, _total_variation_by_its_dual(y, 0.15), atol=1e-6)


def test_a_complex_image_before_a_real_one_changes_nothing() -> None:
    pytest.importorskip("sigpy")
    y = np.repeat([0.0, 1.0, 0.3], 8)
    complex_, real = (operators.identity((24,), complex_image=kind) for kind in (True, False))
    for solve in (baselines.total_variation, baselines.wavelet_compressed_sensing):
        want = solve(complex_, y.astype(np.complex128), weight=0.1)
        got = solve(real, y, weight=0.1)
        assert not np.iscomplexobj(got)
        np.testing.assert_allclose(got, want.real, atol=1e-6)


def test_total_variation_of_a_real_image_from_complex_data() -> None:
    pytest.importorskip("sigpy")
    # The real embedding of the same problem, written as a matrix, has the same minimiser.
    case = CASES["masked-fourier-real-image-1d-odd"]
    A, y = case.build(), case.data(3)
    B = operators.from_matrix(case.embedded(), case.shape)
    with operators.host_float64():
        got = baselines.total_variation(A, y, weight=0.1, iterations=2000)
        want = baselines.total_variation(B, A.range.embed(y), weight=0.1, iterations=2000)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got, want, atol=1e-5)


def _haar(x: np.ndarray) -> np.ndarray:
    """All levels of the orthonormal Haar transform of a signal whose length is a power of 2."""
    details = []
    while x.size > 1:
        details.append((x[::2] - x[1::2]) / np.sqrt(2))
        x = (x[::2] + x[1::2]) / np.sqrt(2)
    return np.concatenate([x, *details[::-1]])


def test_wavelets_denoise_by_shrinking() -> None:
    pytest.importorskip("sigpy")
    y = np.random.default_rng(1).standard_normal(16)
    W = np.stack([_haar(e) for e in np.eye(16)], axis=1)
    np.testing.assert_allclose(W @ W.T, np.eye(16), atol=1e-12)
    coefficients = W @ y
    want = W.T @ (np.sign(coefficients) * np.maximum(np.abs(coefficients) - 0.4, 0))
    A = operators.identity((16,), complex_image=False)
    with operators.host_float64():
        got = baselines.wavelet_compressed_sensing(A, y, weight=0.4, wavelet="haar")
    np.testing.assert_allclose(got, want, atol=1e-10)


@pytest.fixture(scope="module")
def slice_of_eight_coils():
    """The MRI test problem: 8 coils on a ring, 4x lines, sigma = 0.01."""
    x = data.mri_slice(128)
    S = data.ring_sensitivities(x.shape, 8)
    A = operators.multi_coil_fourier(masks.random_lines(x.shape, 4), S)
    y = data.add_noise(np.asarray(A(x.astype(np.complex64))), sigma=0.01, seed=0)
    return x, A, y


def test_cg_sense_beats_zero_filling(slice_of_eight_coils) -> None:
    x, A, y = slice_of_eight_coils
    zero_filled = metrics.psnr(baselines.zero_filled(A, y), x)
    # Measured: 22.50 dB, and 23.61 dB.
    assert metrics.psnr(baselines.cg_sense(A, y, ridge=0.01), x) > zero_filled + 1


def test_sparsity_beats_cg_sense(slice_of_eight_coils) -> None:
    pytest.importorskip("sigpy")
    x, A, y = slice_of_eight_coils
    cg = metrics.psnr(baselines.cg_sense(A, y, ridge=0.01), x)
    tv = baselines.total_variation(A, y, weight=0.001)
    wavelets = baselines.wavelet_compressed_sensing(A, y, weight=0.001)
    assert tv.dtype == wavelets.dtype == np.complex64
    # Measured: 23.6 dB against 26.5 and 25.0.
    assert metrics.psnr(tv, x) > cg + 2
    assert metrics.psnr(wavelets, x) > cg + 1


def test_sparse_reconstruction_is_the_same_every_time(slice_of_eight_coils) -> None:
    pytest.importorskip("sigpy")
    _, A, y = slice_of_eight_coils
    for method in (baselines.total_variation, baselines.wavelet_compressed_sensing):
        first, again = (method(A, y, weight=0.01, iterations=3) for _ in range(2))
        np.testing.assert_array_equal(first, again)


def test_biharmonic_inpainting_continues_a_ramp() -> None:
    ramp = np.add.outer(np.linspace(0, 0.5, 12), np.linspace(0, 0.4, 10))
    mask = np.ones(ramp.shape, bool)
    mask[4:7, 3:6] = False
    A = operators.pixel_mask(mask)
    with operators.host_float64():
        got = baselines.biharmonic_inpainting(A, ramp[mask])
    np.testing.assert_allclose(got, ramp, atol=1e-6)
    twice = operators.pixel_mask(mask, complex_image=True)
    with pytest.raises(ValueError, match=r"PixelMask on C\^12x10. Build it with pixel_mask"):
        baselines.biharmonic_inpainting(twice, ramp[mask])


def test_bad_input_is_refused_before_anything_runs(monkeypatch) -> None:
    A, y = operators.identity((8,), complex_image=False), np.ones(8, np.float32)
    for method in (baselines.zero_filled, baselines.cg_sense):
        with pytest.raises(ValueError, match="data: 1 of 8 entries are NaN or infinite"):
            method(A, np.where(np.arange(8) == 3, np.nan, y))
        with pytest.raises(ValueError, match=r"data: expected shape \(8,\), got \(7,\)"):
            method(A, y[:7])
    with pytest.raises(ValueError, match="ridge is a finite number, 0 or more; got -1"):
        baselines.cg_sense(A, y, ridge=-1.0)
    for method in (baselines.total_variation, baselines.wavelet_compressed_sensing):
        for weight in (0.0, np.nan):
            with pytest.raises(ValueError, match="weight is a finite number above 0"):
                method(A, y, weight=weight)
        monkeypatch.setitem(sys.modules, "sigpy", None)
        with pytest.raises(ImportError, match=r"pip install 'ntkdip\[mri\]'"):
            method(A, y, weight=0.1)
        monkeypatch.undo()
    pytest.importorskip("sigpy")
    for name in ("bior2.2", "nothing"):
        with pytest.raises(ValueError, match="names an orthogonal wavelet"):
            baselines.wavelet_compressed_sensing(A, y, weight=0.1, wavelet=name)
