"""Problems with a known truth."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import data
from ntkdip.studies.imaging import Inpainting, Mri, another_contrast

TINY = Mri(size=16, coils=2)


def test_slices_are_seen_by_coils_with_noise() -> None:
    built = Mri(size=32, seed=1).build()
    np.testing.assert_array_equal(built.truth, data.mri_slice(32))
    assert built.A.range.size == 8 * 32 * 8  # coils, rows, a quarter of the columns
    assert built.noise_norm == pytest.approx(0.01 * np.sqrt(built.y.size))
    noise = np.linalg.norm(built.y - np.asarray(built.A(built.truth.astype(np.complex64))))
    assert noise == pytest.approx(built.noise_norm, rel=0.05)
    np.testing.assert_allclose(built.reference, abs(built.truth) ** 2, rtol=1e-6)
    other = Mri(size=32, brain=12)
    np.testing.assert_array_equal(other.build().truth, data.brain_slice(12, 32))
    assert (other.name, Mri(size=32).name) == ("brain 12, 32², 4x", "head, 32², 4x")


def test_without_noise_no_rule_knows_its_level() -> None:
    clean = dataclasses.replace(TINY, sigma=0.0).build()
    assert clean.noise_norm is None
    assert [rule.name for rule in clean.rules] == ["windowed variance"]
    assert [rule.name for rule in TINY.build().rules] == ["windowed variance", "discrepancy"]


@pytest.mark.parametrize("photograph", ["camera", "astronaut"])
def test_photographs_lose_pixels(photograph) -> None:
    problem = Inpainting(photograph, size=32, kept=0.25, seed=2)
    built = problem.build()
    assert built.truth.shape == (32, 32)
    assert built.y.shape == (256,)
    assert problem.name == f"{photograph}, 32², 25%"
    kept = np.asarray(built.A.adjoint(np.ones(256, np.float32))) == 1
    np.testing.assert_array_equal(built.truth[kept], built.y)
    # The interpolation goes through what is known.
    np.testing.assert_allclose(built.reference[kept], built.y, atol=1e-6)
    noisy = dataclasses.replace(problem, sigma=0.1).build()
    assert np.std(noisy.y - built.y) == pytest.approx(0.1, rel=0.15)
    assert noisy.noise_norm == pytest.approx(1.6)


def test_another_contrast_keeps_structure_and_loses_phase() -> None:
    truth = data.mri_slice(16)
    other = another_contrast(truth)
    assert not np.iscomplexobj(other)
    assert np.array_equal(np.argsort(other, axis=None), np.argsort(abs(truth), axis=None))


def test_a_spot_is_added_in_tissue() -> None:
    plain, spotted = Mri(size=64, brain=12), Mri(size=64, brain=12, spot=0.3)
    before, after = plain.build().truth, spotted.build().truth
    assert spotted.inside.sum() == 9
    np.testing.assert_allclose((abs(after) - abs(before))[spotted.inside], 0.3, atol=1e-12)
    np.testing.assert_array_equal(after[~spotted.inside], before[~spotted.inside])
    for problem in (plain, Mri(size=64)):
        assert abs(problem.build().truth)[problem.inside].min() > 0.1
