"""Rung 1: Programs, run on symbols, against SymPy's derivative of the unrolled objective.

The Programs are the scheduled ones, the very objects that are printed: those of a whole sequence,
and those of online steps, run one after the other from a memory that another run left. The other
side is J^total written out over the steps from the cells' equations and differentiated by
``sympy.diff`` (:mod:`derive.verify.references`). The difference of the two must be exactly zero
(:mod:`derive.verify.polynomials`).

Where J^total is long, as it is of gated cells, it is not written out in theta alone: each state,
net input and intermediate has a symbol, ``sympy.diff`` differentiates what each stands for, and
these partial derivatives make up the total differential (:mod:`derive.verify.differentials`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Symbol

from derive.network.network import Network
from derive.program.interpret import MULTIPRECISION, SYMBOLIC, Arithmetic, run
from derive.program.ir import Assign, Loop, Program, Statement
from derive.verify.expectation import (
    DIGITS,
    LEFT_BEHIND,
    Case,
    Expectation,
    Point,
    corner_functions,
    differ,
)
from derive.verify.forms import Form
from derive.verify.normal import NormalForm, Value
from derive.verify.online_runs import ONLINE, run_online
from derive.verify.polynomials import Algebra
from derive.verify.report import Claim
from derive.verify.unrolling import plainer, rational, without_cases

METHOD = "proof: symbols − sympy.diff = 0"
STEPS = "steps"
"""What the Programs of an online run are called together."""

Values = dict[str, list[Any]]
"""Flat values by output: y, J, theta, x, y0 of a sequence; steps y, steps J, steps theta."""


def prove(
    programs: Mapping[str, Program], expectation: Expectation, note: str = ""
) -> tuple[Claim, ...]:
    """Prove every output of every program.

    Each is run with every mask entry a symbol that is not zero, and with some of them 0.

    Parameters
    ----------
    programs : mapping of str to Program
        Each has outputs among y, J, grad_theta, grad_x, grad_y0; all for the expectation's network
        and algorithm, in the schedule the kernel has. Those of an online run are run together.
    note : str
        Goes before the detail of each claim, e.g. which network it was.

    Returns
    -------
    tuple of Claim
        One per program and output; ``worst`` and ``limit`` are None: it is exact or it is not.
    """
    claims = list(corner_claims(expectation.net))
    several = len(programs) > 1
    normal = [NormalForm(case.algebra) for case in expectation.cases]
    for name, part in functions(programs).items():
        runs = [
            (case, outputs(part, case, symbols=arithmetic), Numbers(part, case))
            for case, arithmetic in zip(expectation.cases, normal, strict=True)
        ]
        for output in runs[0][1]:
            count, unsure = 0, 0
            wrong: list[str] = []
            for case, out, numbers in runs:
                found = compare(case, output, out[output], numbers)
                count += len(out[output])
                wrong += [at + case.words for at in found.wrong]
                unsure += found.unsure
            detail = f"{count} expressions, {expectation.steps} steps"
            if expectation.stepwise:
                detail += ", by total differentials"
            method = METHOD
            if unsure:
                method = f"symbols − sympy.diff: zero to {DIGITS} digits"
                detail += f"; {count - unsure} proved, {unsure} only by their values"
            if wrong:
                detail = f"{len(wrong)} of {count} differ, first {wrong[0]}"
            label = written(output, expectation.form)
            if several and name != STEPS:
                label += f" ({name})"
            claims.append(Claim(label, method, None, None, not wrong, note + detail))
    return tuple(claims)


def functions(programs: Mapping[str, Program]) -> dict[str, dict[str, Program]]:
    """What is called by itself: each function of a sequence, and the steps of an online run."""
    found = {k: {k: p} for k, p in programs.items() if k not in ONLINE}
    if "step" in programs:
        found[STEPS] = {k: p for k, p in programs.items() if k in ONLINE}
    return found


def written(output: str, form: Form) -> str:
    """An output as a claim names it."""
    match output.split():
        case ["steps", "theta"]:
            return form.written
        case ["steps", name]:
            return f"{name}(t), each step"
        case ["y"]:
            return "forward y"
        case ["J"]:
            return "J^total"
    return f"∂J/∂{output}"


def corner_claims(net: Network) -> tuple[Claim, ...]:
    """That the slope of each function with a corner in the network follows from its definition."""
    claims = []
    x = Symbol("x", real=True)
    for function in corner_functions(net):
        algebra = Algebra()
        by_cases = algebra.read(sympy.diff(function.definition(x), x))
        ok = algebra.is_zero(by_cases, algebra.read(sympy.diff(function(x), x)))
        method = "proof: slope of its definition by cases"
        claims.append(Claim(f"d {function.__name__}(x)/dx", method, None, None, ok, "", "all x"))
    return tuple(claims)


def is_caught(programs: Mapping[str, Program], expectation: Expectation) -> bool:
    """Whether a proof would be refuted, in its own way: by the numbers at its points.

    The programs are run on the numbers, which is much faster than on symbols.
    """
    for part in functions(programs).values():
        for case in expectation.cases:
            for point in case.points:
                for output, values in outputs(part, case, point).items():
                    pairs = zip(values, case.expected(output), strict=True)
                    if any(differ(v, case.value(wanted, point)) for v, wanted in pairs):
                        return True
    return False


@dataclass(frozen=True, eq=False)
class Numbers:
    """What a part of the Programs gives at each point of a case, run when it is asked for."""

    part: Mapping[str, Program]
    case: Case

    @cached_property
    def _at(self) -> dict[int, Values]:
        return {}

    def at(self, point: int) -> Values:
        """All outputs at the point of a number."""
        if point not in self._at:
            self._at[point] = outputs(self.part, self.case, self.case.points[point])
        return self._at[point]


def outputs(
    part: Mapping[str, Program],
    case: Case,
    point: Point | None = None,
    symbols: Arithmetic = SYMBOLIC,
) -> Values:
    """Run a function, or the steps of an online run; what it gives, by the expectation's names.

    On symbols, as SymPy's expressions or in normal form, or on the numbers of one of the case's
    points.
    """
    data, T = case.given, case.of.steps
    arithmetic = symbols
    left_behind: Any = LEFT_BEHIND
    if isinstance(symbols, NormalForm):
        data = {k: _filled(np.frompyfunc(symbols.number, 1, 1), v) for k, v in data.items()}
        left_behind = symbols.number(LEFT_BEHIND)
    if point is not None:
        arithmetic = MULTIPRECISION
        number = np.frompyfunc(lambda v: point.get(v, mpmath.mpf(0)), 1, 1)
        data = {k: _filled(number, v) for k, v in data.items()}
        left_behind = point[LEFT_BEHIND]
    with mpmath.workdps(DIGITS):
        ready = {name: exact(p) for name, p in part.items()}
        if "step" in ready:
            of = run_online(ready, case.of.form, arithmetic, data, T, left_behind)
            return {
                "steps y": [v for row in of.y for v in row],
                "steps J": of.J,
                "steps theta": [v for row in of.gradients for v in row],
            }
        (program,) = ready.values()
        out = run(program, arithmetic, data, {"T": T, "mask_step": 1, "mask_rows": T})
    return {k.removeprefix("grad_"): list(v.reshape(-1)) for k, v in out.items()}


def _filled(function: Any, values: Any) -> Any:
    out = np.empty(values.shape, dtype=object)
    out[...] = function(values)
    return out


def exact(program: Program) -> Program:
    """``program`` with numbers as the fractions they are and cases on order as steps."""

    def changed(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            match s:
                case Assign():
                    out.append(replace(s, expr=_exactly(s.expr)))
                case Loop():
                    out.append(replace(s, body=changed(s.body)))
                case _:
                    out.append(s)
        return tuple(out)

    return replace(program, body=changed(program.body))


@lru_cache(maxsize=4096)
def _exactly(expr: Expr) -> Expr:
    return plainer(without_cases(rational(expr)))


@dataclass(frozen=True)
class Comparison:
    """Which entries differ, and how many were settled by numbers instead of algebra."""

    wrong: tuple[str, ...]
    unsure: int


def compare(
    case: Case, output: str, values: list[Expr | Value], numbers: Numbers | None = None
) -> Comparison:
    """Compare the flat values of one output with the expectation.

    ``numbers`` must be given where the values are in normal form.
    """
    wrong, unsure = [], 0
    for i, (value, wanted) in enumerate(zip(values, case.expected(output), strict=True)):
        at = None if numbers is None else lambda n, i=i: numbers.at(n)[output][i]
        first = value if isinstance(value, Value) else sympy.sympify(value)
        match case.agree(first, wanted, at):
            case None:
                unsure += 1
            case False:
                wrong.append(place(output, i, case.of))
    return Comparison(tuple(wrong), unsure)


def place(output: str, i: int, expectation: Expectation) -> str:
    """Which entry of an output the i-th of its flat values is."""
    form, net = expectation.form, expectation.net
    match output.split():
        case ["steps", "J"]:
            return f"J({i + 1})"
        case ["steps", "y"]:
            t, column = divmod(i, len(net.states))
            return f"y({t + 1})[{column}]"
        case ["steps", "theta"]:
            window, entry = divmod(i, net.size)
            return f"∂J/∂theta[{entry}] at t = {(window + 1) * (form.period or 1)}"
    return f"{written(output, form)}[{i}]"
