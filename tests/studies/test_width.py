"""Theory against training on the 1D reference problem of the design page."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from ntkdip import kernels, metrics, networks, studies, theory
from ntkdip.studies.configuration import WIDTH_PRESETS
from ntkdip.studies.width import WidthLaw, WidthRow


def test_zero_filled_is_the_reference_number() -> None:
    truth, A, _, zero_filled = studies.reference_problem()
    assert A.range.size == 137
    assert metrics.rmse(zero_filled, truth) == pytest.approx(0.0521, abs=5e-5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wide_cnn_halves_the_zero_filled_error(seed: int) -> None:
    truth, A, y, zero_filled = studies.reference_problem()
    net = networks.wide_cnn(1024, depth=4, kernel_size=9, complex_image=False)
    z = networks.as_input(zero_filled)
    W = kernels.empirical(net, net.init(z, key=jax.random.key(seed)), z)
    limit = metrics.rmse(theory.KernelRegime(W, A).limit(y), truth)
    # Measured: 0.0236, 0.0207, 0.0216; half of zero-filled is 0.0261.
    assert limit <= 0.5 * metrics.rmse(zero_filled, truth)


@pytest.mark.slow
def test_deep_decoder_stays_with_zero_filled() -> None:
    truth, A, y, zero_filled = studies.reference_problem()
    net = networks.deep_decoder(4096, 4, complex_image=False, normalisation=False)
    errors = []
    for key in jax.random.split(jax.random.key(0), 8):
        key_z, key_net = jax.random.split(key)
        z = networks.decoder_input(net, (256,), 128, key=key_z)
        W = kernels.empirical(net, net.init(z, key=key_net), z)
        errors.append(metrics.rmse(theory.KernelRegime(W, A).limit(y), truth))
    # Measured: 1.011 of zero-filled; single draws 0.92 to 1.13.
    assert np.mean(errors) == pytest.approx(metrics.rmse(zero_filled, truth), rel=0.05)


@pytest.mark.slow
def test_training_follows_theory_as_width_grows() -> None:
    law = studies.width_law(WIDTH_PRESETS["full"])
    for step, exponent in zip((100, 200), law.exponents, strict=True):
        # Measured: exponents -0.50 and -0.42, at width 1,024 at most 0.62 % and 0.78 %.
        assert exponent == pytest.approx(-0.5, abs=0.15)
        assert law.extremes(1024, step)[1] < 0.015


def test_exponents_are_those_of_the_rows(monkeypatch) -> None:
    def fake(_: object, width: int, seed: int) -> WidthRow:
        return WidthRow(width, seed, (2.0 * 2**seed * width**-0.5, width**-1.0), 0.0)

    monkeypatch.setattr("ntkdip.studies.width._train_one", fake)
    law = studies.width_law({4: 2, 16: 2, 64: 2})
    np.testing.assert_allclose(law.exponents, [-0.5, -1.0])
    assert law.geometric_mean(4, 100) == pytest.approx(np.sqrt(2))
    np.testing.assert_allclose(law.extremes(4, 100), (1.0, 2.0))
    assert isinstance(law, WidthLaw)


def test_a_single_width_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two widths"):
        studies.width_law({64: 3})
