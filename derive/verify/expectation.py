"""What the equations as stated give, as expressions and as numbers, to compare Programs with.

The other side of a proof: a symbol for each number a kernel is given, the runs it is made of, and
how an expression is found equal to the expected one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import mpmath
import numpy as np
import sympy
from sympy import Expr, Symbol

from derive.functions import Defined
from derive.network.network import Network
from derive.program.interpret import MULTIPRECISION, compiled
from derive.verify.forms import Form, form_of
from derive.verify.judged import StatedObjective
from derive.verify.normal import Value
from derive.verify.polynomials import Algebra, TooManyTerms
from derive.verify.references import Reference
from derive.verify.unrolling import has_corner

DIGITS = 50

LONGEST = 2_000
"""A J^total with more in it, written out in theta alone, is differentiated step by step."""

LEFT_BEHIND = Symbol("left_behind", real=True)
"""What the memory of an online run holds before it begins."""

Point = dict[Any, Any]
"""The value of each symbol, and of every subexpression met so far."""

At = Callable[[int], Any]
"""The value of something at each of a case's points, by their number."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of one network, algorithm and number of steps."""

    net: Network
    steps: int
    algorithm: Mapping[str, Any] = field(default_factory=lambda: {"name": "epochwise"})

    @cached_property
    def form(self) -> Form:
        """What the algorithm claims to give."""
        return form_of(self.algorithm)

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
    def stepwise(self) -> bool:
        """Whether the run is differentiated definition by definition, since it is long."""
        written = Reference(self.net, self.form, self.data, self.steps, stepwise=True)
        return written.length > LONGEST

    @cached_property
    def algebra(self) -> Algebra:
        """The atoms both sides are read in."""
        return Algebra()

    @cached_property
    def cases(self) -> tuple[Case, ...]:
        """The runs: every target there; some missing; where targets force outputs, the others.

        Missing are the last step's last and every third before it. Under teacher forcing a target
        also decides what derivatives pass through, so half of them are drawn, once these and once
        those.
        """
        none = np.zeros(self.data["mask"].shape, dtype=bool)
        some = none.copy()
        if not self.form.forced:
            some.reshape(-1)[::-3] = True
            return Case(self, 0, none), Case(self, 1, some)
        generator = np.random.Generator(np.random.PCG64(3))
        drawn: Any = generator.random(none.shape) < 0.5
        drawn.reshape(-1)[-1:] = True
        return Case(self, 0, none), Case(self, 1, drawn), Case(self, 2, ~drawn)


@dataclass(frozen=True, eq=False)
class Case:
    """One run of an expectation, and which of its targets are missing: their mask is 0."""

    of: Expectation
    number: int
    absent: Any

    @cached_property
    def given(self) -> dict[str, Any]:
        """What the Programs are given."""
        data = self.of.data
        return {**data, "mask": np.where(self.absent, sympy.S.Zero, data["mask"])}

    @cached_property
    def masked(self) -> list[Symbol]:
        """The mask entries that are 0."""
        return list(self.of.data["mask"][self.absent])

    @property
    def words(self) -> str:
        """What is said of a place where this run differs."""
        return " under a mask" if self.number else ""

    @cached_property
    def _source(self) -> Case:
        """The run whose expressions are expected.

        J is linear in the mask, so its entries may be set to 0 after differentiating, unless a
        target that is there forces an output: then the run itself is another.
        """
        return self if self.of.form.forced else self.of.cases[0]

    @cached_property
    def reference(self) -> Reference:
        """The network written out, and what is differentiated."""
        of = self.of
        mark = f"_{self.number}"
        return Reference(of.net, of.form, self.given, of.steps, mark, of.stepwise)

    @cached_property
    def _expected(self) -> dict[str, list[Expr]]:
        return {}

    def expected(self, output: str) -> list[Expr]:
        """The expected values of an output, flat."""
        if self._source is not self:
            return self._source.expected(output)
        if output not in self._expected:
            self._expected[output] = self._values(output)
        return self._expected[output]

    def _values(self, output: str) -> list[Expr]:
        run, steps, form = self.reference.run, self.of.steps, self.of.form
        match output.split():
            case ["y"]:
                return [v for row in self.reference.free.y for v in row]
            case ["J"]:
                return [run.J(0, steps)]
            case ["steps", "y"]:
                return [v for row in run.y[1:] for v in row]
            case ["steps", "J"]:
                return [run.J(t, t + 1) for t in range(steps)]
            case ["steps", "theta"]:
                whole = steps // (form.period or 1)
                return [v for window in self.reference.gradients[:whole] for v in window]
        return self.reference.gradient(output)

    # --- as numbers ------------------------------------------------------------------------

    @cached_property
    def points(self) -> list[Point]:
        """Where the two sides are compared as numbers.

        Where functions have corners there are more: at one point units may be dead, and hide what
        is wrong.
        """
        everything = [v for a in self.of.data.values() for v in a.reshape(-1)]
        generator = np.random.Generator(np.random.PCG64(self.number))
        count = (1 if self.number else 2) * (4 if corner_functions(self.of.net) else 1)
        found = []
        with mpmath.workdps(DIGITS):
            for _ in range(count):
                numbers = (generator.integers(-60, 60, len(everything)) * 2 + 1).tolist()
                point = {s: mpmath.mpf(v) / 64 for s, v in zip(everything, numbers, strict=True)}
                point |= {s: mpmath.mpf(0) for s in self.masked}
                found.append(point | {LEFT_BEHIND: mpmath.mpf(7) / 3})
        return found

    def value(self, expr: Expr, point: Point) -> Any:
        """The number an expression stands for at one of the points."""
        with mpmath.workdps(DIGITS):
            return _value(expr, point, self._source.reference.stands_for)

    # --- equal or not ----------------------------------------------------------------------

    @cached_property
    def algebra(self) -> Algebra:
        """The expectation's, with the reference's fresh symbols read as what they stand for."""
        algebra, reference = self.of.algebra, self._source.reference
        algebra.meanings.append(reference.stands_for)
        if self.of.stepwise:
            of_steps = self.of.form.period is not None
            assert reference.free and reference.run
            assert reference.gradients if of_steps else reference.gradient("theta")
            for symbol, is_sum in list(reference.names.items()):
                algebra.call(symbol, is_sum)
            for symbol in list(reference.partials):
                algebra.call(symbol, short=True)
        return algebra

    def agree(self, value: Expr | Value, wanted: Expr, at: At | None = None) -> bool | None:
        """Whether two expressions are equal: True proved, False refuted, None only by numbers.

        Parameters
        ----------
        at : callable, optional
            The first one's number at each point; needed where it is in normal form.
        """
        number = at or (lambda i: self.value(value, self.points[i]))
        # Numbers refute fast, algebra proves: in this order neither does the other's work.
        if differ(number(0), self.value(wanted, self.points[0])):
            return False
        try:
            algebra = self.algebra
            a = value.polynomial if isinstance(value, Value) else algebra.read(value)
            b = algebra.read(wanted)
            if self._source is not self:
                b = algebra.without(b, self.masked)
            if a is not None and algebra.is_zero(a, b):
                return True
        except TooManyTerms:
            pass
        for i, point in enumerate(self.points):
            if i and differ(number(i), self.value(wanted, point)):
                return False
        return None


def differ(a: Any, b: Any) -> bool:
    """Whether two numbers of 50 digits are not the same; what is no number never is."""
    with mpmath.workdps(DIGITS):
        return not bool(abs(a - b) <= mpmath.mpf(10) ** -35 * (1 + abs(a) + abs(b)))


def corner_functions(net: Network) -> list[type[Defined]]:
    """The functions with a corner in a network's cells and its objective."""
    stated = [
        e
        for c in net.cells
        for e in (*c.equations.states.values(), *c.equations.intermediates.values())
    ]
    stated += StatedObjective(net).expressions
    found = {type(f) for e in stated for f in e.atoms(Defined)}
    return sorted((f for f in found if has_corner(f)), key=str)


def _array(name: str, *shape: int, nonzero: bool | None = None) -> Any:
    out = np.empty(shape, dtype=object)
    for i in np.ndindex(*shape):
        out[i] = Symbol("_".join([name, *map(str, i)]), real=True, nonzero=nonzero)
    return out


def _value(e: Any, seen: Point, stands_for: Callable[[Symbol], Expr | None]) -> Any:
    """The number an expression stands for; each subexpression is computed once."""

    def of(part: Any) -> Any:
        return _value(part, seen, stands_for)

    if e not in seen:
        if e.is_Symbol and (meant := stands_for(e)) is not None:
            seen[e] = of(meant)
        elif isinstance(e, sympy.Piecewise):
            chosen = next((v for v, c in e.args if of(c)), sympy.nan)
            seen[e] = of(chosen)
        elif isinstance(e, sympy.Heaviside):  # by the convention at corners, as below
            seen[e] = mpmath.mpf(int(of(e.args[0]) > 0))
        elif isinstance(e, sympy.DiracDelta):
            seen[e] = mpmath.mpf(0)
        elif e.args:
            # One operation on values already known, so that shared parts stay shared.
            parts = tuple(Symbol(f"v{i}", real=True) for i in range(len(e.args)))
            values = tuple(of(v) for v in e.args)
            if isinstance(e, sympy.Pow) and e.exp.is_Integer:
                seen[e] = values[0] ** int(e.exp)
            else:
                seen[e] = compiled(e.func(*parts), parts, MULTIPRECISION)(values)
        else:
            seen[e] = compiled(e, (), MULTIPRECISION)(())
    return seen[e]
