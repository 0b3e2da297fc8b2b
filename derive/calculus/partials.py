"""The local partial derivatives of a cell, rewritten in what the forward pass already has.

A unit is a short list of equations v_i = F_i(v_<i, old states, net inputs, parameters). Each F_i
is differentiated with respect to each symbol in it, and in the result every expression whose value
the forward pass has under a name is replaced by that name, largest first. That is how tanh′ turns
out to be 1 − y²: nobody stated it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import sympy
from sympy import Expr, Symbol

from derive.functions import convention
from derive.network.cell import Cell
from derive.network.objective import Objective

NEXT = "⁺"
"""Ends the name of a state's next value; no identifier has it, so no user's name can collide."""


@dataclass(frozen=True)
class Equation:
    """v = F: one line of a unit's forward computation."""

    symbol: Symbol
    expr: Expr


@dataclass(frozen=True)
class Partial:
    """∂(of)/∂(by): as SymPy differentiates it, and in terms of known quantities."""

    of: Symbol
    by: Symbol
    stated: Expr
    found: Expr


@dataclass(frozen=True)
class LocalSystem:
    """What one unit computes in one step, and every local partial of it.

    ``equations`` are in order of computation: functions worth remembering, intermediates, then
    the next states. ``old`` and ``new`` pair up; ``parameters`` are the trainable ones. ``gains``
    are ∂s/∂y of net inputs whose connections look at their target's own state: sums over
    connections, as the net inputs are, and known to the unit as these are.

    Where a unit is computed in parts (:mod:`derive.calculus.parts`), this is one of them: it
    computes ``computed`` and reads ``links``, what an earlier part has computed in the same step.
    """

    name: str
    old: tuple[Symbol, ...]
    new: tuple[Symbol, ...]
    net_inputs: tuple[Symbol, ...]
    parameters: tuple[Symbol, ...]
    fixed: tuple[Symbol, ...]
    equations: tuple[Equation, ...]
    partials: tuple[Partial, ...]
    output: int
    """Which of the states other units see."""
    computed: tuple[Symbol, ...] = ()
    links: tuple[Symbol, ...] = ()
    gains: tuple[Symbol, ...] = ()

    @property
    def into(self) -> tuple[Symbol, ...]:
        """What has partials, in order of computation."""
        return (*self.net_inputs, *(e.symbol for e in self.equations))

    @cached_property
    def inner(self) -> tuple[Symbol, ...]:
        """The symbols computed on the way to the next states, and kept within the unit."""
        return tuple(e.symbol for e in self.equations if e.symbol not in self.computed)

    def partial(self, of: Symbol, by: Symbol) -> Expr:
        """∂of/∂by in known quantities, zero if ``by`` does not stand in the equation of ``of``."""
        for p in self.partials:
            if p.of == of and p.by == by:
                return p.found
        return sympy.S.Zero


_systems: WeakKeyDictionary[Cell, LocalSystem] = WeakKeyDictionary()


def local_system(cell: Cell) -> LocalSystem:
    """A cell's equations differentiated: once for every unit, and every reader, of this cell."""
    if cell not in _systems:
        _systems[cell] = _differentiated(cell)
    return _systems[cell]


def _differentiated(cell: Cell) -> LocalSystem:
    eq = cell.equations
    old = tuple(eq.states)
    new = tuple(Symbol(y.name + NEXT, real=True) for y in old)
    trainable = {p.name for p in cell.trainable}
    parameters = tuple(p for p in eq.parameters if p.name in trainable)
    fixed = tuple(p for p in eq.parameters if p.name not in trainable)
    variables = [*old, *eq.net_inputs, *parameters]
    equations = [Equation(u, convention(f)) for u, f in eq.intermediates.items()]
    equations += [Equation(z, convention(f)) for z, f in zip(new, eq.states.values(), strict=True)]

    # Every declared name, used or not: an invented one must not stand for two things.
    taken = {v.name for v in (*variables, *fixed, *eq.intermediates)}
    while True:
        partials = _partials(equations, variables)
        remembered = _worth_remembering(equations, partials)
        if remembered is None:
            break
        name = next(n for i in range(len(taken) + 2) if (n := f"f{i or ''}") not in taken)
        taken.add(name)
        symbol = Symbol(name, real=True)
        place = next(i for i, e in enumerate(equations) if e.expr.has(remembered))
        equations = [Equation(e.symbol, e.expr.xreplace({remembered: symbol})) for e in equations]
        equations.insert(place, Equation(symbol, remembered))
    gains = tuple(
        (s, y, gain(s, y)) for s, expr in eq.synapses.items() for y in old if y in expr.free_symbols
    )
    return LocalSystem(
        cell.name,
        old,
        new,
        eq.net_inputs,
        parameters,
        fixed,
        tuple(equations),
        (*(Partial(s, y, g, g) for s, y, g in gains), *partials),
        cell.states.index(cell.output),
        new,
        gains=tuple(g for _, _, g in gains),
    )


SLOPE = "∂"
"""Stands between the two names in a slope's name; no identifier has it."""


def gain(net_input: Symbol, state: Symbol) -> Symbol:
    """The symbol of ∂s/∂y where connections into s look at the state y of their target."""
    return Symbol(f"{net_input.name}{SLOPE}{state.name}", real=True)


def in_known(expr: Expr, equations: list[Equation]) -> Expr:
    """``expr`` with every expression that the forward pass names replaced by the name.

    Largest first, so that tanh(s)/τ is found before tanh(s). Substitution only: solving y = f(s)
    for s, or simplify(), give forms that overflow.
    """
    known = [e for e in equations if not e.expr.is_Atom]
    for e in sorted(known, key=lambda e: -e.expr.count_ops()):
        expr = expr.xreplace({e.expr: e.symbol})
    return expr


def _partials(equations: list[Equation], variables: list[Symbol]) -> list[Partial]:
    found = []
    earlier = list(variables)
    for e in equations:
        for v in earlier:
            if v in e.expr.free_symbols:
                stated = convention(sympy.diff(e.expr, v))
                if stated != 0:
                    found.append(Partial(e.symbol, v, stated, in_known(stated, equations)))
        if not e.symbol.name.endswith(NEXT):
            earlier.append(e.symbol)
    return found


def is_costly(expr: Expr) -> bool:
    """Whether computing the outermost operation again would cost a library call."""
    if isinstance(expr, sympy.Pow):
        return not expr.exp.is_Integer
    return isinstance(expr, sympy.Function) and not isinstance(expr, sympy.Piecewise)


def _worth_remembering(equations: list[Equation], partials: list[Partial]) -> Expr | None:
    """A function value that both the forward pass and some partial compute: name it once."""
    named = {e.expr for e in equations}
    candidates = {
        part
        for p in partials
        for part in sympy.preorder_traversal(p.found)
        if is_costly(part) and part not in named and any(e.expr.has(part) for e in equations)
    }
    ordered = sorted(candidates, key=lambda c: (-c.count_ops(), sympy.default_sort_key(c)))
    return ordered[0] if ordered else None


# --- the other thing a person states: the objective -------------------------------------------

SOURCE = Symbol("x", real=True)

DESIRED, OUTPUT = Symbol("d", real=True), Symbol("y", real=True)


@dataclass(frozen=True)
class Injection:
    """One unit's term of J(t), and e = its derivative by the output."""

    expr: Expr
    error: Expr


def injection(objective: Objective) -> Injection:
    """Differentiate the objective's summand by the output: e_k(t)."""
    expr = convention(objective.expression)
    return Injection(expr, convention(sympy.diff(expr, OUTPUT)))
