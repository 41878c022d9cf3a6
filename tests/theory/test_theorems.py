"""Verdicts on cases whose answer is known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ntkdip import theory
from ntkdip.kernels import DenseKernel
from tests.theory.zoo import KERNELS, OPERATORS, SHAPE


def given(kernel: str, operator: str, complex_image: bool, *, inside: bool):
    A, _ = OPERATORS[operator](complex_image)
    W = KERNELS[kernel](A.domain)
    x = np.random.default_rng(0).standard_normal(A.domain.real_size)
    x = W @ x if inside else x
    return W, A, A.domain.unembed(x / np.linalg.norm(x))


@pytest.mark.parametrize(
    ("kernel", "operator", "complex_image", "inside", "case", "exact"),
    [
        ("wishart", "fourier", True, False, "(a) W nonsingular", False),
        ("wishart", "denoising", True, False, "(a) W nonsingular", True),
        ("circulant", "fourier", False, False, "(a) W nonsingular", False),
        ("singular", "fourier", True, True, "(b) x in R(W), which meets N(A) in 0", True),
        ("singular", "fourier", True, False, "(c) x not in R(W)", False),
        ("rank one", "one sample", False, True, "(b) x in R(W), which meets N(A) in 0", True),
        ("coarse", "one sample", True, True, "(b) x in R(W)", False),
        ("coarse", "coils", False, False, "(c) x not in R(W)", False),
    ],
)
def test_theorem_1_finds_the_case(kernel, operator, complex_image, inside, case, exact) -> None:
    W, A, x = given(kernel, operator, complex_image, inside=inside)
    verdict = theory.theorem_1(W, A, x)
    assert verdict.case == case
    assert verdict.passed
    assert ("theorem-1-exact" in [c.name for c in verdict.checks]) == exact
    assert len(verdict.checks) >= 1
    limit = theory.KernelRegime(W, A).limit(np.asarray(A(x.astype(x.dtype))))
    assert (np.linalg.norm(limit - x) < 1e-5) == exact


def test_a_rank_that_is_not_clear_is_said_and_nothing_is_checked() -> None:
    W, A, x = given("down to rounding", "fourier", True, inside=False)
    verdict = theory.theorem_1(W, A, x)
    assert "rank of W is not clear" in verdict.case
    assert "ill-posed" in verdict.case
    assert verdict.checks == ()


@pytest.mark.parametrize("complex_image", [True, False])
@pytest.mark.parametrize("kernel", ["circulant", "wishart", "coarse"])
@pytest.mark.parametrize("operator", ["fourier", "denoising", "pixels"])
def test_corollary_1_asks_whether_they_commute(kernel, operator, complex_image: bool) -> None:
    W, A, x = given(kernel, operator, complex_image, inside=False)
    verdict = theory.corollary_1(W, A, x, 0.1)
    commute = operator == "denoising" or (kernel, operator) == ("circulant", "fourier")
    assert verdict.applies == commute == bool(verdict.checks)
    assert verdict.passed


@pytest.mark.parametrize("operator", ["fourier", "coils"])
@pytest.mark.parametrize("complex_image", [True, False])
def test_theorem_2_agrees_with_simulated_noise(operator, complex_image: bool) -> None:
    W, A, x = given("wishart", operator, complex_image, inside=False)
    verdict = theory.theorem_2(W, A, x, 0.1)
    assert [c.name for c in verdict.checks] == [f"theorem-2-t{t}" for t in (1, 20, 200)]
    assert verdict.passed


class Wrong(DenseKernel):
    """Products of another kernel than the matrix that it shows."""

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        other = self.matrix.copy()
        other[0, 0] += 10 * np.trace(self.matrix)
        return other @ v


@pytest.mark.parametrize("kernel", ["wishart", "singular", "circulant"])
def test_a_wrong_kernel_fails(kernel) -> None:
    W, A, x = given(kernel, "fourier", True, inside=True)
    verdicts = theory.examine(Wrong(W.dense(), A.domain), A, x, 0.1)
    # In the singular case both kernels have x in their range, and both recover it.
    assert verdicts[0].passed == (kernel == "singular")
    assert not verdicts[1].passed
    if kernel == "circulant":
        assert not verdicts[2].passed


def test_verdicts_can_be_read_and_stored() -> None:
    verdicts = theory.examine(*given("circulant", "fourier", True, inside=False), 0.1)
    stored = json.loads(json.dumps([v.as_dict() for v in verdicts]))
    assert [v["theorem"] for v in stored] == ["Theorem 1", "Theorem 2", "Corollary 1"]
    assert all(v["passed"] for v in stored)
    text = str(verdicts[2])
    assert "Corollary 1: applies" in text
    assert "W and A*A commute" in text
    assert "yes" in text
    assert "FAILS" not in text


def test_bad_input_is_refused() -> None:
    W, A, x = given("wishart", "fourier", True, inside=False)
    with pytest.raises(ValueError, match="zero everywhere"):
        theory.theorem_1(W, A, np.zeros(SHAPE))
    with pytest.raises(ValueError, match="true image: expected shape"):
        theory.corollary_1(W, A, np.ones(3), 0.1)
    with pytest.raises(ValueError, match="at least 2,000 draws"):
        theory.theorem_2(W, A, x, 0.1, draws=100)
    with pytest.raises(ValueError, match="positive noise level"):
        theory.theorem_2(W, A, x, 0.0)
