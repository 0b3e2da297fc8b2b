"""What is pooled over units is differentiated through, and only what shifts is held."""

from __future__ import annotations

import pytest
import sympy

import derive
from derive.calculus.partials import injected, penalty
from derive.errors import DerivationError
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.objectives import Activity, Huber, SoftmaxCrossEntropy, WeightDecay

SOFTMAX = {"c": ("max", "y"), "P": ("sum", "exp(y - c)")}


def net_of(objective: Objective) -> Network:
    return Network(derive.cells.semilinear("tanh"), 3, 1, derive.connect.full(), objective, "net")


def lines(objective: Objective, algorithm: str = "epochwise") -> str:
    return str(derive.differentiate(net_of(objective), algorithm=algorithm))


def test_a_sum_is_differentiated_by_what_each_unit_adds() -> None:
    found = injected(SoftmaxCrossEntropy([0, 1]).terms[0])
    d, y, c, P = sympy.symbols("d y c P", real=True)
    assert found.error == d
    assert found.by_pool == {P: -d / P}
    shift, total = found.pools
    assert shift.shifts and not total.shifts
    assert total.by_output == sympy.exp(y - c)


def test_a_term_in_a_parameter_is_differentiated_by_it() -> None:
    lam, w = sympy.symbols("lam w", real=True)
    assert penalty(WeightDecay(0.5).terms[0]).slope == -lam * w


@pytest.mark.parametrize(
    ("expression", "pools"),
    [
        ("d*(y - c - log(P))", SOFTMAX),
        ("d*(2*y - 2*c - log(P))", {"c": ("max", "y"), "P": ("sum", "exp(2*y - 2*c)")}),
        ("d*exp(y - c)/P", SOFTMAX),
        ("-(d - S)**2", {**SOFTMAX, "S": ("sum", "y*exp(y - c)/P")}),
        ("d*(y - a - b - log(P))",
         {"a": ("max", "y"), "b": ("max", "y - a"), "P": ("sum", "exp(y - a - b)")}),
    ],
)  # fmt: skip
def test_what_only_shifts_is_found_to(expression: str, pools: dict) -> None:
    assert injected(Objective(expression, [0, 1], pools=pools).terms[0])


@pytest.mark.parametrize(
    ("expression", "pools"),
    [
        ("d*(y - c)", {"c": ("max", "y")}),
        ("d*(y - c - log(P))", {"c": ("max", "y"), "P": ("sum", "exp(y - 2*c)")}),
        ("d*(y + c - log(P))", SOFTMAX),
        ("d*step(y - c)", {"c": ("max", "y")}),
        ("d*where(y > c, 1, 0)", {"c": ("max", "y")}),
        ("d*y + sign(y - c)", {"c": ("max", "y")}),
    ],
)
def test_what_does_not_only_shift_is_refused(expression: str, pools: dict) -> None:
    with pytest.raises(DerivationError, match="objective.pools.c: J depends on it"):
        injected(Objective(expression, [0, 1], pools=pools).terms[0])


def test_a_derivation_shows_every_term_and_the_way_through_the_sums() -> None:
    text = lines(SoftmaxCrossEntropy([2, 0]) + Activity("-y**2/2", [1]) + WeightDecay(0.5))
    assert "c₁(t) = max_{l∈U₁} y_l(t)" in text
    assert "P₁(t) = Σ_{l∈U₁} exp(y_l(t) − c₁(t))" in text
    assert "Σ_{k∈T₁(t)} d_k(t)·(y_k(t) − c₁(t) − log(P₁(t)))" in text
    assert "1/2·Σ_{k∈U₂} y_k(t)²" in text
    assert "1/2·Σ_{a∈Θ₃} lam₃·θ_a²" in text
    assert "∂J(t)/∂P₁(t) = −Σ_{k∈T₁(t)} d_k(t)/P₁(t)" in text
    assert "exp(y_k(t) − c₁(t))·∂J(t)/∂P₁(t) for k∈U₁" in text
    assert "U₁: the units 2, 0; T₁(t): those of them with a target at t." in text
    assert "lam₃ = 0.5." in text
    assert "J is maximised" in text


@pytest.mark.parametrize("algorithm", ["epochwise", "rtrl", "hybrid", "settling", "truncated"])
def test_every_gradient_by_a_weight_has_what_j_says_of_the_weight(algorithm: str) -> None:
    options = {"h": 2} if algorithm in ("hybrid", "truncated") else {}
    net = net_of(SquaredError([0]) + WeightDecay(0.5))
    d = derive.differentiate(net, algorithm=algorithm, **options)
    lam = sympy.Symbol("lam₂", real=True)
    assert lam in d["gradient_w"].right.free_symbols


def test_a_derivation_of_one_plain_term_says_nothing_of_terms() -> None:
    text = lines(SquaredError([0]))
    assert "U₁" not in text and "T₁" not in text


def test_latex_knows_the_new_letters() -> None:
    net = net_of(SoftmaxCrossEntropy([0, 1]) + WeightDecay(0.5))
    text = derive.differentiate(net, algorithm="epochwise").latex()
    assert r"\max_{" in text and "∈" not in text


def test_latex_writes_numbers_of_terms_as_subscripts() -> None:
    objective = SoftmaxCrossEntropy([0, 1]) + Activity("c*y", constants={"c": [1.0, 2.0, 3.0]})
    text = derive.differentiate(net_of(objective + WeightDecay(0.5)), algorithm="epochwise").latex()
    assert not set("₁₂₃Θ") & set(text)
    assert r"\Theta_{3}" in text
    assert "c_{2,k}" in text


def test_cases_of_an_error_stand_within_the_units_it_is_of() -> None:
    text = lines(Huber([2, 0], 0.5))
    assert "Σ_{k∈T₁(t)} {" in text
    assert "T_k" not in text and "1{k=l}" not in text.split("e_k(t) = {")[1].split("\n")[0]
