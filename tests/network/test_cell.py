"""Claims about stating a unit: every way gives one cell, every mistake one clear error."""

from __future__ import annotations

from typing import Any

import pytest
import sympy

import derive
from derive.errors import NetworkError
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.symbols import intermediate, net_input, parameter, state, target

y, v, s = state("y"), state("v"), net_input("s")
tau = parameter("tau", initial=5.0)
LEAKY = {"y": "y + (tanh(s) - y)/tau"}
TAU = (ParameterDeclaration("tau", 5.0),)


def test_sympy_and_text_state_the_same_cell() -> None:
    drawn = Cell(states={y: y + (sympy.tanh(s) - y) / tau})
    written = Cell.from_text(LEAKY, parameters=TAU)
    assert drawn.equations == written.equations
    assert drawn.parameters == written.parameters
    assert (drawn.states, drawn.net_inputs, drawn.output) == (("y",), ("s",), "y")


def test_the_public_names_state_a_cell() -> None:
    y, s = derive.state("y"), derive.net_input("s")
    tau = derive.parameter("tau", initial=5.0)
    assert derive.Cell(states={y: y + (sympy.tanh(s) - y) / tau}).parameters == TAU


def test_a_cell_survives_its_spec() -> None:
    u, q = intermediate("u"), intermediate("q")
    k = parameter("k", initial=0.7, trainable=False, shared=True)
    cell = Cell({v: v / 2 + q, y: sympy.tanh(q * k) + v / 4}, {q: u**2, u: s + v}, y, "chained")
    again = derive.Network.load(
        {
            "spec": "derive/1",
            "cell": cell.to_spec(),
            "network": {"units": 1, "connections": []},
            "objective": {"targets": [0]},
        }
    ).cells[0]
    assert again.equations == cell.equations
    assert (again.name, again.output, again.parameters) == ("chained", "y", cell.parameters)


def test_intermediates_are_put_in_order_of_need() -> None:
    u, q = intermediate("u"), intermediate("q")
    assert Cell({y: q}, {q: u, u: s}).intermediates == ("u", "q")
    assert Cell.from_text({"y": "q"}, intermediates={"q": "u", "u": "s"}).intermediates == (
        "u",
        "q",
    )


def test_equations_come_in_the_order_of_need_however_they_were_stated() -> None:
    """Else an intermediate would be read before it is computed."""
    u, q = intermediate("u"), intermediate("q")
    text = Cell.from_text({"y": "q"}, intermediates={"q": "u", "u": "s"})
    for cell in (text, Cell({y: q}, {q: u, u: s})):
        assert [k.name for k in cell.equations.intermediates] == list(cell.intermediates)


def test_a_decimal_in_text_is_an_exact_fraction() -> None:
    cell = Cell.from_text({"y": "0.1*s"})
    assert cell.equations.states[sympy.Symbol("y", real=True)].coeff(
        sympy.Symbol("s", real=True)
    ) == sympy.Rational(1, 10)


def test_trainable_and_fixed_parameters_are_told_apart() -> None:
    cell = Cell.from_text(
        {"y": "a*b*c*s"},
        parameters=(
            ParameterDeclaration("a"),
            ParameterDeclaration("b", 1.0, trainable=False),
            ParameterDeclaration("c", shared=True),
        ),
    )
    assert [p.name for p in cell.trainable] == ["a", "c"]
    assert [p.name for p in cell.fixed] == ["b"]


def test_equal_names_with_other_values_are_other_parameters() -> None:
    assert parameter("p", 1.0) != parameter("p", 2.0)
    assert parameter("p", 1.0) == parameter("p", 1.0)
    first, second = (Cell({y: parameter("p", i) * s}) for i in (1.0, 2.0))
    assert [c.parameters[0].initial for c in (first, second)] == [1.0, 2.0]


later = sympy.Function("y")(sympy.Symbol("t") + 1)

STATED: list[tuple[str, dict[str, Any], str]] = [
    ("no equation", {"states": {}}, "cell 'cell' has no state: give it at least one"),
    ("key no state", {"states": {s: s}}, r"states: s is not a state; make it with derive.state"),
    ("key a text", {"states": {"y": s}}, r"'y' is not a state; make it with derive.state\('y'\)"),
    ("key no intermediate", {"states": {y: s}, "intermediates": {v: s}}, "derive.intermediate"),
    ("a later time", {"states": {y: later}}, r"equation of y: y\(t \+ 1\) .*mentions a time"),
    ("an unknown function", {"states": {y: sympy.Function("f")(s)}}, r"f\(s\) is an unknown func"),
    ("an undefined symbol", {"states": {y: sympy.Symbol("q") * s}}, "undefined symbol q; known"),
    ("an undeclared state", {"states": {y: v + s}}, "equation of y: undefined symbol v"),
    ("a target", {"states": {y: target("d") + s}}, "undefined symbol d"),
    ("text for SymPy", {"states": {y: "tanh(s)"}}, r"expected a SymPy expression, got 'tanh\(s\)'"),
    ("a truth", {"states": {y: sympy.Gt(s, 0)}}, "expected an expression"),
    ("infinite", {"states": {y: s * sympy.oo}}, "not a finite real expression"),
    ("complex", {"states": {y: s * sympy.I}}, "not a finite real expression"),
    ("two values", {"states": {y: parameter("p", 1.0) + parameter("p", 2.0)}}, "declared twice"),
    ("two roles", {"states": {y: parameter("s") * s}}, "'s' names two different things"),
    ("circle", {"states": {y: intermediate("u")},
                "intermediates": {intermediate("u"): intermediate("q"),
                                  intermediate("q"): intermediate("u")}},
     "u, q are defined in terms of one another; break the circle"),
    ("output", {"states": {y: s}, "output": "z"}, "output 'z' is not one of its states y"),
    ("case", {"states": {y: s, state("Y"): s}}, "'y' and 'Y' differ only by case"),
    ("reserved", {"states": {state("theta"): s}}, "'theta' is reserved; rename it"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"), [c[1:] for c in STATED], ids=[c[0] for c in STATED]
)
def test_a_mistake_in_sympy_is_one_clear_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message):
        Cell(**arguments)


WRITTEN: list[tuple[str, dict[str, Any], str]] = [
    ("undefined", {"states": {"y": "tanh(z)"}}, r"cell.y: column 6: undefined symbol 'z'; known"),
    ("near", {"states": {"y": "tanh(tua)"}, "parameters": TAU}, "did you mean 'tau'"),
    ("function", {"states": {"y": "tahn(s)"}}, "unknown function 'tahn'; did you mean 'tan"),
    ("later", {"states": {"y": "y(t + 1)"}}, r"y\(…\) mentions y at a time of its own, .*later"),
    ("import", {"states": {"y": "__import__('os').system('id')"}}, "only a function's name"),
    ("attribute", {"states": {"y": "s.__class__"}}, "Attribute is not allowed"),
    ("index", {"states": {"y": "s[0]"}}, "Subscript is not allowed"),
    ("lambda", {"states": {"y": "(lambda: s)()"}}, "only a function's name"),
    ("comprehension", {"states": {"y": "[s for s in (1,)]"}}, "ListComp is not allowed"),
    ("text", {"states": {"y": "'s'"}}, "'s' is not a real number"),
    ("statement", {"states": {"y": "y = s"}}, "not an expression"),
    ("empty", {"states": {"y": " "}}, "the expression is empty"),
    ("number", {"states": {"y": 3}}, "expected an expression as text, got 3"),
    ("deep", {"states": {"y": "(" * 10_000 + "s" + ")" * 10_000}}, "nested more than|longer than"),
    ("deep minus", {"states": {"y": "-" * 10_000 + "s"}}, "nested|not an expression that can"),
    ("long", {"states": {"y": "s" + " + s" * 100_000}}, "longer than"),
    ("circle", {"states": {"y": "u"}, "intermediates": {"u": "q", "q": "u"}}, "break the circle"),
    ("twice", {"states": {"y": "s"}, "net_inputs": ("s", "s")}, "'s' is declared twice"),
    ("keyword", {"states": {"lambda": "s"}}, "'lambda' is a keyword of Python"),
    ("C keyword", {"states": {"double": "s"}}, "'double' is a keyword of C or Cython"),
    (
        "Cython keyword",
        {"states": {"y": "nogil"}, "net_inputs": ("nogil",)},
        "keyword of C or Cyth",
    ),
    ("function's name", {"states": {"tanh": "s"}}, "'tanh' is the name of a function"),
    ("letters", {"states": {"ε": "s"}}, "use ASCII letters"),
    ("underscore", {"states": {"_y": "s"}}, "starting with a letter"),
    ("injection", {"states": {"y; import os": "s"}}, "use ASCII letters"),
    ("long name", {"states": {"y" * 99: "s"}}, "longer than 64 characters"),
]


@pytest.mark.parametrize(
    ("arguments", "message"), [c[1:] for c in WRITTEN], ids=[c[0] for c in WRITTEN]
)
def test_a_mistake_in_text_is_one_clear_error(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(NetworkError, match=message) as caught:
        Cell.from_text(**arguments)
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("theta",), "'theta': the name is taken by the kernel's own arguments"),
        (("b", float("nan")), "'b': initial must be a finite number, got nan"),
        (("b", float("inf")), "initial must be"),
        (("b", 10**400), "initial must be"),
        (("b", "1"), "initial must be a"),
        (("b", True), "initial must be a"),
        (("while",), "keyword of Python"),
        ((3,), "expected a name, got 3"),
    ],
)
def test_a_bad_parameter_is_one_clear_error(arguments: Any, message: str) -> None:
    for declare in (ParameterDeclaration, parameter):
        if arguments != ("theta",) or declare is ParameterDeclaration:
            with pytest.raises(NetworkError, match=message):
                declare(*arguments)
