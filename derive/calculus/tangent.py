"""Sensitivities of one unit: how its next states follow its old ones, net inputs and parameters.

A sensitivity p = ∂y(t)/∂θ is carried forward in time (real-time recurrent learning, Williams &
Zipser 1989). Through one unit it goes by the chain rule, in the order of computation:
∂⁺z/∂v = ∂F_z/∂v + Σ over the inner quantities u between of ∂F_z/∂u · ∂⁺u/∂v. These slopes are the
same for every parameter θ, so a step finds them once a unit:

    p_z(t) = Σ_s ∂⁺z/∂s · ∂s/∂θ + Σ_y ∂⁺z/∂y · p_y(t−1) + ∂⁺z/∂θ (where θ is the unit's own)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from derive.calculus.partials import SLOPE, Equation, LocalSystem, gain


@dataclass(frozen=True)
class CellTangent:
    """The slopes of one unit's next states, in order of computation.

    Attributes
    ----------
    equations : tuple of Equation
        Each slope symbol in terms of slopes before it and forward quantities.
    slopes : dict
        For (next state, net input or old state or trainable parameter) the slope's symbol; missing
        where it is structurally zero.
    remembered : tuple of Symbol
        What the slopes read besides states and parameters: it must be kept for them.
    carried : tuple of Symbol
        The old states whose sensitivities are needed: a net input or a parameter reaches them,
        within a step or over several, and they reach the output.
    """

    equations: tuple[Equation, ...]
    slopes: dict[tuple[Symbol, Symbol], Symbol]
    remembered: tuple[Symbol, ...]
    carried: tuple[Symbol, ...]

    def slope(self, of: Symbol, by: Symbol) -> Symbol | None:
        """The symbol of ∂⁺of/∂by, or None where that is structurally zero."""
        return self.slopes.get((of, by))


def slope_symbol(of: Symbol, by: Symbol) -> Symbol:
    """The symbol of ∂⁺of/∂by."""
    return Symbol(f"{of.name}{SLOPE}{by.name}", real=True)


def cell_tangent(local: LocalSystem, heard: frozenset[str] = frozenset()) -> CellTangent:
    """Follow a unit's equations forward by the chain rule, for each quantity that enters it.

    ``heard`` names the states that connections carry besides the output.
    """
    equations, known = _slopes(local)
    return _wanted(local, equations, known, _carried(local, known, heard))


def part_tangent(part: LocalSystem, carried: tuple[Symbol, ...]) -> CellTangent:
    """The slopes of one part of a unit, whose carried states are known."""
    equations, known = _slopes(part)
    return _wanted(part, equations, known, carried)


Known = dict[tuple[Symbol, Symbol], Symbol]


def _slopes(local: LocalSystem) -> tuple[list[Equation], Known]:
    known: Known = {
        (s, y): gain(s, y) for s in local.net_inputs for y in local.old if gain(s, y) in local.gains
    }
    equations: list[Equation] = []
    for s in local.net_inputs:
        if s in local.computed:  # handed on to a later part as it is
            known[s, s] = slope_symbol(s, s)
            equations.append(Equation(known[s, s], sympy.S.One))
    between = (*local.net_inputs, *(e.symbol for e in local.equations))
    for by in (*local.net_inputs, *local.links, *local.old, *local.parameters):
        for e in local.equations:
            total: Expr = local.partial(e.symbol, by)
            for u in between:
                if u != by and (u, by) in known and local.partial(e.symbol, u) != 0:
                    total += local.partial(e.symbol, u) * known[u, by]
            if total != 0:
                known[e.symbol, by] = slope_symbol(e.symbol, by)
                equations.append(Equation(known[e.symbol, by], total))
    return equations, known


def _wanted(
    local: LocalSystem, equations: list[Equation], known: Known, carried: tuple[Symbol, ...]
) -> CellTangent:
    old_of = dict(zip(local.new, local.old, strict=True))
    own = {z for z in local.computed if z not in old_of or old_of[z] in carried}
    wanted = {
        (z, by): s
        for (z, by), s in known.items()
        if z in own and (by not in local.old or by in carried)
    }
    equations = _needed(equations, wanted.values())
    used: set[Symbol] = set().union(*(e.expr.free_symbols for e in equations))
    keepable = (*local.inner, *local.net_inputs, *local.gains)
    return CellTangent(tuple(equations), wanted, tuple(v for v in keepable if v in used), carried)


def _carried(local: LocalSystem, known: Known, heard: frozenset[str]) -> tuple[Symbol, ...]:
    """Old states that something outside the unit reaches and that reach what others hear."""
    step = {
        (before, after)
        for before in local.old
        for after, z in zip(local.old, local.new, strict=True)
        if (z, before) in known
    }
    entered = {
        y
        for y, z in zip(local.old, local.new, strict=True)
        if any((z, v) in known for v in (*local.net_inputs, *local.parameters))
    }
    reached = _closure(entered, step)
    ends = {local.old[local.output], *(y for y in local.old if y.name in heard)}
    leading = _closure(ends, {(b, a) for a, b in step})
    return tuple(y for y in local.old if y in reached & leading)


def _closure(start: set[Symbol], edges: set[tuple[Symbol, Symbol]]) -> set[Symbol]:
    found = set(start)
    while more := {b for a, b in edges if a in found} - found:
        found |= more
    return found


def _needed(equations: list[Equation], wanted: Iterable[Symbol]) -> list[Equation]:
    """The equations that lead to some symbols, in order."""
    needed = set(wanted)
    kept: list[Equation] = []
    for e in reversed(equations):
        if e.symbol in needed:
            kept.append(e)
            needed |= e.expr.free_symbols
    return kept[::-1]
