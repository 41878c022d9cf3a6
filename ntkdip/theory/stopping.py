"""When to stop without the truth, and how far that is from the best one could do.

All rules know the kernel, the operator, the data and the noise level.  Source: discrepancy
principle (Morozov 1966), SURE (Stein 1981), GSURE (Eldar 2009); their closed forms through the
filter, and the plug-in rule, are ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Inexact

from ntkdip.theory.regime import KernelRegime, Times
from ntkdip.theory.search import Best, first_below

Rule = Literal["oracle", "plug-in", "discrepancy", "SURE", "GSURE"]

NOISE_SHARE = 0.25
"""Share of the data directions, those that the kernel thinks emptiest, that are taken for noise."""

MAD = 0.6744897501960817
"""Median of the absolute value of a standard normal variable."""


@dataclasses.dataclass(frozen=True)
class StoppingRow:
    """A rule's pick ``t``, Theorem 2's MSE there, and its ratio to the smallest possible."""

    rule: Rule
    t: float
    mse: float
    excess: float


def estimate_noise(regime: KernelRegime, y: Inexact[Any, "..."]) -> float:
    """Noise level ``sigma`` from the data directions in which the kernel expects least.

    Parameters
    ----------
    regime
        Kernel and operator, with all eigenpairs of ``A W A*``.
    y
        Data.

    Returns
    -------
    ``sigma`` as `KernelRegime.mse` takes it: the median absolute coefficient of the quarter of
    the data with the smallest eigenvalues, over that of a normal variable.  Too large where the
    image is not what the kernel expects (edges), and useless where data have no such quarter.

    Raises
    ------
    ValueError
        If the kernel is only known by its products.
    """
    spectrum = regime.exact_spectrum("an estimate of the noise level")
    c = spectrum.coefficients(regime.start_residual(y))[spectrum.carries]
    tail = np.argsort(spectrum.values[spectrum.carries])[: max(1, int(NOISE_SHARE * len(c)))]
    parts = np.concatenate([c[tail].real, c[tail].imag]) if np.iscomplexobj(c) else c[tail]
    # A real image's Fourier coefficients have half of their noise in each part.
    halves = 2 if np.iscomplexobj(c) and spectrum.multiplicity == 1 else 1
    deviation = float(np.median(np.abs(parts))) / MAD * np.sqrt(halves)
    return float(deviation * (np.sqrt(2) if regime.A.range.is_complex else 1.0))


def sure(
    regime: KernelRegime, y: Inexact[Any, "..."], sigma: float, t: Times
) -> Float64[np.ndarray, " T"]:
    """Unbiased estimate of ``E||A z_t - A x||^2``, the error in the data.

    ``||y - A z_t||^2 - p s^2 + 2 s^2 tr(S phi_t(S))``, ``p`` real dimensions of the data;
    ``(T,)``, may be negative.  Parameters as for `KernelRegime.mse`, with ``y`` for ``x``.
    """
    s2, p = float(regime.noise_variance(sigma)), regime.A.range.real_size
    return regime.residual(y, t) ** 2 - p * s2 + 2 * s2 * regime.freedom(t)


def gsure(
    regime: KernelRegime, y: Inexact[Any, "..."], sigma: float, t: Times
) -> Float64[np.ndarray, " T"]:
    """Unbiased estimate of ``E||P (z_t - x)||^2``, ``P`` the projector onto ``R(A*)``.

    ``||A^+(y - A z_t)||^2 - s^2 tr((A A*)^+) + 2 s^2 tr((A A*)^+ S phi_t(S))``, ``(T,)``.  The
    same as `sure` where ``A A*`` is the identity; blind, as every rule without the truth, to
    the error in ``N(A)``.

    Raises
    ------
    ValueError
        If the kernel is only known by its products.
    """
    s2, phi = float(regime.noise_variance(sigma)), regime.filter(t)
    spectrum = regime.exact_spectrum("GSURE's traces")
    seen = spectrum.backprojected(regime.start_residual(y), phi)
    freedom, whole = spectrum.backprojected_freedom(phi)
    return seen - s2 * whole + 2 * s2 * freedom


def stop(
    regime: KernelRegime,
    y: Inexact[Any, "..."],
    sigma: float,
    rule: Literal["plug-in", "discrepancy", "SURE", "GSURE"] = "SURE",
    *,
    factor: float = 1.0,
) -> Best:
    """The iteration that a rule picks.

    Parameters
    ----------
    regime, y, sigma
        The dynamics, data and noise level (`estimate_noise` where it is not known).
    rule
        ``discrepancy``: the first ``t`` with ``||y - A z_t|| <= factor sqrt(p) s``.  ``SURE``,
        ``GSURE``: the smallest estimate.  ``plug-in``: Theorem 2's best ``t`` for the image that
        ``SURE`` picks.
    factor
        Of the discrepancy principle, at least 1 as a rule.

    Returns
    -------
    `ntkdip.theory.Best`: ``t`` (``inf`` is an answer), and the value of what was minimised, or
    the residual norm.

    Raises
    ------
    ValueError
        If the rule is unknown or the factor not positive.
    """
    if not 0 < factor < np.inf:
        raise ValueError(f"factor is positive and finite; got {factor}")
    if rule == "discrepancy":
        s2, p = float(regime.noise_variance(sigma)), regime.A.range.real_size
        level = factor * np.sqrt(p * s2)
        t = first_below(lambda t: regime.residual(y, t), level, regime.horizon)
        return Best(t, float(regime.residual(y, [t])[0]))
    if rule == "SURE":
        return regime.best_iteration(lambda t: sure(regime, y, sigma, t))
    if rule == "GSURE":
        return regime.best_iteration(lambda t: gsure(regime, y, sigma, t))
    if rule == "plug-in":
        pilot = stop(regime, y, sigma, "SURE").t
        return regime.optimal_stopping(regime.trajectory(y, [pilot])[0], sigma)
    raise ValueError(f"rule is plug-in, discrepancy, SURE or GSURE; got {rule!r}")


def stopping_table(
    regime: KernelRegime,
    x: Inexact[Any, "..."],
    y: Inexact[Any, "..."],
    sigma: float,
    *,
    assumed_sigma: float | None = None,
) -> tuple[StoppingRow, ...]:
    """Every rule beside the oracle, which knows the true image.

    Parameters
    ----------
    regime, x, y, sigma
        The dynamics, the true image, data, and their noise level.
    assumed_sigma
        What the rules are told; None tells them ``sigma``.

    Returns
    -------
    A `StoppingRow` a rule, the oracle first.  GSURE is left out where the kernel is only known
    by its products.
    """
    oracle = regime.optimal_stopping(x, sigma)
    told = sigma if assumed_sigma is None else assumed_sigma
    rows = [StoppingRow("oracle", oracle.t, oracle.value, 1.0)]
    rules: list[Literal["plug-in", "discrepancy", "SURE", "GSURE"]]
    rules = ["plug-in", "discrepancy", "SURE"]
    if regime.is_exact:
        rules.append("GSURE")
    for rule in rules:
        t = stop(regime, y, told, rule).t
        mse = float(regime.mse(x, sigma, [t]).total[0])
        excess = mse / oracle.value if oracle.value > 0 else 1.0 if mse == 0 else np.inf
        rows.append(StoppingRow(rule, t, mse, excess))
    return tuple(rows)
