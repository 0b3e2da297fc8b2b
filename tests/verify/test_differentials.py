"""Long runs are differentiated definition by definition: the same derivative, and still a proof."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import sympy
from sympy import Expr, Symbol

from derive.network import connect
from derive.network.cell import Cell
from derive.network.library import gru, lstm, ltc
from derive.network.network import Network
from derive.network.objective import SquaredError
from derive.verify.differentials import Differentials
from derive.verify.expectation import Expectation
from derive.verify.faults import plant
from derive.verify.forms import WHOLE, Form
from derive.verify.polynomials import Algebra, add
from derive.verify.proof import is_caught, prove
from derive.verify.references import Reference
from tests.verify.examples import NETS, programs_of

HEAVY = {"lstm": lstm(), "gru": gru(reset="before"), "ltc": ltc()}


def net_of(cell: Cell) -> Network:
    return Network(cell, 2, 1, connect.full(), SquaredError([1]), name="heavy")


def test_the_total_differential_is_the_derivative_of_what_is_written_out() -> None:
    a, b, x = (Symbol(name, real=True) for name in "abx")
    definitions: dict[Symbol, Expr] = {a: sympy.sin(x) * x, b: a**2 + sympy.exp(a * x)}
    found: dict[Symbol, Expr] = {}
    slope = Differentials(definitions, found, []).of(a * b, x)
    written = (a * b).subs(b, definitions[b]).subs(a, definitions[a])
    left = put_in(slope, {**definitions, **found}) - sympy.diff(written, x)
    assert sympy.expand(left) == 0


def put_in(e: Expr, meaning: Mapping[Symbol, Expr]) -> Expr:
    while e.free_symbols & meaning.keys():
        e = e.xreplace(dict(meaning))
    return sympy.expand(e)


@pytest.mark.parametrize("form", [WHOLE, Form(1), Form(1, back=2), Form(1, groups=((0,), (1,)))])
def test_a_run_in_steps_has_the_gradient_of_the_run_written_out(form: Form) -> None:
    net = NETS["leaky_pair"]
    data: dict[str, Any] = Expectation(net, 3).data
    written, stepwise = (Reference(net, form, data, 3, "_0", s) for s in (False, True))
    algebra = Algebra()
    algebra.meanings += [written.stands_for, stepwise.stands_for]
    for a, b in zip(written.gradient("theta"), stepwise.gradient("theta"), strict=True):
        assert algebra.is_zero(algebra.read(a), algebra.read(b))


@pytest.mark.parametrize("name", HEAVY)
def test_a_heavy_cell_is_proved_exactly_and_a_fault_in_it_is_caught(name: str) -> None:
    net = net_of(HEAVY[name])
    expectation = Expectation(net, 3)
    assert expectation.stepwise
    right = programs_of(net)
    claims = prove(right, expectation)
    assert all(c.ok for c in claims)
    assert {c.method.split(":")[0] for c in claims} == {"proof"}
    assert not is_caught(right, expectation)
    for fault in ("flip_sign", "drop_term", "flip_partial"):
        wrong = plant(right, fault, net)
        assert wrong is not None
        assert is_caught(wrong, expectation)
        assert not all(c.ok for c in prove(wrong, expectation))


@pytest.mark.parametrize("name", HEAVY)
def test_algebra_alone_tells_what_is_wrong_from_what_is_right(name: str) -> None:
    # The numbers refute before algebra is asked; it must not call zero what they would refute.
    net = net_of(HEAVY[name])
    case = Expectation(net, 3).cases[0]
    algebra, wanted = case.algebra, case.expected("theta")
    for i, e in enumerate(wanted):
        p = algebra.read(e)
        weight = algebra.read(case.given["theta"][i])
        assert algebra.is_zero(p, p)
        assert not algebra.is_zero(add(p, weight), p)


def test_what_has_a_name_is_found_in_other_forms() -> None:
    x, y, z = sympy.symbols("x y z", real=True)
    algebra = Algebra()
    name = algebra.name(z, add(algebra.read(x), algebra.read(y), -1))
    assert len(name) == 1
    assert algebra.read(x - y) == name
    assert algebra.read(3 * y - 3 * x) == {m: -3 * c for m, c in name.items()}
    square = algebra.read((x - y) ** 2)
    assert len(square) == 1
    assert algebra.is_zero(square, algebra.read(x**2 - 2 * x * y + y**2))
    assert not algebra.is_zero(square, algebra.read(x**2 - 2 * x * y - y**2))
