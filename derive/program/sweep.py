"""The pieces every algorithm is composed of: one step forward, one step backward.

Nothing here knows a formula of a particular cell: the right-hand sides are the cell's own
equations and what :mod:`derive.calculus` made of them; here they get places in memory.
"""

from __future__ import annotations

from sympy import Symbol

from derive.calculus.adjoint import bar
from derive.calculus.partials import SOURCE, WEIGHT
from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Operand,
    Ref,
    Statement,
    Var,
    modulo,
    plus,
)
from derive.program.layout import Group, Layout
from derive.program.storage import SUM, ZERO, copy, in_order, scalar

DELTA = Symbol("δ", real=True)


def begin(layout: Layout) -> tuple[Statement, ...]:
    """Nothing before time 0, and y0 at it."""
    row = layout.row(Var("r"), layout.pad)
    z0 = Loop(
        "r",
        0,
        layout.pad + 1,
        (Loop("l", 0, layout.width, (Assign(Ref("z", (row, Var("l"))), ZERO),), "copy"),),
        "copy",
    )
    column = Lookup("state_column", Var("l"))
    start = Loop(
        "l",
        0,
        len(layout.state_columns),
        (copy(Ref("z", (layout.row(0), column)), Ref("y0", (Var("l"),))),),
        "copy",
    )
    return z0, start


def advance(layout: Layout, t: Index, tape: bool) -> tuple[Statement, ...]:
    """One step of the network: time t from what came before it."""
    before = plus(t, -1)
    body: list[Statement] = []
    if layout.m:
        column = plus(Var("l"), layout.n)
        given = Ref("x", (*layout.given_row(t), Var("l")))
        take = copy(Ref("z", (layout.row(before), column)), given)
        body.append(Loop("l", 0, layout.m, (take,), "copy", turns="m"))
    for g in layout.groups:
        body += layout.for_units(g, lambda k, g=g: _unit_forward(layout, g, k, t, tape))
    return tuple(body)


def _unit_forward(layout: Layout, g: Group, k: Index, t: Index, tape: bool) -> list[Statement]:
    body: list[Statement] = []
    for s in g.local.net_inputs:
        body.append(Assign(scalar(s), ZERO))

        def add(c: Index, s: Symbol = s) -> list[Statement]:
            return [
                Assign(
                    scalar(s),
                    layout.synapse.expr,
                    ((WEIGHT, weight(c)), (SOURCE, source(layout, c, t))),
                    accumulate=True,
                )
            ]

        body.append(layout.into(layout.entry(g, "row", s, k), add))
    place = places(layout, g, k, t, inner_from_tape=False)
    for e in g.local.equations:
        reads = tuple((v, place[v]) for v in in_order(e.expr))
        body.append(Assign(scalar(e.symbol), e.expr, reads))
        if e.symbol in g.own:
            column = layout.own_entry(g, e.symbol, k)
            body.append(copy(Ref("z", (layout.row(t), column)), scalar(e.symbol)))
    if tape:
        for v in g.kept:
            at = (layout.tape_row(t), layout.entry(g, "kept", v, k))
            body.append(copy(Ref("tape", at), scalar(v)))
    return body


def weight(c: Index) -> Ref:
    """The weight of connection c."""
    return Ref("theta", (Lookup("weight", c),))


def source(layout: Layout, c: Index, t: Index) -> Ref:
    """What connection c carries to time t: its source, delayed."""
    return Ref("z", (layout.row(t, Lookup("delay", c)), Lookup("source", c)))


def places(
    layout: Layout, g: Group, k: Index, t: Index, inner_from_tape: bool
) -> dict[Symbol, Operand]:
    """Where each symbol of a unit's equations stands when time t is computed."""
    place: dict[Symbol, Operand] = {}
    for y, z in zip(g.local.old, g.local.new, strict=True):
        place[y] = Ref("z", (layout.row(t, 1), layout.entry(g, "column", z, k)))
        place[z] = Ref("z", (layout.row(t), layout.own_entry(g, z, k)))
    for p in g.local.parameters:
        place[p] = Ref("theta", (layout.entry(g, "theta", p, k),))
    for p, values in g.fixed.items():
        if (values == values[0]).all():
            place[p] = float(values[0])
        else:
            place[p] = Ref(f"fixed_{g.number}_{p.name}", (k,))
    for v in (*g.local.net_inputs, *g.local.inner):
        if not inner_from_tape:
            place[v] = scalar(v)
        elif v in g.kept:
            place[v] = Ref("tape", (layout.tape_row(t), layout.entry(g, "kept", v, k)))
    return place


# --- backward ----------------------------------------------------------------------------------


def slot(layout: Layout, t: Index) -> Index:
    """Where δ(t) is kept."""
    return modulo(t, layout.longest)


def through_units(
    layout: Layout, t: Index, gather: bool = True, at: Index | None = None
) -> tuple[Statement, ...]:
    """From ε(t) to δ(t), to the gradient's terms of time t, and to what each unit passes back.

    Afterwards ``eps`` holds what reaches time t−1 inside each unit. ``gather`` says whether the
    gradient's terms are wanted; δ is kept as that of time ``at``, if it is not t.
    """
    at = t if at is None else at
    body: list[Statement] = []
    for g in layout.groups:
        body += layout.for_units(g, lambda k, g=g: _unit_backward(layout, g, k, t, gather, at))
    return tuple(body)


def _unit_backward(
    layout: Layout, g: Group, k: Index, t: Index, gather: bool, at: Index
) -> list[Statement]:
    adjoint, local = g.adjoint, g.local
    place = places(layout, g, k, t, inner_from_tape=True)
    eps = {z: Ref("eps", (layout.entry(g, "column", z, k),)) for z in local.new}
    body: list[Statement] = [copy(scalar(bar(z)), ref) for z, ref in eps.items()]
    for symbol in (*adjoint.eps, *(e.symbol for e in adjoint.equations)):
        place[symbol] = scalar(symbol)
    parameters = set(adjoint.parameters.values())
    for e in adjoint.equations:
        if not gather and e.symbol in parameters:
            continue
        body.append(
            Assign(scalar(e.symbol), e.expr, tuple((v, place[v]) for v in in_order(e.expr)))
        )
    for y, z in zip(local.old, local.new, strict=True):
        if y in adjoint.carry:
            body.append(copy(eps[z], scalar(adjoint.carry[y])))
        else:
            body.append(Assign(eps[z], ZERO))
    for p, symbol in adjoint.parameters.items() if gather else ():
        into = Ref("grad_theta", (layout.entry(g, "theta", p, k),))
        body.append(Assign(into, SOURCE, ((SOURCE, scalar(symbol)),), accumulate=True))
    for s in local.net_inputs:
        row = layout.entry(g, "row", s, k)
        here = Ref("delta", (slot(layout, at), row))
        if s not in adjoint.delta:
            body.append(Assign(here, ZERO))
            continue
        delta = scalar(adjoint.delta[s])
        body.append(copy(here, delta))
        if not gather:
            continue

        def terms(c: Index, delta: Ref = delta) -> list[Statement]:
            expr = DELTA * layout.synapse.by_weight
            reads: dict[Symbol, Operand] = {
                DELTA: delta,
                WEIGHT: weight(c),
                SOURCE: source(layout, c, t),
            }
            into = Ref("grad_theta", (Lookup("weight", c),))
            return [Assign(into, expr, tuple((v, reads[v]) for v in in_order(expr)), True)]

        body.append(layout.into(row, terms))
    return body


def across_connections(
    layout: Layout, t: Index, first: int, count: int, into: str, at: tuple[Index, ...] = ()
) -> tuple[Statement, ...]:
    """ε_l(t) += Σ over the connections c out of l of δ(t + delay_c)·∂(contribution)/∂(source).

    For ``count`` sources from ``first`` on; ``into`` is the array that gathers them.
    """
    if not count or not layout.net.wiring.size:
        return ()
    expr = DELTA * layout.synapse.by_source
    target = Ref(into, (*at, Var("l")))

    def add(c: Index) -> list[Statement]:
        then = plus(t, Lookup("out_delay", c))
        reads: dict[Symbol, Operand] = {
            DELTA: Ref("delta", (slot(layout, then), Lookup("out_row", c))),
            WEIGHT: Ref("theta", (Lookup("out_weight", c),)),
        }
        return [Assign(SUM, expr, tuple((v, reads[v]) for v in in_order(expr)), True)]

    # Gathered in a local variable: an element of an array would be stored at every connection.
    loop = layout.out_of(plus(Var("l"), first), add, "w_U" if into == "eps" else "w_I")
    turns = "n" if into == "eps" else "m"
    body = (copy(SUM, target), loop, copy(target, SUM))
    return (Loop("l", 0, count, body, "units", turns=turns),)
