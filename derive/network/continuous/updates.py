"""A scheme applied to a cell's rates, in SymPy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.network.cell import Equations
from derive.network.continuous.cell import ContinuousCell
from derive.network.continuous.linear import Linear, split
from derive.network.continuous.schemes import Scheme
from derive.network.continuous.stability import evaluations


class Vector:
    """A few expressions, added and scaled entry by entry; nothing is simplified."""

    __slots__ = ("entries",)

    def __init__(self, entries: Iterable[Expr]) -> None:
        self.entries = tuple(entries)

    def __add__(self, other: Vector) -> Vector:
        return Vector(a + b for a, b in zip(self.entries, other.entries, strict=True))

    def __mul__(self, factor: Any) -> Vector:
        return Vector(factor * a for a in self.entries)

    __rmul__ = __mul__


@dataclass
class Names:
    """Names for what a scheme adds, apart from those a cell has."""

    taken: set[str]

    def fresh(self, wanted: str) -> Symbol:
        """A symbol of the wanted name, or of one like it that is free."""
        name, number = wanted, 1
        while name.lower() in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name.lower())
        return Symbol(name, real=True)


@dataclass
class CellStep:
    """A step of a cell's states from ``states`` over ``dt``: what a scheme asks for.

    ``inner`` collects what it names on the way, in order of computation.
    """

    states: Sequence[Symbol]
    rates: Sequence[Expr]
    dt: Expr
    names: Names
    inner: dict[Symbol, Expr] = field(default_factory=dict)
    moving: Mapping[Symbol, Expr] = field(default_factory=dict)
    """The intermediates that depend on states, in order."""
    named: bool = False
    """Whether the rates of a stage get names of their own: where they are used again."""
    stage: int = 0

    @property
    def y(self) -> Vector:
        """The states at the start."""
        return Vector(self.states)

    def rate(self, y: Vector) -> Vector:
        """The rates at any y, those of a stage under the names k1, k2, …"""
        self.stage += 1
        known: dict[Any, Any] = dict(zip(self.states, y.entries, strict=True))
        if any(k != v for k, v in known.items()):
            for u, expr in self.moving.items():
                at_stage = self.names.fresh(f"{u.name}_{self.stage}")
                self.inner[at_stage] = expr.xreplace(known)
                known[u] = at_stage
        else:
            self.inner.update(self.moving)
        found = [r.xreplace(known) for r in self.rates]
        if not self.named:
            return Vector(found)
        name = f"k{self.stage}"
        several = len(self.states) > 1
        symbols = [self.names.fresh(f"{name}_{y.name}" if several else name) for y in self.states]
        self.inner.update(zip(symbols, found, strict=True))
        return Vector(symbols)

    @cached_property
    def split(self) -> Linear:
        """The linear part and the rest."""
        rates = list(self.rates)
        for u, expr in reversed(list(self.moving.items())):
            rates = [r.xreplace({u: expr}) for r in rates]
        return split(rates, self.states, self.dt)

    @property
    def rest(self) -> Vector:
        """b = f(y) − A·y."""
        return Vector(self.split.rest)

    def linear(self, v: Vector) -> Vector:
        """A·v."""
        return Vector(self.split.times(v.entries))

    def exp(self, v: Vector) -> Vector:
        """exp(Δt·A)·v."""
        return Vector(self.split.exp(v.entries, self.name))

    def phi(self, v: Vector) -> Vector:
        """φ(Δt·A)·v."""
        return Vector(self.split.phi(v.entries, self.name))

    def solve(self, h: Expr, v: Vector) -> Vector:
        """The u with u − h·A·u = v."""
        return Vector(self.split.solve(h, v.entries, self.name))

    def name(self, wanted: str, expr: Expr) -> Symbol:
        """The intermediate that holds an expression; one for every place it stands in."""
        for symbol, known in self.inner.items():
            if known == expr:
                return symbol
        symbol = self.names.fresh(wanted)
        self.inner[symbol] = expr
        return symbol


def applied(scheme: Scheme, rates: Mapping[Any, Any], dt: Expr) -> tuple[Expr, ...]:
    """The next values of states from their rates alone, without naming anything.

    Parameters
    ----------
    scheme : Scheme
    rates : mapping of state to sympy.Expr
    dt : sympy.Expr
    """
    bodies = [sympy.sympify(r) for r in rates.values()]
    step = CellStep(tuple(rates), bodies, dt, Names(set()))
    found: tuple[Expr, ...] = scheme.rule(step).entries
    while set().union(*(v.free_symbols for v in found)) & set(step.inner):
        found = tuple(v.xreplace(step.inner) for v in found)
    return found


def update(cell: ContinuousCell, dt: Expr, scheme: Scheme) -> Equations:
    """A cell's equations from step to step.

    Raises
    ------
    NetworkError
        For coupled states that the scheme cannot take.
    """
    eq = cell.equations
    states = list(eq.states)[: len(cell.rates)]
    moving = _moving(eq.intermediates, states)
    still = {u: v for u, v in eq.intermediates.items() if u not in moving}
    taken = {v.name.lower() for v in (*eq.states, *eq.intermediates, *eq.net_inputs)}
    taken |= {p.name.lower() for p in eq.parameters} | {v.name for v in dt.free_symbols}
    step = CellStep(
        states,
        [eq.states[y] for y in states],
        dt,
        Names(taken),
        dict(still),
        moving,
        evaluations(scheme) > 1,
    )
    values = dict(zip(states, scheme.rule(step).entries, strict=True))
    if cell.readouts:
        values |= _readouts(step, eq, values, list(eq.states)[len(cell.rates) :])
    parameters = [*eq.parameters, *(p for p in dt.free_symbols if p not in eq.parameters)]
    needed = _reachable(step.inner, values.values())
    inner = {u: v for u, v in step.inner.items() if u in needed or u in eq.intermediates}
    return Equations(values, inner, eq.net_inputs, tuple(parameters), eq.synapses)


def _readouts(
    step: CellStep, eq: Equations, values: dict[Symbol, Expr], readouts: list[Symbol]
) -> dict[Symbol, Expr]:
    """What is read from the states, at the end of the step."""
    after: dict[Symbol, Expr] = {}
    for y, value in values.items():
        after[y] = value if value.is_Atom else step.name(f"{y.name}_next", value)
        values[y] = after[y]
    for u, expr in step.moving.items():
        after[u] = step.names.fresh(f"{u.name}_next")
        step.inner[after[u]] = expr.xreplace(after)
    return {o: eq.states[o].xreplace(after) for o in readouts}


def _moving(intermediates: Mapping[Symbol, Expr], states: Sequence[Symbol]) -> dict[Symbol, Expr]:
    """The intermediates that depend on states, directly or not."""
    found: dict[Symbol, Expr] = {}
    for u, expr in intermediates.items():
        if expr.free_symbols & {*states, *found}:
            found[u] = expr
    return found


def _reachable(inner: Mapping[Symbol, Expr], wanted: Iterable[Expr]) -> set[Symbol]:
    needed: set[Symbol] = set().union(*(v.free_symbols for v in wanted))
    for u, expr in reversed(list(inner.items())):
        if u in needed:
            needed |= expr.free_symbols
    return needed
