"""The equations of a network in a few lines of plain text, for the head of an emitted module."""

from __future__ import annotations

import sympy
from sympy import Expr

from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.partials import NEXT, LocalSystem, injection, local_system
from derive.network.network import Network


def summary(net: Network) -> str:
    """Forward equations and the backward ones that follow, one cell after the other."""
    lines = []
    for name, cell in zip(net.cell_names, net.cells, strict=True):
        local = local_system(cell)
        lines += [f"[{name}]", *_forward(local), *_backward(local, cell_adjoint(local))]
    error = injection(net.objective).error
    lines.append(f"e(t) = {error}   (units with a target, where there is one)")
    lines.append("dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s")
    return "\n".join(lines)


def _forward(local: LocalSystem) -> list[str]:
    names = {old: sympy.Symbol(f"{old.name}(t-1)") for old in local.old}
    names |= {new: sympy.Symbol(f"{new.name.removesuffix(NEXT)}(t)") for new in local.new}
    inputs = [f"{s}(t) = sum over connections of w*x(t - delay)" for s in local.net_inputs]
    names |= {s: sympy.Symbol(f"{s}(t)") for s in (*local.net_inputs, *local.inner)}
    lines = [*inputs]
    for e in local.equations:
        lines.append(f"{names[e.symbol]} = {e.expr.xreplace(names)}")
    return lines


def _backward(local: LocalSystem, adjoint: CellAdjoint) -> list[str]:
    names = {old: sympy.Symbol(f"{old.name}(t-1)") for old in local.old}
    names |= {new: sympy.Symbol(f"{new.name.removesuffix(NEXT)}(t)") for new in local.new}
    names |= {s: sympy.Symbol(f"{s}(t)") for s in (*local.net_inputs, *local.inner)}
    many = len(local.new) > 1
    for new in local.new:
        of = f"_{new.name.removesuffix(NEXT)}" if many else ""
        names[bar(new)] = sympy.Symbol(f"eps{of}(t)")
    for s, symbol in adjoint.delta.items():
        of = f"_{s}" if len(local.net_inputs) > 1 else ""
        names[symbol] = sympy.Symbol(f"delta{of}(t)")
    for v, symbol in {**adjoint.carry, **adjoint.parameters}.items():
        names[symbol] = sympy.Symbol(f"d{v}")
    for v in local.inner:
        names[bar(v)] = sympy.Symbol(f"eps_{v}(t)")

    def shown(expr: Expr) -> str:
        return str(expr.xreplace(names))

    lines = [f"{shown(e.symbol)} = {shown(e.expr)}" for e in adjoint.equations]
    for i, (old, new) in enumerate(zip(local.old, local.new, strict=True)):
        terms = ["e(t-1)"] if i == local.output else []
        terms += [f"d{old}"] if old in adjoint.carry else []
        terms += ["sum over connections c out of it of w*delta(t-1 + delay)"] * (i == local.output)
        of = f"_{new.name.removesuffix(NEXT)}" if many else ""
        lines.append(f"eps{of}(t-1) = {' + '.join(terms) or '0'}")
    return lines
