"""Count what a Program does and keeps: operations per time step, numbers held for T steps.

The counts are read off the Program itself, so they are those of the code that is emitted, and a
schedule that changed them would show. Conventions:

- A difference is an addition, a change of sign is free, xⁿ is n − 1 multiplications while it is
  printed as a product and one call of ``pow`` beyond, and a constant is a number, not a quotient.
- Every branch of a choice is counted, as a vector over lanes computes them all.
- ``a += b`` adds once, loads ``a`` once and stores it once; local variables are free to reach.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import sympy
from sympy import Expr

from derive.errors import ProgramError
from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Modulo,
    Plus,
    Program,
    Ref,
    Statement,
    Times,
    Var,
    affine,
    evaluate,
    indices,
    parts,
    walk,
)

MULTIPLIED = 4
"""Whole powers up to this are products; beyond, a library call."""


@dataclass(frozen=True)
class Tally:
    """How many of each operation."""

    multiplications: int = 0
    additions: int = 0
    divisions: int = 0
    functions: Mapping[str, int] = field(default_factory=Counter)
    loads: int = 0
    stores: int = 0

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.multiplications + other.multiplications,
            self.additions + other.additions,
            self.divisions + other.divisions,
            Counter(self.functions) + Counter(other.functions),
            self.loads + other.loads,
            self.stores + other.stores,
        )

    def __mul__(self, times: int) -> Tally:
        return Tally(
            self.multiplications * times,
            self.additions * times,
            self.divisions * times,
            Counter({f: n * times for f, n in self.functions.items() if n * times}),
            self.loads * times,
            self.stores * times,
        )

    @property
    def operations(self) -> int:
        """Multiplications, additions, divisions and function calls together."""
        arithmetic = self.multiplications + self.additions + self.divisions
        return arithmetic + sum(self.functions.values())


@dataclass(frozen=True)
class Cost:
    """What a Program costs: per time step, per call, and in numbers held.

    Attributes
    ----------
    sweeps : tuple of Tally
        One step of each loop over time, in order: forward and backward for epochwise.
    call : Tally
        What is done once a call, outside the steps.
    held : tuple of int
        ``(per step, per call)``: elements of scratch arrays and local variables.
    tables : int
        Entries of static index tables and of constants.
    """

    sweeps: tuple[Tally, ...]
    call: Tally
    held: tuple[int, int]
    tables: int

    @property
    def step(self) -> Tally:
        """One time step of all sweeps together."""
        return reduce(lambda a, b: a + b, self.sweeps, Tally())

    @property
    def multiplications(self) -> int:
        """Multiplications per time step."""
        return self.step.multiplications

    @property
    def additions(self) -> int:
        """Additions and subtractions per time step."""
        return self.step.additions

    @property
    def divisions(self) -> int:
        """Divisions per time step."""
        return self.step.divisions

    @property
    def functions(self) -> dict[str, int]:
        """Calls per time step, by the function's name."""
        return dict(sorted(self.step.functions.items()))

    @property
    def loads(self) -> int:
        """Array elements read per time step."""
        return self.step.loads

    @property
    def stores(self) -> int:
        """Array elements written per time step."""
        return self.step.stores

    def storage(self, T: int) -> int:
        """Numbers held during a call over T steps, besides the caller's arrays."""
        return self.held[0] * T + self.held[1]

    def work(self, T: int) -> int:
        """Arithmetic operations and function calls of a call over T steps."""
        return self.step.operations * T + self.call.operations


def cost(program: Program) -> Cost:
    """Count a program's operations and the numbers it holds.

    Raises
    ------
    ProgramError
        For loops over time within loops over time, or a bound that depends on the time.
    """
    sweeps: list[Tally] = []
    call = Tally()
    for s in program.body:
        if isinstance(s, Loop) and s.role == "time":
            per_step, rest = _trips(s)
            body = _body(program, s.body, _Space({}, 1))
            # A loop 0…T is T steps and one turn more, which is not a step's.
            sweeps.append(body * per_step)
            call = call + body * rest
        else:
            call = call + _body(program, (s,), _Space({}, 1))
    entries = sum(len(t) for t in program.tables.values())
    entries += sum(np.size(a.values) for a in program.arrays.values() if a.role == "const")
    return Cost(tuple(sweeps), call, _held(program), entries)


def operations(expr: Expr) -> Tally:
    """The operations of one right-hand side."""
    if expr.is_Atom:
        return Tally()
    if expr.is_Add:
        terms = [t if not t.could_extract_minus_sign() else -t for t in expr.args]
        return _all(terms) + Tally(additions=len(terms) - 1)
    if expr.is_Mul:
        return _product(expr)
    if expr.is_Pow:
        return _power(expr.base, expr.exp)
    if isinstance(expr, sympy.Piecewise):
        return _all([part for value, test in expr.args for part in (value, *test.args)])
    if isinstance(expr, (sympy.Max, sympy.Min)):
        calls = Tally(functions=Counter({type(expr).__name__: len(expr.args) - 1}))
        return _all(expr.args) + calls
    return _all(expr.args) + Tally(functions=Counter({type(expr).__name__: 1}))


def _all(exprs: Any) -> Tally:
    return reduce(lambda a, b: a + b, map(operations, exprs), Tally())


def _product(e: Expr) -> Tally:
    coefficient, rest = e.as_coeff_Mul()
    factors = rest.args if rest.is_Mul else (rest,)
    under = [sympy.Pow(f.base, -f.exp) for f in factors if _divides(f)]
    over = [f for f in factors if not _divides(f)]
    if abs(coefficient) != 1:
        if coefficient.is_Rational and coefficient.q != 1 and not over:
            over, under = [sympy.Integer(abs(coefficient.p))], [*under, coefficient.q]
        else:
            over.append(abs(coefficient))
    count = Tally(multiplications=max(len(over) - 1, 0) + max(len(under) - 1, 0))
    return _all(map(sympy.sympify, over + under)) + count + Tally(divisions=int(bool(under)))


def _divides(factor: Expr) -> bool:
    return bool(factor.is_Pow and factor.exp.is_Rational and factor.exp.is_negative)


def _power(base: Expr, exponent: Expr) -> Tally:
    if exponent.is_Rational and exponent.is_negative:
        return operations(sympy.Pow(base, -exponent)) + Tally(divisions=1)
    if exponent.is_Integer and exponent <= MULTIPLIED:
        return operations(base) + Tally(multiplications=int(exponent) - 1)
    name = "sqrt" if exponent == sympy.Rational(1, 2) else "pow"
    return operations(base) + operations(exponent) + Tally(functions=Counter({name: 1}))


@dataclass(frozen=True)
class _Space:
    """The turns of the loops around a statement: each counter's value in every turn."""

    counters: Mapping[str, Any]
    turns: int


def _body(program: Program, body: tuple[Statement, ...], space: _Space) -> Tally:
    total = Tally()
    for s in body:
        match s:
            case Assign():
                total = total + _assignment(program, s) * space.turns
            case Loop():
                if s.role == "time":
                    raise ProgramError("cost: a loop over time within another is not counted")
                total = total + _body(program, s.body, _inside(program, s, space))
    return total


def _assignment(program: Program, s: Assign) -> Tally:
    def outside(r: Any) -> bool:
        return isinstance(r, Ref) and program.arrays[r.array].role != "scalar"

    stored = int(outside(s.target))
    loads = sum(outside(r) for _, r in s.reads) + (stored if s.accumulate else 0)
    moves = Tally(additions=int(s.accumulate), loads=loads, stores=stored)
    return operations(s.expr) + moves


def _inside(program: Program, loop: Loop, space: _Space) -> _Space:
    start = np.broadcast_to(_values(loop.start, space, program), space.turns)
    stop = np.broadcast_to(_values(loop.stop, space, program), space.turns)
    trips = np.maximum(stop - start, 0)
    turns = int(trips.sum())
    needed = {
        part.name
        for s in walk(loop.body)
        if isinstance(s, Loop)
        for i in indices(s)
        for part in parts(i)
        if isinstance(part, Var)
    }
    # Only bounds further in need a counter's values; a loop over connections has none.
    counters = {v: np.repeat(a, trips) for v, a in space.counters.items() if v in needed}
    if loop.var in needed:
        ends = np.cumsum(trips)
        counters[loop.var] = np.arange(turns) - np.repeat(ends - trips - start, trips)
    return _Space(counters, turns)


def _values(index: Index, space: _Space, program: Program) -> Any:
    match index:
        case int():
            return np.int64(index)
        case Var(name) if name in space.counters:
            return space.counters[name]
        case Var(name):
            raise ProgramError(f"cost: a loop's bound depends on {name!r}, which is not known")
        case Lookup(table, at):
            return np.asarray(program.tables[table], np.int64)[_values(at, space, program)]
        case Plus(left, right):
            return _values(left, space, program) + _values(right, space, program)
        case Times(left, right):
            return _values(left, space, program) * _values(right, space, program)
        case Modulo(left, size):
            return _values(left, space, program) % size
    raise ProgramError(f"not an index: {index!r}")


def _trips(loop: Loop) -> tuple[int, int]:
    """The turns of a loop over time as (times T, plus)."""
    start, stop = affine(loop.start), affine(loop.stop)
    if start is None or stop is None or start[0] or set(stop[0]) - {"T"}:
        raise ProgramError(f"cost: the bounds of the loop over {loop.var} are not those of a sweep")
    return stop[0].get("T", 0), stop[1] - start[1]


def _held(program: Program) -> tuple[int, int]:
    def total(T: int) -> int:
        return sum(
            int(np.prod([evaluate(e, {"T": T}, program.tables) for e in a.shape], dtype=np.int64))
            for a in program.arrays.values()
            if a.role in ("work", "scalar")
        )

    return total(1) - total(0), total(0)
