"""What is measured: cases, their goals, and the families they belong to.

Light to import: no JAX, no ntkdip.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

Network = Literal["wcnn", "deep_decoder", "unet", "dense_head"]
Quantity = Literal[
    "kernel", "product", "eigenpairs", "spectrum", "curve", "trajectory", "sweep", "slice", "step"
]
Padding = Literal["circular", "zero"]
Precision = Literal["float32", "float64"]


@dataclasses.dataclass(frozen=True)
class Goal:
    """What ntkdip must reach against the peer.

    ``speed``: peer's time over ours, at least.  ``memory``: our peak bytes over the
    peer's, at most; None if only speed counts.
    """

    speed: float
    memory: float | None = None


@dataclasses.dataclass(frozen=True)
class Bound:
    """What ntkdip must keep to where no peer can follow, or one is measured beside it.

    ``bytes``: peak, at most.  ``residual``: of the worst eigenpair, over the largest
    eigenvalue, or of a spectrum, at most; None for any.  ``seconds``: of a call, at most;
    None for any.  It is compiled, but for a sweep, which its user runs once.
    """

    bytes: int
    residual: float | None = None
    seconds: float | None = None

    def kept(self, peak: int | None, residual: float | None, seconds: float | None) -> bool:
        """Whether everything that is bounded was measured and is within its bound."""
        found = ((self.bytes, peak), (self.residual, residual), (self.seconds, seconds))
        return all(value is not None and value <= most for most, value in found if most is not None)


STAX = "stax"
"""The peer's one implementation of analytic kernels."""

PREDICT = "predict"
"""The peer's one closed form of training."""

LAST_ITERATION = 10**6
"""Where Theorem 2's curve ends."""

ITERATIONS = 1000
"""Iterations that are run of it."""

ITERATING = f"iterating ({LAST_ITERATION:,} steps: time of {ITERATIONS:,}, scaled)"
"""The other way to Theorem 2's curve."""

EIGENPAIRS = 64
"""How many leading eigenpairs a case of eigenpairs asks for."""

NEVER_WORSE = Goal(speed=1.0, memory=1.0)


@dataclasses.dataclass(frozen=True)
class Case:
    """One network on one image size, 3x3 (3 in 1D).

    ``width`` channels everywhere, or one number a level for the U-Net; ``depth`` counts
    convolutions (WCNN) or blocks (Deep Decoder); ``inputs`` channels of the network's
    input (0: as many as ``width``); ``outputs`` is 2 for a complex image.  ``quantity``:
    the dense kernel; one matrix-free product, whose peer is always JAX's own vjp and jvp;
    the 64 leading eigenpairs, matrix-free, or the spectrum of a stationary kernel, which
    have no peer.  Empirical cases are float32, circular, with random normal weights;
    ``padding`` and ``precision`` vary in the family ``analytic`` only.

    The family ``theory`` starts from an analytic kernel (`benchmarks.theory`): Theorem 2's
    curve, against iterating; a trajectory for ``A = I``, against neural-tangents; and
    Theorem 2 on 50 noise levels and 50 masks, which has no peer.  The family ``data`` reads a
    file of raw k-space (`benchmarks.raw_data`): ``shape`` is that of k-space, ``width`` the
    number of coils; it has no peer either.  The family ``training`` times steps of Adam on a
    U-Net (`benchmarks.training`) against PyTorch's.  ``tolerance``: how far the two answers
    may be apart, in the relative Frobenius norm.
    """

    name: str
    network: Network
    shape: tuple[int, ...]
    width: tuple[int, ...]
    depth: int
    goal: Goal | Bound | None = None
    inputs: int = 1
    outputs: int = 1
    family: str = "empirical"
    quantity: Quantity = "kernel"
    padding: Padding = "circular"
    precision: Precision = "float32"
    tolerance: float = 1e-5

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready; `from_dict` is the inverse."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Case:
        """A case from what `as_dict` wrote, also through JSON."""
        goal = values["goal"]
        if goal:
            goal = Bound(**goal) if "residual" in goal else Goal(**goal)
        shape, width = tuple(values["shape"]), tuple(values["width"])
        return Case(**(values | {"goal": goal, "shape": shape, "width": width}))


def wcnn(
    shape: tuple[int, ...], width: int, depth: int, goal: Goal | None, outputs: int = 1
) -> Case:
    """A WCNN whose input has as many channels as its output."""
    field = "" if outputs == 1 else "complex "
    name = f"{field}WCNN {depth} x {width}, {_size(shape)}"
    return Case(name, "wcnn", shape, (width,), depth, goal, inputs=outputs, outputs=outputs)


def deep_decoder(shape: tuple[int, ...], width: int, depth: int, goal: Goal | None) -> Case:
    """A Deep Decoder with channel normalisation; its input has ``width`` channels."""
    name = f"Deep Decoder {depth} x {width}, {_size(shape)}"
    return Case(name, "deep_decoder", shape, (width,), depth, goal, inputs=0)


def unet(shape: tuple[int, ...], channels: tuple[int, ...], goal: Goal | None) -> Case:
    """A U-Net with channel normalisation."""
    name = f"U-Net {'-'.join(map(str, channels))}, {_size(shape)}"
    return Case(name, "unet", shape, channels, len(channels), goal)


def product(case: Case) -> Case:
    """One product with the kernel of a case, never formed: at most 1.3 times vjp and jvp."""
    goal = Goal(speed=1 / 1.3)
    name = f"product, {case.name}"
    return dataclasses.replace(case, name=name, goal=goal, quantity="product")


def eigenpairs(case: Case) -> Case:
    """The leading eigenpairs of a case's kernel, never formed, within 4 GB."""
    name = f"{EIGENPAIRS} eigenpairs, {case.name}"
    goal = Bound(bytes=4 * 10**9, residual=1e-5)
    return dataclasses.replace(case, name=name, goal=goal, quantity="eigenpairs")


def dense_head(shape: tuple[int, ...], width: int, depth: int, goal: Goal | None) -> Case:
    """``depth`` convolutions with ReLU, then one dense layer from all of it to the image."""
    name = f"WCNN {depth} x {width} with dense head, {_size(shape)}"
    return Case(name, "dense_head", shape, (width,), depth, goal)


def analytic(
    shape: tuple[int, ...],
    goal: Goal | Bound | None,
    padding: Padding = "circular",
    precision: Precision = "float32",
    depth: int = 5,
) -> Case:
    """The infinitely wide WCNN in closed form; its input has 3 channels, random normal.

    The width that is written down enters nowhere.
    """
    name = f"analytic WCNN {depth} layers, {_size(shape)}, {padding}"
    name += "" if precision == "float32" else f", {precision}"
    return Case(
        name, "wcnn", shape, (64,), depth, goal, inputs=3, family="analytic",
        padding=padding, precision=precision,
    )  # fmt: skip


def analytic_decoder(
    shape: tuple[int, ...], depth: int, goal: Goal | None, precision: Precision = "float32"
) -> Case:
    """The infinitely wide Deep Decoder without normalisation; its input has 128 channels."""
    name = f"analytic Deep Decoder {depth} blocks, {_size(shape)}"
    name += "" if precision == "float32" else f", {precision}"
    return Case(
        name, "deep_decoder", shape, (64,), depth, goal, inputs=128, family="analytic",
        precision=precision,
    )  # fmt: skip


def stationary(shape: tuple[int, ...], goal: Bound | None) -> Case:
    """The whole spectrum of the infinitely wide WCNN for white input: ours, without a peer.

    Its residual is the distance to a dense kernel's spectrum at a small size.
    """
    name = f"stationary WCNN 5 layers, {_size(shape)}, whole spectrum"
    return Case(name, "wcnn", shape, (64,), 5, goal, family="analytic", quantity="spectrum")


def curve(shape: tuple[int, ...], goal: Goal | None) -> Case:
    """Theorem 2 at 200 iterations up to 1e6."""
    return _theory(f"MSE curve, {_size(shape)}, masked Fourier", shape, goal, "curve", 1e-9)


def denoising(shape: tuple[int, ...], goal: Goal | None) -> Case:
    """Gradient flow at 200 times, everything measured."""
    return _theory(f"denoising trajectory, {_size(shape)}", shape, goal, "trajectory", 1e-6)


def sweep(shape: tuple[int, ...], goal: Bound | None) -> Case:
    """Theorem 2 as a person runs it: compilation, operators and kernels included."""
    name = f"Theorem 2, 50 noise levels x 50 masks, {_size(shape)}"
    return _theory(name, shape, goal, "sweep", 1e-9)


def raw_slice(shape: tuple[int, ...], coils: int, goal: Bound | None) -> Case:
    """A file becomes an operator, compilation included; the error is that of sensitivities."""
    name = f"fastMRI slice to operator, {coils} coils, {_size(shape)}"
    return Case(name, "wcnn", shape, (coils,), 1, goal, family="data", quantity="slice")


def step(shape: tuple[int, ...], channels: tuple[int, ...], goal: Goal | None) -> Case:
    """Loss, gradient and update by Adam of a U-Net whose input has 2 channels, as its output."""
    name = f"a step of U-Net {'-'.join(map(str, channels))}, {_size(shape)}"
    return Case(
        name, "unet", shape, channels, len(channels), goal, inputs=2, outputs=2,
        family="training", quantity="step", padding="zero",
    )  # fmt: skip


def _theory(
    name: str, shape: tuple[int, ...], goal: Goal | Bound | None, quantity: Quantity,
    tolerance: float,
) -> Case:  # fmt: skip
    return Case(
        name, "wcnn", shape, (64,), 4, goal, outputs=len(shape), family="theory",
        quantity=quantity, precision="float64", tolerance=tolerance,
    )  # fmt: skip


def _size(shape: tuple[int, ...]) -> str:
    if len(shape) == 1:
        return f"1D, {shape[0]} pixels"
    return "x".join(map(str, shape))


EMPIRICAL = (
    wcnn((16, 16), 128, 4, Goal(5.0, 0.7)),
    wcnn((16, 16), 256, 4, Goal(7.0, 0.5)),
    wcnn((32, 32), 64, 4, Goal(2.5, 1.0)),
    deep_decoder((64, 64), 128, 4, Goal(3.0, 0.5)),
    deep_decoder((32, 32), 128, 4, NEVER_WORSE),
    wcnn((256,), 1024, 4, Goal(8.0, 0.3)),
    unet((32, 32), (16, 32, 64), NEVER_WORSE),
    dense_head((16, 16), 32, 3, NEVER_WORSE),
    deep_decoder((512,), 128, 4, NEVER_WORSE),
    wcnn((48, 48), 32, 3, NEVER_WORSE),
    wcnn((24, 24), 64, 4, NEVER_WORSE, outputs=2),
    product(unet((256, 256), (32, 64, 128, 256), None)),
    product(wcnn((128, 128), 64, 4, None, outputs=2)),
    eigenpairs(unet((256, 256), (32, 64, 128, 256), None)),
)

SMALL_EMPIRICAL = (
    wcnn((6, 6), 4, 3, None),
    deep_decoder((8, 8), 8, 2, None),
    unet((8, 8), (3, 4), None),
    dense_head((6, 6), 3, 2, None),
    wcnn((4, 6), 4, 3, None, outputs=2),
    dataclasses.replace(product(unet((8, 8), (3, 4), None)), goal=None),
    eigenpairs(unet((16, 16), (3, 4), None)),
)
"""The same networks at sizes that take a moment; they have no goals."""

ANALYTIC = (
    analytic((32, 32), Goal(5.0, 1.0)),
    analytic((32, 32), Goal(5.0, 1.0), "zero"),
    analytic((64, 64), Goal(8.0, 1.0)),
    analytic((64, 64), Goal(8.0, 1.0), "zero"),
    analytic((32, 32), NEVER_WORSE, precision="float64"),
    analytic((64, 64), NEVER_WORSE, precision="float64"),
    analytic((1024,), NEVER_WORSE),
    analytic_decoder((64, 64), 4, NEVER_WORSE),
    analytic((128, 128), Bound(bytes=8 * 10**9)),
    stationary((512, 512), Bound(bytes=200 * 10**6, residual=1e-10, seconds=1.0)),
)

SMALL_ANALYTIC = (
    analytic((5, 6), None, "zero", "float64", depth=3),
    analytic((12,), None, precision="float64", depth=3),
    analytic_decoder((8, 8), 2, None, "float64"),
    analytic((6, 5), Bound(bytes=10**9), precision="float64", depth=4),
    stationary((16, 16), Bound(bytes=10**9, residual=1e-10)),
)
"""In float64: the peer's float32 is off by about 1e-4 on the diagonal, which is most of a
small kernel."""

THEORY = (
    curve((1024,), Goal(speed=1000.0)),
    denoising((1024,), NEVER_WORSE),
    sweep((32, 32), Bound(bytes=10**9, seconds=60.0)),
)

SMALL_THEORY = (
    curve((64,), None),
    denoising((64,), None),
    sweep((8, 8), Bound(bytes=10**9)),
)

DATA = (raw_slice((640, 368), 15, Bound(bytes=2 * 10**9, residual=1e-2, seconds=20.0)),)

SMALL_DATA = (raw_slice((192, 128), 4, Bound(bytes=10**9, residual=1e-1)),)

TRAINING = (
    step((128, 128), (32, 64, 128, 128), Goal(1.5, 1.0)),
    step((256, 256), (32, 64, 128, 128), Goal(1.5, 1.0)),
    step((128, 128), (16, 32, 64, 64), NEVER_WORSE),
    step((256, 256), (16, 32, 64, 64), NEVER_WORSE),
)

SMALL_TRAINING = (step((32, 32), (16, 16), None),)

Family = Literal["empirical", "analytic", "theory", "data", "training"]

FAMILIES: dict[Family, tuple[Case, ...]] = {
    "empirical": EMPIRICAL,
    "analytic": ANALYTIC,
    "theory": THEORY,
    "data": DATA,
    "training": TRAINING,
}
"""Every family."""

SMALL: dict[Family, tuple[Case, ...]] = {
    "empirical": SMALL_EMPIRICAL,
    "analytic": SMALL_ANALYTIC,
    "theory": SMALL_THEORY,
    "data": SMALL_DATA,
    "training": SMALL_TRAINING,
}
