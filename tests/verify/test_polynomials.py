"""Whether an expression is zero: what is must be found, what is not must never be."""

from __future__ import annotations

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from derive.functions import logistic, relu, softplus, step
from derive.verify.polynomials import MOST, Algebra, TooManyTerms

x, y, z = sympy.symbols("x y z", real=True)

EQUAL = [
    ((x + y) ** 3, sympy.expand((x + y) ** 3)),
    (sympy.diff(sympy.tanh(x * y), x), y * (1 - sympy.tanh(x * y) ** 2)),
    (sympy.tanh(x * (y + 1)), sympy.tanh(x * y + x)),
    (sympy.tanh(x - y), -sympy.tanh(y - x)),
    (sympy.cos(x - y), sympy.cos(y - x)),
    ((f := logistic(x * y)) and sympy.diff(1 / (1 + sympy.exp(-x * y)), x), y * f * (1 - f)),
    (sympy.diff(sympy.log(1 + sympy.exp(x)), x), logistic(x)),
    (sympy.diff(softplus(x + y), y), logistic(x + y)),
    (logistic(-x), 1 - logistic(x)),
    (sympy.exp(2 * x) * sympy.exp(-x) * 3, 3 * sympy.exp(x)),
    (x / (x + y) + y / (x + y), sympy.Integer(1)),
    (1 / x - 1 / y, (y - x) / (x * y)),
    (sympy.diff(x / sympy.sqrt(1 + x**2), x), (1 + x**2) ** sympy.Rational(-3, 2)),
    (relu(x * y) * step(x * y), relu(x * y)),
    (step(relu(x + y)), step(x + y)),
    (sympy.Piecewise((x, x > 0), (0, True)), relu(x)),
    (step(2 * x), step(x)),
    (sympy.Piecewise((x, x > y), (y, True)), sympy.Piecewise((y, x <= y), (x, True))),
]
UNEQUAL = [
    (sympy.tanh(x), sympy.tanh(y)),
    (sympy.tanh(x), -sympy.tanh(x)),
    (sympy.cos(x), -sympy.cos(x)),
    (1 / (x + y), 1 / (x - y)),
    (sympy.exp(x), sympy.exp(-x)),
    (sympy.exp(x / 2), sympy.exp(x)),
    (logistic(x), logistic(-x)),
    (sympy.sqrt(x**2 + 1), x),
    (step(x), step(-x)),
    (relu(x), x),
    (relu(x), step(x)),
    (x**2, x),
    (step(x - y), step(x + y)),
    (sympy.Max(x, y), sympy.Min(x, y)),
]


def is_zero(a: sympy.Expr, b: sympy.Expr) -> bool:
    algebra = Algebra()
    return algebra.is_zero(algebra.read(a), algebra.read(b))


@pytest.mark.parametrize(("a", "b"), EQUAL, ids=str)
def test_an_identity_is_proved(a: sympy.Expr, b: sympy.Expr) -> None:
    assert is_zero(a, b)
    assert is_zero(b, a)


@pytest.mark.parametrize(("a", "b"), UNEQUAL, ids=str)
def test_what_is_not_equal_is_never_proved(a: sympy.Expr, b: sympy.Expr) -> None:
    assert not is_zero(a, b)
    assert not is_zero(b, a)


LEAVES = st.sampled_from([x, y, z, sympy.Integer(2), sympy.Rational(-3, 5)])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a + b, inner, inner),
        st.builds(lambda a, b: a * b, inner, inner),
        st.builds(sympy.tanh, inner),
        st.builds(logistic, inner),
        st.builds(relu, inner),
        st.builds(lambda a: 1 / (2 + a**2), inner),
        st.builds(lambda a: sympy.sqrt(1 + a**2), inner),
    ),
    max_leaves=5,
)


@given(TREES, TREES)
def test_two_expressions_are_proved_equal_only_where_their_numbers_are(
    a: sympy.Expr, b: sympy.Expr
) -> None:
    point = {x: sympy.Rational(7, 8), y: sympy.Rational(-5, 16), z: sympy.Rational(11, 8)}
    differ = abs(sympy.N((a - b).xreplace(point), 30)) > sympy.Float("1e-20")
    assert not (differ and is_zero(a, b))


@given(TREES)
def test_a_product_rule_is_proved(a: sympy.Expr) -> None:
    b = sympy.tanh(x * y) + z
    assert is_zero(sympy.diff(a * b, x), a * sympy.diff(b, x) + b * sympy.diff(a, x))


def test_a_polynomial_too_large_is_given_up_and_not_called_zero() -> None:
    many = sum(sympy.symbols("a:40", real=True)) ** 4
    assert sympy.binomial(43, 4) > MOST
    with pytest.raises(TooManyTerms):
        Algebra().read(many)
