"""Rung 1: scheduled Programs against SymPy's derivative of the unrolled objective."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sympy

import derive.verify.unrolling as unrolling
from derive.program.ir import Assign, Loop, Program, Statement
from derive.program.schedules.choose import Choice, scheduled
from derive.program.sweep import MASK
from derive.verify.proof import Expectation, compare, corner_claims, is_caught, outputs, prove
from tests.verify.examples import NETS, programs_of


def laid_out(programs: dict[str, Program], schedule: str) -> dict[str, Program]:
    return {k: scheduled(p, Choice(schedule, False, "test"), 8) for k, p in programs.items()}


@pytest.mark.parametrize("name", NETS)
def test_every_output_is_proved_in_every_schedule(name: str) -> None:
    net = NETS[name]
    expectation = Expectation(net, max(3, net.wiring.longest_delay + 1))
    for schedule in ("unrolled", "tables"):
        claims = prove(laid_out(programs_of(net), schedule), expectation)
        assert all(c.ok for c in claims), [c for c in claims if not c.ok]
        # Exactly: none was left for numbers to decide.
        assert {c.method.split(":")[0] for c in claims} == {"proof"}
        proved = {c.name.split(" (")[0] for c in claims}
        assert proved >= {"forward y", "J^total", "∂J/∂theta", "∂J/∂x", "∂J/∂y0"}


def test_the_other_side_knows_nothing_of_calculus_or_program() -> None:
    tree = ast.parse(Path(unrolling.__file__).read_text(encoding="utf-8"))
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
    }
    assert {m for m in imported if m.startswith("derive.")} == {
        "derive.functions",
        "derive.network.network",
    }


def rewritten(program: Program, change: Callable[[Assign], Assign]) -> Program:
    def changed(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop):
                s = replace(s, body=changed(s.body))
            elif isinstance(s, Assign):
                s = change(s)
            out.append(s)
        return tuple(out)

    return replace(program, body=changed(program.body))


def test_a_gradient_that_is_wrong_only_where_a_target_is_missing_is_refuted() -> None:
    def unmasked(s: Assign) -> Assign:
        if s.target.array != "eps" or not isinstance(s.expr, sympy.Piecewise):
            return s
        (error, there), _ = s.expr.args
        return replace(s, expr=sympy.Piecewise((error, there), (sympy.diff(error, MASK), True)))

    net = NETS["wz3x5"]
    expectation = Expectation(net, 3)
    wrong = rewritten(programs_of(net)["gradient"], unmasked)
    for masked in (False, True):
        values = outputs(wrong, expectation, masked)["theta"]
        assert bool(compare(expectation, "theta", values, masked).wrong) == masked


def test_a_term_added_to_a_single_component_is_found_and_named() -> None:
    net = NETS["wz3x5"]
    expectation = Expectation(net, 3)
    values = outputs(programs_of(net)["gradient"], expectation, masked=False)["theta"]
    values[7] += sympy.Rational(1, 10**12) * expectation.data["theta"][0]
    assert compare(expectation, "theta", values, masked=False).wrong == ("∂J/∂theta[7]",)


def test_a_program_with_another_derivative_in_it_is_caught() -> None:
    net = NETS["cornered"]

    def scaled(s: Assign) -> Assign:
        if s.target.array != "delta" or not s.reads:
            return s
        return replace(s, expr=s.expr * sympy.Rational(999, 1000))

    program = programs_of(net)["gradient"]
    expectation = Expectation(net, 4)
    assert not is_caught({"gradient": program}, expectation)
    assert is_caught({"gradient": rewritten(program, scaled)}, expectation)


def test_the_slope_at_a_corner_is_proved_from_its_definition() -> None:
    (claim,) = corner_claims(NETS["cornered"])
    assert claim.ok
    assert claim.name == "d relu(x)/dx"
    assert corner_claims(NETS["wz3x5"]) == ()


def test_what_is_too_large_for_algebra_is_not_called_a_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("derive.verify.polynomials.WORK", 100)
    program = programs_of(NETS["wz3x5"])["gradient"]
    claims = {c.name: c for c in prove({"gradient": program}, Expectation(NETS["wz3x5"], 3))}
    claim = claims["∂J/∂theta"]
    assert claim.ok
    assert claim.method == "symbols − sympy.diff: zero to 50 digits"
    assert "only by their values" in claim.detail
