"""The functions SymPy lacks: their derivatives are found from their definitions, and are right."""

from __future__ import annotations

import pytest
import sympy

from derive.functions import Defined, convention, derivative, logistic, relu, softplus, step

X = sympy.Symbol("x", real=True)
SMOOTH = [logistic, softplus]


def in_exponentials(expr: sympy.Expr) -> sympy.Expr:
    """``expr`` with every defined function replaced by its definition."""
    return expr.replace(lambda e: isinstance(e, Defined), lambda e: e.definition(e.args[0])).doit()


def follows(function: type[Defined], slope: sympy.Expr) -> bool:
    """Whether ``slope`` is the derivative of the function's definition, as an identity."""
    difference = sympy.diff(function.definition(X), X) - in_exponentials(slope)
    E = sympy.Symbol("E", positive=True)
    as_rational = difference.rewrite(sympy.exp).subs(sympy.exp(-X), 1 / E).subs(sympy.exp(X), E)
    return sympy.cancel(sympy.together(as_rational)) == 0


@pytest.mark.parametrize("function", SMOOTH)
def test_the_derivative_that_is_used_follows_from_the_definition(function: type[Defined]) -> None:
    assert follows(function, function(X).diff(X))


@pytest.mark.parametrize("function", SMOOTH)
def test_a_wrong_derivative_would_be_seen(function: type[Defined]) -> None:
    assert not follows(function, -function(X).diff(X))
    assert not follows(function, function(X))


def test_the_logistic_slope_is_found_in_terms_of_its_value() -> None:
    v = sympy.Symbol("v", real=True)
    assert derivative(logistic) == v * (1 - v)
    assert str(logistic(X).diff(X)) == "(1 - logistic(x))*logistic(x)"


def test_the_softplus_slope_is_recognised_as_the_logistic_function() -> None:
    assert softplus(X).diff(X) == logistic(X)


def test_the_chain_rule_reaches_the_argument() -> None:
    assert sympy.expand(logistic(3 * X).diff(X) - 3 * logistic(3 * X) * (1 - logistic(3 * X))) == 0


def test_relu_slopes_are_one_right_of_zero_and_zero_left_of_it_and_at_it() -> None:
    slope = relu(X).diff(X)
    assert [float(slope.subs(X, v).evalf()) for v in (-2, 0, 3)] == [0, 0, 1]
    assert step(X).diff(X) == 0


def test_relu_slope_needs_nothing_but_the_value() -> None:
    y = sympy.Symbol("y", real=True)
    assert relu(X).diff(X).xreplace({relu(X): y}) == step(y)


def test_sympys_generalised_functions_give_way_to_the_convention() -> None:
    assert convention(sympy.Max(0, X).diff(X)) == step(X)
    assert not convention(sympy.Max(0, X).diff(X, 2)).has(sympy.DiracDelta)


@pytest.mark.parametrize("function", [logistic, softplus, relu, step])
@pytest.mark.parametrize("at", [-800, -1, sympy.Rational(1, 3), 800])
def test_values_are_right_to_thirty_digits(function: type[Defined], at: sympy.Expr) -> None:
    exact = function.definition(sympy.sympify(at)).evalf(400)
    assert abs(function(at).evalf(30) - exact) <= abs(exact) * sympy.Float("1e-28", 30)


@pytest.mark.parametrize("function", SMOOTH)
def test_values_are_known_to_be_real_and_positive(function: type[Defined]) -> None:
    assert function(X).is_real and function(X).is_positive
