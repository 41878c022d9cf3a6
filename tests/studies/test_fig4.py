"""The study of the input of self-guided deep image prior."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ntkdip import data, kernels, networks, training
from ntkdip.studies import fig4
from ntkdip.studies.cells import Result
from ntkdip.studies.imaging import Mri
from ntkdip.studies.trials import Trial, UNet
from ntkdip.training import Optimiser

LENS = fig4.Lens(depth=3)
TINY = Mri(size=16, coils=1)
QUICK = fig4.PRESETS["quick"]


def test_alignment_is_the_norm_within_the_leading_eigenvectors() -> None:
    x = data.mri_slice(8)
    z = networks.as_input(x + 0.1)
    W = np.asarray(kernels.analytic(LENS.network, z).dense())
    p = 20
    values, vectors = np.linalg.eigh(W)
    # Both parts of a complex image have the same kernel: eigenvalues come in pairs.
    assert values[-p] > values[-p - 1] + 1e-6 * values[-1]
    embedded = np.concatenate([x.real.ravel(), x.imag.ravel()])
    want = np.linalg.norm(vectors[:, -p:].T @ embedded) / np.linalg.norm(x)
    assert LENS.alignment(z, x, p) == pytest.approx(want, abs=1e-6)
    assert LENS.alignment(z, x, 126) == pytest.approx(1, abs=0.01)


def test_likeness_knows_no_unit_and_no_phase() -> None:
    x = data.mri_slice(16)
    assert fig4.likeness(3j * x, x) == pytest.approx(1)
    assert fig4.likeness(0 * x, x) == 0
    noise = np.random.default_rng(0).normal(size=x.shape)
    assert 0 < fig4.likeness(x + noise, x) < 0.9


@pytest.fixture(scope="module")
def evolved() -> Result:
    method = training.SelfGuided(start_from="zero-filled")
    trial = Trial(TINY, method, Optimiser(), UNet((4, 4)), steps=3, record_every=1)
    return {n: np.asarray(v) for n, v in fig4.evolve(fig4.Evolution(trial, LENS)).items()}


def test_an_evolution_looks_at_every_input_kept(evolved) -> None:
    built = TINY.build()
    assert evolved["inputs"].shape == (4, 16, 16, 2)
    assert evolved["input_steps"].tolist() == [0, 1, 2, 3]
    start = np.asarray(built.A.adjoint(built.y))
    # The first input is the zero-filled image, to a factor.
    assert evolved["likeness"][0] == pytest.approx(fig4.likeness(start, built.truth), abs=1e-5)
    z = networks.as_input(start)
    level = LENS.alignment(z, built.truth, built.A.range.real_size)
    assert evolved["alignment"][0] == pytest.approx(level, abs=1e-4)


def test_kernel_self_guidance_starts_where_its_levels_say() -> None:
    found = fig4.guide(fig4.Guidance(TINY, LENS, 2))
    random, zero_filled, truth = found["levels"]
    # One coil: the pseudo-inverse is the zero-filled image, up to where LSQR stops.
    assert found["alignment"][0] == pytest.approx(zero_filled, abs=0.02)
    assert random < zero_filled < truth
    assert found["psnr"].shape == found["likeness"].shape == found["alignment"].shape


def _faked(first: float, last: float) -> dict[object, Result]:
    steps = np.array([0, 300, 600])

    def trained(seed: int) -> Result:
        ends = np.array([first, (first + last) / 2, last]) + 0.01 * seed * np.array([0, 1, 1])
        inputs = np.random.default_rng(seed).random((3, 32, 32, 2)).astype(np.float32)
        return {"input_steps": steps, "inputs": inputs, "alignment": ends, "likeness": ends,
                "step": steps, "psnr": ends}  # fmt: skip

    kernel = {"alignment": np.array([first, last]), "likeness": np.array([first, last]),
              "psnr": np.array([20.0, 22.0]), "chosen": np.array(1),
              "levels": np.array([0.5, 0.7, 0.99])}  # fmt: skip
    return {
        label: kernel if label == "kernel" else trained(label[1]) for label in fig4.cells(QUICK)
    }


def test_verdicts_follow_the_numbers() -> None:
    rising = fig4.report(QUICK, _faked(0.6, 0.9))
    assert [v.answer for v in rising.verdicts] == ["agrees"] * 4
    assert rising.verdicts[0].effects == pytest.approx([0.3, 0.31, 0.32, 0.33])
    falling = fig4.report(QUICK, _faked(0.9, 0.6))
    assert [v.answer for v in falling.verdicts] == ["disagrees"] * 4
    random, zero_filled, alignment = rising.pictures
    assert len(random.figure.axes) == len(zero_filled.figure.axes) == 6
    left, right = alignment.figure.axes
    assert len(left.lines) == 2 * QUICK.seeds + 3
    assert len(right.lines) == 5


def test_alignment_counts_frequencies_of_one_coil() -> None:
    with pytest.raises(ValueError, match="got 8 coils, use 1"):
        dataclasses.replace(QUICK, problem=Mri())
