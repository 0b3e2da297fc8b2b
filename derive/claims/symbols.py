"""Symbols that stand for the same everywhere in claims, functions they call, and what f_k is."""

from __future__ import annotations

from typing import Any

import sympy
from sympy import Expr, Symbol

from derive.calculus.form import Unit
from derive.claims.lexer import FUNCTIONS
from derive.functions import logistic, relu, softplus
from derive.network.cell import Cell

DIGITS = 30
"""Of the numbers that two sides are compared as."""
CALLED: dict[str, Any] = {
    **{name: getattr(sympy, name, None) for name in FUNCTIONS},
    "logistic": logistic, "softplus": softplus, "relu": relu,
}  # fmt: skip
ETA, DT = Symbol("eta", positive=True), Symbol("dt", positive=True)


def activation(u: Unit, cell: Cell) -> tuple[Expr, Symbol] | None:
    """f_k: the largest expression of the net input alone through which it enters an equation.

    Parameters
    ----------
    cell : Cell
        Whose equation of the output is looked at: the unit's, or the rates it was made from.
    """
    if len(u.local.net_inputs) != 1:
        return None
    (s,) = u.local.net_inputs
    eq = cell.equations
    output = next(e for y, e in eq.states.items() if y == u.output)
    while output.free_symbols & set(eq.intermediates):
        output = output.xreplace(dict(eq.intermediates))
    others = set(u.local.old)
    found = [
        e for e in sympy.preorder_traversal(output)
        if isinstance(e, Expr) and s in e.free_symbols and not e.free_symbols & others
        and not (e.is_Symbol and output != e)
    ]  # fmt: skip
    functions = [e for e in found if isinstance(e, sympy.Function)]
    largest = output if output in found else next(iter(functions), None)
    return None if largest is None else (largest, s)
