"""Local partial derivatives: differentiated by SymPy, found in what the forward pass has."""

from __future__ import annotations

import re
from pathlib import Path

import hypothesis.strategies as st
import pytest
import sympy
from hypothesis import given, settings
from sympy import Symbol

import derive
from derive.calculus.adjoint import bar, cell_adjoint
from derive.calculus.partials import (
    DESIRED,
    OUTPUT,
    SOURCE,
    injection,
    local_system,
)
from derive.calculus.synapses import WEIGHT, synapse
from derive.functions import convention, logistic, softplus, step
from derive.network.cell import Cell, ParameterDeclaration
from derive.network.library import ACTIVATIONS, leaky, semilinear
from derive.network.objective import Objective, SquaredError
from derive.network.symbols import intermediate, net_input, parameter, state

y, s, b, tau, f = (Symbol(name, real=True) for name in ("y", "s", "b", "tau", "f"))
new = Symbol("y⁺", real=True)


def found(cell, of, by):
    return local_system(cell).partial(of, by)


def test_slope_of_tanh_is_found_as_one_minus_y_squared():
    assert found(semilinear("tanh"), new, s) == 1 - new**2


def test_slope_of_logistic_is_found_as_y_times_one_minus_y():
    assert sympy.expand(found(semilinear("logistic"), new, s) - new * (1 - new)) == 0
    assert not found(semilinear("logistic"), new, s).has(logistic, s)


def test_slope_of_relu_is_found_from_its_own_value():
    assert found(semilinear("relu"), new, s) == step(new)


def test_slope_of_softplus_needs_the_net_input_kept():
    local = local_system(semilinear("softplus"))
    assert local.partial(new, s) == logistic(s)
    assert cell_adjoint(local).remembered == (s,)


def test_slope_of_identity_is_one():
    assert found(semilinear("identity"), new, s) == 1


def test_slope_of_exp_is_its_own_value():
    assert found(semilinear("exp(s)"), new, s) == new


def test_bias_has_the_slope_of_the_net_input():
    local = local_system(semilinear("tanh", bias=True))
    assert local.partial(new, b) == local.partial(new, s) == 1 - new**2


def test_leaky_unit_remembers_its_squashed_net_input():
    local = local_system(leaky("tanh"))
    assert local.equations[0].symbol == f
    assert local.equations[0].expr == sympy.tanh(s)
    assert local.partial(f, s) == 1 - f**2
    assert local.partial(new, y) == 1 - 1 / tau
    assert local.partial(new, f) == 1 / tau
    assert cell_adjoint(local).remembered == (f,)


def test_partial_of_what_does_not_stand_in_an_equation_is_zero():
    assert found(semilinear("tanh"), new, y) == 0


def test_what_a_connection_adds_is_differentiated_both_ways():
    one = synapse()
    assert (one.by_weight, one.by_source) == (SOURCE, WEIGHT)
    squared = synapse(WEIGHT * SOURCE**2)
    assert (squared.by_weight, squared.by_source) == (SOURCE**2, 2 * WEIGHT * SOURCE)


def test_squared_error_injects_target_minus_output():
    assert injection(SquaredError([0])).error == DESIRED - OUTPUT
    assert injection(Objective("-(d - y)**4/4", [0])).error == (DESIRED - OUTPUT) ** 3


# --- a property of many cells --------------------------------------------------------------------


def gated() -> Cell:
    """Two states, two net inputs, an intermediate and two parameters."""
    h, c, u, v = state("h"), state("c"), net_input("u"), net_input("v")
    g, p, q = intermediate("g"), parameter("p"), parameter("q")
    states = {h: g * sympy.tanh(c) + p * h, c: q * c + g * sympy.tanh(u)}
    return Cell(states=states, intermediates={g: logistic(v + p)}, name="gated")


ARGUMENTS = ("s", "s + b", "2*s", "s*s", "s + y")
FUNCTIONS = ("tanh", "logistic", "softplus", "sin", "exp", "atan")


@st.composite
def cells(draw):
    """A random cell: a leak, a squashing function of some argument, a polynomial beside it."""
    function, argument = draw(st.sampled_from(FUNCTIONS)), draw(st.sampled_from(ARGUMENTS))
    shape = draw(
        st.sampled_from(
            ("{f}", "y + ({f} - y)/tau", "y*{f} + b", "{f}**2 - y/2", "b*{f} + y**3*{f}")
        )
    )
    declared = tuple(ParameterDeclaration(name, 2.0) for name in ("tau", "b"))
    text = shape.format(f=f"{function}({argument})")
    return Cell.from_text({"y": text}, parameters=declared)


def agree(cell: Cell) -> None:
    """With known quantities put back, each found partial is SymPy's derivative."""
    local = local_system(cell)
    definition = {e.symbol: e.expr for e in local.equations}

    def put_back(expr):
        while expr.free_symbols & set(definition):
            expr = expr.xreplace(definition)
        return expr

    for e in local.equations:
        by_hand = [p for p in local.partials if p.of == e.symbol]
        assert {p.by for p in by_hand} <= e.expr.free_symbols
        for p in by_hand:
            true = convention(sympy.diff(e.expr, p.by))
            assert same(put_back(p.found), put_back(true)), (e, p)


def same(one, other) -> bool:
    """Equal as they stand, or by what the functions are defined as."""
    if sympy.expand(one - other) == 0:
        return True
    difference = (one - other).rewrite(sympy.exp)
    return sympy.simplify(sympy.expand(difference)) == 0


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("make", [semilinear, leaky])
def test_found_partials_of_library_cells_are_sympys_derivatives(make, activation):
    agree(make(activation, bias=True))


def test_found_partials_of_a_gated_cell_are_sympys_derivatives():
    agree(gated())


@settings(max_examples=25, deadline=None)
@given(cells())
def test_found_partials_are_sympys_derivatives_when_known_quantities_are_put_back(cell):
    agree(cell)


@settings(max_examples=25, deadline=None)
@given(cells())
def test_ordered_derivatives_within_a_unit_are_total_derivatives_of_its_next_state(cell):
    """δ, carry and parameter terms at ε = 1 are d(next state)/d·, through every intermediate."""
    local = local_system(cell)
    adjoint = cell_adjoint(local)
    forward = {e.symbol: e.expr for e in local.equations}
    backward = {e.symbol: e.expr for e in adjoint.equations}

    def put_back(expr):
        while expr.free_symbols & (set(forward) | set(backward)):
            expr = expr.xreplace(backward).xreplace(forward)
        return expr.xreplace({bar(new): sympy.S.One})

    stated = cell.equations.states[y]
    every = {**adjoint.delta, **adjoint.carry, **adjoint.parameters}
    assert every
    for v, symbol in every.items():
        assert same(put_back(symbol), convention(sympy.diff(stated, v))), v


def test_softplus_and_logistic_slopes_follow_from_their_definitions():
    for function in (softplus, logistic):
        slope = function(s).diff(s)
        true = sympy.diff(function.definition(s), s)
        assert sympy.simplify(slope.rewrite(sympy.exp) - true) == 0
        value = function(s).diff(s).rewrite(sympy.exp).subs(s, sympy.Rational(3, 7))
        assert abs(sympy.N(value - true.subs(s, sympy.Rational(3, 7)), 30)) < 1e-25


# --- derived, never transcribed ------------------------------------------------------------------

SOURCES = sorted(
    path
    for folder in ("calculus", "program")
    for path in (Path(derive.__file__).parent / folder).rglob("*.py")
)
TRANSCRIBED = re.compile(
    r"\bsech\b|\bcosh\(|1(\.0)?\s*-\s*(y|f|tanh)\b|\b(y|f)\s*\*\s*\(\s*1(\.0)?\s*-|"
    r"sympy\.(tanh|exp|log|sin|cos)\(|\b(tanh|logistic|softplus|sigmoid)\("
)


def code_of(path: Path) -> str:
    """A file without its comments and documentation."""
    text = re.sub(r'"""(?:.|\n)*?"""', "", path.read_text(encoding="utf-8"))
    return re.sub(r"(?m)#.*$", "", text)


def test_no_file_of_the_calculus_or_the_programs_knows_an_activation():
    assert len(SOURCES) > 10
    told = {path.name: TRANSCRIBED.findall(code_of(path)) for path in SOURCES}
    assert {name: hits for name, hits in told.items() if hits} == {}


@pytest.mark.parametrize(
    "line", ["slope = 1 - y**2", "d = sympy.tanh(s)", "e = y*(1 - y)", "1 / cosh(s) ** 2"]
)
def test_a_transcribed_derivative_would_be_noticed(line):
    assert TRANSCRIBED.search(line)


@pytest.mark.parametrize("name", ["f", "f1"])
def test_an_invented_name_never_is_one_that_the_cell_declares(name: str) -> None:
    cell = Cell.from_text(
        {"y": "tanh(s)*y"},
        parameters=(ParameterDeclaration(name, 2.0),),
        intermediates={"g": "s"},
    )
    local = local_system(cell)
    symbols = [e.symbol for e in local.equations]
    assert len(set(symbols)) == len(symbols)
    assert name not in {s.name for s in symbols}
    assert not [p for p in local.partials if p.by.name == name]
