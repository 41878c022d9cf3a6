"""The family ``theory``: what follows from a kernel and an operator.  Builds both sides.

The kernel is an infinitely wide WCNN's, float64, computed before the clock starts unless
said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import stax_peer
from benchmarks.cases import ITERATIONS, LAST_ITERATION, Case
from benchmarks.measure import Side, compare
from ntkdip import data, kernels, networks, operators, theory
from ntkdip.neural_tangents_loader import neural_tangents
from ntkdip.operators import LinearOperator, masks

TIMES = np.unique(np.round(np.geomspace(1, LAST_ITERATION, 231)))
"""200 iterations from 1 to 1e6: evenly spaced logarithms, whole, each once."""

SIGMA = 0.05
"""Noise level where there is one."""

LEVELS = np.geomspace(0.001, 0.5, 50)
"""Noise levels of a sweep."""

MASKS = 50
"""Masks of a sweep: seeds 0, 1, ..."""


class Problem(NamedTuple):
    """A kernel, an operator on the same images, and the true image."""

    W: kernels.Kernel
    A: LinearOperator
    x: np.ndarray


def problem(case: Case, seed: int = 0) -> Problem:
    """The case's problem: the network's input is the zero-filled image.

    1D: the square signal, real, random conjugate pairs of frequencies, convolutions of 9
    pixels.  2D: the MRI slice, complex, random lines at an acceleration of 4, 3x3.
    """
    if len(case.shape) == 1:
        x = data.square_signal(*case.shape)
        mask = masks.random_conjugate_pairs(*case.shape, seed=seed)
    else:
        x, mask = data.mri_slice(case.shape[0]), masks.random_lines(case.shape, seed=seed)
    A = operators.masked_fourier(mask, complex_image=np.iscomplexobj(x))
    with operators.host_float64():
        z = np.asarray(A.adjoint(A(x)))
    net = networks.wide_cnn(
        case.width[0], case.depth, 9 if len(case.shape) == 1 else 3,
        complex_image=A.domain.is_complex,
    )  # fmt: skip
    return Problem(kernels.analytic(net, z if A.domain.is_complex else z[..., None]), A, x)


def ours(case: Case) -> Side:
    """The regime, eigenproblem included, and its answer at 200 iterations or times."""
    given = problem(case)
    if case.quantity == "curve":
        return Side(lambda: curve(given), _logarithms)
    A, y, step = denoising(given)

    def call() -> np.ndarray:
        method = theory.GradientFlow(step)
        return theory.KernelRegime(given.W, A, method=method).trajectory(y, TIMES)

    return Side(call)


def peer(case: Case) -> Side:
    """Iterating, or neural-tangents' prediction."""
    given = problem(case)
    return iterating(given) if case.quantity == "curve" else predicting(given)


def curve(given: Problem, sigma: Any = SIGMA) -> theory.MeanSquaredError:
    """Theorem 2 at `TIMES`."""
    return theory.KernelRegime(given.W, given.A).mse(given.x, sigma, TIMES)


def _logarithms(mse: theory.MeanSquaredError) -> np.ndarray:
    """Of bias and variance ``(2, T)``, as far as the peer iterates.

    A difference of logarithms is a relative error: every iteration counts alike.
    """
    return np.log(np.stack([mse.bias, mse.variance])[:, TIMES <= ITERATIONS])


def iterating(given: Problem) -> Side:
    """Theorem 2 by gradient descent itself, in NumPy: `ITERATIONS` steps, the time scaled up.

    In favour of the peer, none of its time is the matrices that are made once (`Recursion`)
    or the 200 evaluations of bias and variance; the steps alone are timed, and every step
    costs the same.  The answer, outside the clock, is that of all iterations that are run.
    """
    recursion = Recursion(given)

    def call() -> None:
        for _ in recursion.steps(ITERATIONS):
            pass

    return Side(call, lambda _: recursion.logarithms(), LAST_ITERATION / ITERATIONS)


class Recursion:
    """The cheapest plain recursion we know for bias and variance at once.

    Data that ``A`` cannot produce never reach the image, so everything happens on the ``r``
    dimensions of its range: with the SVD ``A = U s V^T`` and ``B = s V^T`` (r, n),
    ``S = B W B^T`` and ``z_t = W B^T P_t U^T y``,

        P_{t+1} = P_t + eta (I - S P_t),    P_0 = 0.

    A step is one product ``r x r x r``, half of ``p`` for this real image and symmetric
    mask, and so an eighth of the product that the recursion on ``A W A*`` takes.  Bias and
    variance need ``P_t`` only where they are asked for: ``|x - W B^T P_t B x|^2`` and
    ``s^2 |W B^T P_t|_F^2``.  Whoever brings ``S`` to tridiagonal form first makes a step
    cheaper still, and has done most of the work of the eigenproblem.
    """

    def __init__(self, given: Problem) -> None:
        W, A, x = given
        _, s, V = np.linalg.svd(A.real().dense(), full_matrices=False)
        reached = s > 1e-12 * s[0]
        B = s[reached, None] * V[reached]
        self._back = W @ np.ascontiguousarray(B.T)
        S = B @ self._back
        self._eta = 1 / np.linalg.eigvalsh(S)[-1]
        self._scaled = self._eta * S
        self._x = A.domain.embed(x)
        self._measured = B @ self._x
        self._s2 = SIGMA**2 / (2 if A.range.is_complex else 1)

    def steps(self, count: int) -> Iterator[np.ndarray]:
        """``P_1, ..., P_count``, each in the place of the last."""
        P, product = np.zeros_like(self._scaled), np.empty_like(self._scaled)
        for _ in range(count):
            np.matmul(self._scaled, P, out=product)
            P -= product
            np.einsum("ii->i", P)[...] += self._eta
            yield P

    def logarithms(self) -> np.ndarray:
        """As `_logarithms` of ours."""
        found = []
        for t, P in enumerate(self.steps(ITERATIONS), 1):
            if t in TIMES:
                bias = np.sum((self._x - self._back @ (P @ self._measured)) ** 2)
                found.append((bias, self._s2 * np.sum((self._back @ P) ** 2)))
        return np.log(found).T


def denoising(given: Problem) -> tuple[LinearOperator, np.ndarray, float]:
    """``A = I``, noisy data, and the step size ``1 / lambda_max(W)``."""
    noise = np.random.default_rng(0).standard_normal(given.x.shape)
    step = 1 / np.linalg.eigvalsh(given.W.dense())[-1]
    A = operators.identity(given.x.shape, complex_image=False)
    return A, given.x + SIGMA * noise, float(step)


def predicting(given: Problem) -> Side:
    """`neural_tangents.predict.gradient_descent_mse`, as its user calls it, in float64.

    Its loss is half the mean over pixels and ours half the sum, so its learning rate is as
    many times larger as there are pixels.  It decomposes the kernel when it is first asked
    for a time; that is in the clock, as ours is.  Not jitted: the prediction function keeps
    the decomposition, and JAX refuses what outlives a trace.
    """
    predict = neural_tangents().predict
    _, y, step = denoising(given)
    with stax_peer.precision("float64"):
        W, target, times = jnp.asarray(given.W.dense()), jnp.asarray(y[:, None]), jnp.asarray(TIMES)

    def call() -> jax.Array:
        with stax_peer.precision("float64"):
            prediction = predict.gradient_descent_mse(W, target, learning_rate=step * y.size)
            return jax.block_until_ready(prediction(times, fx_train_0=0.0))

    return Side(call, lambda answer: np.asarray(answer)[..., 0])


def sweep(case: Case) -> Callable[[], list[theory.MeanSquaredError]]:
    """Theorem 2 for 50 masks, each with its own kernel (in the clock), at 50 noise levels."""
    return lambda: [curve(problem(case, seed), LEVELS) for seed in range(MASKS)]


def sweep_error(case: Case) -> float:
    """Distance of the first mask's curve to iterating, relative; raises if it is too large."""
    given = problem(case)
    return compare(_logarithms(curve(given)), Recursion(given).logarithms(), case.tolerance)
