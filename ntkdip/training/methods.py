"""Deep image priors: each method is an objective, a start and an update on the one loop.

All work in units in which the zero-filled image has maximum 1, on data weighted by 1 (trained
on) or 0 (held out), ``r = w (A f - y)``; losses are sums over samples and pixels.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact

from ntkdip import networks
from ntkdip.networks import ImageNetwork
from ntkdip.networks.drawing import uniform
from ntkdip.operators import LinearOperator
from ntkdip.training.objectives import Evaluation, Objective, squares
from ntkdip.training.steps import PROGRAMS

SMOOTHING = 1e-4
"""Differences far below this do not count as edges in total variation; the image's maximum is 1."""

TINY = 1e-12
"""Under the roots of unsquared norms, whose gradient at 0 is else not a number."""


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """What is reconstructed, and with which network, in scaled units.

    ``data``: operator, measurements and weights, on the device.  ``initial``: the zero-filled
    image, maximum 1.  ``reference``: an image of the same subject if there is one, maximum 1.
    ``norm``: of the operator, where the method asked for it.
    """

    net: ImageNetwork
    data: tuple[LinearOperator, Array, Array]
    initial: Inexact[np.ndarray, "..."]
    reference: Inexact[np.ndarray, "..."] | None = None
    norm: float | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the image."""
        return self.data[0].domain.shape


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
    """Settings of a method; frozen, so that a configuration holds it."""

    joint: ClassVar[bool] = False
    """Whether gradients move the input too."""
    needs_reference: ClassVar[bool] = False
    """Whether a reference image must be given."""
    needs_norm: ClassVar[bool] = False
    """Whether it uses the norm of the operator."""

    @abc.abstractmethod
    def input(self, problem: Problem, key: Array) -> Float[Array, "*pixels channels"]:
        """The network's input at the start."""

    @abc.abstractmethod
    def minimised(self, net: ImageNetwork, norm: float | None) -> Objective:
        """The objective, without its data.

        ``trained`` and ``carried`` are as `start` makes them, data as `Problem.data`.
        """

    def objective(self, problem: Problem) -> Objective:
        """What is minimised.

        Problems with the same network and norm share all but data, and so the compiled steps.
        """
        shared = _minimised(self, problem.net, problem.norm)
        return dataclasses.replace(shared, data=problem.data)

    def start(self, problem: Problem, key: Array) -> tuple[dict[str, Any], dict[str, Any]]:
        """``(trained, carried)`` of one seed: parameters and input, each where it belongs."""
        of_input, of_weights = jax.random.split(key)
        z = self.input(problem, of_input)
        params = problem.net.init(z, key=of_weights)
        if self.joint:
            return {"params": params, "input": z}, {}
        return {"params": params}, {"input": z}


@dataclasses.dataclass(frozen=True)
class _FixedInput(Method):
    """``1/2 ||A f_theta(z) - y||^2`` and a penalty, for an input that stays."""

    perturbation: float = 0.0
    """Standard deviation of noise added to the input, fresh at every step (Ulyanov's: 1/30)."""

    def __post_init__(self) -> None:
        _require(self, perturbation=self.perturbation >= 0)

    def minimised(self, net: ImageNetwork, norm: float | None) -> Objective:
        def evaluate(trained: Any, carried: Any, data: Any, key: Array) -> Evaluation:
            z = _perturbed(carried["input"], self.perturbation, key)
            image = net.apply(trained["params"], z)
            r, scalars = _misfit(data, image)
            return Evaluation(0.5 * squares(r) + self.penalty(image), image, scalars)

        return Objective(evaluate, random=self.perturbation > 0)

    def penalty(self, image: Inexact[Array, "..."]) -> Float[Array, ""]:
        """What the loss holds beside the misfit."""
        return jnp.float32(0)


@dataclasses.dataclass(frozen=True)
class Vanilla(_FixedInput):
    """Deep image prior: ``min_theta 1/2 ||A f_theta(z) - y||^2`` for a fixed random ``z``.

    Source: Ulyanov, Vedaldi and Lempitsky, "Deep Image Prior", CVPR 2018.  Deviations: none in
    the objective; the reconstruction is also averaged, as their code does.
    """

    channels: int = 32
    """Of the input."""
    interval: tuple[float, float] | None = None
    """Ends of the input's uniform distribution; None: those of `ntkdip.networks.random_input`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self, channels=self.channels >= 1)

    def input(self, problem: Problem, key: Array) -> Float[Array, "*pixels channels"]:
        return networks.random_input(
            problem.net, problem.shape, self.channels, key=key, interval=self.interval
        )


@dataclasses.dataclass(frozen=True)
class TotalVariation(Vanilla):
    """Deep image prior with total variation: ``1/2 ||A f - y||^2 + weight TV(f)``.

    ``TV`` sums the Euclidean lengths of the forward differences of (complex) neighbours.
    Source: Liu, Sun, Xu and Kamilov, "Image restoration using total variation regularized deep
    image prior", ICASSP 2019.  Deviations: isotropic instead of anisotropic, and rounded below
    differences of 1e-4 of the image's maximum, so that it has a gradient.
    """

    weight: float = 1e-3
    """Of total variation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self, weight=self.weight >= 0)

    def penalty(self, image: Inexact[Array, "..."]) -> Float[Array, ""]:
        lengths = jnp.full(image.shape, SMOOTHING**2, jnp.float32)
        for axis in range(image.ndim):
            step = jnp.diff(image, axis=axis)
            inside = tuple(slice(0, n) for n in step.shape)
            lengths = lengths.at[inside].add(step.real**2 + step.imag**2)
        return self.weight * jnp.sum(jnp.sqrt(lengths))


@dataclasses.dataclass(frozen=True)
class DeepDecoder(Vanilla):
    """Under-parameterised: fewer weights than pixels regularise, without early stopping.

    Source: Heckel and Hand, "Deep Decoder: Concise Image Representations from Untrained
    Non-convolutional Networks", ICLR 2019.  Deviations: the input of an architecture that
    grows from few pixels has mean 0 and variance 1 (`ntkdip.networks.decoder_input`).
    """

    def input(self, problem: Problem, key: Array) -> Float[Array, "*pixels channels"]:
        z = super().input(problem, key)
        weights, numbers = problem.net.parameter_count(z), problem.data[0].domain.real_size
        if weights >= numbers:
            raise ValueError(
                f"{problem.net.name} has {weights:,} weights for an image of {numbers:,} numbers; "
                "the deep-decoder method needs fewer weights than numbers. Use a narrower network, "
                "or the vanilla method"
            )
        return z


@dataclasses.dataclass(frozen=True)
class ReferenceGuided(_FixedInput):
    """Deep image prior whose input is an image of the same subject instead of noise.

    Source: Liang, Bell, Qu, Wang and Ravishankar (arXiv 2402.04097), and Zhao, Chang, Ning and
    others, "Reference-driven compressed sensing MR image reconstruction using deep convolutional
    neural networks without pre-training", Sensors 2020.  Deviations: the reference is scaled to
    maximum 1, and complex ones enter as real and imaginary part.
    """

    needs_reference: ClassVar[bool] = True

    def input(self, problem: Problem, key: Array) -> Float[Array, "*pixels channels"]:
        _require_image_input(self, problem)
        assert problem.reference is not None
        return networks.as_input(problem.reference)


@dataclasses.dataclass(frozen=True)
class _ImageInput(Method):
    """A method whose input is an image that nears the reconstruction."""

    start_from: Literal["zero-filled", "random", "reference"] = "zero-filled"
    """The input at the start: an image, or uniform on [0, 1)."""

    def input(self, problem: Problem, key: Array) -> Float[Array, "*pixels channels"]:
        _require_image_input(self, problem)
        image = problem.initial
        if self.start_from == "reference":
            if problem.reference is None:
                raise ValueError("start_from='reference' needs a reference image; none was given")
            image = problem.reference.astype(image.dtype)
        z = networks.as_input(image)
        return uniform(key, z.shape, jnp.float32) if self.start_from == "random" else z


@dataclasses.dataclass(frozen=True)
class SelfGuided(_ImageInput):
    """Self-guided deep image prior: weights and input are trained together.

    ``min_{theta, z} ||A E f(z + n) - y|| + alpha ||E f(z + n) - z||``, or with ``squared``
    both norms squared: the network denoises its own input ``z``, which becomes the image.
    ``E`` is the mean over a few fresh draws of noise ``n`` a step; the reconstruction is
    ``E f(z + n)``, and its moving average.
    Source: Liang, Bell, Qu, Wang and Ravishankar, "Analysis of Deep Image Prior and Exploiting
    Self-Guidance for Image Reconstruction", arXiv 2402.04097, IEEE TCI 2025 (design page,
    section 1).  Deviations from the authors' demo: data are scaled from the zero-filled image,
    never from the truth; the level of the noise is relative to the largest absolute value in
    ``z`` (theirs: to its largest value), and no gradient flows through it.  The defaults were
    tuned on the MRI test problem with another mask; the demo's are ``alpha=2, level=0.5,
    draws=3, start_from="random"``, which learn far more slowly there.
    """

    joint: ClassVar[bool] = True

    alpha: float = 0.05
    """Weight of the denoiser."""
    squared: bool = False
    """Squared norms, or the norms themselves (the authors' demo)."""
    noise: Literal["uniform", "gaussian"] = "uniform"
    """Uniform on [0, 1) or standard normal, times ``level`` and the maximum of the input."""
    level: float = 0.2
    """Of the noise, relative to the input's maximum."""
    draws: int = 1
    """Of noise, a step."""

    def __post_init__(self) -> None:
        _require(self, alpha=self.alpha >= 0, level=self.level >= 0, draws=self.draws >= 1)

    def minimised(self, net: ImageNetwork, norm: float | None) -> Objective:
        def evaluate(trained: Any, carried: Any, data: Any, key: Array) -> Evaluation:
            z = trained["input"]
            images = jax.vmap(net.apply, in_axes=(None, 0))(
                trained["params"], z[None] + self._noise(z, key)
            )
            image = jnp.mean(images, axis=0)
            r, scalars = _misfit(data, image)
            gap = squares(image - networks.to_image(z))
            terms = (squares(r), gap)
            fit, guide = terms if self.squared else (jnp.sqrt(t + TINY) for t in terms)
            scalars |= {"input_distance": _relative(gap, image)}
            return Evaluation(fit + self.alpha * guide, image, scalars)

        return Objective(evaluate, random=self.level > 0)

    def _noise(self, z: Array, key: Array) -> Array:
        draw = jax.random.uniform if self.noise == "uniform" else jax.random.normal
        peak = jax.lax.stop_gradient(jnp.max(jnp.abs(z)))
        return self.level * peak * draw(key, (self.draws, *z.shape), z.dtype)


@dataclasses.dataclass(frozen=True)
class Sequential(_ImageInput):
    """aSeqDIP: an autoencoding network whose input is renewed from its output.

    ``min_theta ||A f_theta(z) - y||^2 + weight ||f_theta(z) - z||^2`` for ``every`` steps, then
    ``z`` becomes the network's output, and so on.
    Source: Alkhouri, Liang, Bell, Qu, Wang and Ravishankar, "Image Reconstruction via
    Autoencoding Sequential Deep Image Prior", NeurIPS 2024.  Deviations: the new input is the
    output of the step before, so that renewing costs no pass; with ``data_consistency`` it also
    takes one gradient step of length ``1 / ||A||^2`` towards the data, which for one coil puts
    measured k-space in its place.
    """

    needs_norm: ClassVar[bool] = True

    weight: float = 1.0
    """Of the distance between output and input."""
    every: int = 2
    """Steps between renewals of the input."""
    data_consistency: bool = True
    """Whether a new input is first pulled to the data."""

    def __post_init__(self) -> None:
        _require(self, weight=self.weight >= 0, every=self.every >= 1)

    def minimised(self, net: ImageNetwork, norm: float | None) -> Objective:
        assert norm is not None
        pull = 1 / norm**2

        def evaluate(trained: Any, carried: Any, data: Any, key: Array) -> Evaluation:
            z = carried["input"]
            image = net.apply(trained["params"], z)
            r, scalars = _misfit(data, image)
            gap = squares(image - networks.to_image(z))
            scalars |= {"input_distance": _relative(gap, image)}
            return Evaluation(squares(r) + self.weight * gap, image, scalars)

        def update(carried: Any, data: Any, image: Array, steps: Array) -> Any:
            def renewed() -> Array:
                A, y, w = data
                new = image
                if self.data_consistency:
                    new = image - pull * A.adjoint(w**2 * (A(image) - y))
                parts = [new.real, new.imag] if jnp.iscomplexobj(new) else [new]
                return jnp.stack(parts, axis=-1)

            due = steps % self.every == 0
            return {"input": jax.lax.cond(due, renewed, lambda: carried["input"])}

        return Objective(evaluate, update=update)


METHODS: dict[str, type[Method]] = {
    "self-guided": SelfGuided,
    "vanilla": Vanilla,
    "total-variation": TotalVariation,
    "reference-guided": ReferenceGuided,
    "sequential": Sequential,
    "deep-decoder": DeepDecoder,
}
"""By the name that the command line and configurations use."""


@functools.lru_cache(maxsize=PROGRAMS)
def _minimised(method: Method, net: ImageNetwork, norm: float | None) -> Objective:
    return method.minimised(net, norm)


def _misfit(data: Any, image: Array) -> tuple[Array, dict[str, Array]]:
    """Weighted residual, and its norm; with held-out samples the error on those as well."""
    A, y, w = data
    difference = A(image) - y
    r = w * difference
    scalars = {"residual": jnp.sqrt(squares(r))}
    if w.ndim:
        missed, whole = squares((1 - w) * difference), squares((1 - w) * y)
        scalars["held_out"] = jnp.sqrt(missed / whole)
    return r, scalars


def _relative(gap: Array, image: Array) -> Array:
    """Distance of input and output relative to the output; 0 where that is 0."""
    size = squares(image)
    return jnp.sqrt(gap / jnp.where(size > 0, size, 1))


def _require_image_input(method: Method, problem: Problem) -> None:
    """Refuse networks that grow an image from fewer pixels."""
    inside = problem.net.input_shape(problem.shape)
    if inside != problem.shape:
        raise ValueError(
            f"{type(method).__name__} needs a network of one image of the same size in and out; "
            f"{problem.net.name} makes {problem.shape} of {inside}. Use a U-Net, a skip network "
            "or a wide CNN"
        )


def _perturbed(z: Array, deviation: float, key: Array) -> Array:
    return z + deviation * jax.random.normal(key, z.shape, z.dtype) if deviation else z


def _require(method: Method, **conditions: bool) -> None:
    for name, holds in conditions.items():
        if not holds:
            raise ValueError(
                f"{type(method).__name__}: {name} is out of range; got {getattr(method, name)}"
            )
