"""Numerical checks of Theorems 1 and 2 and Corollary 1.

The statements are the re-derived ones of the design page (section 1), not quotations of
the paper.  Every conclusion of the library is measured against an independent route:
NumPy's FFT and pseudo-inverse, iterating the recursion, or Monte Carlo.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ntkdip.progress import track
from ntkdip.theory.cases import Case, circulant, make_case, random_mask, wishart
from ntkdip.theory.regime import KernelRegime
from ntkdip.theory.verdicts import Check, Hypothesis

DRAWS = 2000
MONTE_CARLO_STEPS = (1, 20, 200)
SIGMA = 0.3


def verify(*, seed: int = 0, inject_fault: bool = False) -> list[Check]:
    """Run every check.

    Parameters
    ----------
    seed
        Seed of the random kernels, masks, images and noise.
    inject_fault
        Corrupt one entry of every kernel that the library is given, so that checks fail.

    Returns
    -------
    One `Check` a conclusion, in the order of the theorems; a few seconds.
    """
    rng = np.random.default_rng(seed)
    groups: list[Callable[[], list[Check]]] = [
        lambda: _full_rank(rng, inject_fault),
        lambda: _singular(rng, inject_fault),
        lambda: _circulant(rng, inject_fault, complex_image=True),
        lambda: _circulant(rng, inject_fault, complex_image=False),
        lambda: _recursion(rng, inject_fault),
        lambda: _monte_carlo(rng, inject_fault, complex_image=True),
        lambda: _monte_carlo(rng, inject_fault, complex_image=False),
    ]
    return [check for group in track(groups, "theorem checks") for check in group()]


def _full_rank(rng: np.random.Generator, fault: bool) -> list[Check]:
    """Theorem 1 (a): nonsingular ``W``."""
    mask = random_mask(rng)
    n = 2 * mask.size
    W = wishart(rng, n, n)
    case = make_case(W, mask, rng.standard_normal(n), inject_fault=fault)
    error = _limit_error(case)
    hypothesis = _rank_hypothesis(case, n)
    root = _matrix_function(W, np.sqrt)
    inverse_root = _matrix_function(W, lambda v: 1 / np.sqrt(v))
    Q = np.linalg.qr(root @ case.matrix.T)[0]
    predicted = -root @ (inverse_root @ case.x - Q @ (Q.T @ (inverse_root @ case.x)))
    reachable = W @ case.matrix.T @ rng.standard_normal(case.matrix.shape[0])
    inside = dataclasses.replace(case, x=reachable)
    scale = _norm(case.x)
    return [
        Check(
            "theorem-1a-null-space",
            "W nonsingular: the limit fits the data, so its error lies in N(A)",
            (hypothesis,),
            _norm(case.matrix @ error) / scale,
            1e-9,
        ),
        Check(
            "theorem-1a-error",
            "W nonsingular: z_inf - x = -W^(1/2) (I - P) W^(-1/2) x",
            (hypothesis,),
            _norm(error - predicted) / scale,
            1e-9,
        ),
        Check(
            "theorem-1a-exact",
            "W nonsingular and x in R(W A*): exact recovery",
            (_rank_hypothesis(inside, n),),
            _norm(_limit_error(inside)) / _norm(reachable),
            1e-9,
        ),
    ]


def _singular(rng: np.random.Generator, fault: bool) -> list[Check]:
    """Theorem 1 (b) and (c): singular ``W``, ``x`` in its range and not."""
    mask = random_mask(rng)
    n = 2 * mask.size
    rank = 3 * int(mask.sum()) // 2
    W = wishart(rng, n, rank)
    x_range, free = W @ rng.standard_normal(n), rng.standard_normal(n)
    basis = np.linalg.qr(W[:, :rank])[0]
    x_null = free - basis @ (basis.T @ free)
    inside = make_case(W, mask, x_range, inject_fault=fault)
    outside = make_case(W, mask, x_range + x_null, inject_fault=fault)
    sampled = np.linalg.svd(inside.matrix @ basis, compute_uv=False)[-1]
    shared = (
        _rank_hypothesis(inside, rank),
        Hypothesis("R(W) and N(A) meet in 0 (smallest singular value of A on R(W))",
                   float(sampled), bool(sampled > 1e-6)),
    )  # fmt: skip
    A = inside.matrix
    projection = W @ A.T @ np.linalg.pinv(A @ W @ A.T, rcond=1e-12, hermitian=True) @ A
    predicted = projection @ x_null - x_null
    return [
        Check(
            "theorem-1b-exact",
            "W singular, x in R(W), R(W) and N(A) meet in 0: exact recovery",
            (*shared, _distance_hypothesis(inside, basis, inside_range=True)),
            _norm(_limit_error(inside)) / _norm(inside.x),
            1e-8,
        ),
        Check(
            "theorem-1c-error",
            "W singular, x = x_R + x_N: the error is (W A* (A W A*)^+ A - I) x_N",
            (*shared, _distance_hypothesis(outside, basis, inside_range=False)),
            _norm(_limit_error(outside) - predicted) / _norm(outside.x),
            1e-8,
        ),
    ]


def _circulant(rng: np.random.Generator, fault: bool, *, complex_image: bool) -> list[Check]:
    """Corollary 1 and its consequence: a circulant kernel leaves what is unmeasured."""
    mask = random_mask(rng)
    W, spectrum = circulant(rng, complex_image)
    x = np.asarray(rng.standard_normal(W.shape[0]))
    case = make_case(W, mask, x, complex_image=complex_image, inject_fault=fault)
    A, scale, field = case.matrix, _norm(x), "complex" if complex_image else "real"
    commutator = np.linalg.norm(case.given.matrix @ (A.T @ A) - (A.T @ A) @ case.given.matrix)
    # A*A averages the mask over k and -k for a real image: both then share one mode.
    flipped = np.fft.fftshift(np.roll(np.flip(np.fft.ifftshift(mask)), 1, axis=(0, 1)))
    a = mask.astype(float) if complex_image else (mask + 0.0 + flipped) / 2
    asymmetric = Hypothesis(
        "the mask differs from its mirror image k -> -k (share of entries)",
        float(np.mean(mask != flipped)),
        bool((mask != flipped).any()),
    )
    commute = Hypothesis(
        "W and A*A commute (norm of the commutator)", float(commutator), bool(commutator < 1e-9)
    )
    pseudo_inverse = np.linalg.pinv(A, rcond=1e-10) @ (A @ x)
    t = np.array([0, 1, 7, 100, np.inf])
    regime = KernelRegime(case.given, case.A)
    mse = regime.mse(case.image, SIGMA, t).total
    predicted = _corollary(spectrum, a, case, regime.step_size, t)
    return [
        Check(
            f"corollary-1-{field}-limit",
            f"W circulant, {field} image: the limit is A^+ y"
            + (", the zero-filled image" if complex_image else ", not the zero-filled image"),
            (commute,) if complex_image else (commute, asymmetric),
            _norm(_limit_error(case) + x - (A.T @ A @ x if complex_image else pseudo_inverse))
            / scale,
            1e-9,
        ),
        Check(
            f"corollary-1-{field}-mse",
            f"W circulant, {field} image: MSE_t is a sum over frequencies",
            (commute,),
            float(np.max(np.abs(mse / predicted - 1))),
            1e-9,
        ),
    ]


def _corollary(
    spectrum: np.ndarray, a: np.ndarray, case: Case, step: float, t: np.ndarray
) -> np.ndarray:
    """MSE_t of Corollary 1, frequency by frequency, by NumPy's FFT."""
    image = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(case.image), norm="ortho"))
    dims = 2 if case.A.domain.is_complex else 1
    total = []
    for step_count in t:
        left = np.where(a > 0, 1 - step * spectrum * a, 1.0) ** step_count
        noise = np.where(a > 0, (1 - left) ** 2 / np.where(a > 0, a, 1), 0.0)
        total.append(np.sum(left**2 * np.abs(image) ** 2) + dims * SIGMA**2 / 2 * noise.sum())
    return np.array(total)


def _recursion(rng: np.random.Generator, fault: bool) -> list[Check]:
    """The closed form against iterating, at 95 % of the largest stable step size."""
    mask = random_mask(rng)
    n = 2 * mask.size
    case = make_case(wishart(rng, n, n // 2), mask, rng.standard_normal(n), inject_fault=fault)
    A, W = case.matrix, case.W
    bound = 2 / np.linalg.eigvalsh(A @ W @ A.T)[-1]
    given_bound = KernelRegime(case.given, case.A).step_size_bound()
    start = np.asarray(rng.standard_normal(n))
    step = 0.95 * min(bound, given_bound)
    regime = KernelRegime(case.given, case.A, step_size=step, z0=case.A.domain.unembed(start))
    steps = [1, 10, 1000]
    closed = regime.trajectory(case.data, steps)
    z, worst = start, 0.0
    for t in range(1, steps[-1] + 1):
        z = z + step * W @ A.T @ (A @ case.x - A @ z)
        if t in steps:
            difference = case.A.domain.embed(closed[steps.index(t)]) - z
            worst = max(worst, _norm(difference) / _norm(case.x - start))
    return [
        Check(
            "closed-form-recursion",
            "z_t in closed form equals t = 1, 10, 1000 iterations from z_0 != 0, W singular",
            (_step_hypothesis(step, bound),),
            worst,
            1e-9,
        )
    ]


def _monte_carlo(rng: np.random.Generator, fault: bool, *, complex_image: bool) -> list[Check]:
    """Theorem 2 against simulated noise, iterated; in standard errors of the simulation."""
    mask = random_mask(rng)
    n = (2 if complex_image else 1) * mask.size
    W, x = wishart(rng, n, n), rng.standard_normal(n)
    case = make_case(W, mask, x, complex_image=complex_image, inject_fault=fault)
    A, field = case.matrix, "complex" if complex_image else "real"
    regime = KernelRegime(case.given, case.A)
    predicted = regime.mse(case.image, SIGMA, MONTE_CARLO_STEPS).total
    step = 1 / np.linalg.eigvalsh(A @ W @ A.T)[-1]
    noise = SIGMA / np.sqrt(2) * rng.standard_normal((A.shape[0], DRAWS))
    data, z, gain = (A @ x)[:, None] + noise, np.zeros((n, DRAWS)), step * W @ A.T
    checks = []
    for t in range(1, MONTE_CARLO_STEPS[-1] + 1):
        z = z + gain @ (data - A @ z)
        if t not in MONTE_CARLO_STEPS:
            continue
        errors = np.sum((z - x[:, None]) ** 2, axis=0)
        deviation = errors.mean() - predicted[MONTE_CARLO_STEPS.index(t)]
        checks.append(
            Check(
                f"theorem-2-{field}-t{t}",
                f"E||z_{t} - x||^2 of {DRAWS} noise draws, {field} image, in standard errors",
                (_step_hypothesis(step, regime.step_size_bound()),),
                float(abs(deviation) / (errors.std(ddof=1) / np.sqrt(DRAWS))),
                4.0,
            )
        )
    return checks


def _limit_error(case: Case) -> np.ndarray:
    """``z_inf - x`` by the library, embedded."""
    limit = KernelRegime(case.given, case.A).limit(case.data)
    return case.A.domain.embed(limit) - case.x


def _rank_hypothesis(case: Case, rank: int) -> Hypothesis:
    values = case.given.eigh()[0]
    found = int(np.sum(values > 1e-10 * values[0]))
    return Hypothesis(f"rank of W is {rank} of {values.size}", float(found), found == rank)


def _step_hypothesis(step: float, bound: float) -> Hypothesis:
    return Hypothesis("step size over its bound", float(step / bound), bool(step < bound))


def _distance_hypothesis(case: Case, basis: np.ndarray, *, inside_range: bool) -> Hypothesis:
    distance = _norm(case.x - basis @ (basis.T @ case.x)) / _norm(case.x)
    statement = f"x {'in' if inside_range else 'not in'} R(W) (relative distance)"
    return Hypothesis(statement, distance, (distance < 1e-10) == inside_range)


def _matrix_function(W: np.ndarray, function: Any) -> np.ndarray:
    values, vectors = np.linalg.eigh(W)
    return vectors @ (function(values)[:, None] * vectors.T)


def _norm(v: np.ndarray) -> float:
    return float(np.linalg.norm(v))
