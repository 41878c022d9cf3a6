"""What is minimised.  A method is an objective and an update, not another loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import ImageNetwork
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite


class Evaluation(NamedTuple):
    """An objective at one point: its loss, the image it stands for, numbers worth recording."""

    loss: Array
    image: Array
    scalars: Mapping[str, Array]


Evaluate = Callable[[Any, Any, Any, Array], Evaluation]
"""``(trained, carried, data, key) -> Evaluation``: pure, traced under ``jit``."""

Update = Callable[[Any, Any, Array, Array], Any]
"""``(carried, data, image, steps) -> carried``, after each step; ``steps`` have been taken."""


def _carry_on(carried: Any, data: Any, image: Array, steps: Array) -> Any:
    return carried


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A loss of what is trained, and what else changes from step to step.

    Parameters
    ----------
    evaluate
        Loss, image and scalars of ``trained`` (a pytree: gradients move it), ``carried`` (a
        pytree: only ``update`` changes it), ``data`` and a key, fresh at every step.
    data
        Pytree of what all steps and seeds share: operator and measurements.  It is an argument
        of the compiled step, not a constant of it.
    update
        What becomes of ``carried`` after a step; by default it stays.  Objectives with the same
        two functions share their compiled steps.
    random
        Whether ``evaluate`` uses its key.
    """

    evaluate: Evaluate
    data: Any = ()
    update: Update = _carry_on
    random: bool = False

    @property
    def updates(self) -> bool:
        """Whether steps change what they carry."""
        return self.update is not _carry_on


def least_squares(
    net: ImageNetwork,
    A: LinearOperator,
    y: Inexact[Array | np.ndarray, "..."],
    z: Float[Array, "*pixels channels"],
    *,
    centre: nnx.State | None = None,
) -> Objective:
    """``1/2 ||A f_theta(z) - y||^2`` in the parameters (design page, section 1).

    Parameters
    ----------
    net
        The network.
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
    `Objective` over the network's parameters; the loss is summed over samples, not averaged.

    Raises
    ------
    ValueError
        If network, operator and data do not fit together, or data or input are not finite.
    """
    data = measurements(net, A, y, z)
    start = None if centre is None else net.apply(centre, z)

    def evaluate(params: Any, carried: Any, data: tuple[Any, Array], key: Array) -> Evaluation:
        output = net.apply(params, z)
        image = output if start is None else output - start
        return Evaluation(half_squares(data, image), image, {})

    return Objective(evaluate, data)


def joint_least_squares(
    net: ImageNetwork,
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
    data = measurements(net, A, y, z)
    size = float(np.linalg.norm(np.asarray(z)))
    if size == 0:
        raise ValueError("the network input is zero; its movement is measured relative to it")
    start = None if centre is None else net.apply(centre, z)

    def evaluate(joint: Any, carried: Any, data: tuple[Any, Array], key: Array) -> Evaluation:
        output = net.apply(joint["params"], joint["input"])
        image = output if start is None else output - start
        movement = jnp.sqrt(jnp.sum((joint["input"] - z) ** 2)) / size
        return Evaluation(half_squares(data, image), image, {"input_movement": movement})

    return Objective(evaluate, data)


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


def measurements(
    net: ImageNetwork, A: LinearOperator, y: Any, z: Float[Any, "*pixels channels"]
) -> tuple[LinearOperator, Array]:
    """Operator and data on the device, found to fit the network; `Objective.data`.

    Raises
    ------
    ValueError
        If they do not fit, or data or input are not finite.
    """
    space = net.image_space(z)
    if space != A.domain:
        raise ValueError(f"{net.name} makes images in {space}, the operator takes {A.domain}")
    A.range.check(y, "data")
    require_finite(y, "data")
    require_finite(z, "network input")
    return on_device(A, y)


def on_device(A: LinearOperator, y: Any) -> tuple[LinearOperator, Array]:
    """Operator and data as arrays of the device, in single precision where that is the default."""
    dtype = jnp.complex64 if A.range.is_complex else jnp.float32
    return jax.tree.map(jnp.asarray, A), jnp.asarray(y, dtype)


def squares(values: Inexact[Array, "..."]) -> Float[Array, ""]:
    """``||values||^2``, of real or complex arrays, with a gradient at 0."""
    return jnp.sum(values.real**2 + values.imag**2)


def half_squares(data: tuple[Any, Array], image: Array) -> Float[Array, ""]:
    """``1/2 ||A image - y||^2``, summed over samples."""
    A, y = data
    return 0.5 * squares(A(image) - y)
