"""Iterations as spectral filters: what each makes of an eigenvalue of ``S = A W A*``.

Every method here updates ``z_t = z_0 + W A* c_t`` by linear steps that only know
``S c_t - (y - A z_0)``.  So ``c_t = phi_t(S) (y - A z_0)`` with a scalar function ``phi_t``,
and ``A z_t`` has moved by the share ``l phi_t(l)`` of the data along an eigenvector of
eigenvalue ``l`` (design page, section 1: "the same formulas with another filter").
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64

SEPARATED = 0.1
"""Characteristic roots count as one closer than this share of ``1 - beta``, their distance at 0."""


@dataclasses.dataclass(frozen=True)
class Method(abc.ABC):
    """An iteration of the kernel regime, and its filter ``phi_t``.

    Parameters
    ----------
    step_size
        ``eta``; None takes ``1 / (lambda_max(A W A*) + ridge)``.
    ridge
        Weight decay towards the start: the iteration minimises
        ``1/2 ||A z - y||^2 + ridge/2 ||theta - theta_0||^2``, so that every ``l`` becomes
        ``l + ridge`` and the limit is ``z_0 + W A*(A W A* + ridge I)^-1 (y - A z_0)``.

    Raises
    ------
    ValueError
        If the ridge is negative or not finite.
    """

    step_size: float | None = None
    ridge: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.ridge < np.inf:
            raise ValueError(f"ridge is finite and at least 0; got {self.ridge}")

    def step_size_bound(self, largest: float) -> float:
        """Smaller positive step sizes are stable for eigenvalues up to ``largest``."""
        return self._stable_product / (largest + self.ridge)

    @property
    def swings(self) -> int:
        """Iterations after which ``phi_t`` only moves one way, or between two neighbours."""
        return 0

    def resolved(self, largest: float) -> Method:
        """The same method with its step size chosen, or found to be stable.

        Raises
        ------
        ValueError
            If the step size is not positive, or not below `step_size_bound` (which is named).
        """
        if self.step_size is None:
            return dataclasses.replace(self, step_size=1.0 / (largest + self.ridge))
        bound = self.step_size_bound(largest)
        if not 0 < self.step_size < bound:
            raise ValueError(
                f"step size {self.step_size:.6g} is not stable: {self._name} needs "
                f"0 < eta < {self._bound_formula} = {bound:.6g}"
            )
        return self

    def __call__(
        self, values: Float[np.ndarray, " r"], t: Sequence[float] | np.ndarray
    ) -> Float64[np.ndarray, "T r"]:
        """``phi_t`` at eigenvalues.

        Parameters
        ----------
        values
            ``l >= 0``, ``(r,)``.
        t
            Iterations (`GradientFlow`: times), at least 0; ``inf`` is the limit, which at
            ``l + ridge = 0`` is set to 0 (the pseudo-inverse).

        Returns
        -------
        ``(T, r)``, float64; ``l phi_t(l)`` is in [0, 1] for gradient descent below half of
        its bound.  Any ``t`` costs the same.

        Raises
        ------
        ValueError
            If an iteration is negative, NaN or not whole, or the step size is not chosen yet
            (`resolved`).
        """
        if self.step_size is None:
            raise ValueError("the step size is not chosen yet; use resolved(largest) first")
        t = self._checked(t)
        shifted = np.maximum(values, 0.0) + self.ridge
        infinite = np.isinf(t)
        steps = np.where(infinite, 0.0, t)[:, None]
        phi = self._finite(shifted, steps)
        limit = np.divide(1.0, shifted, out=np.zeros_like(shifted), where=shifted > 0)
        return np.where(infinite[:, None], limit, phi)

    def _checked(self, t: Sequence[float] | np.ndarray) -> Float64[np.ndarray, " T"]:
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        finite = t[np.isfinite(t)]
        if t.ndim != 1 or np.isnan(t).any() or (t < 0).any() or (finite % 1).any():
            raise ValueError(f"iterations are non-negative integers or inf; got {t}")
        return t

    @abc.abstractmethod
    def _finite(self, values: np.ndarray, t: np.ndarray) -> np.ndarray:
        """``phi_t`` for eigenvalues ``(r,)``, ridge included, and finite ``t`` (T, 1)."""

    @property
    @abc.abstractmethod
    def _stable_product(self) -> float:
        """Bound on ``eta`` times the largest eigenvalue."""

    @property
    @abc.abstractmethod
    def _bound_formula(self) -> str: ...

    @property
    @abc.abstractmethod
    def _name(self) -> str: ...


@dataclasses.dataclass(frozen=True)
class GradientDescent(Method):
    """``z_{t+1} = z_t + eta W A*(y - A z_t)``: ``phi_t(l) = (1 - (1 - eta l)^t) / l``.

    Stable for ``eta < 2 / lambda_max``.  Source: design page, section 1.
    """

    _stable_product = 2.0
    _bound_formula = "2 / lambda_max(A W A*)"
    _name = "gradient descent"

    def _finite(self, values: np.ndarray, t: np.ndarray) -> np.ndarray:
        assert self.step_size is not None
        decay = self.step_size * values
        slow = decay < 0.5
        rate = np.log1p(-np.where(slow, decay, 0.5))
        fast = 1.0 - _power(1.0 - decay, t)
        reached = np.where(slow, -np.expm1(t * rate), fast)
        return _divided(reached, values, self.step_size * t)


@dataclasses.dataclass(frozen=True)
class GradientFlow(Method):
    """``dz/dt = eta W A*(y - A z)``: ``phi_t(l) = (1 - exp(-eta l t)) / l``, any real ``t``.

    Any positive step size is stable; with the default one, ``t`` compares to iterations of
    gradient descent.  Source: design page, section 1.
    """

    _stable_product = np.inf
    _bound_formula = "inf"
    _name = "gradient flow"

    def _checked(self, t: Sequence[float] | np.ndarray) -> Float64[np.ndarray, " T"]:
        t = np.atleast_1d(np.asarray(t, dtype=np.float64))
        if t.ndim != 1 or np.isnan(t).any() or (t < 0).any():
            raise ValueError(f"times are non-negative numbers or inf; got {t}")
        return t

    def _finite(self, values: np.ndarray, t: np.ndarray) -> np.ndarray:
        assert self.step_size is not None
        return _divided(-np.expm1(-self.step_size * values * t), values, self.step_size * t)


@dataclasses.dataclass(frozen=True)
class Momentum(Method):
    """A method with memory of one step: ``phi_{t+1} = b phi_t - p phi_{t-1} + eta``.

    Parameters
    ----------
    momentum
        ``beta``, in [0, 1).

    Raises
    ------
    ValueError
        If it is not.

    Notes
    -----
    ``1 - l phi_t(l)`` is a combination of the ``t``-th powers of the roots of
    ``r^2 - b r + p``.  Where they are real and apart, ``1 - r_1 = eta l / (1 - r_2)`` keeps
    the digits of slow directions; where they nearly meet, their divided difference is formed
    without a difference.
    """

    momentum: float = 0.9

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum is in [0, 1); got {self.momentum}")

    def _finite(self, values: np.ndarray, t: np.ndarray) -> np.ndarray:
        assert self.step_size is not None
        decay = (self.step_size * values).astype(np.complex128)
        b, p = self._characteristic(decay)
        gap = np.sqrt(b**2 - 4 * p)
        first = (b + np.where(b.real < 0, -gap, gap)) / 2
        second = np.divide(p, first, out=np.zeros_like(first), where=first != 0)
        moved = np.where(
            np.abs(first - second) > SEPARATED * (1 - self.momentum),
            _moved_apart(decay, first, second, t),
            _moved_together(decay, p, first, second, t),
        )
        beta = self.momentum
        still = self.step_size / (1 - beta) * (t - beta * (1 - beta**t) / (1 - beta))
        return _divided(moved, values, still)

    @property
    def swings(self) -> int:
        """Until ``beta^(t/2)`` has fallen below 1e-6."""
        if self.momentum == 0:
            return 0
        return int(np.ceil(2 * np.log(1e-6) / np.log(self.momentum)))

    @abc.abstractmethod
    def _characteristic(self, decay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``b`` and ``p`` at ``eta l``."""


@dataclasses.dataclass(frozen=True)
class HeavyBall(Momentum):
    """``z_{t+1} = z_t + eta W A*(y - A z_t) + beta (z_t - z_{t-1})``, ``z_{-1} = z_0``.

    Stable for ``eta < 2 (1 + beta) / lambda_max``.  Source: Polyak, "Some methods of speeding
    up the convergence of iteration methods" (1964); the filter is ours.
    """

    @property
    def _stable_product(self) -> float:
        return 2.0 * (1.0 + self.momentum)

    _bound_formula = "2 (1 + beta) / lambda_max(A W A*)"
    _name = "heavy-ball momentum"

    def _characteristic(self, decay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return 1 + self.momentum - decay, np.full_like(decay, self.momentum)


@dataclasses.dataclass(frozen=True)
class Nesterov(Momentum):
    """``w_t = z_t + beta (z_t - z_{t-1})``, ``z_{t+1} = w_t + eta W A*(y - A w_t)``.

    Constant momentum, ``z_{-1} = z_0``; stable for
    ``eta < 2 (1 + beta) / ((1 + 2 beta) lambda_max)``.  Source: Nesterov (1983) with constant
    momentum; bound (Jury's conditions on the characteristic polynomial) and filter are ours.
    """

    @property
    def _stable_product(self) -> float:
        return 2.0 * (1.0 + self.momentum) / (1.0 + 2.0 * self.momentum)

    _bound_formula = "2 (1 + beta) / ((1 + 2 beta) lambda_max(A W A*))"
    _name = "Nesterov momentum"

    def _characteristic(self, decay: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return (1 + self.momentum) * (1 - decay), self.momentum * (1 - decay)


def _divided(reached: np.ndarray, values: np.ndarray, at_zero: np.ndarray) -> np.ndarray:
    """``reached / values``, with the limit where a value is 0."""
    out = np.broadcast_to(at_zero, reached.shape).astype(np.float64)
    return np.divide(reached, values, out=out, where=np.broadcast_to(values > 0, reached.shape))


def _power(base: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``base^t`` for whole ``t`` of any size and real bases of modulus at most 1."""
    return np.abs(base) ** t * np.where(t % 2 == 1, np.sign(base), 1.0)


def _moved_apart(
    decay: np.ndarray, first: np.ndarray, second: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """``1 - (1 - rest) r_1^t - rest r_2^t``, the rest from ``t = 1``."""
    gap = np.where(first == second, 1.0, first - second)
    # The roots' distances from 1 have the product eta l: of the small one no digit is lost.
    distance = decay / (1 - second)
    rest = -distance * second / gap
    moved = (1 - rest) * _lost(first, distance, t) + rest * _lost(second, 1 - second, t)
    return moved.real


def _lost(root: np.ndarray, distance: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``1 - root^t``, with ``distance = 1 - root`` known to all its digits."""
    slow = np.abs(distance) < 0.5
    near = -_expm1(t * _log1p(-np.where(slow, distance, 0.0)))
    return np.where(slow, near, 1.0 - _complex_power(root, t))


def _moved_together(
    decay: np.ndarray, p: np.ndarray, first: np.ndarray, second: np.ndarray, t: np.ndarray
) -> np.ndarray:
    """``1 - (1 - eta l) s_t + p s_{t-1}`` with ``s_t = (r_1^t - r_2^t) / (r_1 - r_2)``."""
    now = _divided_difference(first, second, t)
    before = _divided_difference(first, second, np.maximum(t - 1, 0))
    return np.where(t > 0, 1.0 - ((1 - decay) * now - p * before).real, 0.0)


def _divided_difference(first: np.ndarray, second: np.ndarray, t: np.ndarray) -> np.ndarray:
    """``(first^t - second^t) / (first - second)``, also where they meet; first is the larger."""
    base = np.where(first == 0, 1.0, first)
    ratio = np.where(second == 0, 0.0, (second - base) / base)
    # s_t = first^(t-1) (1 - (second / first)^t) / (1 - second / first)
    sums = _expm1(t * _log1p(ratio)) / np.where(ratio == 0, 1.0, ratio)
    sums = np.where(ratio == 0, np.where(second == 0, 1.0, t), sums)
    found = np.where(first == 0, t == 1, _complex_power(base, np.maximum(t - 1, 0)) * sums)
    return np.where(t > 0, found, 0.0)


def _complex_power(base: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.abs(base) ** t * np.exp(1j * np.angle(base) * t)


def _log1p(z: np.ndarray) -> np.ndarray:
    """NumPy's complex ``log1p`` forms ``1 + z``."""
    modulus = 0.5 * np.log1p(2 * z.real + z.real**2 + z.imag**2)
    return modulus + 1j * np.arctan2(z.imag, 1 + z.real)


def _expm1(z: np.ndarray) -> np.ndarray:
    real = np.expm1(z.real) * np.cos(z.imag) - 2 * np.sin(z.imag / 2) ** 2
    return real + 1j * np.exp(z.real) * np.sin(z.imag)
