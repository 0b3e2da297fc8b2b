"""The equations of a network in a few lines of plain text, for the head of an emitted module."""

from __future__ import annotations

from collections.abc import Iterator

from sympy import Add, Expr, Symbol

from derive.calculus.adjoint import CellAdjoint, bar, cell_adjoint
from derive.calculus.partials import (
    NEXT,
    SOURCE,
    LocalSystem,
    Partial,
    injected,
    local_system,
    penalty,
)
from derive.calculus.synapses import WEIGHT, Synapse, synapse, synapse_of
from derive.calculus.tangent import SLOPE, CellTangent, cell_tangent
from derive.network.cell import Cell, NetInputDeclaration
from derive.network.network import Network


def summary(net: Network, backward: bool = True, sensitivities: bool = False) -> str:
    """Forward equations and those that follow from them, one cell after the other.

    Parameters
    ----------
    backward, sensitivities : bool
        Whether to give those of ε and δ, and those of p.
    """
    lines = []
    heard = frozenset(s.hears for c in net.cells for s in c.ports if s.hears is not None)
    for name, cell in zip(net.cell_names, net.cells, strict=True):
        local = local_system(cell)
        lines += [f"[{name}]", *_forward(cell, local)]
        lines += _backward(net, cell, local, cell_adjoint(local)) if backward else []
        lines += _carried(cell, local, cell_tangent(local, heard)) if sensitivities else []
    lines += _judged(net)
    if backward:
        lines += _by_connections(net)
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
    names |= {s: Symbol(f"{s}(t)") for s in (*local.net_inputs, *local.inner)}
    return names | {p.found: Symbol(f"d{p.of}/d{p.by}(t)") for p in _looks(local)}


def _looks(local: LocalSystem) -> list[Partial]:
    """The slopes of net inputs by states of the unit that their connections look at."""
    return [p for p in local.partials if p.found in local.gains]


def _forward(cell: Cell, local: LocalSystem) -> list[str]:
    names = _names(local)
    lines = [
        f"{port.name}(t) = sum over connections of {_added(cell, port)}" for port in cell.ports
    ]
    for p in _looks(local):
        one = synapse_of(cell, p.of.name)
        places = _places(cell, p.of.name)
        total = one.partials[p.by].xreplace(places)
        lines.append(f"{names[p.found]} = sum over connections of {total}")
    for e in local.equations:
        lines.append(f"{names[e.symbol]} = {e.expr.xreplace(names)}")
    return lines


# --- what connections add --------------------------------------------------------------------


def _carries(port: NetInputDeclaration) -> str:
    """What the connections into a net input carry: x, or the state that it hears of units."""
    return port.hears or "x"


def _is_product(one: Synapse) -> bool:
    """Whether a connection adds w·x."""
    return one.expr == synapse().expr


def _places(
    cell: Cell, net_input: str, source: str = "t - delay", target: str = "t-1"
) -> dict[Symbol, Symbol]:
    """Where what a connection carries, and what it looks at, stands: at times of these two."""
    port = next(s for s in cell.ports if s.name == net_input)
    looked_at = synapse_of(cell, net_input).looked_at
    return {
        SOURCE: Symbol(f"{_carries(port)}({source})"),
        **{y: Symbol(f"{y}({target})") for y in looked_at},
    }


def _added(cell: Cell, port: NetInputDeclaration) -> str:
    one = synapse_of(cell, port.name)
    if _is_product(one):
        added = f"w*{_carries(port)}(t - delay)"
    else:
        added = str(one.expr.xreplace(_places(cell, port.name)))
    return f"{added}   ({port.hears} of an input line: its input)" if port.hears else added


def _factor(expr: Expr) -> str:
    text = str(expr)
    return f"({text})" if expr.is_Add or text.startswith("-") else text


def _delta(cell: Cell, net_input: str) -> str:
    return f"delta_{net_input}" if len(cell.net_inputs) > 1 else "delta"


def _differing(net: Network) -> bool:
    """Whether some net input is another sum than that of w·output."""
    return any(
        s.hears or not _is_product(synapse_of(c, s.name)) for c in net.cells for s in c.ports
    )


def _out_of(net: Network, cell: Cell, state: str) -> list[str]:
    """What the connections out of a unit bring back to one of its states."""
    if not _differing(net):
        everything = "sum over connections c out of it of w*delta(t-1 + delay)"
        return [everything] * (state == cell.output)
    found: dict[str, None] = {}
    for c in net.cells:
        for port in c.ports:
            if state == port.hears or (port.hears is None and state == cell.output):
                at = _places(c, port.name, "t-1", "t-2 + delay")
                slope = _factor(synapse_of(c, port.name).by_source.xreplace(at))
                brought = f"{slope}*{_delta(c, port.name)}(t-1 + delay)"
                found[f"sum over connections c out of it into {port.name} of {brought}"] = None
    return list(found)


def _by_connections(net: Network) -> list[str]:
    """The gradient by weights, and by what else connections have."""
    learnt = ", where that is learnt" if len(net.wiring.fixed) else ""
    if not _differing(net):
        return [f"dJ/dw(c) = sum over t of delta(t)*x(t - delay), c from x to s{learnt}"]
    found: dict[str, None] = {}
    for c, port, p, slope in _own_slopes(net):
        term = f"{_delta(c, port.name)}(t)*{slope}"
        into = f"c from {_carries(port)} to {port.name}"
        found[f"dJ/d{p}(c) = sum over t of {term}, {into}{learnt}"] = None
    return list(found)


def _own_slopes(net: Network) -> Iterator[tuple[Cell, NetInputDeclaration, Symbol, str]]:
    for cell in net.cells:
        for port in cell.ports:
            one = synapse_of(cell, port.name)
            for p in one.parameters:
                at = _places(cell, port.name)
                yield cell, port, p, _factor(one.partials[p].xreplace(at))


# --- what follows from them -------------------------------------------------------------------


def _backward(net: Network, cell: Cell, local: LocalSystem, adjoint: CellAdjoint) -> list[str]:
    names = _names(local)
    many = len(local.new) > 1
    for new in local.new:
        of = f"_{new.name.removesuffix(NEXT)}" if many else ""
        names[bar(new)] = Symbol(f"eps{of}(t)")
    for s, symbol in adjoint.delta.items():
        names[symbol] = Symbol(f"{_delta(cell, s.name)}(t)")
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
        terms += _out_of(net, cell, old.name)
        of = f"_{new.name.removesuffix(NEXT)}" if many else ""
        lines.append(f"eps{of}(t-1) = {' + '.join(terms) or '0'}")
    return lines


def _carried(cell: Cell, local: LocalSystem, tangent: CellTangent) -> list[str]:
    """The sensitivities p of the states to one entry of theta."""
    names = _names(local)
    for e in tangent.equations:
        of, by = (Symbol(part, real=True) for part in e.symbol.name.split(SLOPE))
        names[e.symbol] = Symbol(f"d{names[of]}/d{names.get(by, by)}")
    lines = [_heard(cell, port) for port in cell.ports]
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


def _heard(cell: Cell, port: NetInputDeclaration) -> str:
    """What enters the p of a net input by connections, and what they have of their own."""
    one, at = synapse_of(cell, port.name), _places(cell, port.name)
    p = f"p_{port.hears}" if port.hears else "p"
    brought = f"{_factor(one.by_source.xreplace(at))}*{p}(t - delay)"
    own = "".join(
        f", + {_factor(one.partials[v].xreplace(at))} for its own {'weight' if v == WEIGHT else v}"
        for v in one.parameters
    )
    return f"p_{port.name}(t) = sum over connections of {brought}{own}"
