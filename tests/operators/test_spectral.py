"""Norms and null spaces where spectra are difficult, and matrices that do not fit."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import operators
from ntkdip.operators.gram import Gram
from ntkdip.operators.spectral import _largest_eigenvalue
from tests.operators.zoo import CASES

SIZE = 300

TOPS = {
    "apart": [1.0],
    "double": [1.0, 1.0],
    "pair": [1.0, 1 - 1e-7],
    "cluster": list(1 - 1e-6 * np.arange(40)),
    "dense edge": list(1 - np.linspace(0, 0.7, 200) ** 2),
}


@pytest.mark.parametrize("top", TOPS.values(), ids=TOPS.keys())
def test_arpack_against_singular_values_that_crowd(top) -> None:
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((SIZE, SIZE)))[0] for _ in range(2))
    sizes = np.concatenate([top, np.linspace(0, 0.5, SIZE - len(top))])
    A = operators.from_matrix((left * sizes) @ right, (SIZE,))
    for seed in range(3):
        got = _largest_eigenvalue(Gram(A, None), 1e-8, seed) ** 0.5
        assert abs(got - 1) <= 1e-8


def _large() -> operators.LinearOperator:
    """Closed forms know nothing of it, and it is beyond dense eigenproblems."""
    w = 1 + np.random.default_rng(0).random(SIZE)
    return operators.masked_fourier(np.arange(SIZE) % 2 == 0) @ operators.diagonal(w)


def test_norm_above_the_dense_size_and_its_seed() -> None:
    A = _large()
    want = np.linalg.norm(A.dense(), 2)
    assert abs(A.norm(tolerance=1e-8) - want) <= 1e-8 * want
    assert A.norm(tolerance=1e-8, seed=3) == A.norm(tolerance=1e-8, seed=3)
    assert abs(A.norm(tolerance=1e-8, seed=3) - want) <= 1e-8 * want
    assert want * (1 - 1e-3) <= A.norm(tolerance=1e-3) <= want * (1 + 1e-12)
    assert A.gram.norm(tolerance=1e-8) == pytest.approx(want**2, rel=1e-8)
    for tolerance in (0.0, -1e-3, 1.0, np.nan):
        with pytest.raises(ValueError, match="relative accuracy above 0 and below 1"):
            A.norm(tolerance=tolerance)


def test_zero_operators_have_norm_zero_and_see_nothing() -> None:
    matrix = operators.from_matrix(np.zeros((3, 4)), (4,))
    for A in (0 * _large(), _large() - _large(), operators.diagonal(np.zeros(4)), matrix):
        assert A.norm() == 0.0
    unseen = (0 * _large()).null_space_projector(), matrix.null_space_projector()
    for P in unseen:
        np.testing.assert_array_equal(P.dense(), np.eye(P.domain.size))


@pytest.mark.parametrize(
    ("mask", "norm"), [([1, 0, 0, 0], 1), ([0, 1, 0, 0, 0], 0.5**0.5), ([0, 0, 1, 1], 1)]
)
def test_half_a_pair_of_frequencies_is_half_of_a_real_image(mask, norm) -> None:
    A = operators.masked_fourier(np.array(mask), complex_image=False)
    assert A.norm() == norm


def test_tolerance_decides_what_counts_as_unseen() -> None:
    A = operators.diagonal(np.array([1.0, 1e-3, 1e-14, 0.0]), complex_image=False)
    M = operators.from_matrix(A.dense(), (4,))
    for B in (A, M, -2 * A, A.real()):
        for tolerance, unseen in [
            (None, [0, 0, 0, 1]),
            (1e-10, [0, 0, 1, 1]),
            (0.01, [0, 1, 1, 1]),
        ]:
            P = B.null_space_projector(tolerance=tolerance)
            np.testing.assert_allclose(P.dense(), np.diag(unseen), atol=1e-15)
        for bad in (-1.0, 1.0, np.nan):
            with pytest.raises(ValueError, match="share of the largest singular value"):
                B.null_space_projector(tolerance=bad)


def test_the_remedy_for_a_null_space_without_closed_form() -> None:
    A = CASES["multi-coil-complex-image-1d"].build() @ operators.pixel_mask(
        np.ones(15), complex_image=True
    )
    with pytest.raises(NotImplementedError, match=r"Composition from C\^15 to C\^3x5"):
        A.null_space_projector()
    M = operators.from_matrix(A.dense(), A.domain.shape, A.domain.is_complex)
    P = M.null_space_projector().dense()
    assert np.linalg.norm(A.dense() @ P) <= 1e-12
    assert round(np.trace(P).real) == 15 - np.linalg.matrix_rank(A.dense())


def test_matrices_that_do_not_fit_are_refused() -> None:
    A = operators.masked_fourier(np.ones((512, 512)))
    with pytest.raises(ValueError, match=f"takes {16 * 2**36} bytes; the limit is {2**31}"):
        A.dense()
    small = operators.identity((4, 5))
    with pytest.raises(ValueError, match="takes 6400 bytes; the limit is 6399"):
        small.dense(memory_limit=6399)
    np.testing.assert_array_equal(small.dense(memory_limit=6400), np.eye(20))


def test_dense_in_chunks(monkeypatch) -> None:
    A = CASES["multi-coil-real-image-2d"].build()
    want = A.dense()
    monkeypatch.setattr("ntkdip.operators.host.CHUNK_BYTES", 8 * 60 * 7)
    np.testing.assert_allclose(A.dense(), want, atol=1e-14)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Conjugate(operators.Identity):
    """Linear over the real numbers only."""

    def __call__(self, x):
        return jnp.conj(super().__call__(x))

    def adjoint(self, y):
        return jnp.conj(super().adjoint(y))


def test_no_complex_matrix_is_a_map_that_is_only_real_linear() -> None:
    A = Conjugate((3,), True)
    with pytest.raises(ValueError, match=r"not linear over the complex numbers.*A.real\(\).dense"):
        A.dense()
    np.testing.assert_array_equal(A.real().dense(), np.diag([1, 1, 1, -1, -1, -1]))
