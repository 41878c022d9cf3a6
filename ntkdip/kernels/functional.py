"""A network in any of its guises as one hashable function ``(parameters, z) -> image``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from ntkdip.networks import ImageNetwork
from ntkdip.networks.description import image_of
from ntkdip.spaces import Space, require_finite

Net = ImageNetwork | nnx.Module | Callable[[Any, Any], Any]
"""What a kernel can be taken of (see `functional`)."""


@dataclasses.dataclass(frozen=True)
class _DescribedImage:
    net: ImageNetwork

    def __call__(self, params: Any, z: Any) -> Any:
        return self.net.apply(params, z)


@dataclasses.dataclass(frozen=True)
class _ModuleImage:
    graph: Any

    def __call__(self, states: tuple[Any, Any], z: Any) -> Any:
        # A copy, so that running statistics written by the call die with it.
        return image_of(nnx.merge(self.graph, *states, copy=True)(z), z)


class Functional(NamedTuple):
    """A network ready to be differentiated.

    ``image``: hashable function ``(params, z) -> image``, real or complex.
    ``params``: its first argument, a pytree of arrays.
    ``rates``: one relative learning rate a leaf of ``params``; 0 where it is not trained.
    ``input_rate``: relative rate of ``z``.
    ``space``: space of its images.
    ``dtype``: of their real embedding.
    ``name``: for messages.
    """

    image: Callable[[Any, Any], Any]
    params: Any
    rates: tuple[float, ...]
    input_rate: float
    z: Any
    space: Space
    dtype: Any
    name: str

    @property
    def leaves(self) -> list[Any]:
        """Leaves of ``params``, then ``z``."""
        return [*jax.tree.leaves(self.params), self.z]

    @property
    def all_rates(self) -> tuple[float, ...]:
        """Rates in the order of `leaves`."""
        return (*self.rates, self.input_rate)

    @property
    def embedded(self) -> Embedded:
        """The image's real embedding as a hashable function of `leaves`."""
        return Embedded(self.image, jax.tree.structure(self.params), self.space)


@dataclasses.dataclass(frozen=True)
class Embedded:
    """``leaves -> real embedding of the image``; equal for equal networks."""

    image: Callable[[Any, Any], Any]
    tree: Any
    space: Space

    def __call__(self, leaves: Sequence[Any]) -> Array:
        params = jax.tree.unflatten(self.tree, leaves[:-1])
        return self.space.embed(self.image(params, leaves[-1]))


def functional(
    net: Net,
    params: Any,
    z: Any,
    rates: dict[str, float] | None = None,
    input_rate: float = 0.0,
) -> Functional:
    """Bring a network to one form, and check everything that can be wrong with it.

    Parameters
    ----------
    net
        A description (`Architecture`, `FlaxNetwork`); a Flax NNX module whose output is
        ``(*pixels, 1 or 2)``, with or without a batch axis of 1; or a hashable function
        ``(params, z) -> image`` (real, or complex).  As with `jax.jit`, a function must be
        pure: what it closes over is read when it is first traced.
    params
        Its parameters.  A module's are ``nnx.state(module, nnx.Param)``; None takes the
        module's own.  What else a module holds (running statistics) stays fixed.
    z
        Network input.  Arrays, or shapes (`jax.ShapeDtypeStruct`) when only sizes are asked.
    rates
        Relative rates of parameter groups: patterns (`fnmatch`) over paths such as
        ``layers/0/conv/kernel``, the first that matches counts; 1 where none does.
    input_rate
        Relative rate of ``z``.

    Raises
    ------
    ValueError
        If a value is not finite, a rate negative, a pattern matches nothing, or nothing is
        trained.
    """
    if params is None and not isinstance(net, nnx.Module):
        raise ValueError("give the parameters of an architecture or a function; got None")
    for leaf in jax.tree.leaves((params, z)):
        if not hasattr(leaf, "dtype"):
            raise ValueError(f"parameters and input are arrays; got {type(leaf).__name__} {leaf}")
    image, params, paths, name = _unify(net, params)
    if input_rate and not jnp.issubdtype(z.dtype, jnp.floating):
        raise ValueError(f"input_rate trains the input, which must then be real; got {z.dtype}")
    for path, leaf in zip([*paths, None], [*jax.tree.leaves(params), z], strict=True):
        if isinstance(leaf, jax.Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.inexact):
            require_finite(leaf, f"parameter {path}" if path else "network input")
    chosen = _rates(paths, rates or {})
    _require_rate("input_rate", input_rate)
    if not any(chosen) and not input_rate:
        raise ValueError(f"every rate of {name} is 0: the kernel would be 0; train something")
    shape = _image_shape(image, params, z, name)
    space = Space(tuple(shape.shape), bool(jnp.issubdtype(shape.dtype, jnp.complexfloating)))
    dtype = jnp.finfo(shape.dtype).dtype
    return Functional(image, params, chosen, float(input_rate), z, space, dtype, name)


def _image_shape(image: Callable[[Any, Any], Any], params: Any, z: Any, name: str) -> Any:
    """Shape and dtype of the image; what is wrong with the arguments in terms of the user."""
    try:
        hash(image)
    except TypeError as fault:
        raise ValueError(
            f"{name} is traced once and remembered, so it must be hashable ({fault}); use a "
            "plain function"
        ) from fault
    try:
        shape = jax.eval_shape(image, params, z)
    except (TypeError, ValueError) as fault:
        raise ValueError(
            f"{name} does not run on an input of shape {tuple(z.shape)} with these parameters: "
            f"{str(fault).splitlines()[0]}"
        ) from fault
    if not hasattr(shape, "dtype") or not jnp.issubdtype(shape.dtype, jnp.inexact):
        raise ValueError(f"{name} must make one real or complex array; it makes {shape}")
    return shape


Paths = list[str | None]
"""Where each leaf is found; None for one that is never trained."""


def _unify(net: Net, params: Any) -> tuple[Callable[[Any, Any], Any], Any, Paths, str]:
    """Function, its parameters, where they are found, and a name."""
    if isinstance(net, nnx.Module):
        split: Any = nnx.split(net, nnx.Param, ...)
        graph, own, rest = split
        trained = own if params is None else params
        fixed: Paths = [None] * len(jax.tree.leaves(rest))
        return _ModuleImage(graph), (trained, rest), _paths(trained) + fixed, type(net).__name__
    if isinstance(net, ImageNetwork):
        trained = jax.tree.leaves(net.trained(params))
        pairs = zip(_paths(params), trained, strict=True)
        paths = [path if moves else None for path, moves in pairs]
        return _DescribedImage(net), params, paths, net.name
    return net, params, _paths(params), getattr(net, "__name__", type(net).__name__)


def _paths(params: Any) -> Paths:
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
            raise ValueError(
                f"parameter {_readable(path)} is {leaf.dtype}; kernels are of real parameters. "
                "Give its real and imaginary part as two"
            )
    return [
        _readable(path) if jnp.issubdtype(leaf.dtype, jnp.floating) else None
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    ]


def _readable(path: Any) -> str:
    text = jax.tree_util.keystr(path, simple=True, separator="/")
    return text.removesuffix("/value") or "parameters"


def _rates(paths: Paths, rates: dict[str, float]) -> tuple[float, ...]:
    found = [path for path in paths if path]
    for pattern, rate in rates.items():
        _require_rate(f"rates[{pattern!r}]", rate)
        if not any(fnmatchcase(path, pattern) for path in found):
            raise ValueError(
                f"rates: the pattern {pattern!r} matches none of the parameters {', '.join(found)}"
            )

    def rate_of(path: str) -> float:
        return next((float(r) for p, r in rates.items() if fnmatchcase(path, p)), 1.0)

    return tuple(rate_of(path) if path else 0.0 for path in paths)


def _require_rate(name: str, rate: float) -> None:
    if not (np.isfinite(rate) and rate >= 0):
        raise ValueError(f"{name} is a relative learning rate, finite and at least 0; got {rate}")
