"""What is minimised.  A method is an objective and an optimiser, not another loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Inexact, PyTree

from ntkdip.networks import Architecture
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A loss of what is trained, and the image that it stands for.

    Both are pure functions, traced under ``jit``, of one pytree: a network's parameters, or
    `joint_start`.  ``scalars`` are further numbers to record beside every image.
    """

    loss: Callable[[Any], Float[Array, ""]]
    image: Callable[[Any], Inexact[Array, "..."]]
    scalars: Callable[[Any], Mapping[str, Float[Array, ""]]] = lambda _: {}

    @cached_property
    def gradient(self) -> Callable[[Any], Any]:
        """Gradient of the loss, compiled once for all runs that minimise this objective."""
        return jax.jit(jax.grad(self.loss))

    @cached_property
    def record(self) -> Callable[[Any], tuple[Array, Array, Mapping[str, Array]]]:
        """Image, loss and scalars, compiled once likewise."""
        return jax.jit(lambda p: (self.image(p), self.loss(p), self.scalars(p)))


def least_squares(
    net: Architecture,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    z: Float[Array, "*pixels channels"],
    *,
    centre: nnx.State | None = None,
) -> Objective:
    """``1/2 ||A f_theta(z) - y||^2``: vanilla deep image prior (design page, section 1).

    Parameters
    ----------
    net
        The architecture.
    A
        Forward operator on the network's images.
    y
        Data, shape ``A.range.shape``.
    z
        The network's fixed input.
    centre
        Parameters ``theta_0``: then ``f_theta - f_theta0`` is trained, which starts at
        zero.  None trains the network itself.

    Returns
    -------
    `Objective`; the loss is summed over samples, not averaged.

    Raises
    ------
    ValueError
        If network, operator and data do not fit together, or data or input are not finite.
    """
    z, y = _checked(net, A, y, z)
    start = None if centre is None else net.apply(centre, z)

    def image(params: nnx.State) -> Array:
        output = net.apply(params, z)
        return output if start is None else output - start

    return Objective(_half_squares(A, y, image), image)


def joint_least_squares(
    net: Architecture,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    z: Float[Array, "*pixels channels"],
    *,
    centre: nnx.State | None = None,
) -> Objective:
    """``1/2 ||A f_theta(z) - y||^2`` in parameters *and* input; trains `joint_start`.

    Parameters
    ----------
    net, A, y
        As for `least_squares`.
    z
        The input ``z_0`` that training starts from.
    centre
        Parameters ``theta_0``: then ``f_theta(z) - f_theta0(z_0)`` is trained, which starts
        at zero.  None trains the network itself.

    Returns
    -------
    `Objective` over ``{"params": ..., "input": ...}``, to be minimised by `joint_optimiser`.
    It records ``input_movement``, ``||z - z_0|| / ||z_0||``.

    Raises
    ------
    ValueError
        As `least_squares`, or if the input is zero: its movement is relative to it.

    Notes
    -----
    With rates ``eta`` and ``eta r`` the first step of gradient descent is that of the joint
    kernel ``W_theta + r W_z``, ``ntkdip.kernels.empirical(..., input_rate=r)``.  Source:
    design page, section 1.
    """
    z, y = _checked(net, A, y, z)
    size = float(np.linalg.norm(np.asarray(z)))
    if size == 0:
        raise ValueError("the network input is zero; its movement is measured relative to it")
    start = None if centre is None else net.apply(centre, z)

    def image(joint: Mapping[str, Any]) -> Array:
        output = net.apply(joint["params"], joint["input"])
        return output if start is None else output - start

    def scalars(joint: Mapping[str, Any]) -> dict[str, Array]:
        return {"input_movement": jnp.sqrt(jnp.sum((joint["input"] - z) ** 2)) / size}

    return Objective(_half_squares(A, y, image), image, scalars)


def joint_start(params: nnx.State, z: Float[Array, "*pixels channels"]) -> dict[str, Any]:
    """What `joint_least_squares` trains: parameters and input, as one pytree."""
    return {"params": params, "input": z}


def joint_optimiser(
    params: optax.GradientTransformation, z: optax.GradientTransformation
) -> optax.GradientTransformation:
    """One optimiser for the parameters and one for the input, taken in one joint step.

    ``joint_optimiser(optax.sgd(eta), optax.sgd(eta * r))`` is gradient descent whose input
    moves at the relative rate ``r``.
    """
    return optax.partition({"params": params, "input": z}, {"params": "params", "input": "input"})


def _checked(
    net: Architecture, A: LinearOperator, y: Any, z: Float[Array, "*pixels channels"]
) -> tuple[Array, Array]:
    """Input and data on the device, found to fit network and operator."""
    space = net.image_space(z)
    if space != A.domain:
        raise ValueError(f"{net.name} makes images in {space}, the operator takes {A.domain}")
    A.range.check(y, "data")
    require_finite(y, "data")
    require_finite(z, "network input")
    return z, jnp.asarray(y, jnp.complex64 if A.range.is_complex else jnp.float32)


def _half_squares(
    A: LinearOperator, y: Array, image: Callable[[Any], Array]
) -> Callable[[PyTree], Array]:
    """``1/2 ||A image - y||^2``, summed over samples."""

    def loss(trained: PyTree) -> Array:
        residual = A(image(trained)) - y
        return 0.5 * jnp.sum(residual.real**2 + residual.imag**2)

    return loss
