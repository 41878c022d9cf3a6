"""Theorems 1 and 2 and Corollary 1 on a kernel, an operator and an image of yours.

Each hypothesis is measured, the case that holds is named, and its conclusion is compared with
what the library computes, by another route (least squares in factors of ``W``, iterating with
simulated noise, common eigenvectors).  All of it is dense: for problems of some thousand real
dimensions.  The statements are the re-derived ones of the design page (section 1), not
quotations of the paper.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
from jaxtyping import Inexact

from ntkdip.kernels import Kernel, require_memory
from ntkdip.operators import LinearOperator
from ntkdip.spaces import require_finite
from ntkdip.theory.regime import KernelRegime
from ntkdip.theory.verdicts import Check, Hypothesis, Verdict

RANK = 1e-12
"""Eigenvalues of ``W`` below this share of the largest count as zero, as in the limit."""

GAP = 1e3
"""Zero and nonzero eigenvalues further apart than this factor are told apart."""

SMALL = 1e-8
"""Relative distances, singular values and commutators below this count as zero."""

SHARP = 0.1
"""Share of the smallest eigenvalue of ``A W A*`` that counts, which none that does not may have."""

DRAWS = 2000
"""Simulated data of `theorem_2`, at least."""

STEPS = (1, 20, 200)


def examine(
    W: Kernel, A: LinearOperator, x: Inexact[Any, "..."], sigma: float, *, seed: int = 0
) -> list[Verdict]:
    """What the theorems say about a case: `theorem_1`, `theorem_2`, `corollary_1`.

    Parameters
    ----------
    W, A
        Kernel and operator.
    x
        The true image, not zero.
    sigma
        Noise level, positive.
    seed
        Seed of the simulated noise.

    Returns
    -------
    Three verdicts; ``print`` them.
    """
    case = _case(W, A, x)
    _require_draws(DRAWS, sigma)
    return [_theorem_1(case), _theorem_2(case, sigma, DRAWS, seed), _corollary_1(case, sigma)]


def theorem_1(W: Kernel, A: LinearOperator, x: Inexact[Any, "..."]) -> Verdict:
    """The noise-free limit: which of (a), (b), (c) holds, and whether ``x`` is recovered.

    Parameters
    ----------
    W, A, x
        As for `examine`.

    Returns
    -------
    `Verdict`.

    Raises
    ------
    ValueError
        If the image does not fit, is zero or not finite.
    MemoryError
        If the dense matrices do not fit.

    Notes
    -----
    Cost: the eigenproblem of ``W`` and the SVD of ``A`` on its range, O(n^3).  Where the
    eigenvalues of ``W`` have no gap at 1e-12 of the largest, its rank is a matter of taste; the
    verdict says so.
    """
    return _theorem_1(_case(W, A, x))


def _theorem_1(case: _DenseCase) -> Verdict:
    error, scale = case.limit - case.x, float(np.linalg.norm(case.x))
    expected = case.minimum_norm(case.y) - case.x
    label, prediction, exact = case.part()
    conditions = tuple(f for f in case.findings if f.holds)
    checks = [
        Check(
            "theorem-1-limit", "the limit is the solution of least W-norm that fits the data",
            (), float(np.linalg.norm(error - expected)) / scale, 1e-6,
        ),
        Check(
            "theorem-1-data", "the limit fits the data", (),
            float(np.linalg.norm(case.matrix @ error)) / scale, 1e-6,
        ),
    ]  # fmt: skip
    if case.share_outside >= SMALL:
        # Data of an image outside R(W) need not be data of any image in it.
        checks.pop()
        if case.hidden[0] == 0:
            alone = case.minimum_norm(case.matrix @ case.outside) - case.outside
            checks.append(
                Check("theorem-1c-error", "the error comes from x_N alone", conditions,
                      float(np.linalg.norm(error - alone)) / scale, 1e-6)
            )  # fmt: skip
    if exact:
        checks.append(
            Check("theorem-1-exact", "the image is recovered exactly", conditions,
                  float(np.linalg.norm(error)) / scale, 1e-6)
        )  # fmt: skip
    clear = _clear_limit(case.regime)
    if not (clear.holds and case.findings[1].holds):
        checks, label = [], f"{label}; the limit is ill-posed, nothing is checked"
    found = float(np.linalg.norm(error)) / scale
    text = f"{prediction}; measured ||z_inf - x|| / ||x|| = {found:.3g}"
    return Verdict("Theorem 1", label, True, text, (*case.findings, clear), tuple(checks))


def _clear_limit(regime: KernelRegime) -> Hypothesis:
    """Whether the limit's cut leaves no eigenvalue of ``A W A*`` in doubt."""
    values = regime.exact_spectrum("the limit's eigenvalues").values
    kept = values > RANK * values.max()
    rounding = len(values) * np.finfo(np.float64).eps * values.max()
    gap = float(values[kept].min() / max(values[~kept].max(initial=0.0), rounding))
    return Hypothesis(
        f"eigenvalues of A W A* that count as zero are a factor of {1 / SHARP:g} away",
        gap, gap * SHARP > 1,
    )  # fmt: skip


def theorem_2(
    W: Kernel,
    A: LinearOperator,
    x: Inexact[Any, "..."],
    sigma: float,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Verdict:
    """Mean squared error after 1, 20 and 200 iterations, against simulated noise.

    Parameters
    ----------
    W, A, x, sigma, seed
        As for `examine`.
    draws
        Number of simulated data, at least 2,000.

    Returns
    -------
    `Verdict`; measurements are in standard errors of the simulation.

    Raises
    ------
    ValueError
        As `theorem_1`; or if there are fewer draws, or ``sigma`` is not positive.

    Notes
    -----
    Cost: 200 iterations of all draws, in the data: ``400 p^2 draws`` multiplications.
    """
    _require_draws(draws, sigma)
    return _theorem_2(_case(W, A, x), sigma, draws, seed)


def _require_draws(draws: int, sigma: float) -> None:
    if draws < DRAWS or not 0 < sigma < np.inf:
        raise ValueError(
            f"needs at least 2,000 draws and a positive noise level; got {draws}, {sigma}"
        )


def _theorem_2(case: _DenseCase, sigma: float, draws: int, seed: int) -> Verdict:
    regime, x = case.regime, case.image
    predicted = regime.mse(x, sigma, STEPS)
    s = np.sqrt(regime.noise_variance(sigma))
    data = case.y[:, None] + s * np.random.default_rng(seed).standard_normal((len(case.y), draws))
    gain, c, checks = case.W @ case.matrix.T, np.zeros(data.shape), []
    S = case.matrix @ gain
    for t in range(1, STEPS[-1] + 1):
        c = c + regime.step_size * (data - S @ c)
        if t not in STEPS:
            continue
        errors = np.sum((gain @ c - case.x[:, None]) ** 2, axis=0)
        deviation = abs(errors.mean() - predicted.total[STEPS.index(t)])
        checks.append(
            Check(f"theorem-2-t{t}", f"E||z_{t} - x||^2 of {draws} draws, in standard errors", (),
                  float(deviation / (errors.std(ddof=1) / np.sqrt(draws))), 4.0)
        )  # fmt: skip
    best = regime.optimal_stopping(x, sigma)
    text = (
        f"smallest mean squared error {best.value:.4g} at t* = {best.t:.6g}; in the limit "
        f"{regime.mse(x, sigma, [np.inf]).total[0]:.4g}"
    )
    bound = regime.step_size_bound()
    step = Hypothesis("step size below 2 / lambda_max(A W A*), as a share of it",
                      regime.step_size / bound, regime.step_size < bound)  # fmt: skip
    return Verdict("Theorem 2", "bias and variance", True, text, (step,), tuple(checks))


def corollary_1(W: Kernel, A: LinearOperator, x: Inexact[Any, "..."], sigma: float) -> Verdict:
    """Whether ``W`` and ``A*A`` commute; if so, a sum over common eigenvectors.

    Parameters
    ----------
    W, A, x, sigma
        As for `examine`.

    Returns
    -------
    `Verdict`; ``applies`` is False where they do not commute, and the prediction then says
    how much of the limit lies in what was not measured.
    """
    return _corollary_1(_case(W, A, x), sigma)


def _corollary_1(case: _DenseCase, sigma: float) -> Verdict:
    regime, limit = case.regime, case.limit
    gram = case.matrix.T @ case.matrix
    product = case.W @ gram
    size = np.linalg.norm(case.W, 2) * np.linalg.norm(gram, 2)
    commutator = float(np.linalg.norm(product - product.T, 2) / size)
    finding = Hypothesis("W and A*A commute (relative norm of the commutator)", commutator,
                         commutator < SMALL)  # fmt: skip
    measured = np.linalg.pinv(case.matrix, rcond=SMALL) @ case.matrix
    scale = float(np.linalg.norm(case.x))
    if not finding.holds:
        invented = float(np.linalg.norm(limit - measured @ limit)) / scale
        text = f"the limit may leave the measured part; outside it ||.|| / ||x|| = {invented:.3g}"
        return Verdict("Corollary 1", "does not apply", False, text, (finding,), ())
    # Generic combinations of commuting matrices have their common eigenvectors.
    U = np.linalg.eigh(case.W / np.linalg.norm(case.W, 2) + np.pi * gram)[1]
    w, a = (np.einsum("ij,ik,kj->j", U, B, U, optimize=True) for B in (case.W, gram))
    seen, t = a > SMALL * a.max(), np.array([0.0, 1, 20, 1000])
    left = np.where(seen, 1 - regime.step_size * np.maximum(w, 0) * a, 1.0) ** t[:, None]
    noise = np.where(seen, (1 - left) ** 2 / np.where(seen, a, 1), 0).sum(1)
    predicted = left**2 @ (U.T @ case.x) ** 2 + float(regime.noise_variance(sigma)) * noise
    found = regime.mse(case.image, sigma, t).total
    checks = [
        Check("corollary-1-mse", "MSE_t is a sum over common eigenvectors", (finding,),
              float(np.max(np.abs(found - predicted)) / predicted.max()), SMALL),
        Check("corollary-1-still", "what is not measured does not move", (finding,),
              float(np.linalg.norm(limit - measured @ limit)) / scale, 1e-6),
    ]  # fmt: skip
    text = "the limit is A^+ y on the range of W: nothing is invented"
    return Verdict("Corollary 1", "applies", True, text, (finding,), tuple(checks))


@dataclasses.dataclass(frozen=True, eq=False)
class _DenseCase:
    """Everything of a case as real matrices, and what the library makes of it."""

    regime: KernelRegime
    W: np.ndarray
    matrix: np.ndarray
    image: np.ndarray

    @cached_property
    def x(self) -> np.ndarray:
        return self.regime.A.domain.embed(self.image).astype(np.float64)

    @cached_property
    def limit(self) -> np.ndarray:
        """The library's limit for noise-free data, embedded."""
        A = self.regime.A
        return A.domain.embed(self.regime.limit(A.range.unembed(self.y)))

    @cached_property
    def y(self) -> np.ndarray:
        return self.matrix @ self.x

    @cached_property
    def _eigen(self) -> tuple[np.ndarray, np.ndarray]:
        values, vectors = scipy.linalg.eigh(self.W, driver="evd")
        return values[::-1], vectors[:, ::-1]

    @property
    def rank(self) -> int:
        values = self._eigen[0]
        return int(np.sum(values > RANK * values[0]))

    @cached_property
    def _range(self) -> np.ndarray:
        return self._eigen[1][:, : self.rank]

    @cached_property
    def outside(self) -> np.ndarray:
        """``x_N``, the part of ``x`` outside ``R(W)``."""
        return self.x - self._range @ (self._range.T @ self.x)

    @property
    def share_outside(self) -> float:
        """``||x_N|| / ||x||``."""
        return float(np.linalg.norm(self.outside) / np.linalg.norm(self.x))

    @cached_property
    def hidden(self) -> tuple[int, float]:
        """Dimension of ``R(W) & N(A)``, and the smallest singular value of ``A`` on ``R(W)``."""
        singular = np.zeros(self.rank)
        found = np.linalg.svd(self.matrix @ self._range, compute_uv=False)
        singular[: len(found)] = found
        return int(np.sum(singular <= SMALL * found[0])), float(singular[-1])

    @cached_property
    def findings(self) -> tuple[Hypothesis, ...]:
        values, rank, n = self._eigen[0], self.rank, len(self.x)
        gap = values[rank - 1] / max(values[rank], 1e-300) if rank < n else np.inf
        hidden, smallest = self.hidden
        return (
            Hypothesis(f"W nonsingular (rank {rank} of {n})", float(rank), rank == n),
            Hypothesis(f"the rank is clear: a gap of {GAP:g} after it", float(abs(gap)),
                       bool(gap < 0 or gap > GAP)),
            Hypothesis(f"R(W) and N(A) meet in 0 only (dimension {hidden}; smallest singular "
                       "value of A on R(W))", smallest, hidden == 0),
            Hypothesis("x in R(W) (relative distance)", self.share_outside,
                       self.share_outside < SMALL),
        )  # fmt: skip

    def minimum_norm(self, y: np.ndarray) -> np.ndarray:
        """``F c`` with ``W = F F^T`` and the shortest least-squares ``c`` of ``A F c = y``."""
        values = self._eigen[0][: self.rank]
        F = self._range * np.sqrt(values)
        return F @ scipy.linalg.lstsq(self.matrix @ F, y, cond=np.sqrt(RANK))[0]

    def part(self) -> tuple[str, str, bool]:
        """Which part of Theorem 1 holds, what it predicts, and whether that is exact recovery."""
        nonsingular, clear, apart, inside = (f.holds for f in self.findings)
        unsure = "" if clear else "; the rank of W is not clear"
        if nonsingular:
            text = "the error lies in N(A); it is 0 only for images in R(W A*)"
            return f"(a) W nonsingular{unsure}", text, apart
        if inside and apart:
            text = "exact recovery"
            return f"(b) x in R(W), which meets N(A) in 0{unsure}", text, clear
        if inside:
            text = "the error lies in N(A) and R(W), which meet in more than 0"
            return f"(b) x in R(W){unsure}", text, False
        text = "the error is that of the part of x in R(W), and (W A*(A W A*)^+ A - I) x_N"
        return f"(c) x not in R(W){unsure}", text, False


def _case(W: Kernel, A: LinearOperator, x: Any) -> _DenseCase:
    image = np.asarray(x)
    A.domain.check(image, "true image")
    require_finite(image, "true image")
    if not image.any():
        raise ValueError("the true image is zero everywhere; every start recovers it")
    n, p = A.domain.real_size, A.range.real_size
    require_memory(
        8 * (4 * n * n + 3 * n * p), f"the dense matrices of a case on {A.domain}", None,
        "examine a smaller image",
    )  # fmt: skip
    return _DenseCase(KernelRegime(W, A), W.dense(), A.real().dense(), image)
