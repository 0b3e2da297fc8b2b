"""Rung 1: scheduled Programs against SymPy's derivative of the unrolled objective."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import mpmath
import pytest
import sympy

from derive.network import connect
from derive.network.library import semilinear
from derive.network.network import Network
from derive.network.objective import Objective
from derive.program.ir import Assign, Loop, Program, Statement
from derive.program.judgement import MASK
from derive.verify.expectation import Expectation, differ
from derive.verify.proof import compare, corner_claims, is_caught, outputs, prove
from tests.verify.examples import ALGORITHMS, NETS, algorithm_of, laid_out, programs_of


def steps_for(net: Network, forced: bool = False) -> int:
    return max(4 if forced else 3, net.wiring.longest_delay + 1)


@pytest.mark.parametrize("name", NETS)
def test_every_output_is_proved_in_every_schedule(name: str) -> None:
    net = NETS[name]
    expectation = Expectation(net, steps_for(net))
    for schedule in ("unrolled", "tables"):
        claims = prove(laid_out(programs_of(net), schedule), expectation)
        assert all(c.ok for c in claims), [c for c in claims if not c.ok]
        # Exactly: none was left for numbers to decide.
        assert {c.method.split(":")[0] for c in claims} == {"proof"}
        proved = {c.name.split(" (")[0] for c in claims}
        assert proved >= {"forward y", "J^total", "∂J/∂theta", "∂J/∂x", "∂J/∂y0"}


UNFORCED = [name for name in ALGORITHMS if name != "epochwise"]
FORCED = [f"{name}, forced" for name in ALGORITHMS]


EVERY = [
    (name, algorithm)
    for name in ("mixed", "sharing")
    for algorithm in (*UNFORCED, *FORCED)
    # Of its two units one has a target: there are no two groups.
    if not (name == "sharing" and algorithm.startswith("rtrl grouped"))
]
EVERY += [("delayed", algorithm) for algorithm in ("hybrid 2", "rtrl grouped", "truncated 3;2")]


@pytest.mark.parametrize(("name", "algorithm"), EVERY)
def test_sequence_and_steps_of_every_algorithm_are_proved(name: str, algorithm: str) -> None:
    net = NETS[name]
    settled = algorithm_of(net, algorithm)
    steps = 5 if algorithm.startswith("truncated 3;2") else steps_for(net, "forced" in algorithm)
    schedule = "tables" if name == "mixed" else "unrolled"
    claims = prove(laid_out(programs_of(net, settled), schedule), Expectation(net, steps, settled))
    assert all(c.ok for c in claims), [c for c in claims if not c.ok]
    assert {c.method.split(":")[0] for c in claims} == {"proof"}
    if not algorithm.startswith("epochwise"):
        each = {c.name for c in claims if "each" in c.name}
        assert {"y(t), each step", "J(t), each step"} < each and len(each) == 3


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
    wrong = {"gradient": rewritten(programs_of(net)["gradient"], unmasked)}
    for masked, case in enumerate(expectation.cases):
        values = outputs(wrong, case)["theta"]
        assert bool(compare(case, "theta", values).wrong) == bool(masked)


def test_a_term_added_to_a_single_component_is_found_and_named() -> None:
    net = NETS["wz3x5"]
    case = Expectation(net, 3).cases[0]
    values = outputs({"gradient": programs_of(net)["gradient"]}, case)["theta"]
    values[7] += sympy.Rational(1, 10**12) * case.given["theta"][0]
    assert compare(case, "theta", values).wrong == ("∂J/∂theta[7]",)


def test_a_window_that_is_wrong_is_named_by_its_end() -> None:
    net = NETS["sharing"]
    settled = algorithm_of(net, "hybrid 2")
    case = Expectation(net, 4, settled).cases[0]
    online = {
        k: p for k, p in programs_of(net, settled).items() if k not in ("forward", "gradient")
    }
    found = outputs(online, case)
    found["steps theta"][net.size + 1] += 1
    assert compare(case, "steps theta", found["steps theta"]).wrong == ("∂J/∂theta[1] at t = 4",)
    found["steps y"][3] += 1
    assert compare(case, "steps y", found["steps y"]).wrong == ("y(2)[1]",)


def test_steps_are_proved_from_a_memory_that_another_run_left() -> None:
    net = NETS["wz3x5"]
    settled = algorithm_of(net, "rtrl")
    programs = programs_of(net, settled)

    def kept(s: Assign) -> Assign:
        # p = p, where it is cleared
        return replace(s, expr=MASK, reads=((MASK, s.target),)) if s.target.array == "p" else s

    wrong = {**programs, "start": rewritten(programs["start"], kept)}
    expectation = Expectation(net, 3, settled)
    assert not is_caught(programs, expectation)
    assert is_caught(wrong, expectation)
    (claim,) = [c for c in prove(wrong, expectation) if not c.ok]
    assert claim.name == "∂J(t)/∂theta, each step"


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


def test_what_is_no_number_differs_from_every_number() -> None:
    assert differ(mpmath.nan, mpmath.mpf(1))
    assert not differ(mpmath.mpf(1), mpmath.mpf(1))


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


@pytest.mark.parametrize("activation", ["sin(s) + s/3", "abs(s) - s/2"])
def test_log_cosh_of_a_long_argument_and_absolute_values_are_proved(activation: str) -> None:
    # SymPy looks for their signs through all of an argument, unless they are written otherwise.
    objective = Objective("-log(cosh(d - y))", [1])
    net = Network(semilinear(activation), 2, 0, connect.full(), objective, name="far")
    claims = prove(programs_of(net), Expectation(net, 4 if "sin" in activation else 3))
    assert all(c.ok for c in claims)
    assert {c.method.split(":")[0] for c in claims} == {"proof"}
