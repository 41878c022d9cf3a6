"""Kernel self-guidance: the reconstruction becomes the input of its own kernel.

    z_{k+1} = W(z_k) A* (A W(z_k) A* + lambda I)^{-1} y,    z_0 = A^+ y

``lambda`` is relative to the mean eigenvalue of ``W``.  As the input nears the image, the
range of ``W`` comes to contain it, and Theorem 1 (b) promises exact recovery; whether the
iteration gets there is another matter (see `self_guidance`).  Source: design page, section 1,
"Beyond the paper"; the stopping rule is ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import Float64, Inexact

from ntkdip import kernels
from ntkdip.kernels import Kernel
from ntkdip.networks import Architecture
from ntkdip.operators import LinearOperator, host_float64
from ntkdip.progress import track
from ntkdip.spaces import require_finite
from ntkdip.theory.ridge_choice import (
    RidgeRule,
    RidgeSolution,
    choose_and_solve,
    measure,
    pseudo_inverse,
    solve_with_ridge,
)

StoppingRule = Literal["evidence", "change"]
Precision = Literal["float64", "float32"]
KernelOf = Architecture | Callable[[np.ndarray], Kernel]


@dataclasses.dataclass(frozen=True, eq=False)
class SelfGuidanceRun:
    """Everything that kernel self-guidance computed; ``K`` is the number of iterations.

    Row ``k`` of what has ``K`` rows belongs to the kernel ``W(z_k)``, which makes
    ``z_{k+1}``.

    Attributes
    ----------
    iterates
        ``z_0 ... z_K``, ``(K + 1, *image shape)``, float64 or complex128.
    residuals
        ``|A z_k - y| / |y|``, ``(K + 1,)``.
    changes
        ``|z_{k+1} - z_k| / |z_k|``, ``(K,)``.
    range_distances
        ``|z_k - W A* (A W A* + lambda I)^{-1} A z_k| / |z_k|``, ``(K,)``: how far the input
        is from what its own kernel makes of the input's own noise-free data.  For
        ``lambda -> 0`` it is 0 iff ``z_k`` is in ``R(W A*)``, which is what Theorem 1 (a) asks
        of an image; no truth is needed.  Where ``A z_k = y`` it is the change.
    ridges
        ``lambda`` over the mean eigenvalue of ``W(z_k)``, ``(K,)``.
    log_evidence
        Log-likelihood of the data a real dimension, nats, ``(K,)``, under
        ``y ~ N(0, a (A W A* + lambda I))`` with the likeliest ``a``.
    chosen
        Index of the iterate that the stopping rule chose.
    reason
        Why the run ended.
    """

    iterates: Inexact[np.ndarray, "K1 ..."]
    residuals: Float64[np.ndarray, " K1"]
    changes: Float64[np.ndarray, " K"]
    range_distances: Float64[np.ndarray, " K"]
    ridges: Float64[np.ndarray, " K"]
    log_evidence: Float64[np.ndarray, " K"]
    chosen: int
    reason: str

    @property
    def image(self) -> Inexact[np.ndarray, "..."]:
        """The chosen iterate."""
        return self.iterates[self.chosen]


class SelfGuidanceError(FloatingPointError):
    """An iteration failed; ``run`` holds all that was computed before it."""

    def __init__(self, message: str, run: SelfGuidanceRun):
        super().__init__(message)
        self.run = run


def self_guidance(
    kernel_of: KernelOf,
    A: LinearOperator,
    y: Inexact[Any, "..."],
    *,
    start: Inexact[Any, "..."] | None = None,
    ridge: float | Sequence[float] | RidgeRule = 1e-4,
    sigma: float | None = None,
    damping: float = 0.0,
    iterations: int = 20,
    stop: StoppingRule = "evidence",
    patience: int = 3,
    tolerance: float = 1e-6,
    precision: Precision = "float64",
) -> SelfGuidanceRun:
    """Reconstruct with the kernel of the reconstruction, again and again.

    Parameters
    ----------
    kernel_of
        An architecture, whose infinitely wide kernel is taken (`ntkdip.kernels.analytic`);
        or a function from an image to its kernel, for instance
        ``lambda z: kernels.empirical(net, params, networks.as_input(z))``.
    A
        Forward operator.
    y
        Data, shape ``A.range.shape``.
    start
        ``z_0``, an image.  None: ``A^+ y`` by LSQR, ended once the residual is that of the
        noise if ``sigma`` is given.  Without ``sigma``, coils amplify noise in ``A^+ y``
        without bound: give ``A.adjoint(y)`` then.
    ridge
        ``lambda`` over the mean eigenvalue of ``W(z_k)``: a number; a falling sequence, whose
        last value holds from its end on; or a rule that chooses anew for every kernel:
        ``gcv``, ``evidence`` (likelihood of the data), ``discrepancy`` (residual of the size
        of the noise).
    sigma
        Noise level, ``E|n_i|^2 = sigma^2`` a sample, real or complex.
    damping
        Share of ``z_k`` kept in ``z_{k+1}``, in [0, 1).
    iterations
        At most this many.
    stop
        Which iterate is chosen, without the truth.  ``evidence``: the one whose kernel makes
        the data likeliest; the run ends after ``patience`` iterations without a likelier
        kernel.  ``change``: the last.
    patience
        See ``stop``.
    tolerance
        Either rule ends the run where the relative change falls below it.
    precision
        Of an architecture's kernel; ``float32`` needs ridges of 1e-4 and more.

    Returns
    -------
    `SelfGuidanceRun`; its ``image`` is the chosen iterate.

    Raises
    ------
    ValueError
        If arguments do not fit, before anything is computed; or if the first kernel does not.
    SelfGuidanceError
        If an iteration fails later or leaves the finite numbers; it carries the run so far.

    Notes
    -----
    Cost an iteration: one kernel, ``ntkdip.theory.ridge_choice.measure``, and a Cholesky
    factor (or, for a rule or a ridge below 1e-9, the eigenpairs) of size ``p``, O(p^3).  With
    an infinitely wide kernel and a complex-linear ``A``, ``p`` counts complex samples.

    Measured with a WCNN of 3x3 kernels and depth 10 on `ntkdip.data.mri_slice`, 4x lines,
    noise-free, five masks: median gains of 2.9 dB over ``A^+ y`` at 48² (2.1 to 3.8) and
    2.9 dB at 64² (2.3 to 4.9), of 9.2 and 10.8 dB that the true image as input gains
    (`ntkdip.studies.self_guidance`).  What limits it, at 48²:

    - Not the kernel: 3x3 of depth 4 to 10 and 5x5 of depth 4 and 6 gain 2.5 to 3.0 dB after
      six iterations, though from the true image depth 4 gains 19 dB and depth 10 gains 9.
    - Not the ridge, without noise: 1e-2 to 1e-6 and falling paths gain within 0.2 dB of each
      other.  In the 1D reference problem, where the rank of ``W`` falls to the number of
      distinct patches, it decides where the iteration stalls.
    - The truth is no fixed point: started there (first mask, depth 10), the iteration is down
      at 24.4 dB after twelve steps and still falling, where ``A^+ y`` leads to 23.7.  Too few
      patches of the slice repeat: ``W(x)`` is nonsingular, and what it misses is fed back.
    - The data point elsewhere: for all five masks they are likelier under the chosen iterate's
      kernel than under ``W(x)``, by 0.03 to 0.10 nats a real dimension (depth 10).  No rule
      that sees the data alone through this likelihood can lead to the truth.
    - Data-consistency steps change nothing (the iterates fit), averaging over shifts or flips
      cannot (the circular kernel is equivariant), damping only slows.
    - More data do help: with two coils (three masks) 24.2 dB become 30.6, of 33.9 with the
      true image.

    With noise, choose the ridge.  ``evidence`` was best: four coils, sigma = 0.01, 32², medians:
    26.9 dB of 28.0 with the true image (``gcv`` 26.6, ``discrepancy`` 25.1, 1e-4: 23.3).
    """
    plan = _Plan(A, y, ridge, sigma, damping, iterations, stop, patience, tolerance)
    kernel = _kernel_function(kernel_of, A, precision)
    if start is None:
        z = pseudo_inverse(A, plan.y, sigma)
    else:
        A.domain.check(start, "start")
        require_finite(start, "start")
        z = A.domain.unembed(A.domain.embed(np.asarray(start)).astype(np.float64))
    record = _Record(plan, z)
    for k in track(range(iterations), "self-guidance"):
        try:
            record.add(*_step(kernel, plan, record.iterates[-1], k))
        except Exception as fault:
            if k == 0 and not isinstance(fault, FloatingPointError):
                raise
            raise SelfGuidanceError(
                f"self-guidance, iteration {k + 1}: {fault}. The iterations before it are in "
                "this error's run",
                record.run("failed"),
            ) from fault
        if (reason := record.reason()) is not None:
            return record.run(reason)
    return record.run(f"all {iterations} iterations done")


@dataclasses.dataclass(frozen=True, eq=False)
class _Plan:
    """Checked arguments."""

    A: LinearOperator
    y: Any
    ridge: float | Sequence[float] | RidgeRule
    sigma: float | None
    damping: float
    iterations: int
    stop: StoppingRule
    patience: int
    tolerance: float

    def __post_init__(self) -> None:
        self.A.range.check(self.y, "data")
        require_finite(self.y, "data")
        object.__setattr__(self, "y", np.asarray(self.y))
        energy = float(np.sum(np.abs(self.y) ** 2))
        if energy == 0:
            raise ValueError("the data are 0 everywhere; there is nothing to reconstruct")
        self._require_ridge(energy)
        if not 0 <= self.damping < 1:
            raise ValueError(f"damping is a share in [0, 1); got {self.damping}")
        if self.iterations < 1 or self.patience < 1 or not self.tolerance >= 0:
            raise ValueError(
                "iterations and patience are at least 1 and tolerance at least 0; got "
                f"{self.iterations}, {self.patience} and {self.tolerance}"
            )
        if self.stop not in get_args(StoppingRule):
            raise ValueError(f"stop is one of {get_args(StoppingRule)}; got {self.stop!r}")

    def _require_ridge(self, energy: float) -> None:
        if self.sigma is not None and not 0 < self.sigma < np.inf:
            raise ValueError(f"sigma is a noise level above 0, or None; got {self.sigma}")
        if self.sigma is not None and energy <= self.sigma**2 * self.A.range.size:
            raise ValueError(
                f"the data's root mean square is {np.sqrt(energy / self.A.range.size):.3g}, no "
                f"more than the noise level sigma = {self.sigma}; is sigma too large?"
            )
        if isinstance(self.ridge, str):
            if self.ridge not in get_args(RidgeRule):
                raise ValueError(
                    f"ridge is a number, a falling sequence or one of {get_args(RidgeRule)}; "
                    f"got {self.ridge!r}"
                )
            if self.ridge == "discrepancy" and self.sigma is None:
                raise ValueError('ridge="discrepancy" needs the noise level; give sigma')
            return
        path = np.atleast_1d(np.asarray(self.ridge, np.float64))
        if (
            path.size == 0
            or not (np.isfinite(path) & (path > 0)).all()
            or (np.diff(path) > 0).any()
        ):
            raise ValueError(
                f"a ridge is a number above 0, or a sequence of them that falls; got {self.ridge}"
            )

    def solve(self, system: Any, k: int) -> RidgeSolution:
        if isinstance(self.ridge, str):
            return choose_and_solve(system, self.y, self.ridge, self.sigma)
        path = np.atleast_1d(np.asarray(self.ridge, np.float64))
        return solve_with_ridge(system, self.y, float(path[min(k, path.size - 1)]))


class _Record:
    """What has been computed so far."""

    def __init__(self, plan: _Plan, start: np.ndarray):
        self.plan = plan
        self.iterates = [start]
        self.residuals = [_residual(plan, _forward(plan.A, start))]
        self.rows: list[_Row] = []

    def add(self, image: np.ndarray, residual: float, row: _Row) -> None:
        self.iterates.append(image)
        self.residuals.append(residual)
        self.rows.append(row)

    @property
    def likeliest(self) -> int:
        """Iterate whose kernel made the data likeliest."""
        return 1 + int(np.argmax([row.log_evidence for row in self.rows]))

    def reason(self) -> str | None:
        """Why to end here, if so."""
        if self.rows[-1].change < self.plan.tolerance:
            return f"the image changes by less than {self.plan.tolerance:.3g} of its norm"
        waited = len(self.rows) - self.likeliest
        if self.plan.stop == "evidence" and waited >= self.plan.patience:
            return f"no likelier kernel in {waited} iterations"
        return None

    def run(self, reason: str) -> SelfGuidanceRun:
        chosen = len(self.rows)
        if self.plan.stop == "evidence" and self.rows:
            chosen = self.likeliest
        change, distance, ridge, evidence = np.asarray(self.rows, np.float64).reshape(-1, 4).T
        return SelfGuidanceRun(
            iterates=np.stack(self.iterates),
            residuals=np.asarray(self.residuals),
            changes=change,
            range_distances=distance,
            ridges=ridge,
            log_evidence=evidence,
            chosen=chosen,
            reason=reason,
        )


class _Row(NamedTuple):
    """What one kernel gave, in the order of `SelfGuidanceRun`."""

    change: float
    range_distance: float
    ridge: float
    log_evidence: float


def _step(
    kernel: Callable[[np.ndarray], Kernel], plan: _Plan, z: np.ndarray, k: int
) -> tuple[np.ndarray, float, _Row]:
    """``z_{k+1}``, its residual, and what else iteration ``k`` is told by."""
    system = measure(kernel(z), plan.A)
    solution = plan.solve(system, k)
    own = system.image(solution.solve(system.data(_forward(plan.A, z))))
    made = system.image(solution.coefficients)
    new = plan.damping * z + (1 - plan.damping) * made
    if not (np.isfinite(new).all() and np.isfinite(own).all()):
        raise FloatingPointError(
            f"the image has NaN or infinite entries at the relative ridge {solution.ridge:.3g}; "
            "use a larger one"
        )
    size = max(float(np.linalg.norm(z)), np.finfo(np.float64).tiny)
    change, distance = (float(np.linalg.norm(image - z)) / size for image in (new, own))
    row = _Row(change, distance, solution.ridge, solution.log_evidence)
    return new, _residual(plan, _forward(plan.A, new)), row


def _kernel_function(
    kernel_of: KernelOf, A: LinearOperator, precision: Precision
) -> Callable[[np.ndarray], Kernel]:
    if precision not in get_args(Precision):
        raise ValueError(f"precision is one of {get_args(Precision)}; got {precision!r}")
    if not isinstance(kernel_of, Architecture):
        return kernel_of
    net = kernel_of
    made = net.image_space(_channels(np.zeros(A.domain.shape)))
    if made != A.domain:
        raise ValueError(
            f"{net.name} makes images in {made} of an input of the size of those in {A.domain}, "
            "on which the operator acts. Self-guidance needs a network that keeps the size and "
            "has the operator's field (complex_image)"
        )
    return lambda z: kernels.analytic(net, _channels(z), precision=precision)


def _channels(image: np.ndarray) -> np.ndarray:
    """`ntkdip.networks.as_input` in float64, which the 1D problem's exact recovery needs."""
    parts = [image.real, image.imag] if np.iscomplexobj(image) else [image]
    return np.stack(parts, axis=-1)


def _forward(A: LinearOperator, z: np.ndarray) -> np.ndarray:
    with host_float64():
        return np.asarray(A(z))


def _residual(plan: _Plan, seen: np.ndarray) -> float:
    return float(np.linalg.norm(seen - plan.y) / np.linalg.norm(plan.y))
