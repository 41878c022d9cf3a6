"""What is minimised.  A method is an objective and an optimiser, not another loop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import Architecture
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite


@dataclasses.dataclass(frozen=True, eq=False)
class Objective:
    """A loss of the parameters, and the image that they stand for.

    Both are pure functions of a parameter pytree that trace under ``jit``.
    """

    loss: Callable[[nnx.State], Float[Array, ""]]
    image: Callable[[nnx.State], Inexact[Array, "..."]]


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
    space = net.image_space(z)
    if space != A.domain:
        raise ValueError(f"{net.name} makes images in {space}, the operator takes {A.domain}")
    A.range.check(y, "data")
    require_finite(y, "data")
    require_finite(z, "network input")
    y = jnp.asarray(y, jnp.complex64 if A.range.is_complex else jnp.float32)
    start = None if centre is None else net.apply(centre, z)

    def image(params: nnx.State) -> Array:
        output = net.apply(params, z)
        return output if start is None else output - start

    def loss(params: nnx.State) -> Array:
        residual = A(image(params)) - y
        return 0.5 * jnp.sum(residual.real**2 + residual.imag**2)

    return Objective(loss, image)
