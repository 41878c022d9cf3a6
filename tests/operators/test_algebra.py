"""What is particular to sums, multiples, compositions and stacks; the zoo holds them too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import operators
from ntkdip.operators import Circulant, Diagonal, Identity
from ntkdip.operators.algebra import Composition, Scaled, Stack, Sum
from ntkdip.operators.gram import Gram
from tests.operators.zoo import CASES, kernel_of, mask_of, transfer_of

SHAPE = (15,)


def _fourier(complex_image: bool = True) -> operators.LinearOperator:
    return operators.masked_fourier(mask_of(SHAPE), complex_image=complex_image)


def _blur(complex_image: bool = True) -> operators.LinearOperator:
    return operators.blur(kernel_of((4,)), SHAPE, complex_image=complex_image)


def _wide() -> operators.LinearOperator:
    return CASES["real-matrix-real-image"].build()


@pytest.mark.parametrize(
    "factor",
    [2, -0.5, 1 + 2j, np.float32(0.1), np.array(3), np.complex64(1j), jnp.float32(2), True],
)
def test_factors_from_both_sides_and_division(factor) -> None:
    A, want = _wide(), complex(factor) * _wide().dense()
    for B in (factor * A, A * factor, A / (1 / complex(factor))):
        np.testing.assert_allclose(B.dense(), want, rtol=1e-14)
    assert (factor * A).range.is_complex == np.iscomplexobj(factor)


@pytest.mark.parametrize(
    "bad", [np.nan, np.inf, 1j * np.inf, "2", None, [2.0], np.ones(3), _wide()]
)
def test_factors_that_are_no_finite_number_are_refused(bad) -> None:
    A = _wide()
    multiples = [lambda: A * bad, lambda: A / bad]
    if not isinstance(bad, str | list):  # Those try to repeat themselves before asking A.
        multiples.append(lambda: bad * A)
    for multiple in multiples:
        with pytest.raises(ValueError, match="factor of an operator is a finite number"):
            multiple()


@pytest.mark.parametrize("zero", [0, 0.0, 0j, 1e-320])
def test_division_by_nothing_is_refused(zero) -> None:
    with pytest.raises(ValueError, match="needs a c that is not 0"):
        _wide() / zero


def test_traced_factors() -> None:
    x, A = np.ones((6, 5), np.float32), _wide()
    derivative = jax.jit(jax.grad(lambda c: jnp.sum((c * A)(x) + (A / c)(x))))(2.0)
    np.testing.assert_allclose(derivative, 0.75 * jnp.sum(A(x)), rtol=1e-5)


def test_a_at_b_composes_operators_and_nothing_else() -> None:
    A, x = _wide(), np.ones((6, 5), np.float32)
    for array in (x, jnp.asarray(x), 2.0):
        with pytest.raises(TypeError, match=r"composes two operators; got .*write A\(x\)"):
            A @ array
        with pytest.raises(TypeError, match="unsupported operand"):
            array @ A
    with pytest.raises(TypeError, match="unsupported operand"):
        A + 1.0
    with pytest.raises(TypeError, match="unsupported operand"):
        x - A


def test_spaces_that_do_not_fit_are_refused() -> None:
    real, whole = _blur(False), _blur()
    for sum_ in (lambda: real + whole, lambda: whole - _fourier(), lambda: _wide() + real):
        with pytest.raises(ValueError, match=r"same images and the same shape of data; .* goes"):
            sum_()
    for product in (lambda: real @ whole, lambda: _fourier() @ _fourier(), lambda: _wide() @ real):
        with pytest.raises(ValueError, match=r"B whose data are images of A: .* takes .* gives"):
            product()
    with pytest.raises(ValueError, match=r"one image: Circulant takes R\^15, .* takes C\^15"):
        operators.stack([real, _fourier()])
    with pytest.raises(ValueError, match="at least one operator; got none"):
        operators.stack([])


def test_a_real_array_cannot_hold_data_of_a_complex_multiple() -> None:
    A = _wide() + 1j * _wide()
    assert (A.domain.is_complex, A.range.is_complex) == (False, True)
    y = np.random.default_rng(0).standard_normal((2, 15))
    got = A.adjoint(y[0] + 1j * y[1])
    want = _wide().adjoint(y[0] + y[1])
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_what_is_diagonal_alike_is_one_operator() -> None:
    h, w = transfer_of(SHAPE, True), np.arange(15.0)
    C, D = operators.circulant(h), operators.diagonal(w)
    one = operators.identity(SHAPE)
    for A, kind, weights in [
        (C + C, Circulant, 2 * h),
        (C - 2 * one, Circulant, h - 2),
        (one + one + C, Circulant, h + 2),
        (C @ C / 2j, Circulant, h * h / 2j),
        (-(D @ D) + one, Diagonal, 1 - w * w),
        (one @ C, Circulant, h),
        (C @ one, Circulant, h),
        (operators.stack([_fourier(), C, one]).gram, Circulant, mask_of(SHAPE) + abs(h) ** 2 + 1),
        ((_fourier() @ C).gram, Circulant, mask_of(SHAPE) * abs(h) ** 2),
        ((3j * D).gram, Diagonal, 9 * w * w),
    ]:
        assert type(A) is kind
        np.testing.assert_allclose(A.weights, weights, atol=1e-14)
    mixed = C + D + C + D
    assert [type(A) for A in mixed.terms] == [Circulant, Diagonal]
    np.testing.assert_allclose(mixed.dense(), 2 * (C.dense() + D.dense()), atol=1e-12)


def test_identities_and_factors_collapse() -> None:
    A = _fourier()
    assert (2 * (-1 * A)).factor == -2
    assert (A @ operators.identity(SHAPE)) is A
    assert isinstance(operators.identity(SHAPE).gram, Identity)
    inner = operators.stack([A, _blur()])
    assert len(operators.stack([inner, A]).parts) == 3
    assert len(((A + 2j * A) + (A - A)).terms) == 4


def test_fields_are_not_lost_where_terms_merge() -> None:
    one, real = operators.identity(SHAPE), _blur(False)
    assert (one @ real).range.is_complex
    turned = 1j * real
    assert isinstance(turned, Scaled)
    assert (real + turned).range.is_complex
    np.testing.assert_allclose((real + turned).dense(), (1 + 1j) * real.dense(), atol=1e-14)
    tilted = real + 1j * operators.identity(SHAPE, complex_image=False)
    np.testing.assert_allclose(tilted.dense(), real.dense() + 1j * np.eye(15), atol=1e-14)


@pytest.mark.parametrize(
    ("A", "kind"),
    [
        (_wide(), Gram),
        (_fourier() @ operators.diagonal(np.arange(15.0)), Gram),
        (operators.stack([_fourier(), operators.diagonal(np.arange(15.0))]), Sum),
        (CASES["tall-complex-matrix-real-image"].build(), operators.MatrixOperator),
        (CASES["pixel-mask-real-image-1d"].build(), Diagonal),
        (CASES["downsample-complex-image-2d"].build(), Diagonal),
        (CASES["masked-fourier-real-image-2d"].build(), Circulant),
        (CASES["blur-real-image-2d"].build(), Circulant),
    ],
    ids=lambda given: getattr(given, "__name__", type(given).__name__),
)
def test_gram_has_its_cheap_form_and_is_computed_once(A, kind) -> None:
    assert type(A.gram) is kind
    assert A.gram is A.gram
    x = np.ones(A.domain.shape, np.complex64 if A.domain.is_complex else np.float32)
    # A gram first asked for while tracing must not leave tracers behind.
    fresh = jax.tree.map(lambda leaf: leaf, A)
    inside = jax.jit(lambda x: fresh.gram(x))  # noqa: PLW0108
    np.testing.assert_allclose(inside(x), A.gram(x), atol=1e-4)
    np.testing.assert_allclose(fresh.gram(x), A.gram(x), atol=1e-4)


def test_nested_algebra_against_matrices() -> None:
    fourier, blur, keep = _fourier(), _blur(False), operators.pixel_mask(mask_of(SHAPE))
    kept = operators.blur(kernel_of((2,)), (12,), boundary="valid")
    inside = operators.blur(kernel_of((4,)), SHAPE, boundary="valid")
    A = operators.stack([2j * (fourier @ blur), kept @ inside / 3, keep, -(fourier @ blur)])
    F, B = fourier.dense(), blur.dense()
    want = np.concatenate(
        [2j * F @ B, kept.dense() @ inside.dense() / 3, np.eye(15)[mask_of(SHAPE)], -F @ B]
    )
    assert isinstance(A, Stack)
    assert isinstance(A.parts[1], Scaled)
    assert isinstance(kept @ inside, Composition)
    np.testing.assert_allclose(A.dense(), want, atol=1e-13)
    np.testing.assert_allclose(A.gram.dense(), (want.conj().T @ want).real, atol=1e-12)
    assert operators.dot_test(A, jax.random.key(0)) < 1e-6
