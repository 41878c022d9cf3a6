"""Filters against their own scalar recursions, in extended precision."""

from __future__ import annotations

import numpy as np
import pytest

from ntkdip.theory import GradientDescent, GradientFlow, HeavyBall, Nesterov

STEPS = 10_000


def recursion(method, values: np.ndarray) -> np.ndarray:
    """``phi_t`` for ``t = 0 ... STEPS`` from rest: ``c`` of a data vector 1."""
    eta, beta = np.longdouble(method.step_size), np.longdouble(getattr(method, "momentum", 0))
    shifted = values.astype(np.longdouble) + np.longdouble(method.ridge)
    c = before = np.zeros(len(values), np.longdouble)
    found = [c]
    for _ in range(STEPS):
        moved = c - before
        at = c + beta * moved if isinstance(method, Nesterov) else c
        after = at + eta * (1 - shifted * at)
        if isinstance(method, HeavyBall):
            after = after + beta * moved
        c, before = after, c
        found.append(c)
    return np.stack(found)


def awkward_values(method) -> np.ndarray:
    """Zero, tiny, and both sides of where the characteristic roots meet."""
    beta = getattr(method, "momentum", 0.0)
    near = 1 + np.concatenate([-(10.0 ** -np.arange(1, 15)), [0], 10.0 ** -np.arange(1, 15)])
    meeting = np.outer([(1 - np.sqrt(beta)) ** 2, 1.0], near).ravel() / method.step_size
    values = np.concatenate([[0.0], 10.0 ** -np.arange(18.0), np.linspace(0, 1, 300), meeting])
    return values[(values >= 0) & (values <= 1)]


METHODS = [GradientDescent(), GradientDescent(ridge=1e-3)]
METHODS += [kind(momentum=b) for kind in (HeavyBall, Nesterov) for b in (0.0, 0.3, 0.9, 0.99)]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_it_is_its_recursion(method, share: float) -> None:
    method = type(method)(**{**vars(method), "step_size": share * method.step_size_bound(1.0)})
    method = method.resolved(1.0)
    values = awkward_values(method)
    t = np.unique(np.round(np.geomspace(1, STEPS, 60))).astype(int)
    t = np.append(0, t)
    expected = recursion(method, values)[t]
    error = np.abs(method(values, t) - expected)
    assert (values * error).max() <= 1e-11  # of the data
    # The first steps lose digits where momentum's roots meet close to 1.
    assert (error / (np.abs(expected) + method.step_size)).max() <= 1e-8


@pytest.mark.parametrize("method", [*METHODS, GradientFlow()], ids=str)
def test_the_limit_and_very_late_iterations(method) -> None:
    method = method.resolved(2.0)
    values = np.array([0.0, 1e-9, 1e-3, 1.0, 2.0])
    late = method(values, [1e15, np.inf])
    expected = 1 / (values[1:] + method.ridge)
    np.testing.assert_allclose(late[:, 1:], [expected, expected], rtol=1e-6)
    assert late[1, 0] == (1 / method.ridge if method.ridge else 0.0)


def test_gradient_flow_is_gradient_descent_of_small_steps() -> None:
    values, time = np.geomspace(1e-6, 1.0, 50), 7.0
    flow = GradientFlow(1.0).resolved(1.0)(values, [time, 2.5])
    small = GradientDescent(1e-6).resolved(1.0)(values, [time * 1e6])
    np.testing.assert_allclose(flow[:1], small, rtol=1e-5)
    np.testing.assert_allclose(flow[1], (1 - np.exp(-2.5 * values)) / values, rtol=1e-9)


def test_bad_input_is_refused() -> None:
    for ridge in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="ridge is finite"):
            GradientDescent(ridge=ridge)
    for momentum in (-0.1, 1.0, np.nan):
        with pytest.raises(ValueError, match=r"momentum is in \[0, 1\)"):
            HeavyBall(momentum=momentum)
    with pytest.raises(ValueError, match="not chosen yet"):
        GradientDescent()(np.ones(1), [1])
    for t in ([-1], [0.5], [np.nan]):
        with pytest.raises(ValueError, match="non-negative"):
            GradientDescent(1.0)(np.ones(1), t)
    with pytest.raises(ValueError, match="times are non-negative"):
        GradientFlow(1.0)(np.ones(1), [-0.5])
    with pytest.raises(ValueError, match=r"0 < eta < inf"):
        GradientFlow(-1.0).resolved(1.0)
