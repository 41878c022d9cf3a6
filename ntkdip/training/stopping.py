"""When to stop without the truth: rules that watch one run, observation by observation.

A rule is a frozen set of settings; what it has seen is a dict of NumPy arrays whose shapes and
dtypes are known from the start, so that a checkpoint restores it bit for bit.  Nothing here
writes to an array that it was given or has returned.
"""

from __future__ import annotations

import abc
import dataclasses
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Inexact

State = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Observation:
    """What a rule is told at a recorded step.

    ``step``: steps taken; ``image``: the reconstruction there, of the shape and dtype that the
    rule was started with; ``residual``: ``||A f - y||`` over the samples trained on, in the
    data's unit; ``held_out``: relative error on the held-out samples, NaN where none are.
    """

    step: int
    image: Inexact[np.ndarray, "..."]
    residual: float
    held_out: float = float("nan")


@dataclasses.dataclass(frozen=True, eq=False)
class Pick:
    """The reconstruction that a rule picks.

    ``step`` and ``image``: which; ``triggered``: whether the rule has said to stop, as against
    its best so far; ``reason``: one line for people.
    """

    step: int
    image: Inexact[np.ndarray, "..."]
    triggered: bool
    reason: str


class StoppingRule(abc.ABC):
    """Settings of a rule, and pure functions on its state.

    ``name`` labels its results; ``needs_held_out``: whether it is blind without held-out
    samples.  A rule of your own gives `pick`, `_next`, and `start` if it keeps more than a pick.
    """

    name: str
    needs_held_out: ClassVar[bool] = False

    def observed_every(self, steps: int) -> StoppingRule:
        """The rule for a run that records at this cadence; itself where that does not matter."""
        return self

    def start(self, shape: tuple[int, ...], dtype: Any) -> State:
        """State before any observation, for images of this shape and dtype.

        Raises
        ------
        ValueError
            If the dtype is not real or complex floating point.
        """
        if not np.issubdtype(dtype, np.inexact):
            raise ValueError(f"images are real or complex floating-point arrays; got {dtype}")
        return {
            "step": np.array(-1, np.int64),
            "image": np.zeros(shape, dtype),
            "value": np.array(np.inf, np.float64),
            "triggered": np.array(False),
        }

    def observe(self, state: State, observation: Observation) -> State:
        """State after one more observation; steps rise.  Nothing changes once triggered.

        Raises
        ------
        ValueError
            If the image's shape or dtype is not what the rule was started with.
        """
        image, kept = observation.image, state["image"]
        if (image.shape, image.dtype) != (kept.shape, kept.dtype):
            raise ValueError(
                f"{self.name}: the rule was started for {kept.dtype} images of shape "
                f"{kept.shape}; this one is {image.dtype} of shape {image.shape}"
            )
        return state if state["triggered"] else self._next(state, observation)

    @abc.abstractmethod
    def pick(self, state: State) -> Pick | None:
        """The rule's pick so far; None where it has none yet."""

    @abc.abstractmethod
    def _next(self, state: State, observation: Observation) -> State:
        """State after an observation of an image that fits, the rule not having triggered."""


@dataclasses.dataclass(frozen=True)
class WindowedVariance(StoppingRule):
    """Stop where the reconstructions of a window vary least: ES-WMV.

    The variance is ``mean_w ||x_w - mean_w x_w||^2`` over the latest ``window / every``
    reconstructions.  The pick is the *newest* reconstruction of the window whose variance is
    smallest so far, as in the paper's algorithm; the rule triggers when no smaller one has come
    for ``patience`` steps.  There is no pick before the first window is full.

    Parameters
    ----------
    window, patience
        In steps, as the paper counts them (its defaults).  The window spans the steps and is
        sampled at the recorded ones.
    every
        Steps from one observation to the next; `reconstruct` sets it to the cadence at which it
        records.

    Raises
    ------
    ValueError
        If a setting is below 1 or the window holds fewer than two observations.

    Notes
    -----
    Memory: the window's images in their own dtype, each an array of its own in the state
    (128 x 128 complex, 100 images: 13 MB), the pick, and one image in double precision.  An
    observation costs a few passes over one image.  The sums are in float64 and computed afresh
    once a window, so rounding does not add up over a run.
    Source: Wang et al., "Early Stopping for Deep Image Prior", arXiv 2112.06074.
    """

    window: int = 100
    patience: int = 1000
    every: int = 1
    name: str = "windowed variance"

    def __post_init__(self) -> None:
        for setting in ("window", "patience", "every"):
            value = getattr(self, setting)
            if value < 1:
                raise ValueError(f"{setting} is a number of steps, at least 1; got {value}")
        if self.window < 2 * self.every:
            raise ValueError(
                f"a window of {self.window} steps, observed every {self.every}, holds fewer than "
                f"two images: use a window of at least {2 * self.every} steps"
            )

    def observed_every(self, steps: int) -> WindowedVariance:
        """The rule with ``every`` as the run records."""
        return dataclasses.replace(self, every=steps)

    @property
    def images(self) -> int:
        """How many observations a window holds."""
        return self.window // self.every

    def start(self, shape: tuple[int, ...], dtype: Any) -> State:
        return super().start(shape, dtype) | {
            "seen": np.array(0, np.int64),
            "mean": np.zeros(shape, np.result_type(dtype, np.float64)),
            "spread": np.array(0.0, np.float64),
            **{_slot(i): np.zeros(shape, dtype) for i in range(self.images)},
        }

    def _next(self, state: State, observation: Observation) -> State:
        state = self._slide(state, observation.image)
        if state["seen"] < self.images:
            return state
        state = _take_if_smaller(state, observation, float(state["spread"]) / self.images)
        return _out_of_patience(state, observation, self.patience)

    def pick(self, state: State) -> Pick | None:
        value = float(state["value"])
        reason = f"smallest variance so far of {self.images} images, {value:.3g}"
        return _pick(state, reason + _patience_lost(state, self.patience))

    def _slide(self, state: State, image: np.ndarray) -> State:
        """Push an image; every slot is an array of its own, so the others are not copied."""
        seen = int(state["seen"])
        slot = _slot(seen % self.images)
        old = state[slot]
        state = state | {slot: image.copy(), "seen": np.array(seen + 1, np.int64)}
        if seen + 1 < self.images:
            return state
        with np.errstate(invalid="ignore", over="ignore"):
            if (seen + 1) % self.images == 0:
                return state | self._moments(state)
            # Welford's update, for one observation in and one out.
            mean = state["mean"]
            step = image.astype(mean.dtype) - old
            moved = mean + step / self.images
            change = np.vdot(step, (image - moved) + (old - mean)).real
            spread = np.array(max(float(state["spread"]) + change, 0.0), np.float64)
            return state | {"mean": moved, "spread": spread}

    def _moments(self, state: State) -> State:
        slots = [state[_slot(i)] for i in range(self.images)]
        mean = np.zeros_like(state["mean"])
        for image in slots:
            mean += image
        mean /= self.images
        spread = np.array(sum(_square(image - mean) for image in slots), np.float64)
        return {"mean": mean, "spread": spread}


@dataclasses.dataclass(frozen=True)
class Discrepancy(StoppingRule):
    """Stop at the first observation whose residual is down to the noise.

    ``||A f - y|| <= factor * noise_norm``.  Until then the pick, not triggered, is the smallest
    residual so far.

    Parameters
    ----------
    noise_norm
        Expected norm of the noise in the samples that are trained on, in the data's unit:
        `expected_noise_norm`.
    factor
        At least 1 as a rule; above 1 stops earlier.

    Raises
    ------
    ValueError
        If either is not positive and finite.

    Notes
    -----
    Memory: one image.  Source: Morozov, Soviet Math. Dokl. 7, 1966.
    """

    noise_norm: float
    factor: float = 1.0
    name: str = "discrepancy"

    def __post_init__(self) -> None:
        for setting in ("noise_norm", "factor"):
            value = getattr(self, setting)
            if not 0 < value < np.inf:
                raise ValueError(f"{setting} is positive and finite; got {value}")

    def _next(self, state: State, observation: Observation) -> State:
        state = _take_if_smaller(state, observation, observation.residual)
        reached = observation.residual <= self.factor * self.noise_norm
        return state | {"triggered": np.array(reached)}

    def pick(self, state: State) -> Pick | None:
        relation = "is down to" if state["triggered"] else "has not come down to"
        level = f"{self.factor * self.noise_norm:.4g}"
        return _pick(state, f"residual {float(state['value']):.4g} {relation} the noise, {level}")


@dataclasses.dataclass(frozen=True)
class HeldOut(StoppingRule):
    """Stop where the error on the held-out samples is smallest: self-validation.

    Parameters
    ----------
    patience
        Steps without a smaller error after which the rule triggers; None never does, and the
        pick is the best of the whole run.

    Raises
    ------
    ValueError
        If ``patience`` is below 1.

    Notes
    -----
    Memory: one image.  Observations without a held-out error are passed over.
    Source: Yaman, Hosseini and Akcakaya, "Zero-Shot Self-Supervised Learning for MRI
    Reconstruction", ICLR 2022.
    """

    patience: int | None = None
    name: str = "held-out"
    needs_held_out: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience is a number of steps, at least 1; got {self.patience}")

    def _next(self, state: State, observation: Observation) -> State:
        state = _take_if_smaller(state, observation, observation.held_out)
        if self.patience is None:
            return state
        return _out_of_patience(state, observation, self.patience)

    def pick(self, state: State) -> Pick | None:
        reason = f"smallest error so far on held-out samples, {float(state['value']):.4g}"
        return _pick(state, reason + _patience_lost(state, self.patience))


@dataclasses.dataclass(frozen=True)
class AtIteration(StoppingRule):
    """Stop at the first observation at or after a step that is known beforehand.

    Until then the pick, not triggered, is the latest observation.

    Parameters
    ----------
    step
        The step, at least 0, such as the kernel's prediction of the best; ``inf`` never
        triggers.

    Raises
    ------
    ValueError
        If the step is negative or NaN.

    Notes
    -----
    Memory: one image.  Source: design page, section 1 (``t* = argmin MSE_t``).
    """

    step: float
    name: str = "kernel-predicted"

    def __post_init__(self) -> None:
        if not self.step >= 0:
            raise ValueError(f"step is 0 or more, inf allowed; got {self.step}")

    def _next(self, state: State, observation: Observation) -> State:
        reached = np.array(observation.step >= self.step)
        return _take(state, observation, float(observation.step)) | {"triggered": reached}

    def pick(self, state: State) -> Pick | None:
        if state["triggered"]:
            return _pick(state, f"the first observation at or after step {self.step:g}")
        return _pick(state, f"the latest observation; step {self.step:g} has not come")


def expected_noise_norm(sigma: float, samples: int) -> float:
    """``sqrt(E ||n||^2) = sigma * sqrt(samples)``, what `Discrepancy` compares with.

    Parameters
    ----------
    sigma
        Noise a sample, in the data's unit: ``E |n_i|^2 = sigma^2`` whether data are complex
        (half of it in each part) or real (design page, section 1).
    samples
        How many are trained on: complex ones count once, held-out ones not, coils all.

    Raises
    ------
    ValueError
        If ``sigma`` is not positive and finite, or there are no samples.
    """
    if not 0 < sigma < np.inf:
        raise ValueError(f"sigma is positive and finite; got {sigma}")
    if samples < 1:
        raise ValueError(f"samples is at least 1; got {samples}")
    return float(sigma * np.sqrt(samples))


def _slot(i: int) -> str:
    return f"image_{i}"


def _square(x: np.ndarray) -> float:
    return float(np.vdot(x, x).real)


def _take(state: State, observation: Observation, value: float) -> State:
    return state | {
        "step": np.array(observation.step, np.int64),
        "image": observation.image.copy(),
        "value": np.array(value, np.float64),
    }


def _take_if_smaller(state: State, observation: Observation, value: float) -> State:
    """NaN is never smaller, so that what did not come out finite is not picked."""
    return _take(state, observation, value) if value < state["value"] else state


def _out_of_patience(state: State, observation: Observation, patience: int) -> State:
    waited = observation.step - int(state["step"])
    return state | {"triggered": np.array(state["step"] >= 0 and waited >= patience)}


def _patience_lost(state: State, patience: int | None) -> str:
    return f"; none smaller in {patience} steps" if state["triggered"] else ""


def _pick(state: State, reason: str) -> Pick | None:
    if state["step"] < 0:
        return None
    return Pick(int(state["step"]), state["image"], bool(state["triggered"]), reason)
