"""A small supervised U-Net, trained on slices and phantoms, and what it makes of test problems."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Complex, Float

from ntkdip import data, networks
from ntkdip.networks import ImageNetwork
from ntkdip.networks.padding import fitted
from ntkdip.progress import track
from ntkdip.studies.cells import Cell
from ntkdip.studies.imaging import Built, Mri
from ntkdip.studies.trials import UNet, scored

KEPT_NETWORKS = 8
"""Taught ones, for another study of the same process with other tests (under the same settings
of JAX)."""


@dataclasses.dataclass(frozen=True)
class Lesson:
    """What a supervised network learns from, and what it is tested on.

    The network adds to the zero-filled image what it finds missing: ``z + f(z)``, all scaled
    by the zero-filled image's maximum.  Each step draws slices, turns and flips them, bends
    their contrast (magnitude to a power from 0.7 to 1.5) and draws noise anew; lines and coils
    are the problem's.  Source: ours; the architecture is that of the deep image priors.
    """

    problem: Mri
    """Size, lines, coils and noise of the training data."""
    slices: tuple[int, ...]
    """Of `ntkdip.data.brain_slice`."""
    tests: tuple[Mri, ...]
    """What is reconstructed after the training."""
    phantom: bool = True
    """Whether the Shepp-Logan phantom is among the training images."""
    net: UNet = dataclasses.field(default_factory=UNet)
    steps: int = 3000
    batch: int = 4
    rate: float = 1e-3
    """Of Adam, falling to 0 as a cosine."""
    seed: int = 0
    """Of weights and draws."""

    def __post_init__(self) -> None:
        taught = {p.brain for p in self.tests} & set(self.slices)
        if not self.slices or taught:
            raise ValueError(
                f"a lesson has slices, and none that is tested; got {self.slices}, of which "
                f"{sorted(taught, key=str)} are tested"
            )

    def cell(self) -> Cell:
        """The cell that trains and tests."""
        return Cell(f"supervised, seed {self.seed}", teach, self)


def teach(lesson: Lesson) -> dict[str, Any]:
    """Train, then reconstruct every test.

    Returns
    -------
    ``loss`` (steps,): mean squared error over that of zero-filling; for test ``i`` its image
    ``test i`` and ``psnr of test i`` and so on, as `ntkdip.studies.trials.train` names them.
    """
    net, params, losses = _taught(dataclasses.replace(lesson, tests=()))
    found: dict[str, Any] = {"loss": losses}
    for i, test in enumerate(lesson.tests):
        built = test.build()
        found |= scored(f"test {i}", _reconstruct(net, params, built), built.truth)
    return found


@functools.lru_cache(maxsize=KEPT_NETWORKS)
def _taught(lesson: Lesson) -> tuple[ImageNetwork, Any, Float[np.ndarray, " steps"]]:
    size = lesson.problem.size
    net = fitted(lesson.net.network(complex_image=True), (size, size))
    return net, *_train(net, lesson)


def _train(net: ImageNetwork, lesson: Lesson) -> tuple[Any, Float[np.ndarray, " steps"]]:
    problem = lesson.problem.build()
    images, rng = _images(lesson), np.random.default_rng(lesson.seed)
    A, sigma = problem.A, lesson.problem.sigma
    trained = net.for_training()

    def loss(params: Any, truths: Array, noise: Array) -> Array:
        def one(truth: Array, n: Array) -> Array:
            start = A.adjoint(A(truth) + n)
            scale = jnp.max(jnp.abs(start)).astype(start.dtype)
            made = _corrected(trained, params, start / scale)
            errors = (jnp.abs(image - truth / scale) ** 2 for image in (made, start / scale))
            ours, theirs = (jnp.sum(e) for e in errors)
            return ours / theirs

        return jnp.mean(jax.vmap(one)(truths, noise))

    schedule = optax.cosine_decay_schedule(lesson.rate, lesson.steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))

    @jax.jit
    def step(params: Any, memory: Any, truths: Array, noise: Array) -> tuple[Any, Any, Array]:
        value, gradient = jax.value_and_grad(loss)(params, truths, noise)
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam needs it
            updates, memory = optimiser.update(gradient, memory, params)
        return optax.apply_updates(params, updates), memory, value

    params = net.init(networks.as_input(problem.truth), key=jax.random.key(lesson.seed))
    memory, losses = optimiser.init(params), []
    for _ in track(range(lesson.steps), "supervised training"):
        truths = np.stack([_varied(images[i], rng)
                           for i in rng.integers(len(images), size=lesson.batch)])  # fmt: skip
        noise = data.add_noise(
            np.zeros((lesson.batch, *A.range.shape), np.complex64), sigma=sigma,
            seed=int(rng.integers(2**31)),
        )  # fmt: skip
        params, memory, value = step(params, memory, jnp.asarray(truths), jnp.asarray(noise))
        losses.append(value)
    return params, np.asarray(jnp.stack(losses))


def _corrected(net: ImageNetwork, params: Any, start: Complex[Array, "h w"]) -> Array:
    z = jnp.stack([start.real, start.imag], axis=-1)
    return start + net.apply(params, z).astype(start.dtype)


def _reconstruct(net: ImageNetwork, params: Any, built: Built) -> np.ndarray:
    start = np.asarray(built.A.adjoint(built.y))
    scale = float(np.abs(start).max())
    made = jax.jit(_corrected, static_argnums=0)(net, params, jnp.asarray(start / scale))
    return scale * np.asarray(made)


def _images(lesson: Lesson) -> list[Complex[np.ndarray, "h w"]]:
    size = lesson.problem.size
    found = [data.brain_slice(i, size) for i in lesson.slices]
    if lesson.phantom:
        phase = np.exp(1j * np.angle(found[0]))
        found.append(data.shepp_logan(size) * phase)
    return [image.astype(np.complex64) for image in found]


def _varied(image: Complex[np.ndarray, "h w"], rng: np.random.Generator) -> np.ndarray:
    """Turned, flipped, of another contrast; the phase stays, as coils and lines do."""
    magnitude, phase = np.abs(image), np.angle(image)
    turned = np.rot90(magnitude, int(rng.integers(4)))
    if rng.random() < 0.5:
        turned = turned[:, ::-1]
    return (turned ** rng.uniform(0.7, 1.5) * np.exp(1j * phase)).astype(np.complex64)
