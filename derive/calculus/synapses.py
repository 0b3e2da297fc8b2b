"""What one connection adds to its net input, and its partials: w·x, or as a cell states it.

A synapse is an expression in the connection's weight w, what it carries x, further parameters of
the connection and old states of its target. It is differentiated by each of them; a function value
that several of these need is computed once and named, as within a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import sympy
from sympy import Expr, Symbol

from derive.calculus.partials import SOURCE, Equation, is_costly
from derive.functions import convention
from derive.network.cell import Cell

WEIGHT = Symbol("w", real=True)
SHARED = "ᶜ"
"""Ends the name of a value that several partials of a synapse share; no identifier has it."""


@dataclass(frozen=True)
class Synapse:
    """What one connection adds to its net input, and what it takes to differentiate that.

    Attributes
    ----------
    expr : Expr
        As stated.
    parameters : tuple of Symbol
        Of the connection: its weight first.
    looked_at : tuple of Symbol
        Old states of the target.
    partials : dict
        By each symbol in ``expr``, as SymPy differentiates it.
    """

    expr: Expr
    parameters: tuple[Symbol, ...] = (WEIGHT,)
    looked_at: tuple[Symbol, ...] = ()
    partials: dict[Symbol, Expr] = field(default_factory=dict)

    @property
    def by_weight(self) -> Expr:
        """The partial by the weight."""
        return self.partials[WEIGHT]

    @property
    def by_source(self) -> Expr:
        """The partial by what the connection carries."""
        return self.partials[SOURCE]

    @property
    def most_shared(self) -> int:
        """As many values as its expressions can share: each is a costly part of one of them."""
        stated = (self.expr, *self.partials.values())
        found = (part for e in stated for part in sympy.preorder_traversal(e))
        return len({part for part in found if is_costly(part)})

    def shared(self, *wanted: Expr) -> tuple[tuple[Equation, ...], tuple[Expr, ...]]:
        """Some of its expressions, with the costly values in them that stand there twice named."""
        equations: list[Equation] = []
        left = list(wanted)
        while True:
            costly: dict[Expr, int] = {}
            for e in left:
                for part in sympy.preorder_traversal(e):
                    if is_costly(part):
                        costly[part] = costly.get(part, 0) + 1
            twice = sorted(
                (part for part, count in costly.items() if count > 1),
                key=lambda part: (part.count_ops(), sympy.default_sort_key(part)),
            )
            if not twice:
                return tuple(equations), tuple(left)
            name = shared_symbol(len(equations))
            equations.append(Equation(name, twice[0]))
            left = [e.xreplace({twice[0]: name}) for e in left]


def shared_symbol(number: int) -> Symbol:
    """The symbol of a value that several of a synapse's expressions share."""
    return Symbol(f"f{number or ''}{SHARED}", real=True)


def synapse(expr: Expr = WEIGHT * SOURCE, parameters: tuple[Symbol, ...] = (WEIGHT,)) -> Synapse:
    """Differentiate a connection's contribution."""
    expr = convention(expr)
    by = sorted(expr.free_symbols, key=lambda v: v.name)
    looked_at = tuple(v for v in by if v not in (*parameters, SOURCE))
    partials = {v: convention(sympy.diff(expr, v)) for v in by}
    return Synapse(expr, parameters, looked_at, partials)


def synapse_of(cell: Cell, net_input: str) -> Synapse:
    """What the connections into one net input of a cell add."""
    (port,) = (s for s in cell.ports if s.name == net_input)
    stated = {s.name: e for s, e in cell.equations.synapses.items()}
    if net_input not in stated:
        return synapse()
    own = tuple(Symbol(p.name, real=True) for p in port.parameters)
    return synapse(stated[net_input], (WEIGHT, *own))
