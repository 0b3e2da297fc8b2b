"""Ordered derivatives of one unit: δ, what flows to the old states, and to the parameters.

The ordered derivative ∂⁺J/∂v counts every path from v to J (Werbos 1990). Within a unit it
follows from those of the next states by going through the unit's equations backwards:
∂⁺J/∂v = Σ over the equations i that v stands in of ∂⁺J/∂v_i · ∂F_i/∂v.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Expr, Symbol

from derive.calculus.partials import Equation, LocalSystem


@dataclass(frozen=True)
class CellAdjoint:
    """The backward equations of one unit, in order, for given ε of its next states.

    Attributes
    ----------
    eps : tuple of Symbol
        ∂⁺J/∂(next state), one per state: what comes in.
    equations : tuple of Equation
        Each bar symbol in terms of ε, other bars and forward quantities.
    delta, carry, parameters : dict
        For each net input, old state and trainable parameter the symbol of its ordered
        derivative *through this step*; missing where it is structurally zero.
    remembered : tuple of Symbol
        What the backward pass reads besides states and parameters: it must be kept.
    """

    eps: tuple[Symbol, ...]
    equations: tuple[Equation, ...]
    delta: dict[Symbol, Symbol]
    carry: dict[Symbol, Symbol]
    parameters: dict[Symbol, Symbol]
    remembered: tuple[Symbol, ...]


def bar(symbol: Symbol) -> Symbol:
    """The symbol of ∂⁺J/∂symbol."""
    return Symbol(symbol.name + "̄", real=True)


def cell_adjoint(local: LocalSystem) -> CellAdjoint:
    """Reverse a unit's equations by the chain rule for ordered derivatives."""
    eps = tuple(bar(z) for z in local.new)
    bars: dict[Symbol, Symbol] = dict(zip(local.new, eps, strict=True))
    backward: list[Equation] = []

    def collect(v: Symbol) -> None:
        terms = [
            bars[e.symbol] * local.partial(e.symbol, v)
            for e in local.equations
            if e.symbol in bars and local.partial(e.symbol, v) != 0
        ]
        total: Expr = sympy.Add(*terms)
        if total != 0:
            bars[v] = bar(v)
            backward.append(Equation(bars[v], total))

    for v in reversed(local.inner):
        collect(v)
    for v in (*local.net_inputs, *local.old, *local.parameters):
        collect(v)

    used: set[Symbol] = set().union(*(e.expr.free_symbols for e in backward)) if backward else set()
    keepable = (*local.inner, *local.net_inputs)
    return CellAdjoint(
        eps,
        tuple(backward),
        {v: bars[v] for v in local.net_inputs if v in bars},
        {v: bars[v] for v in local.old if v in bars},
        {v: bars[v] for v in local.parameters if v in bars},
        tuple(v for v in keepable if v in used),
    )
