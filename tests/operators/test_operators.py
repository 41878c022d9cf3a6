"""Every operator of the zoo inherits every test."""

from __future__ import annotations

import contextlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkdip import data, operators
from ntkdip.operators import spectral
from ntkdip.spaces import Space
from tests.conftest import tolerance
from tests.operators.zoo import CASES, Case, mask_of, sensitivities_of

PRECISIONS = {np.float32: contextlib.nullcontext, np.float64: operators.host_float64}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture
def A(case: Case) -> operators.LinearOperator:
    """Built without x64: an operator must not lose digits to that."""
    return case.build()


@pytest.fixture(params=PRECISIONS, ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest):
    with PRECISIONS[request.param]():
        yield request.param


def assert_close(got, want, dtype) -> None:
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= tolerance(dtype) * np.linalg.norm(want)


def _dtype_of(is_complex: bool, dtype):
    return np.result_type(dtype, np.complex64) if is_complex else np.dtype(dtype)


def test_spaces(A, case) -> None:
    assert A.domain == Space(case.shape, case.complex_image)
    assert A.range == Space(case.data_shape, case.complex_data)


def test_embedded_matrix_and_its_transpose_are_operator_and_adjoint(A, case) -> None:
    want = case.embedded()
    assert_close(A.real().dense(), want, np.float64)
    transposed = operators.apply_to_rows(A, np.eye(A.range.real_size), adjoint=True)
    assert_close(transposed, want, np.float64)


def test_dense(A, case) -> None:
    matrix = A.dense()
    assert matrix.dtype == (np.complex128 if case.complex_data else np.float64)
    assert_close(matrix, case.matrix, np.float64)


def test_real_embedding(A, case) -> None:
    R, x, y = A.real(), case.image(1), case.data(2)
    assert (R.domain, R.range) == tuple(Space((n,), False) for n in case.embedded().shape[::-1])
    with operators.host_float64():
        assert_close(R(A.domain.embed(x)), A.range.embed(A(x)), np.float64)
        assert_close(R.adjoint(A.range.embed(y)), A.domain.embed(A.adjoint(y)), np.float64)


def test_gram(A, case, dtype) -> None:
    x = case.image(1, dtype)
    for G in (A.gram, jax.jit(lambda A: A.gram)(A)):
        assert (G.domain, G.range) == (A.domain, A.domain)
        assert G(x).dtype == _dtype_of(case.complex_image, dtype)
        assert_close(G(x), case.returned(case.measured(x)), dtype)
        assert_close(G.adjoint(x), G(x), dtype)


def test_norm_is_that_of_the_dense_matrix(A, case) -> None:
    want = np.linalg.norm(case.embedded(), 2)
    assert isinstance(A.norm(), float)
    assert abs(A.norm() - want) <= 1e-12 * want
    iterated = math.sqrt(spectral._largest_eigenvalue(A.gram, 1e-8, 0)) if want else 0.0
    assert abs(iterated - want) <= 1e-8 * want


def test_null_space_projector(A, case) -> None:
    if not case.null_space:
        with pytest.raises(NotImplementedError, match=r"no closed form .* from_matrix\(A.dense"):
            A.null_space_projector()
        return
    P, M = A.null_space_projector().real().dense(), case.embedded()
    assert np.linalg.norm(P @ P - P) <= 1e-12
    assert np.linalg.norm(P - P.T) <= 1e-12
    assert np.linalg.norm(M @ P) <= 1e-12 * np.linalg.norm(M)
    nullity = M.shape[1] - np.linalg.matrix_rank(M)
    assert abs(np.trace(P) - nullity) <= 1e-10
    rank = M.shape[1] - nullity
    assert np.linalg.norm(np.linalg.svd(M)[2][:rank] @ P) <= 1e-10


def test_oracle_with_precision_and_field(A, case, dtype) -> None:
    x, y = case.image(1, dtype), case.data(2, dtype)
    Ax, Ay = A(jnp.asarray(x)), A.adjoint(jnp.asarray(y))
    assert Ax.dtype == _dtype_of(case.complex_data, dtype)
    assert Ay.dtype == _dtype_of(case.complex_image, dtype)
    assert_close(Ax, case.measured(x), dtype)
    assert_close(Ay, case.returned(y), dtype)


@pytest.mark.parametrize("dtype", [np.float32], indirect=True)
def test_numpy_arguments_are_as_good_as_jax_ones(A, case, dtype) -> None:
    x, y = case.image(1, dtype), case.data(2, dtype)
    np.testing.assert_array_equal(A(x), A(jnp.asarray(x)))
    np.testing.assert_array_equal(A.adjoint(y), A.adjoint(jnp.asarray(y)))


@pytest.mark.parametrize("dtype", [np.float32], indirect=True)
def test_real_arrays_are_elements_of_complex_spaces(A, case, dtype) -> None:
    x, y = case.image(1, dtype).real, case.data(2, dtype).real
    Ax, Ay = A(x), A.adjoint(y)
    assert Ax.dtype == _dtype_of(case.complex_data, dtype)
    assert Ay.dtype == _dtype_of(case.complex_image, dtype)
    assert_close(Ax, case.measured(x), dtype)
    assert_close(Ay, case.returned(y), dtype)


def test_linear_over_the_reals(A, case, dtype) -> None:
    for apply, u, v in [
        (A, case.image(1, dtype), case.image(2, dtype)),
        (A.adjoint, case.data(1, dtype), case.data(2, dtype)),
    ]:
        assert_close(apply(2 * u - 3 * v), 2 * apply(u) - 3 * apply(v), dtype)
        assert not np.asarray(apply(0 * u)).any()


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name) for name, case in CASES.items() if case.complex_image],
)
def test_linear_over_the_complex_numbers_if_images_are(A, case, dtype) -> None:
    factor = np.asarray(0.6 - 0.8j, _dtype_of(True, dtype))
    u = case.image(1, dtype)
    assert_close(A(factor * u), factor * A(u), dtype)


def test_dot_test(A, dtype) -> None:
    for seed in range(3):
        assert operators.dot_test(A, jax.random.key(seed)) < tolerance(dtype)


def test_dot_test_sees_a_wrong_adjoint(A, monkeypatch) -> None:
    right = type(A).adjoint
    monkeypatch.setattr(type(A), "adjoint", lambda self, y: right(self, -y))
    defects = [operators.dot_test(A, jax.random.key(seed)) for seed in range(3)]
    assert max(defects) > 1e-2


@pytest.mark.parametrize("dtype", [np.float64], indirect=True)
def test_gradient_of_the_loss_is_the_adjoint_of_the_residual(A, case, dtype) -> None:
    y = jnp.asarray(case.data(2, dtype))

    @jax.jit
    def loss_gradient(x):
        return jax.grad(lambda x: jnp.sum(jnp.abs(A(x) - y) ** 2) / 2)(x)

    x = jnp.asarray(case.image(1, dtype))
    # JAX's gradient by a complex x is the conjugate of the direction of steepest ascent.
    assert_close(jnp.conj(loss_gradient(x)), A.adjoint(A(x) - y), dtype)


# In float64, `dense` takes operators through jit and vmap.
def test_jit_takes_operators_and_traces_once_for_those_alike(case) -> None:
    traced = []

    @jax.jit
    def apply(op, x, y):
        traced.append(op)
        return op(x), op.adjoint(y)

    x, y = case.image(1, np.float32), case.data(2, np.float32)
    for A in (case.build(), case.build()):
        Ax, Ay = apply(A, x, y)
        assert Ax.dtype == _dtype_of(case.complex_data, np.float32)
        assert Ay.dtype == _dtype_of(case.complex_image, np.float32)
        assert_close(Ax, case.measured(x), np.float32)
        assert_close(Ay, case.returned(y), np.float32)
    assert len(traced) == 1


def test_vmap_over_images_and_over_operators(A, case) -> None:
    xs = np.stack([case.image(seed, np.float32) for seed in range(3)])
    ys = np.stack([case.data(seed, np.float32) for seed in range(3)])
    stacked = jax.tree.map(lambda leaf: jnp.asarray(np.stack([leaf] * 3)), A)

    @jax.jit
    @jax.vmap
    def apply(op, x, y):
        return op(x), op.adjoint(y)

    Axs, Ays = apply(stacked, xs, ys)
    assert_close(Axs, [case.measured(x) for x in xs], np.float32)
    assert_close(Ays, [case.returned(y) for y in ys], np.float32)


def test_pytree_round_trip(A, case) -> None:
    leaves, structure = jax.tree.flatten(A)
    assert structure == jax.tree.structure(case.build())
    x, y = case.image(1, np.float32), case.data(2, np.float32)
    for again in (jax.tree.unflatten(structure, leaves), jax.jit(lambda op: op)(A)):
        assert type(again) is type(A)
        assert (again.domain, again.range) == (A.domain, A.range)
        assert_close(again(x), A(x), np.float32)
        assert_close(again.adjoint(y), A.adjoint(y), np.float32)


def test_frozen(A) -> None:
    with pytest.raises(AttributeError, match="cannot assign to field"):
        A.complex_image = True


def test_wrong_shapes_are_refused(A, case) -> None:
    x, y = case.image(1, np.float32), case.data(1, np.float32)
    for apply, wrong, name in [(A, x, "image"), (A.adjoint, y, "data")]:
        # The last two would broadcast, or fit once flattened.
        for array in [wrong[..., :-1], wrong[None], wrong.reshape(-1, 1, 1)]:
            with pytest.raises(ValueError, match=f"{name}: expected shape"):
                apply(array)
            with pytest.raises(ValueError, match=f"{name}: expected shape"):
                jax.jit(apply)(array)


def test_complex_arrays_are_refused_where_real_ones_are_expected(A, case) -> None:
    x, y = case.image(1, np.float32), case.data(1, np.float32)
    for apply, array, is_complex, name in [
        (A, x, case.complex_image, "image"),
        (A.adjoint, y, case.complex_data, "data"),
    ]:
        if not is_complex:
            with pytest.raises(ValueError, match=f"{name}: expected real values, got complex64"):
                apply(array.astype(np.complex64))


def test_identity_shapes() -> None:
    assert operators.identity((3,)).domain.is_complex
    assert operators.identity((3, 4)).domain.shape == (3, 4)
    for shape in [(), (0,), (3, 0), (-1, 3)]:
        with pytest.raises(ValueError, match="at least one pixel along each; got shape"):
            operators.identity(shape)


def test_bad_pixel_masks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(4, 4\) does not fit the image.*\(4, 5\)"):
        operators.pixel_mask(np.ones((4, 4), bool), shape=(4, 5))
    with pytest.raises(ValueError, match=r"\(4, 4\) measures nothing"):
        operators.pixel_mask(np.zeros((4, 4), bool))
    with pytest.raises(ValueError, match=r"1D or 2D; got shape \(2, 2, 2\)"):
        operators.pixel_mask(np.ones((2, 2, 2), bool))
    for value in (0.5, 2, np.nan):
        with pytest.raises(ValueError, match="booleans or 0 and 1"):
            operators.pixel_mask(np.full((4, 4), value))


def test_kept_pixels_are_those_that_numpy_takes() -> None:
    mask, x = mask_of((6, 5)), np.arange(30, dtype=np.float32).reshape(6, 5)
    np.testing.assert_array_equal(operators.pixel_mask(mask, shape=(6, 5))(x), x[mask])


def test_bad_matrices_are_refused() -> None:
    for matrix in [np.ones(6), np.ones((2, 3, 2)), np.ones((0, 6))]:
        with pytest.raises(ValueError, match=r"two axes .* at least one row; got shape"):
            operators.from_matrix(matrix, (6,))
    with pytest.raises(ValueError, match=r"images of shape \(2, 4\) has 8 columns.*\(8, 6\)"):
        operators.from_matrix(np.ones((8, 6)), (2, 4))
    with pytest.raises(ValueError, match="at least one axis"):
        operators.from_matrix(np.ones((8, 1)), ())
    for entries in ["a", None, np.datetime64("2000-01-01")]:
        with pytest.raises(ValueError, match="holds real or complex numbers; got"):
            operators.from_matrix(np.full((2, 6), entries), (6,))
    for bad in (np.nan, np.inf, 1j * np.inf):
        matrix = np.ones((2, 6), complex)
        matrix[1, 2] = bad
        with pytest.raises(ValueError, match=r"matrix: 1 of 12 .* index \(1, 2\)"):
            operators.from_matrix(matrix, (6,))


@pytest.mark.parametrize("dtype", [bool, np.int32, np.float16, jnp.bfloat16, np.complex64])
def test_matrices_of_any_number_are_lifted(dtype) -> None:
    numbers = np.array([[1, 0, 1], [0, 1, 1]])
    for matrix in (numbers.astype(dtype), jnp.asarray(numbers.astype(dtype))):
        A = operators.from_matrix(matrix, (3,))
        assert A.range.is_complex == (dtype is np.complex64)
        np.testing.assert_array_equal(A(np.arange(3, dtype=np.float32)), [2, 3])


def test_later_changes_of_the_arguments_do_not_reach_the_operator() -> None:
    matrix, maps = np.ones((2, 3)), sensitivities_of(2, (3,))
    A, B = operators.from_matrix(matrix, (3,)), operators.multi_coil_fourier(np.ones(3), maps)
    x = np.ones(3, np.float32)
    before = A(x), B(x)
    matrix[:], maps[:] = 0, 0
    np.testing.assert_array_equal(A(x), before[0])
    np.testing.assert_array_equal(B(x), before[1])


def test_bad_coils_are_refused() -> None:
    mask, maps = mask_of((4, 5)), sensitivities_of(3, (4, 5))
    with pytest.raises(ValueError, match=r"shape \(4, 5\) does not fit the image.*\(5, 4\)"):
        operators.multi_coil_fourier(mask, maps, shape=(5, 4))
    with pytest.raises(ValueError, match="measures nothing"):
        operators.multi_coil_fourier(np.zeros((4, 5)), maps)
    for bad in [maps[0], maps[:, :3], np.moveaxis(maps, 0, -1), maps[:0], np.ones(())]:
        with pytest.raises(ValueError, match=r"expected shape \(coils, 4, 5\) with at least one"):
            operators.multi_coil_fourier(mask, bad)
    with pytest.raises(ValueError, match=r"expected complex numbers, got <U1"):
        operators.multi_coil_fourier(mask, np.full(maps.shape, "a"))
    with pytest.raises(ValueError, match="nothing is measured"):
        operators.multi_coil_fourier(mask, 0 * maps)
    maps[2, 1, 3] = np.nan
    with pytest.raises(ValueError, match=r"sensitivities: 1 of 60 .* index \(2, 1, 3\)"):
        operators.multi_coil_fourier(mask, maps)


def test_fully_sampled_ring_of_coils_is_an_isometry() -> None:
    S = data.ring_sensitivities((6, 7))
    assert S.shape == (8, 6, 7)
    np.testing.assert_allclose((abs(S) ** 2).sum(0), 1, atol=1e-14)
    matrix = operators.multi_coil_fourier(np.ones((6, 7)), S).real().dense()
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(84), atol=1e-13)
    matrix = operators.multi_coil_fourier(mask_of((6, 7)), S).real().dense()
    assert np.linalg.norm(matrix, 2) <= 1 + 1e-12
