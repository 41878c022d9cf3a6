"""Networks made to mislead what reads their structure, and calls made by mistake."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from ntkdip import kernels
from tests.kernels.zoo import KEY, distance, ntk


def _conv(z, kernel):
    return lax.conv_general_dilated(
        z[None], kernel, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC")
    )[0]


@jax.custom_jvp
def _centred_derivative(x):
    return x


@_centred_derivative.defjvp
def _(primals, tangents):
    return primals[0], tangents[0] - tangents[0].mean()


@jax.custom_vjp
def _doubled_derivative(x):
    return jnp.sin(x)


_doubled_derivative.defvjp(lambda x: (jnp.sin(x), x), lambda x, g: (2.0 * g * jnp.cos(x),))


def complex_product(p, z):
    return lax.complex(z[..., 0], z[..., 1]) @ p[:, 0].astype(jnp.complex64)


def complex_input(p, z):
    field = lax.complex(z, z[::-1])
    return (field[:, None] * p[None].astype(jnp.complex64)).sum(1)


def padded_window(p, z):
    x = jnp.tanh(_conv(z, p))
    return lax.reduce_window(x, 0.0, lax.add, (3, 1), (1, 1), ((1, 1), (1, 0)))[:, 2:].sum(-1)


def custom_derivative(p, z):
    return _centred_derivative(jnp.tanh(_conv(z, p))).sum(-1)


def custom_backward(p, z):
    return _doubled_derivative(_conv(z, p)).sum(-1)


def running_sum(p, z):
    return jnp.cumsum(jnp.tanh(_conv(z, p)), 0).sum(-1)


def sorted_values(p, z):
    return jnp.sort(jnp.tanh(_conv(z, p)).sum(-1))


def gathered(p, z):
    return jnp.tanh(_conv(z, p)).sum(-1)[jnp.array([3, 0, 5, 5, 1, 2, 9, 15] * 2)]


def looped(p, z):
    return lax.scan(lambda c, x: (0.5 * c + x, c + x), jnp.zeros(2), jnp.tanh(_conv(z, p)))[1].sum(
        -1
    )


def outer(p, z):
    return jnp.tanh(_conv(z, p) + 0.1 * jnp.flip(_conv(z, p), 0).mean(1, keepdims=True)).sum(-1)


KERNEL = jax.random.normal(KEY, (3, 2, 2))
SIGNAL = jax.random.normal(KEY, (16, 2))
FUNCTIONS = {
    f.__name__: (f, KERNEL, SIGNAL)
    for f in (padded_window, custom_derivative, custom_backward, running_sum, sorted_values,
              gathered, looped)
} | {
    "complex_product": (complex_product, KERNEL[0, :, :1], jnp.stack([KERNEL[0]] * 5)),
    "complex_input": (complex_input, jax.random.normal(KEY, (3,)), SIGNAL[:, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.filterwarnings("ignore::ntkdip.kernels.StructureWarning")
def test_dense_and_matrix_free_agree_with_full_jacobians(name: str) -> None:
    problem = FUNCTIONS[name]
    oracle = ntk(*problem)
    assert distance(kernels.empirical(*problem).dense(), oracle) <= 1e-6
    assert distance(kernels.matrix_free(*problem).dense(), oracle) <= 1e-6


@pytest.mark.filterwarnings("ignore::ntkdip.kernels.StructureWarning")
def test_a_parameter_used_twice_in_one_image() -> None:
    problem = (outer, KERNEL, SIGNAL)
    assert distance(kernels.empirical(*problem).dense(), ntk(*problem)) <= 1e-6


@pytest.mark.filterwarnings("ignore::ntkdip.kernels.StructureWarning")
def test_integer_and_complex_inputs() -> None:
    def image(p, z):
        return jnp.abs(z * p.astype(z.dtype)) if jnp.iscomplexobj(z) else z.astype(p.dtype) * p

    p = jnp.arange(1.0, 5.0)
    z = jnp.array([3 + 4j, 1, 2, 1j])
    np.testing.assert_allclose(np.diag(kernels.empirical(image, p, z).dense()), [25, 1, 4, 1])
    whole = kernels.empirical(image, p, jnp.arange(4)).dense()
    np.testing.assert_allclose(np.diag(whole), [0, 1, 4, 9])


def test_extreme_vectors() -> None:
    W = kernels.matrix_free(lambda p, z: p * z, jnp.ones(2), jnp.array([1.0, 2.0]))
    for scale in (1e-300, 1e200):
        np.testing.assert_allclose(W @ (scale * np.ones(2)), scale * np.array([1.0, 4.0]))
    with pytest.raises(ValueError, match="real embedding"):
        W.__matmul__.__wrapped__(W, np.ones(2) * 1j)


def test_limits_hold_where_a_plain_leaf_is_wide() -> None:
    def image(p, z):
        return jnp.stack([(p**2).sum(), (p * z).sum()])

    p = jnp.ones(200_000)
    with pytest.warns(kernels.StructureWarning):
        cost = kernels.estimate(image, p, p)
    least = cost.routes[1].bytes
    assert least > 4 * 2 * 200_000
    with pytest.raises(MemoryError):
        kernels.empirical(image, p, p, memory_limit=least - 1)


def _linear(p, z):
    return z @ p


MISTAKES = {
    "no parameters": ((_linear, None, jnp.ones((4, 3))), "give the parameters"),
    "wrong shape": ((_linear, jnp.ones(3), jnp.ones((4, 2))), r"input of shape \(4, 2\)"),
    "python float": ((_linear, 2.0, jnp.ones((4, 3))), "arrays; got float"),
    "complex": ((_linear, jnp.ones(3, jnp.complex64), jnp.ones((4, 3))), "real and imaginary"),
    "integers": ((lambda p, z: (z @ p).astype(int), jnp.ones(3), jnp.ones((4, 3))), "one real or"),
    "unreached": ((lambda p, z: z, jnp.ones(3), jnp.ones(4)), "no trained parameter reaches"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_named(name: str) -> None:
    arguments, message = MISTAKES[name]
    with pytest.raises(ValueError, match=message):
        kernels.empirical(*arguments)


class Batch(nnx.Module):
    """Makes three images of one input."""

    def __init__(self):
        self.scale = nnx.Param(jnp.ones(()))

    def __call__(self, z):
        return jnp.stack([z * self.scale[...]] * 3)


def test_a_batch_of_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got shape \(3, 5, 1\)"):
        kernels.empirical(Batch(), None, jnp.ones((5, 1)))


def test_no_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="devices is empty"):
        kernels.empirical(_linear, jnp.ones(3), jnp.ones((4, 3)), devices=[])
