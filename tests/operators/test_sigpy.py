"""Multi-coil sampling against SigPy's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from ntkdip import operators
from tests.operators.zoo import mask_of, sensitivities_of

with warnings.catch_warnings():
    # What SigPy and its dependencies say on import is not ours.
    warnings.simplefilter("ignore")
    linop = pytest.importorskip("sigpy.mri.linop")


@pytest.mark.parametrize("shape", [(8, 7), (6, 8)])
def test_sense_and_its_adjoint(shape) -> None:
    mask, maps = mask_of(shape), sensitivities_of(3, shape)
    A = operators.multi_coil_fourier(mask, maps)
    theirs = linop.Sense(maps, weights=mask.astype(float))
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    grid = rng.standard_normal((3, *shape)) + 1j * rng.standard_normal((3, *shape))
    with operators.host_float64():
        found = A(x), A.adjoint(grid[:, mask]), A.gram(x)
    ours, back, normal = (np.asarray(array) for array in found)
    want, want_back = theirs * x, theirs.H * grid
    assert np.linalg.norm(ours - want[:, mask]) <= 1e-6 * np.linalg.norm(want)
    assert not want[:, ~mask].any()
    assert np.linalg.norm(back - want_back) <= 1e-6 * np.linalg.norm(want_back)
    want_normal = theirs.N * x
    assert np.linalg.norm(normal - want_normal) <= 1e-6 * np.linalg.norm(want_normal)
