"""Rung 1: a Program, run on symbols, against SymPy's derivative of the unrolled objective.

The Program is the scheduled one, the very object that is printed. The other side is J^total
written out over the steps from the cells' equations and differentiated by ``sympy.diff``. The
difference of the two must be exactly zero (:mod:`derive.verify.polynomials`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Symbol

from derive.functions import Defined
from derive.network.cell import Cell
from derive.network.network import Network
from derive.program.interpret import MULTIPRECISION, SYMBOLIC, compiled, run
from derive.program.ir import Assign, Loop, Program, Statement
from derive.verify.polynomials import Algebra, TooManyTerms
from derive.verify.report import Claim
from derive.verify.unrolling import Unrolled, has_corner, rational, unrolled, without_cases

DIGITS = 50
METHOD = "proof: symbols − sympy.diff = 0"
WRITTEN = {"y": "forward y", "J": "J^total", "theta": "∂J/∂theta", "x": "∂J/∂x", "y0": "∂J/∂y0"}


@dataclass(frozen=True)
class Expectation:
    """What the equations as stated give for one network and number of steps."""

    net: Network
    steps: int

    @cached_property
    def data(self) -> dict[str, Any]:
        """One symbol for each number a kernel is given; those of the mask are not zero."""
        n_T = len(self.net.objective.targets)
        return {
            "theta": _array("theta", self.net.size),
            "x": _array("x", self.steps, self.net.inputs),
            "target": _array("d", self.steps, n_T),
            "mask": _array("mask", self.steps, n_T, nonzero=True),
            "y0": _array("y0", len(self.net.states)),
        }

    @cached_property
    def masked(self) -> list[Symbol]:
        """Mask entries that the second run has 0: the last step's last, every third before it.

        J is linear in the mask, so they may be set to 0 after differentiating.
        """
        return list(self.data["mask"].reshape(-1)[::-3])

    @cached_property
    def algebra(self) -> Algebra:
        """The atoms both sides are read in."""
        return Algebra()

    @cached_property
    def unrolled(self) -> Unrolled:
        """J and y written out."""
        return unrolled(self.net, self.data, self.steps)

    @cached_property
    def expressions(self) -> dict[str, list[Expr]]:
        """The expected y, J and derivatives by theta, x, y0, each as a flat list."""
        J = self.unrolled.J
        found = {"y": [v for row in self.unrolled.y for v in row], "J": [J]}
        for name in ("theta", "x", "y0"):
            found[name] = [sympy.diff(J, v) for v in self.data[name].reshape(-1)]
        return found

    @cached_property
    def points(self) -> tuple[dict[Any, Any], ...]:
        """Points where the two sides are compared as numbers: two, and the masked run's.

        Each remembers the value of every subexpression met so far.
        """
        everything = [v for a in self.data.values() for v in a.reshape(-1)]
        generator = np.random.Generator(np.random.PCG64(0))
        found = []
        with mpmath.workdps(DIGITS):
            for _ in range(3):
                numbers = (generator.integers(-60, 60, len(everything)) * 2 + 1).tolist()
                found.append(
                    {s: mpmath.mpf(v) / 64 for s, v in zip(everything, numbers, strict=True)}
                )
            found[-1] |= {s: mpmath.mpf(0) for s in self.masked}
        return tuple(found)

    def agree(self, value: Expr, wanted: Expr, masked: bool) -> bool | None:
        """Whether two expressions are equal: True proved, False refuted, None only by numbers."""
        # Numbers refute fast, algebra proves: in this order neither does the other's work.
        first = 2 if masked else 0
        if self._differ(value, wanted, first):
            return False
        algebra = self.algebra
        try:
            a, b = algebra.read(value), algebra.read(wanted)
            if algebra.is_zero(a, algebra.without(b, self.masked) if masked else b):
                return True
        except TooManyTerms:
            pass
        if not masked and self._differ(value, wanted, 1):
            return False
        return None

    def _differ(self, a: Expr, b: Expr, point: int) -> bool:
        with mpmath.workdps(DIGITS):
            left, right = (_value(e, self.points[point]) for e in (a, b))
            return bool(abs(left - right) > mpmath.mpf(10) ** -35 * (1 + abs(left) + abs(right)))


def _array(name: str, *shape: int, nonzero: bool | None = None) -> Any:
    out = np.empty(shape, dtype=object)
    for i in np.ndindex(*shape):
        out[i] = Symbol("_".join([name, *map(str, i)]), real=True, nonzero=nonzero)
    return out


def prove(
    programs: Mapping[str, Program], expectation: Expectation, note: str = ""
) -> tuple[Claim, ...]:
    """Prove every output of every program.

    Each is run twice: with every mask entry a symbol that is not zero, and with some of them 0.

    Parameters
    ----------
    programs : mapping of str to Program
        Each has outputs among y, J, grad_theta, grad_x, grad_y0; all for the expectation's network
        and in the schedule the kernel has.
    note : str
        Goes before the detail of each claim, e.g. which network it was.

    Returns
    -------
    tuple of Claim
        One per program and output; ``worst`` and ``limit`` are None: it is exact or it is not.
    """
    claims = list(corner_claims(expectation.net))
    for name, program in programs.items():
        runs = {masked: outputs(program, expectation, masked) for masked in (False, True)}
        for output in runs[False]:
            count, unsure = 0, 0
            wrong: list[str] = []
            for masked, out in runs.items():
                found = compare(expectation, output, out[output], masked)
                count += len(out[output])
                wrong += [f"{place}{' under a mask' if masked else ''}" for place in found.wrong]
                unsure += found.unsure
            detail = f"{count} expressions, {expectation.steps} steps"
            method = METHOD
            if unsure:
                method = f"symbols − sympy.diff: zero to {DIGITS} digits"
                detail += f"; {count - unsure} proved, {unsure} only by their values"
            if wrong:
                detail = f"{len(wrong)} of {count} differ, first {wrong[0]}"
            label = WRITTEN[output] + (f" ({name})" if len(programs) > 1 else "")
            claims.append(Claim(label, method, None, None, not wrong, note + detail))
    return tuple(claims)


def corner_claims(net: Network) -> tuple[Claim, ...]:
    """That the slope of each function with a corner in the network follows from its definition."""
    claims = []
    found = {f for c in net.cells for e in _stated(c) for f in e.atoms(Defined)}
    x = Symbol("x", real=True)
    for function in sorted({type(f) for f in found if has_corner(type(f))}, key=str):
        algebra = Algebra()
        by_cases = algebra.read(sympy.diff(function.definition(x), x))
        ok = algebra.is_zero(by_cases, algebra.read(sympy.diff(function(x), x)))
        method = "proof: slope of its definition by cases"
        claims.append(Claim(f"d {function.__name__}(x)/dx", method, None, None, ok))
    return tuple(claims)


def _stated(cell: Cell) -> list[Expr]:
    eq = cell.equations
    return [*eq.states.values(), *eq.intermediates.values()]


def is_caught(programs: Mapping[str, Program], expectation: Expectation) -> bool:
    """Whether some output differs from what is expected: :func:`prove`, stopping at the first."""
    return any(
        compare(expectation, output, values, masked, first=True).wrong
        for program in programs.values()
        for masked in (False, True)
        for output, values in outputs(program, expectation, masked).items()
    )


def outputs(program: Program, expectation: Expectation, masked: bool) -> dict[str, list[Expr]]:
    """Run a Program on the symbols; what it writes, by the names of the expectation."""
    T, data = expectation.steps, dict(expectation.data)
    if masked:
        data["mask"] = data["mask"].copy()
        data["mask"].reshape(-1)[::-3] = sympy.S.Zero
    out = run(exact(program), SYMBOLIC, data, {"T": T, "mask_step": 1, "mask_rows": T})
    return {k.removeprefix("grad_"): list(v.reshape(-1)) for k, v in out.items()}


def exact(program: Program) -> Program:
    """``program`` with numbers as the fractions they are and cases on order as steps."""

    def changed(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            match s:
                case Assign():
                    out.append(replace(s, expr=without_cases(rational(s.expr))))
                case Loop():
                    out.append(replace(s, body=changed(s.body)))
                case _:
                    out.append(s)
        return tuple(out)

    return replace(program, body=changed(program.body))


@dataclass(frozen=True)
class Comparison:
    """Which entries differ, and how many were settled by numbers instead of algebra."""

    wrong: tuple[str, ...]
    unsure: int


def compare(
    expectation: Expectation, output: str, values: list[Expr], masked: bool, first: bool = False
) -> Comparison:
    """Compare the flat values of one output with the expectation."""
    wrong, unsure = [], 0
    for i, value in enumerate(values):
        wanted = expectation.expressions[output][i]
        match expectation.agree(sympy.sympify(value), wanted, masked):
            case None:
                unsure += 1
            case False:
                wrong.append(f"{WRITTEN[output]}[{i}]")
                if first:
                    break
    return Comparison(tuple(wrong), unsure)


def _value(e: Any, seen: dict[Any, Any]) -> Any:
    """The number an expression stands for; each subexpression is computed once."""
    if e not in seen:
        if isinstance(e, sympy.Piecewise):
            chosen = next((v for v, c in e.args if _value(c, seen)), sympy.nan)
            seen[e] = _value(chosen, seen)
        elif isinstance(e, sympy.Heaviside):  # by the convention at corners, as below
            seen[e] = mpmath.mpf(int(_value(e.args[0], seen) > 0))
        elif isinstance(e, sympy.DiracDelta):
            seen[e] = mpmath.mpf(0)
        elif e.args:
            # One operation on values already known, so that shared parts stay shared.
            parts = tuple(Symbol(f"v{i}", real=True) for i in range(len(e.args)))
            values = tuple(_value(v, seen) for v in e.args)
            if isinstance(e, sympy.Pow) and e.exp.is_Integer:
                seen[e] = values[0] ** int(e.exp)
            else:
                seen[e] = compiled(e.func(*parts), parts, MULTIPRECISION)(values)
        else:
            seen[e] = compiled(e, (), MULTIPRECISION)(())
    return seen[e]
