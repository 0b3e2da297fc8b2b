"""Claims about ready-made cells: their forward equations, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

import derive
from derive.errors import NetworkError
from derive.functions import logistic, relu, softplus
from derive.network.continuous import forward_euler
from derive.network.library import leaky, semilinear

y, s, b, tau = sympy.symbols("y s b tau", real=True)


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("tanh", sympy.tanh(s)),
        ("logistic", logistic(s)),
        ("softplus", softplus(s)),
        ("relu", relu(s)),
        ("identity", s),
        ("s - s**3/3", s - s**3 / 3),
        ("where(s > 0, s, s/10)", sympy.Piecewise((s, s > 0), (s / 10, True))),
        (sympy.erf(sympy.Symbol("s")), sympy.erf(s)),
        (sympy.tanh, sympy.tanh(s)),
    ],
)
def test_semilinear_is_the_activation_of_the_net_input(activation: Any, expected: Any) -> None:
    assert semilinear(activation).equations.states == {y: expected}
    assert semilinear(activation, bias=True).equations.states == {y: expected.subs(s, s + b)}


def test_leaky_is_the_euler_net_of_its_differential_equation() -> None:
    (value,) = leaky("tanh").equations.states.values()
    assert sympy.expand(value - (y + (-y + sympy.tanh(s)) / tau)) == 0
    (half,) = leaky("tanh", dt=0.5).equations.states.values()
    assert sympy.expand(half - (y + (-y + sympy.tanh(s)) / (2 * tau))) == 0
    assert leaky("tanh", bias=True).equations.parameters == (tau, b)


def test_a_decimal_step_is_exact() -> None:
    assert forward_euler({y: -y}, 0.1) == {y: y - y / 10}


def test_time_constants_may_be_learnt_or_fixed() -> None:
    assert [p.name for p in leaky().trainable] == ["tau"]
    assert [p.name for p in leaky(trainable=False).fixed] == ["tau"]


def test_a_leaky_unit_with_tau_one_is_semilinear() -> None:
    (value,) = leaky("tanh", tau=1.0).equations.states.values()
    assert sympy.expand(value.subs(tau, 1)) == sympy.tanh(s)


def test_the_public_cells_are_these() -> None:
    assert derive.cells.semilinear is semilinear and derive.cells.leaky is leaky


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: semilinear("tahn"), "cell.activation: column 1: undefined symbol 'tahn'"),
        (lambda: semilinear("tanh(y)"), "undefined symbol 'y'"),
        (lambda: semilinear(sympy.Symbol("q")), "undefined symbol 'q'"),
        (lambda: semilinear(3), "activation: expected one of tanh, logistic"),
        (lambda: semilinear(sympy.gamma), "gamma cannot be written"),
        (lambda: leaky(tau=0.0), "tau must be a positive number, got 0.0"),
        (lambda: leaky(tau="5"), "leaky: tau must be a finite number, got '5'"),
        (lambda: leaky(tau=10**400), "leaky: tau must be a finite number, got a huge number"),
        (lambda: leaky(dt=-1.0), "dt must be a positive number, got -1.0"),
        (lambda: leaky(dt=float("nan")), "dt must be a finite number, got nan"),
        (lambda: leaky(tau=1.0, dt=2.0), "dt = 2.0 exceeds tau = 1.0"),
    ],
)
def test_a_bad_argument_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        make()
