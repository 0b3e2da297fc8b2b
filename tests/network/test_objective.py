"""Claims about objectives: T(t), the language, and that J is what was written."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

import derive
from derive.calculus.partials import injection
from derive.errors import NetworkError
from derive.network.objective import Objective, SquaredError
from derive.network.symbols import state, target

d, y = sympy.symbols("d y", real=True)


def test_squared_error_is_half_the_square_with_a_minus() -> None:
    assert SquaredError([2]).expression == -((d - y) ** 2) / 2
    assert SquaredError([2]).to_spec() == {"J": "(-(d - y)**2)/2", "targets": [2]}


def test_its_error_is_the_difference() -> None:
    assert sympy.expand(injection(SquaredError([0])).error - (d - y)) == 0


@pytest.mark.parametrize(
    "text", ["-(d - y)**4/4", "-log(cosh(d - y))", "d*y - softplus(y)", "-abs(d - y)", "-d*y**2/3",
             "where(d > 0, y, -y)", "-max(d - y, 0)**2"]
)  # fmt: skip
def test_text_and_sympy_state_the_same_objective(text: str) -> None:
    first = Objective(text, [0])
    again = Objective(first.expression, [0])
    assert again.expression == first.expression
    assert Objective(first.to_spec()["J"], [0]).text == first.text


def test_any_symbols_called_d_and_y_will_do() -> None:
    assert Objective(-((target("d") - state("y")) ** 2) / 2, [0]).expression == (
        SquaredError([0]).expression
    )
    loose = sympy.Symbol("d") * sympy.Symbol("y")
    assert derive.Objective(loose, [1]).expression == d * y


def test_targets_keep_their_order() -> None:
    assert SquaredError((2, 0, 1)).targets == (2, 0, 1)


@pytest.mark.parametrize(
    ("expression", "targets", "message"),
    [
        ("y", [], "targets is empty; name at least one unit"),
        ("y", [0, 0], "unit 0 is listed twice"),
        ("y", [-1], "a target must be at least 0, got -1"),
        ("y", [0.5], "a target must be a whole number, got 0.5"),
        ("y", [True], "a target must be a whole number"),
        ("y", "0", "targets must be a list of units, got '0'"),
        ("y", 0, "targets must be a list of units, got 0"),
        ("(d - z)**2", [0], "objective.J: column 6: undefined symbol 'z'"),
        ("", [0], "objective.J: the expression is empty"),
        ("__import__('os')", [0], "unknown function '__import__'|only a function"),
        ("d - y(t + 1)", [0], "mentions y at a time of its own, perhaps a later one"),
        (sympy.Symbol("q") * y, [0], "undefined symbol 'q'"),
        (sympy.gamma(y), [0], "gamma cannot be written in a spec"),
        (["y"], [0], "expected an expression"),
    ],
)
def test_a_bad_objective_is_one_clear_error(expression: Any, targets: Any, message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Objective(expression, targets)
