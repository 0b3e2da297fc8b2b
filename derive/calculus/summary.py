"""The equations of a network in a few lines of plain text, for the head of an emitted module."""

from __future__ import annotations

from sympy import Add, Expr, Symbol

from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.partials import NEXT, LocalSystem, injected, local_system, penalty
from derive.calculus.tangent import SLOPE, CellTangent, cell_tangent
from derive.network.network import Network


def summary(net: Network, backward: bool = True, sensitivities: bool = False) -> str:
    """Forward equations and those that follow from them, one cell after the other.

    Parameters
    ----------
    backward, sensitivities : bool
        Whether to give those of ε and δ, and those of p.
    """
    lines = []
    for name, cell in zip(net.cell_names, net.cells, strict=True):
        local = local_system(cell)
        lines += [f"[{name}]", *_forward(local)]
        lines += _backward(local, cell_adjoint(local)) if backward else []
        lines += _carried(local, cell_tangent(local)) if sensitivities else []
    lines += _judged(net)
    if backward:
        lines.append("dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s")
    if sensitivities:
        ends = "dJ/dtheta += sum over states of eps(t0)*p(t0), t0 where a window begins"
        lines.append(ends if backward else "dJ/dtheta = sum over units of e(t)*p(t)")
    return "\n".join(lines)


def _judged(net: Network) -> list[str]:
    """The error, as the terms of the objective add to it."""
    lines = []
    for i, term in enumerate(net.objective.terms):
        if term.over == "parameters":
            found, names = penalty(term), ", ".join(term.names)
            lines.append(f"J(t) += {found.expr}   (each learned {names}, at every t)")
            lines.append(f"dJ/dw += {found.slope}")
            continue
        e = injected(term)
        error = e.error
        for p in e.pools:
            lines.append(f"{p.symbol} = {'max' if p.shifts else 'sum'} over units of {p.expr}")
            if p.by_output:
                error += Symbol(f"dJ/d{p.symbol}") * p.by_output
        there = "units with a target, where there is one"
        there = there if term.over == "targets" else "at every t"
        if term.units is None:
            there = "all units, at every t"
        elif net.objective.targets != term.units:
            there = f"units {', '.join(map(str, term.units))}: {there}"
        lines.append(f"e(t) {'+=' if i else '='} {error}   ({there})")
    return lines


def _names(local: LocalSystem) -> dict[Symbol, Symbol]:
    names = {old: Symbol(f"{old.name}(t-1)") for old in local.old}
    names |= {new: Symbol(f"{new.name.removesuffix(NEXT)}(t)") for new in local.new}
    return names | {s: Symbol(f"{s}(t)") for s in (*local.net_inputs, *local.inner)}


def _forward(local: LocalSystem) -> list[str]:
    names = _names(local)
    lines = [f"{s}(t) = sum over connections of w*x(t - delay)" for s in local.net_inputs]
    for e in local.equations:
        lines.append(f"{names[e.symbol]} = {e.expr.xreplace(names)}")
    return lines


def _backward(local: LocalSystem, adjoint: CellAdjoint) -> list[str]:
    names = _names(local)
    many = len(local.new) > 1
    for new in local.new:
        of = f"_{new.name.removesuffix(NEXT)}" if many else ""
        names[bar(new)] = Symbol(f"eps{of}(t)")
    for s, symbol in adjoint.delta.items():
        of = f"_{s}" if len(local.net_inputs) > 1 else ""
        names[symbol] = Symbol(f"delta{of}(t)")
    for v, symbol in {**adjoint.carry, **adjoint.parameters}.items():
        names[symbol] = Symbol(f"d{v}")
    for v in local.inner:
        names[bar(v)] = Symbol(f"eps_{v}(t)")

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


def _carried(local: LocalSystem, tangent: CellTangent) -> list[str]:
    """The sensitivities p of the states to one entry of theta."""
    names = _names(local)
    for e in tangent.equations:
        of, by = (Symbol(part, real=True) for part in e.symbol.name.split(SLOPE))
        names[e.symbol] = Symbol(f"d{names[of]}/d{names.get(by, by)}")
    lines = [
        f"p_{s}(t) = sum over connections of w*p(t - delay), + x(t - delay) for its own weight"
        for s in local.net_inputs
    ]
    lines += [f"{names[e.symbol]} = {e.expr.xreplace(names)}" for e in tangent.equations]
    new = dict(zip(local.old, local.new, strict=True))
    for y in tangent.carried:
        terms = []
        for by in (*local.net_inputs, *tangent.carried):
            if slope := tangent.slope(new[y], by):
                at = "t-1" if by in tangent.carried else "t"
                terms.append(names[slope] * Symbol(f"p_{by}({at})"))
        own = "".join(
            f", + {names[slope]} for its own {p}"
            for p in local.parameters
            if (slope := tangent.slope(new[y], p))
        )
        lines.append(f"p_{y}(t) = {Add(*terms)}{own}")
    return lines
