"""Claims about printed right-hand sides: they mean what SymPy means, in C's own arithmetic.

A printed expression is read by a small evaluator that has C's rules (whole numbers divide as whole
numbers, a choice computes what it computes) over mpmath numbers, and compared with the same SymPy
expression at fifty digits.
"""

from __future__ import annotations

import ast
import re
from typing import Any

import mpmath
import pytest
import sympy
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from derive.emit.expressions import LIBRARY, expression, functions_in
from derive.errors import EmitError
from derive.functions import logistic, relu, softplus
from derive.program.interpret import MULTIPRECISION, compiled

SYMBOLS = a, b, c = sympy.symbols("a b c", real=True)
NAMES = {a: "u_a", b: "z[k + 1]", c: "table_c[k]"}


def quotient(top: Any, bottom: Any) -> Any:
    """C's division: of two whole numbers, a whole number."""
    if isinstance(top, int) and isinstance(bottom, int):
        return int(top / bottom)
    return top / bottom


FUNCTIONS = {f"k_{name}": MULTIPRECISION.functions[f] for f, name in LIBRARY.items()} | {
    "k_sqrt": mpmath.sqrt,
    "k_pow": lambda x, z: mpmath.mpmathify(x) ** z,
    "k_where": lambda test, yes, no: yes if test else no,
    "k_div": quotient,
    "real": lambda x: mpmath.mpf(x),
}
BINARY = {
    ast.Add: lambda x, z: x + z,
    ast.Sub: lambda x, z: x - z,
    ast.Mult: lambda x, z: x * z,
    ast.Div: quotient,
}
COMPARE = {
    ast.Lt: lambda x, z: x < z, ast.LtE: lambda x, z: x <= z, ast.Gt: lambda x, z: x > z,
    ast.GtE: lambda x, z: x >= z, ast.Eq: lambda x, z: x == z, ast.NotEq: lambda x, z: x != z,
}  # fmt: skip


def meaning(text: str, values: dict[str, Any]) -> Any:
    """The value of a printed expression."""
    called = re.sub(r"<real>(-?[\d.]+(?:e[+-]?\d+)?)", r"real(\1)", text)
    for name, value in values.items():
        called = called.replace(name, f"value_{list(values).index(name)}")
        assert value is not None
    known = [*values.values()]

    def read(node: Any) -> Any:
        match node:
            case ast.Constant(value=value):
                return value
            case ast.Name(id=name):
                return known[int(name.removeprefix("value_"))]
            case ast.UnaryOp(op=ast.USub(), operand=inner):
                return -read(inner)
            case ast.BinOp(left=left, op=op, right=right):
                return BINARY[type(op)](read(left), read(right))
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return COMPARE[type(op)](read(left), read(right))
            case ast.Call(func=ast.Name(id=name), args=args):
                return FUNCTIONS[name](*map(read, args))
        raise AssertionError(f"{ast.dump(node)} is not C")

    return read(ast.parse(called, mode="eval").body)


def _combined(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    pairs = st.tuples(inner, inner)
    small = st.sampled_from([sympy.tanh, sympy.sin, logistic, softplus, relu, sympy.Abs, sympy.sign,
                             sympy.atan, sympy.erf])  # fmt: skip
    return st.one_of(
        pairs.map(lambda p: p[0] + p[1]),
        pairs.map(lambda p: p[0] - p[1]),
        pairs.map(lambda p: p[0] * p[1]),
        pairs.map(lambda p: p[0] / (2 + p[1] ** 2)),
        pairs.map(lambda p: p[0] / p[1] if p[1] != 0 else p[0]),
        st.tuples(inner, st.integers(-3, 6)).map(lambda p: p[0] ** p[1] if p[0] != 0 else p[0]),
        inner.map(lambda e: sympy.sqrt(1 + e**2)),
        inner.map(lambda e: (1 + e**2) ** sympy.Rational(-3, 2)),
        inner.map(lambda e: -e),
        st.tuples(small, inner).map(lambda p: p[0](p[1])),
        pairs.map(lambda p: sympy.Max(*p)),
        pairs.map(lambda p: sympy.Min(p[0], p[1], sympy.S.Half)),
        st.tuples(inner, inner, inner).map(
            lambda p: sympy.Piecewise((p[0], p[1] > 0), (p[2], True))
        ),
    )


NUMBERS = st.one_of(
    st.integers(-7, 7).map(sympy.Integer),
    st.sampled_from([sympy.Rational(p, q) for p in (-3, -1, 1, 2, 5) for q in (2, 3, 7, 10)]),
    st.sampled_from([sympy.Integer(100_000), sympy.Float(0.1)]),
)
EXPRESSIONS = st.recursive(st.one_of(st.sampled_from(SYMBOLS), NUMBERS), _combined, max_leaves=6)
VALUES = st.lists(
    st.fractions(-2, 2, max_denominator=64).filter(bool), min_size=3, max_size=3, unique=True
)


@settings(max_examples=60)
@given(EXPRESSIONS, VALUES, st.booleans())
@example(a / 2 + sympy.Rational(1, 3), [1, 2, 3], False)
@example(sympy.Rational(1, 2) * a / b, [1, 2, 3], False)
@example(3 / (7 * a * b), [1, 2, 3], False)
@example(a - (b - c) - (-a) * (b + 1), [1, 2, 3], False)
@example(-((a - b) ** 2) / 2, [1, 2, 3], False)
@example(a / (b / (c + 1) + 1), [1, 2, 3], True)
def test_printed_text_means_what_sympy_means(expr: Any, values: list[Any], lanes: bool) -> None:
    assume(not expr.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I))
    with mpmath.workdps(50):
        numbers = [mpmath.mpf(v.numerator) / v.denominator for v in values]
        try:
            expected = compiled(expr, SYMBOLS, MULTIPRECISION)(tuple(numbers))
        except ZeroDivisionError:
            assume(False)
        assume(not isinstance(expected, mpmath.mpc) and abs(expected) < 1e12)
        text = expression(expr, NAMES, lanes)
        found = meaning(text, dict(zip(NAMES.values(), numbers, strict=True)))
        assert abs(mpmath.mpf(found) - expected) <= 1e-25 * (1 + abs(expected)), text
    if lanes:
        assert "/" not in text


@settings(max_examples=60)
@given(EXPRESSIONS)
@example((sympy.Max(a, b) ** 2 + 1) ** sympy.Rational(-3, 2))
def test_every_function_that_is_called_is_announced(expr: Any) -> None:
    assume(not expr.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I))
    called = set(re.findall(r"k_(\w+)\(", expression(expr, NAMES))) - {"where", "div"}
    assert called <= functions_in(expr)


@settings(max_examples=60)
@given(EXPRESSIONS)
@example(a / 10 * sympy.Float(0.1))
def test_the_order_of_operations_does_not_depend_on_names(expr: Any) -> None:
    assume(not expr.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I))
    first = expression(expr, {a: "A", b: "B", c: "C"})
    other = expression(expr, {a: "Z", b: "Y", c: "X"})
    assert other == first.translate(str.maketrans("ABC", "ZYX"))


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (a * (1 - b**2), "a*(1 - b*b)"),
        (-((a - b) ** 2) / 2, "-<real>0.5*((a - b)*(a - b))"),
        (a / b, "a/b"),
        (1 / a, "<real>1/a"),
        (a / 3, "(<real>1/<real>3)*a"),
        (sympy.sqrt(a), "k_sqrt(a)"),
        (a**5, "k_pow(a, 5)"),
        (sympy.Piecewise((a, b > 0), (0, True)), "k_where(b > 0, a, 0)"),
        (sympy.Max(a, b, c), "k_larger(k_larger(a, b), c)"),
        (sympy.Integer(3**40) * a, "<real>1.2157665459056929e+19*a"),
        (sympy.Rational(3**40, 7) * a, "<real>1.736809351293847e+18*a"),
        (sympy.Float(0.1) * a, "<real>0.1*a"),
        (sympy.pi * a, "<real>3.141592653589793*a"),
    ],
)
def test_the_text_is_what_a_person_would_write(expr: Any, text: str) -> None:
    printed = expression(expr, {a: "a", b: "b", c: "c"})
    assert printed == text


def test_a_function_without_printed_form_is_refused() -> None:
    with pytest.raises(EmitError, match="gamma has no printed form; use exp, log"):
        expression(sympy.gamma(a), {a: "a"})
    both = sympy.Piecewise((a, sympy.And(a > 0, b > 0)), (b, True))
    with pytest.raises(EmitError, match="is not a single comparison"):
        expression(both, {a: "a", b: "b"})
