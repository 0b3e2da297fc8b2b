"""Formulas of cost, from the names that a Program's loops give their turns.

Each assignment contributes (turns of the loop over time) × (turns of the loops inside it) ×
(its operations). The names are held against the turns that are counted: where the two differ, the
number stands in the formula, and what was said is reported. So a formula, evaluated at the
network's numbers, is the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import sympy
from sympy import Expr

from derive.program.cost import elements, extents, tally
from derive.program.ir import Array, Loop, Program, affine
from derive.program.occurrences import Occurrence, occurrences
from derive.program.operations import Tally


@dataclass(frozen=True)
class Names:
    """What names mean in one network under one algorithm.

    Attributes
    ----------
    values : mapping of str to int
        Each name's number.
    short : mapping of str to str
        Names that stand for a product of others here.
    time : mapping of str to str
        What the steps of a window are called: ``newest``, ``older``, ``history``, ``period``.
    """

    values: Mapping[str, int]
    short: Mapping[str, str] = field(default_factory=dict)
    time: Mapping[str, str] = field(default_factory=dict)

    def read(self, text: str) -> Expr | None:
        """A name, or a sum of products of names and whole numbers; None for anything else."""
        total = sympy.S.Zero
        for sign, term in _terms(text):
            product = sympy.Integer(sign)
            term, _, divisor = term.partition("/")
            if divisor:
                product /= int(divisor)
            for factor in term.split("·"):
                known = self._factor(factor)
                if known is None:
                    return None
                product *= known
            total += product
        return total

    def _factor(self, name: str) -> Expr | None:
        if name in self.time or name in self.short:
            return self.read(self.time.get(name) or self.short[name])
        if name in self.values:
            return symbol(name)
        return sympy.Integer(name) if name.isdecimal() else None

    def value(self, expr: Expr) -> Fraction:
        """The number of an expression in names."""
        number = expr.xreplace({s: sympy.Integer(self.values[s.name]) for s in expr.free_symbols})
        return Fraction(int(number.p), int(number.q))


def _terms(text: str) -> Iterable[tuple[int, str]]:
    for i, part in enumerate(text.split(" − ")):
        for j, term in enumerate(part.split(" + ")):
            yield (-1 if i and not j else 1), term


def symbol(name: str) -> Any:
    """The SymPy symbol of a name."""
    return sympy.Symbol(name, positive=True)


@dataclass(frozen=True)
class Term:
    """Operations that happen ``times`` times in a call."""

    times: Expr
    operations: Tally


def terms(
    program: Program, sizes: Mapping[str, int], names: Names
) -> tuple[list[Term], tuple[str, ...]]:
    """A call's operations, each with how often it happens, and complaints about false names."""
    found: dict[Any, list[_Happening]] = {}
    for o in occurrences(program, sizes):
        what = tally(program, o.statement)
        here = _happening(o, what)
        if here.named or what.operations:
            said = here.named.turns if here.named else here.times
            found.setdefault((id(here.time), said, here.within, _key(what)), []).append(here)
    out: list[Term] = []
    complaints: list[str] = []
    for alike in found.values():
        first = alike[0]
        if not first.steps:
            continue  # a loop over no time: nothing can be said of what is inside
        steps, complaint = _steps(first, names, sizes)
        complaints += complaint
        inside, complaint = _turns(alike, names)
        complaints += complaint
        if first.operations.operations:
            out.append(Term(steps * inside, first.operations))
    return out, tuple(dict.fromkeys(complaints))


@dataclass(frozen=True)
class _Happening:
    """An assignment's operations, the loops that say how often, and their turns in a call."""

    operations: Tally
    times: int
    time: Loop | None
    steps: int
    named: Loop | None
    over: int
    """Turns of the named loop; 0 where none is named."""

    @property
    def within(self) -> int:
        """How often it happens in a turn of the named loop."""
        return self.times // self.over if self.over else 1


def _happening(o: Occurrence, what: Tally) -> _Happening:
    time, steps, named, over = None, 1, None, 0
    for loop, turns in zip(o.loops, o.turns, strict=True):
        if loop.role == "time":
            time, steps, named, over = loop, turns, None, 0
        elif loop.turns:
            named, over = loop, turns
    if over and o.times % over:
        named, over = None, 0  # as many turns inside each as there are, and no name for them
    return _Happening(what, o.times, time, steps, named, over)


def _key(what: Tally) -> tuple[Any, ...]:
    calls = tuple(sorted(what.functions.items()))
    return (what.multiplications, what.additions, what.divisions, calls)


def _steps(here: _Happening, names: Names, sizes: Mapping[str, int]) -> tuple[Expr, list[str]]:
    """The turns of the loop over time around an assignment."""
    if here.time is None:
        return sympy.S.One, []
    if here.time.turns:
        stated = names.read(here.time.turns)
        if stated is not None and names.value(stated) == here.steps:
            return stated, []
        return sympy.Integer(here.steps), [_false(here.time, here.steps)]
    start, stop = affine(here.time.start), affine(here.time.stop)
    if start is not None and stop is not None and not start[0] and set(stop[0]) == {"T"}:
        history = names.read("history")
        if history is not None and names.value(history) == sizes["T"]:
            return stop[0]["T"] * history + stop[1] - start[1], []
    return sympy.Integer(here.steps), []


def _turns(alike: list[_Happening], names: Names) -> tuple[Expr, list[str]]:
    """How often operations happen in a turn of the loop over time.

    One name for the loops over several parts (the net inputs of a cell, the cells of a network)
    is that of all of them together.
    """
    first, times = alike[0], sum(a.times for a in alike)
    if first.named is None:
        return sympy.Rational(times, first.steps), []
    over = Fraction(sum(a.over for a in alike), first.steps)
    stated = names.read(first.named.turns)
    value = None if stated is None else names.value(stated)
    multiple = over / value if value else Fraction(1 if over == value else 0)
    if stated is not None and multiple and multiple.denominator == 1:
        return stated * int(multiple) * first.within, []
    return sympy.Rational(times, first.steps), [_false(first.named, over)]


def _false(loop: Loop, turns: int | Fraction) -> str:
    return (
        f"a loop over {loop.var} ({loop.role}) is said to run {loop.turns} times and runs {turns}"
    )


# --- storage -----------------------------------------------------------------------------------

EXTENTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "z": (("history + D", "D + 1", "K + D"), ("n + m", "N + m")),
    "checkpoint": (("C",), ("D",), ("n + m", "N + m")),
    "tape": (("history", "1", "K"), ("n", "2·n", "3·n")),
    "error": (("period",), ("n_T",)),
    "eps": (("n + m", "N + m"),),
    "before": (("n + m", "N + m"),),
    "delta": (("D",), ("S",)),
    "p": (("D + 1",), ("p",)),
    "zeta": (("Q",), ("Q",)),
    "delta_k": (("D",), ("S",), ("Q",)),
    "gathered": (("p",),),
    "along": (("θ",),),
}  # fmt: skip
"""What the extents of arrays are called, where it is one of these numbers."""
ENDS: tuple[tuple[str, ...], ...] = (("2",), ("D",), ("p",))
"""Those of the sensitivities at both ends of a window."""
SUMS: tuple[tuple[str, ...], ...] = (("θ",),)
"""That of the sensitivities of a net input, ``p_0_s``."""


def kept(program: Program, arrays: Iterable[Array], sizes: Mapping[str, int], names: Names) -> Expr:
    """The numbers in some arrays of a program."""
    total = sympy.S.Zero
    for a in arrays:
        shape = extents(program, a, sizes)
        called = EXTENTS.get(a.name, SUMS if a.name.startswith("p_") else ())
        if a.name == "p" and len(shape) == len(ENDS):
            called = ENDS
        if len(called) != len(shape):
            total += elements(program, a, sizes)
            continue
        product = sympy.S.One
        for extent, candidates in zip(shape, called, strict=True):
            readings = (names.read(c) for c in candidates)
            fits = (r for r in readings if r is not None and names.value(r) == extent)
            product *= next(fits, sympy.Integer(extent))
        total += product
    return sympy.expand(total)
