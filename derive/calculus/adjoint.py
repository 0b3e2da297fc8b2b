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
        ∂⁺J/∂(next state), one for each quantity that is computed: what comes in.
    equations : tuple of Equation
        Each bar symbol in terms of ε, other bars and forward quantities.
    delta, carry, links, parameters : dict
        For each net input, old state, quantity of an earlier part and trainable parameter the
        symbol of its ordered derivative *through this step*; missing where it is structurally
        zero.
    remembered : tuple of Symbol
        What the backward pass reads besides states and parameters: it must be kept.
    """

    eps: tuple[Symbol, ...]
    equations: tuple[Equation, ...]
    delta: dict[Symbol, Symbol]
    carry: dict[Symbol, Symbol]
    links: dict[Symbol, Symbol]
    parameters: dict[Symbol, Symbol]
    remembered: tuple[Symbol, ...]


LOWER = "̲"
"""Ends the name of ∂⁺J/∂v where what the unit itself adds is counted in."""


def bar(symbol: Symbol) -> Symbol:
    """The symbol of ∂⁺J/∂symbol."""
    return Symbol(symbol.name + "̄", real=True)


def cell_adjoint(local: LocalSystem) -> CellAdjoint:
    """Reverse a unit's equations by the chain rule for ordered derivatives."""
    eps = tuple(bar(z) for z in local.computed)
    bars: dict[Symbol, Symbol] = dict(zip(local.computed, eps, strict=True))
    backward: list[Equation] = []

    def collect(v: Symbol) -> None:
        terms = [
            bars[of] * local.partial(of, v)
            for of in local.into
            if of in bars and local.partial(of, v) != 0
        ]
        # What is computed for a later part to read comes in, and enters this part's equations too.
        came = [bars[v]] if v in bars else []
        total: Expr = sympy.Add(*came, *terms)
        if terms:
            bars[v] = Symbol(bar(v).name + LOWER, real=True) if came else bar(v)
            backward.append(Equation(bars[v], total))

    for v in reversed([e.symbol for e in local.equations if e.symbol not in local.new]):
        collect(v)
    for v in (*local.net_inputs, *local.old, *local.links, *local.parameters):
        collect(v)

    used: set[Symbol] = set().union(*(e.expr.free_symbols for e in backward)) if backward else set()
    keepable = (*local.inner, *local.net_inputs, *local.gains)
    return CellAdjoint(
        eps,
        tuple(backward),
        {v: bars[v] for v in local.net_inputs if v in bars},
        {v: bars[v] for v in local.old if v in bars},
        {v: bars[v] for v in local.links if v in bars},
        {v: bars[v] for v in local.parameters if v in bars},
        tuple(v for v in keepable if v in used),
    )
