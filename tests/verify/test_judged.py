"""J as stated, among symbols and among numbers, and how proofs and samples go by it."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import derive
from derive.functions import greatest
from derive.network.network import Network
from derive.network.objective import Objective, SquaredError
from derive.network.objectives import (
    AbsoluteError,
    Activity,
    Huber,
    SoftmaxCrossEntropy,
    WeightDecay,
)
from derive.verify import samples
from derive.verify.forms import form_of
from derive.verify.paths import is_approximate
from derive.verify.polynomials import Algebra
from derive.verify.stated import objective_value
from derive.verify.unrolling import WrittenObjective, output_columns
from derive.verify.witness import witnesses
from tests.strategies import data, networks, simulate

TANH = derive.cells.semilinear("tanh")


def net_of(objective: Objective, units: int = 3) -> Network:
    return Network(TANH, units, 2, derive.connect.full(), objective, name="net")


# --- the value -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(networks(corners=True), st.integers(0, 99))
def test_j_as_stated_is_that_of_the_simulation(net: Network, seed: int) -> None:
    values = data(net, 4, seed=seed)
    y, J = simulate(net, values)
    found = objective_value(net, y, values.target, values.mask, values.theta)
    assert float(found) == pytest.approx(float(J), rel=1e-10, abs=1e-10)


@settings(max_examples=15, deadline=None)
@given(networks(max_units=3), st.integers(0, 99))
def test_j_among_symbols_has_the_same_value(net: Network, seed: int) -> None:
    values = data(net, 1, seed=seed)
    y, J = simulate(net, values)
    outputs = [sympy.Float(v, 30) for v in y[1, output_columns(net)]]
    given_ = [[sympy.Float(v, 30) if v else sympy.S.Zero for v in a]
              for a in (values.target[0], values.mask[0], values.theta)]  # fmt: skip
    terms = WrittenObjective(net).written(outputs, *given_)
    assert float(sympy.Add(*terms)) == pytest.approx(float(J), rel=1e-9, abs=1e-9)


# --- exponentials that are shifted ----------------------------------------------------------------


def shifted(extra: int) -> bool:
    a, b = sympy.symbols("a b", real=True)
    c = greatest(a, b)
    algebra = Algebra()
    left = sympy.log(sympy.exp(a - c) + sympy.exp(b - c)) + extra * c
    right = sympy.log(sympy.exp(a) + sympy.exp(b))
    return algebra.is_zero(algebra.read(left), algebra.read(right))


def test_a_shift_goes_out_of_the_logarithm_of_a_sum_of_exponentials() -> None:
    assert shifted(1)
    assert not shifted(0)
    assert not shifted(2)


def test_a_shift_goes_out_of_a_ratio_of_exponentials() -> None:
    a, b = sympy.symbols("a b", real=True)
    c, algebra = greatest(a, b), Algebra()
    p = sympy.exp(a - c) / (sympy.exp(a - c) + sympy.exp(b - c))
    q = sympy.exp(a) / (sympy.exp(a) + sympy.exp(b))
    assert algebra.is_zero(algebra.read(p), algebra.read(q))
    assert not algebra.is_zero(algebra.read(p), algebra.read(1 - q))


def test_the_larger_of_two_has_no_derivative() -> None:
    a, b = sympy.symbols("a b", real=True)
    with pytest.raises(TypeError, match="only shifts"):
        sympy.diff(greatest(a, b), a)


# --- corners --------------------------------------------------------------------------------------


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_a_sample_keeps_away_from_the_corners_of_the_objective(delta: float) -> None:
    net = net_of(Huber([2, 0], delta) if delta else AbsoluteError([2, 0]))
    sample = samples.draw(net, 0)
    y = simulate(net, data(net, 1)._replace(
        theta=sample.theta, x=sample.x, target=sample.target, mask=sample.mask, y0=sample.y0
    ))[0]  # fmt: skip
    there = sample.mask != 0
    e = np.abs(sample.target - y[1:, [2, 0]])[there]
    assert sample.margin == pytest.approx(np.abs(e - delta).min())
    assert sample.margin > 1e-3


def test_a_run_at_a_corner_has_no_margin() -> None:
    net = net_of(AbsoluteError([2]))
    sample = samples.draw(net, 0)
    y = simulate(net, data(net, 1)._replace(
        theta=sample.theta, x=sample.x, target=sample.target, mask=sample.mask, y0=sample.y0
    ))[0]  # fmt: skip
    sample.target[-1, 0] = y[-1, 2] + 1e-9
    sample.mask[-1, 0] = 1.0
    assert samples.margin(net, sample) == pytest.approx(1e-9, rel=1e-3)


def test_a_term_in_parameters_has_corners_too() -> None:
    net = net_of(SquaredError([2]) + Objective("-abs(w)", parameters=["w"]))
    sample = samples.draw(net, 0)
    assert sample.margin == pytest.approx(np.abs(sample.theta).min())
    assert not samples.is_analytic(net)
    assert samples.is_analytic(net_of(SoftmaxCrossEntropy([0, 1])))


# --- witnesses, and what reaches what -------------------------------------------------------------


def test_a_witness_has_every_term_and_pools_over_at_least_two() -> None:
    objective = (
        SoftmaxCrossEntropy([17, 18, 19])
        + SquaredError([5], [0.5])
        + Activity("-lam*y**2/2", [3, 4], {"lam": [0.25, 0.5]})
        + WeightDecay(0.125)
    )
    (w,) = witnesses(net_of(objective, units=20))
    pooled, square, activity, decay = w.net.objective.terms
    assert len(pooled.units or ()) >= 2
    assert square.units and square.constants == {"c": (0.5,)}
    assert activity.units and set(activity.values("lam", 1)) <= {0.25, 0.5}
    assert decay.names == ("w",)


def test_a_large_network_that_pools_is_verified() -> None:
    net = net_of(SoftmaxCrossEntropy([5, 6, 7]) + WeightDecay(0.125), units=8)
    report = derive.verify(net, algorithm="epochwise")
    assert report.ok


def test_an_output_that_is_only_pooled_may_carry_what_was_cut_off() -> None:
    pooled = net_of(SoftmaxCrossEntropy([0, 2]))
    form = form_of({"name": "truncated", "h": 1})
    assert is_approximate(pooled, form, np.array([[1, 0]] * 4))
    # Unit 0 hears nothing; unit 1, whose targets are missing, hears itself.
    apart, joined = (Network(TANH, 2, 0, [(1, 1)], o, name="net")
                     for o in (SquaredError([0, 1]), SoftmaxCrossEntropy([0, 1])))  # fmt: skip
    mask = np.array([[1, 0]] * 4)
    assert not is_approximate(apart, form, mask)
    assert is_approximate(joined, form, mask)
