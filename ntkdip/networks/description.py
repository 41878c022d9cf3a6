"""What every description of an image network offers, and descriptions of Flax modules."""

from __future__ import annotations

import abc
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Inexact

from ntkdip.networks import modules
from ntkdip.networks.acceleration import accelerated
from ntkdip.spaces import Space

Options = tuple[tuple[str, Any], ...]


class ImageNetwork(abc.ABC):
    """Frozen, hashable description of a network that makes one image of one input.

    `ntkdip.networks.Architecture` (a chain of layers) and `FlaxNetwork` (a Flax NNX module)
    are the two kinds; what trains a network or takes its kernel needs only what is here.
    Inputs are 1D or 2D with channels last and without a batch axis: ``jax.vmap`` `apply` over
    parameters (seeds) or inputs (draws of noise).
    """

    name: str

    @property
    @abc.abstractmethod
    def complex_image(self) -> bool:
        """Whether the output is a complex image (two channels)."""

    @property
    @abc.abstractmethod
    def side_multiple(self) -> int:
        """The sides of its images are multiples of this."""

    @property
    def input_interval(self) -> tuple[float, float]:
        """Ends of the uniform distribution of its random inputs: [0, 0.1), as deep image prior
        has it for networks that normalise what they are given."""
        return 0.0, 0.1

    @abc.abstractmethod
    def image_space(self, z: Float[Any, "*pixels channels"]) -> Space:
        """Space of the images that the network makes of an input like ``z``."""

    @abc.abstractmethod
    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Pixels of the input from which images of ``shape`` are made.

        Raises
        ------
        ValueError
            If there are none; the message names a size that would do.
        """

    @abc.abstractmethod
    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> nnx.Module:
        """The Flax NNX module for inputs like ``z``, freshly initialised."""

    def init(self, z: Float[Any, "*pixels channels"], *, key: Array) -> nnx.State:
        """Draw parameters.

        Parameters
        ----------
        z
            An input, shape ``(*pixels, channels)``, channels last, 1D or 2D; only its shape
            is looked at.
        key
            PRNG key.  The same key gives the same parameters.

        Returns
        -------
        Pytree of float32 parameters, for `apply`.

        Raises
        ------
        ValueError
            If ``z`` is not 1D or 2D with channels last.
        """
        return nnx.split(self.module(z, rngs=nnx.Rngs(params=key)))[1]

    def apply(
        self, params: nnx.State, z: Float[Array, "*pixels channels"]
    ) -> Inexact[Array, "..."]:
        """The image ``f_theta(z)``: real, or complex where there are two output channels.

        Pure: what a module writes to itself when called (running statistics) is dropped.
        """
        return image_of(self.merge(params, z)(z), z)

    def merge(self, params: nnx.State, z: Float[Any, "*pixels channels"]) -> Any:
        """The Flax module with these parameters, for inputs like ``z``.

        No gradient flows into what is not an ``nnx.Param`` (weights that are not trained).
        """
        kept = jax.tree.map(_keep, params, is_leaf=is_variable)
        return nnx.merge(_structure(self, tuple(z.shape))[0], kept, copy=True)

    def trained(self, params: nnx.State) -> Any:
        """Pytree like ``params`` of booleans, True for what is trained (a mask for optax)."""

        def mark(leaf: Any) -> Any:
            return jax.tree.map(lambda _: not _is_fixed(leaf), leaf)

        return jax.tree.map(mark, params, is_leaf=is_variable)

    def parameter_count(self, z: Float[Any, "*pixels channels"]) -> int:
        """Number of trained parameters for inputs like ``z``.  Nothing is drawn or allocated."""
        state = _structure(self, tuple(z.shape))[1]
        pairs = zip(jax.tree.leaves(state), jax.tree.leaves(self.trained(state)), strict=True)
        return sum(math.prod(array.shape) for array, trained in pairs if trained)

    def for_training(self) -> ImageNetwork:
        """The same network as trained: same parameters, same images to rounding.

        Its convolutions and upsampling take faster routes that only reverse mode
        differentiates (`ntkdip.networks.convolution`); kernels, which read a network and
        differentiate it forwards, take the description as it is.  A kind of description that
        knows no faster route returns itself.
        """
        return self

    def fitting_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The smallest shape of images it makes in which ``shape`` fits."""
        return tuple(-(-n // self.side_multiple) * self.side_multiple for n in shape)


@dataclasses.dataclass(frozen=True)
class FlaxNetwork(ImageNetwork):
    """A Flax NNX module as an image network: which class, and with which options.

    Built by the presets (`ntkdip.networks.unet`, `ntkdip.networks.skip_network`) or, for a
    module of your own, by `flax_network`.  Equal and hashable by its fields, so it can be a
    static argument of a jitted function; dimension and input channels come from the input.

    Parameters
    ----------
    name
        Shown in messages, tables and figures.
    constructor
        Class (or function) that makes the module.  It is called with the keyword arguments
        ``in_channels``, ``spatial_dims`` (1 or 2), ``complex_image`` and ``rngs`` (a stream
        ``params``), and with ``options``.  The module maps ``(*pixels, in_channels)`` to an
        image ``(*pixels, 1)``, or ``(*pixels, 2)`` (real and imaginary part) if
        ``complex_image``; a batch axis of 1 before it is dropped.
    options
        Further keyword arguments, as pairs; hashable.
    complex_image
        Two output channels instead of one.
    side_multiple
        The sides of its images must be multiples of this.

    Raises
    ------
    ValueError
        If an option is not hashable.
    """

    name: str
    constructor: Callable[..., nnx.Module]
    options: Options = ()
    complex_image: bool = True
    side_multiple: int = 1

    def __post_init__(self) -> None:
        for option, value in self.options:
            try:
                hash(value)
            except TypeError as fault:
                raise ValueError(
                    f"option {option} of {self.name} must be hashable ({fault}); use a tuple or "
                    "another frozen value"
                ) from fault

    def image_space(self, z: Float[Any, "*pixels channels"]) -> Space:
        """Space of the images that the network makes of an input like ``z``.

        Raises
        ------
        ValueError
            If the input does not fit the module, or its output is no such image.
        """
        return _image_space(self, tuple(z.shape))

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the image itself; `ImageNetwork.input_shape`."""
        if any(n % self.side_multiple for n in shape):
            raise ValueError(
                f"{self.name} makes images whose sides are multiples of {self.side_multiple}; "
                f"got {tuple(shape)}. Use {self.fitting_shape(shape)} (pad or crop), or fewer "
                "levels"
            )
        return tuple(shape)

    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> nnx.Module:
        """The Flax NNX module for inputs like ``z``, freshly initialised.

        Raises
        ------
        ValueError
            If ``z`` is not 1D or 2D with channels last, or the module holds anything but
            real floating-point arrays (random state, counters).
        """
        require_input(z)
        made = self.constructor(
            in_channels=z.shape[-1],
            spatial_dims=z.ndim - 1,
            complex_image=self.complex_image,
            rngs=rngs,
            **dict(self.options),
        )
        for path, leaf in jax.tree_util.tree_leaves_with_path(nnx.state(made)):
            if not jnp.issubdtype(leaf.dtype, jnp.floating):
                raise ValueError(
                    f"{self.name} holds {jax.tree_util.keystr(path, simple=True, separator='/')} "
                    f"of {leaf.dtype}; an image network is deterministic and holds real weights "
                    "only: leave out dropout and counters"
                )
        return made

    def for_training(self) -> Accelerated:
        """The same network as trained; `ImageNetwork.for_training`."""
        return Accelerated(self)


@dataclasses.dataclass(frozen=True)
class NetworkWrapper(ImageNetwork):
    """A description that is another in everything that it does not change."""

    net: ImageNetwork

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.net.name

    @property
    def complex_image(self) -> bool:
        return self.net.complex_image

    @property
    def side_multiple(self) -> int:
        return self.net.side_multiple

    @property
    def input_interval(self) -> tuple[float, float]:
        return self.net.input_interval

    def image_space(self, z: Float[Any, "*pixels channels"]) -> Space:
        return self.net.image_space(z)

    def input_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return self.net.input_shape(shape)

    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> nnx.Module:
        return self.net.module(z, rngs=rngs)

    def init(self, z: Float[Any, "*pixels channels"], *, key: Array) -> Any:
        return self.net.init(z, key=key)

    def trained(self, params: Any) -> Any:
        return self.net.trained(params)

    def parameter_count(self, z: Float[Any, "*pixels channels"]) -> int:
        return self.net.parameter_count(z)


@dataclasses.dataclass(frozen=True)
class Accelerated(NetworkWrapper):
    """Another description, built for training: what `ImageNetwork.for_training` returns."""

    def module(self, z: Float[Any, "*pixels channels"], *, rngs: nnx.Rngs) -> nnx.Module:
        return accelerated(self.net.module(z, rngs=rngs))


def flax_network(
    name: str,
    constructor: Callable[..., nnx.Module],
    *,
    complex_image: bool = True,
    side_multiple: int = 1,
    **options: Any,
) -> FlaxNetwork:
    """Describe a network that is a Flax NNX module of your own.

    Parameters
    ----------
    name, constructor, complex_image, side_multiple
        See `FlaxNetwork`.
    **options
        Further keyword arguments of the constructor, hashable.

    Returns
    -------
    `FlaxNetwork`, which trains and has kernels as the networks of this package.

    Raises
    ------
    ValueError
        If an option is not hashable.
    """
    return FlaxNetwork(
        name,
        constructor,
        tuple(sorted(options.items())),
        complex_image,
        side_multiple,
    )


def constructible(net: FlaxNetwork) -> FlaxNetwork:
    """The description itself, after its module was built once without arrays: options that do
    not fit are refused where they are given, and not in the middle of a run.
    """
    _structure(net, (1, 1, 1))
    return net


def require_input(z: Any) -> None:
    """Raise `ValueError` unless ``z`` is a 1D or 2D network input with channels last."""
    if z.ndim not in (2, 3):
        raise ValueError(
            "a network input has shape (pixels, channels) or (rows, columns, channels); got "
            f"{tuple(z.shape)}. For an image use ntkdip.networks.as_input(image)"
        )


def image_of(output: Array, z: Float[Any, "*pixels channels"]) -> Inexact[Array, "..."]:
    """The image in a module's output, ``(*pixels, 1 or 2)`` with or without a batch axis of 1.

    Raises
    ------
    ValueError
        If the output has another number of channels, or more than one image.
    """
    batched = output.ndim == z.ndim + 1
    if output.shape[-1] not in (1, 2) or (batched and output.shape[0] != 1):
        raise ValueError(
            "a module makes images (*pixels, 1) or (*pixels, 2: real and imaginary part); "
            f"got shape {tuple(output.shape)}. Wrap it in a function (params, z) -> image "
            "if its output is another"
        )
    return modules.to_image(output[0] if batched else output)


def is_variable(leaf: Any) -> bool:
    """Whether a node of a module's state is a Flax variable."""
    return isinstance(leaf, nnx.Variable)


@functools.lru_cache(maxsize=128)
def _structure(net: ImageNetwork, input_shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Graph and state of the module without its arrays: nothing is drawn or allocated."""
    z = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    module = nnx.eval_shape(lambda: net.module(z, rngs=nnx.Rngs(params=jax.random.key(0))))
    graph, state = nnx.split(module)
    return graph, state


@functools.lru_cache(maxsize=128)
def _image_space(net: FlaxNetwork, input_shape: tuple[int, ...]) -> Space:
    z = jax.ShapeDtypeStruct(input_shape, jnp.float32)
    made = jax.eval_shape(net.apply, _structure(net, input_shape)[1], z)
    is_complex = bool(jnp.issubdtype(made.dtype, jnp.complexfloating))
    if is_complex != net.complex_image:
        kinds = {True: "complex images (2 channels)", False: "real images (1 channel)"}
        raise ValueError(
            f"{net.name} is described with complex_image={net.complex_image}, but its module "
            f"makes {kinds[is_complex]}"
        )
    return Space(tuple(made.shape), is_complex)


def _keep(leaf: Any) -> Any:
    return jax.lax.stop_gradient(leaf) if _is_fixed(leaf) else leaf


def _is_fixed(leaf: Any) -> bool:
    return is_variable(leaf) and not isinstance(leaf, nnx.Param)
