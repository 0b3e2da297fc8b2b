"""Proofs for all n and T: they hold for what is derived, and for nothing that was spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import sympy
from click.testing import CliRunner
from sympy import Expr, Indexed, Sum

import derive
from derive.calculus import indexed as ix
from derive.calculus.indexed import tau
from derive.calculus.steps import Sheet
from derive.cli import commands
from derive.verify.induction.claim import induction_claim
from derive.verify.induction.parts import Lemma
from derive.verify.induction.proving import lemmas_of, prove, sheet_of
from tests.strategies import adaptive, conductance, gated, listening, reset_gated, shared_leak

FULL, TARGETS = derive.connect.full(), derive.SquaredError([2])
DELAYED = [(0, 1, 2), (1, 2, 1), (2, 0, 3), (0, 3, 1), (0, 0, 1), (2, 1, 1)]
AT_ONCE = [*DELAYED[:-1], (2, 1, 0)]


def net(cell: Any, connections: Any = FULL, objective: Any = TARGETS) -> derive.Network:
    return derive.Network(cell, 3, 2, connections, objective, name="drawn")


cells = derive.cells
NETS = {
    "wz3x5": net(cells.semilinear("tanh")),
    "leaky": net(cells.leaky()),
    "delayed": net(cells.leaky(), DELAYED),
    "heard at once": net(cells.leaky(), AT_ONCE),
    "lstm": net(cells.lstm()),
    "gru": net(cells.gru()),
    "two cells": net([cells.leaky(), cells.semilinear("logistic"), cells.leaky()]),
    "shared": net(shared_leak()),
    "two states": net(adaptive(), DELAYED),
    "gated": net(gated()),
    "reset": net(reset_gated()),
    "synapses": net(conductance()),
    "hearing a state": net([adaptive(), listening(), adaptive()]),
}
ALGORITHMS: dict[str, tuple[str, dict[str, Any]]] = {
    "epochwise": ("epochwise", {}),
    "realtime": ("realtime", {}),
    "rtrl": ("rtrl", {}),
    "truncated": ("truncated", {"h": 4}),
    "truncated 4;2": ("truncated", {"h": 4, "h_prime": 2}),
    "hybrid": ("hybrid", {"h": 4}),
    "forced": ("epochwise", {"teacher_forcing": True}),
    "forced rtrl": ("rtrl", {"teacher_forcing": True}),
    "forced hybrid": ("hybrid", {"h": 3, "teacher_forcing": True}),
}
SHORT = {
    **dict.fromkeys(("lstm", "gru"), ("epochwise", "hybrid")),
    **dict.fromkeys(("reset", "synapses", "hearing a state"), ("epochwise", "rtrl", "hybrid")),
    **dict.fromkeys(("shared", "gated"), ("realtime", "forced", "forced rtrl")),
}
"""Networks of several equations go through some algorithms: the pieces are the same in all."""
PROVED = [(n, a) for n in NETS for a in SHORT.get(n, tuple(ALGORITHMS))]


@pytest.mark.parametrize(("name", "algorithm"), PROVED)
def test_the_derived_equations_are_proved_for_all_n_and_T(name: str, algorithm: str) -> None:
    chosen, options = ALGORITHMS[algorithm]
    proof = prove(NETS[name], chosen, **options)
    assert proof.attempted, proof.reason
    assert proof.holds, "\n".join(map(str, proof.failed))


# --- faults --------------------------------------------------------------------------------------

Change = Callable[[Expr], Expr]


def spoilt(sheet: Sheet, name: str, change: Change) -> Sheet:
    """A sheet with one of its results changed."""
    place = sheet.numbers[name] - 1
    step = sheet.steps[place]
    changed = change(step.right)
    assert changed != step.right, f"{name} was not changed"
    steps = [*sheet.steps]
    steps[place] = replace(step, right=changed)
    return Sheet(sheet.form, sheet.horizon, sheet.writing, steps, sheet.numbers)


def drop_sum(expr: Expr) -> Expr:
    return sympy.expand(expr).replace(lambda v: isinstance(v, Sum), lambda v: sympy.S.Zero)


def drop_first(expr: Expr) -> Expr:
    return sympy.Add(*sympy.Add.make_args(sympy.expand(expr))[1:])


def transpose(expr: Expr) -> Expr:
    weights = {v: v.base[v.indices[1], v.indices[0], *v.indices[2:]] for v in expr.atoms(Indexed)
               if str(v.base.label).startswith("w")}  # fmt: skip
    return expr.xreplace(weights)


def shift(expr: Expr) -> Expr:
    return expr.xreplace({tau: tau - 1})


def later_source(expr: Expr) -> Expr:
    x = {v: v.base[v.indices[0], tau] for v in expr.atoms(Indexed) if v.base == ix.x}
    return expr.xreplace(x)


def negate(expr: Expr) -> Expr:
    return -expr


def forget_delay(expr: Expr) -> Expr:
    return expr.replace(
        lambda v: isinstance(v, Indexed) and v.has(ix.D, ix.D2) and v.indices[-1].has(tau),
        lambda v: v.base[v.indices[0], *v.indices[1:-1], v.indices[-1].xreplace(
            {ix.D: sympy.S.One, ix.D2: sympy.S.One})],
    )  # fmt: skip


def other_limits(expr: Expr) -> Expr:
    return expr.replace(
        lambda v: isinstance(v, Sum) and any(q[0] == tau for q in v.limits),
        lambda v: Sum(v.function, *((q[0], q[1] + 1, q[2]) if q[0] == tau else q
                                    for q in v.limits)),
    )  # fmt: skip


def drop_boundary(expr: Expr) -> Expr:
    return sympy.Add(*(v for v in sympy.Add.make_args(expr) if v.has(tau)))


FAULTS = {
    "ε without its connections": ("wz3x5", "epochwise", "eps", drop_sum),
    "ε without its error": ("wz3x5", "epochwise", "eps", lambda v: v.xreplace(
        {q: sympy.S.Zero for q in v.atoms(Indexed) if q.base == ix.e})),
    "ε with W transposed": ("wz3x5", "epochwise", "eps", transpose),
    "ε of another time": ("wz3x5", "epochwise", "eps", shift),
    "ε with another sign": ("wz3x5", "epochwise", "eps", negate),
    "ε of the last step": ("wz3x5", "epochwise", "eps_last", lambda v: 2 * v),
    "e with another sign": ("wz3x5", "epochwise", "e", negate),
    "δ without its slope": ("wz3x5", "epochwise", "delta", lambda v: ix.signal("ε")[ix.k, tau]),
    "ε without its leak": ("leaky", "epochwise", "eps", lambda v: v - ix.signal("ε")[ix.k, tau]),
    "ε without the memory": ("lstm", "epochwise", "eps(c)", lambda v: sympy.S.Zero),
    "ε without its delays": ("delayed", "epochwise", "eps", forget_delay),
    "what is heard at once": ("heard at once", "epochwise", "eps_last", drop_sum),
    "ε past a forced output": ("wz3x5", "forced", "eps", lambda v: v.xreplace(
        {q: sympy.S.Zero for q in v.atoms(Indexed) if q.base == ix.MEMBER})),
    "an error too many": ("wz3x5", "truncated", "eps", lambda v: v + ix.e[ix.k, tau - 1]),
    "an error before those that count": ("wz3x5", "truncated 4;2", "eps", lambda v: v.replace(
        lambda q: isinstance(q, sympy.Piecewise), lambda q: q.args[0][0])),
    "the gradient of another time": ("wz3x5", "epochwise", "gradient_w", later_source),
    "i and j exchanged": ("wz3x5", "epochwise", "gradient_w", lambda v: v.xreplace(
        {ix.i: ix.j, ix.j: ix.i})),
    "the gradient without a step": ("wz3x5", "epochwise", "gradient_w", other_limits),
    "a parameter's gradient": ("leaky", "epochwise", "gradient_tau", negate),
    "p without 1{i=k}x": ("wz3x5", "rtrl", "p_w", lambda v: v.replace(
        lambda q: isinstance(q, sympy.KroneckerDelta), lambda q: sympy.S.Zero)),
    "p with W transposed": ("wz3x5", "rtrl", "p_w", transpose),
    "p of the step before": ("wz3x5", "rtrl", "p_w", shift),
    "p without its delays": ("delayed", "rtrl", "p_w", forget_delay),
    "p that does not begin at 0": ("wz3x5", "rtrl", "p_start_w", lambda v: sympy.S.One),
    "p without its leak": ("leaky", "rtrl", "p_w", drop_first),
    "Σ e·p with another sign": ("wz3x5", "rtrl", "gradient_w", negate),
    "a hybrid without its boundary": ("wz3x5", "hybrid", "gradient_w", drop_boundary),
    "ε at the boundary": ("wz3x5", "hybrid", "boundary", transpose),
    "a sweep with W transposed": ("wz3x5", "hybrid", "zeta", transpose),
    "a sweep from another unit": ("wz3x5", "hybrid", "zeta_last", lambda v: sympy.S.One),
    "a sweep without its boundary": ("wz3x5", "hybrid", "p_w", drop_boundary),
    "a memory that no sweep begins from": ("lstm", "hybrid", "zeta(c)_last[c]",
                                           lambda v: sympy.S.Zero),
    "what longer delays bring in": ("delayed", "hybrid", "boundary_earlier", negate),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_what_is_derived_is_not_proved(fault: str) -> None:
    name, algorithm, where, change = FAULTS[fault]
    chosen, options = ALGORITHMS[algorithm]
    sheet = sheet_of(NETS[name], chosen, options)
    assert not holds(lemmas_of(spoilt(sheet, where, change), chosen))


def holds(lemmas: tuple[Lemma, ...]) -> bool:
    return all(v.holds for v in lemmas)


# --- what is said of it --------------------------------------------------------------------------


def test_a_proof_reads_as_an_induction_and_says_its_scope() -> None:
    proof = derive.prove(NETS["wz3x5"], algorithm="hybrid", h=4)
    text = str(proof)
    for word in ("Claim.", "Hypothesis.", "Base.", "Step.", "∎", "Proved:", "Assumed:"):
        assert word in text
    assert "all n and m" in proof.scope and "all window lengths h" in proof.scope
    assert "\\begin{align}" in proof.latex()
    assert text == str(derive.prove(NETS["wz3x5"], algorithm="hybrid", h=4))


def test_truncation_is_not_said_to_be_the_gradient() -> None:
    proof = derive.prove(NETS["wz3x5"], algorithm="truncated", h=4)
    assert "held fixed" in proof.scope and "not the derivative by the whole history" in proof.scope
    claim = induction_claim(NETS["wz3x5"], {"name": "truncated", "h": 4})
    assert claim.ok and "held fixed" in claim.scope


def test_a_pooled_objective_is_said_to_be_outside() -> None:
    proof = derive.prove(net(cells.semilinear(), FULL, derive.SoftmaxCrossEntropy([1, 2])))
    assert proof.holds and "Not by induction: that e" in proof.scope


@pytest.mark.parametrize("algorithm", [
    {"name": "settling", "tol": 1e-9, "max_steps": 100},
    {"name": "rtrl", "groups": [[0], [1, 2]]},
])  # fmt: skip
def test_what_is_outside_is_not_attempted_and_does_not_count(algorithm: dict[str, Any]) -> None:
    claim = induction_claim(NETS["wz3x5"], algorithm)
    assert not claim.attempted and claim.detail.startswith("not attempted: ")
    report = derive.verify.Report("n", "a", (claim,))
    assert not report.ok and not report.failed
    assert "1 not attempted" in str(report)


def test_show_prints_the_proof() -> None:
    run = CliRunner().invoke(commands, ["show", "examples/wz3x5.toml", "--proof"])
    assert run.exit_code == 0 and "by induction" in run.output and "Proved:" in run.output
