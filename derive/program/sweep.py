"""The pieces every algorithm is composed of: one step forward, one step backward.

Nothing here knows a formula of a particular cell: the right-hand sides are the cell's own
equations and what :mod:`derive.calculus` made of them; here they get places in memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sympy import Expr, Symbol

from derive.calculus.adjoint import bar
from derive.calculus.partials import SOURCE, gain
from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Operand,
    Plus,
    Ref,
    Statement,
    Var,
    least,
    modulo,
    plus,
)
from derive.program.kinds import Kind
from derive.program.layout import Group, Layout
from derive.program.storage import SUM, ZERO, copy, in_order, scalar

DELTA = Symbol("δ", real=True)


def begin(layout: Layout, history: bool = True) -> tuple[Statement, ...]:
    """What was before time 0, nothing unless a history says otherwise, and y0 at it."""
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
    if not (history and layout.pad):
        return z0, start
    states, r = len(layout.state_columns), Var("r")
    row = layout.row(r, layout.pad)
    past = Loop(
        "r",
        0,
        layout.pad,
        (
            Loop("l", 0, states, (copy(Ref("z", (row, column)), Ref("history", (r, Var("l")))),),
                 "copy"),
            Loop("l", 0, layout.m,
                 (copy(Ref("z", (row, plus(Var("l"), layout.n))),
                       Ref("history", (r, plus(Var("l"), states)))),), "copy"),
        ),
        "copy",
    )  # fmt: skip
    return z0, past, start


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
        gains = gains_of(g, s) if tape else {}
        body += [Assign(scalar(v), ZERO) for v in (s, *gains.values())]
        for kind in layout.kinds_into(g, s):
            wanted = {s: kind.synapse.expr}
            wanted |= {d: kind.synapse.partials[y] for y, d in gains.items()
                       if y in kind.synapse.partials}  # fmt: skip

            def add(c: Index, kind: Kind = kind, wanted: Any = wanted) -> list[Statement]:
                into = {scalar(v): expr for v, expr in wanted.items()}
                return accumulate(layout, kind, c, t, into)

            body.append(layout.into(kind, layout.entry(g, "row", s, k), add))
    place = places(layout, g, k, t, inner_from_tape=False)
    for e in g.local.equations:
        reads = tuple((v, place[v]) for v in in_order(e.expr))
        body.append(Assign(scalar(e.symbol), e.expr, reads))
        if e.symbol in g.local.computed:
            body.append(_to_z(layout, g, e.symbol, k, t))
    body += [_to_z(layout, g, s, k, t) for s in g.local.net_inputs if s in g.local.computed]
    if tape:
        for v in g.kept:
            at = (layout.tape_row(t), layout.entry(g, "kept", v, k))
            body.append(copy(Ref("tape", at), scalar(v)))
    return body


def _to_z(layout: Layout, g: Group, v: Symbol, k: Index, t: Index) -> Assign:
    return copy(Ref("z", (layout.row(t), layout.own_entry(g, v, k))), scalar(v))


def gains_of(g: Group, net_input: Symbol) -> dict[Symbol, Symbol]:
    """∂s/∂y by old state y, for those that connections into a net input look at."""
    found = {y: gain(net_input, y) for y in g.local.old}
    return {y: d for y, d in found.items() if d in g.local.gains}


def source(layout: Layout, kind: Kind, c: Index, t: Index) -> Ref:
    """What connection c carries to time t: its source, delayed."""
    back: Index = 0 if kind.now else Lookup(kind.table("delay"), c)
    return Ref("z", (layout.row(t, back), Lookup(kind.table("source"), c)))


def at_connection(
    layout: Layout, kind: Kind, c: Index, t: Index, last: Index | None = None
) -> dict[Symbol, Operand]:
    """Where the symbols of a synapse stand for connection c into time t.

    ``last`` is the last time there are signals of, where t may be later.
    """
    place: dict[Symbol, Operand] = {
        **{p: kind.parameter(p, c) for p in kind.synapse.parameters},
        SOURCE: source(layout, kind, c, t),
    }
    before = plus(t, -1) if last is None else least(plus(t, -1), last)
    for y in kind.synapse.looked_at:
        place[y] = Ref("z", (layout.row(before), kind.looked_at(y, c)))
    return place


def accumulate(
    layout: Layout,
    kind: Kind,
    c: Index,
    t: Index,
    into: dict[Ref, Expr],
    also: dict[Symbol, Operand] | None = None,
) -> list[Statement]:
    """Add expressions of connection c into time t to some places; ``also`` reads more symbols."""
    return summed(kind, into, {**at_connection(layout, kind, c, t), **(also or {})})


def summed(kind: Kind, into: dict[Ref, Expr], place: dict[Symbol, Operand]) -> list[Statement]:
    """Add expressions of one connection to some places, what they share computed once."""
    body, exprs, place = shared_first(kind, tuple(into.values()), place)
    return body + [
        Assign(ref, expr, reads_of(expr, place), accumulate=True)
        for ref, expr in zip(into, exprs, strict=True)
    ]


def shared_first(
    kind: Kind, wanted: tuple[Expr, ...], place: dict[Symbol, Operand]
) -> tuple[list[Statement], tuple[Expr, ...], dict[Symbol, Operand]]:
    """What some expressions of a connection share, computed; the rest of them, and its places."""
    shared, exprs = kind.synapse.shared(*wanted)
    body: list[Statement] = []
    for e in shared:
        body.append(Assign(scalar(e.symbol), e.expr, reads_of(e.expr, place)))
        place = {**place, e.symbol: scalar(e.symbol)}
    return body, exprs, place


def reads_of(expr: Expr, place: dict[Symbol, Operand]) -> tuple[tuple[Symbol, Operand], ...]:
    """What an expression reads, by its symbols in order."""
    return tuple((v, place[v]) for v in in_order(expr))


def places(
    layout: Layout, g: Group, k: Index, t: Index, inner_from_tape: bool
) -> dict[Symbol, Operand]:
    """Where each symbol of a unit's equations stands when time t is computed."""
    place: dict[Symbol, Operand] = {}
    for y, z in zip(g.local.old, g.local.new, strict=True):
        place[y] = Ref("z", (layout.row(t, 1), layout.entry(g, "column", z, k)))
        place[z] = Ref("z", (layout.row(t), layout.own_entry(g, z, k)))
    for v in g.local.links:
        place[v] = Ref("z", (layout.row(t), layout.entry(g, "own", v, k)))
    for p in g.local.parameters:
        place[p] = Ref("theta", (layout.entry(g, "theta", p, k),))
    for p, values in g.fixed.items():
        if (values == values[0]).all():
            place[p] = float(values[0])
        else:
            place[p] = Ref(f"fixed_{g.number}_{p.name}", (k,))
    for v in (*g.local.net_inputs, *g.local.gains, *(e.symbol for e in g.local.equations)):
        if not inner_from_tape:
            place[v] = scalar(v)
        elif v in g.kept:
            place[v] = Ref("tape", (layout.tape_row(t), layout.entry(g, "kept", v, k)))
        elif v in g.local.computed:
            place[v] = Ref("z", (layout.row(t), layout.entry(g, "own", v, k)))
    return place


# --- backward ----------------------------------------------------------------------------------


def slot(layout: Layout, t: Index) -> Index:
    """Where δ(t) is kept."""
    return modulo(t, layout.longest)


def through_units(
    layout: Layout,
    t: Index,
    gather: bool = True,
    at: Index | None = None,
    whole: bool = True,
) -> tuple[Statement, ...]:
    """From ε(t) to δ(t), to the gradient's terms of time t, and to what each unit passes back.

    Afterwards ``eps`` holds what reaches time t−1 inside each unit. ``gather`` says whether the
    gradient's terms are wanted; δ is kept as that of time ``at``, if it is not t. Where only the
    gradient by theta is, and not the ``whole``, units that nothing learnt reaches are left out.
    """
    at = t if at is None else at
    body: list[Statement] = []
    some = not (whole or layout.moved.all())
    for g in in_reverse(layout):
        among = f"moved_{g.number}" if some else ""
        body += layout.for_units(
            g, lambda k, g=g: _unit_backward(layout, g, k, t, gather, at), among
        )
    return _unnamed(tuple(body)) if some else tuple(body)


def _unnamed(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """The loops without their names in formulas, where they are over some of what these count."""
    return tuple(
        replace(s, body=_unnamed(s.body), turns="") if isinstance(s, Loop) else s for s in body
    )


def in_reverse(layout: Layout) -> tuple[Group, ...]:
    """The groups in an order in which what a step computes can flow back through it."""
    stages = sorted({g.stage for g in layout.groups}, reverse=True)
    return tuple(g for stage in stages for g in layout.groups if g.stage == stage)


def _unit_backward(
    layout: Layout, g: Group, k: Index, t: Index, gather: bool, at: Index
) -> list[Statement]:
    adjoint, local = g.adjoint, g.local
    place = places(layout, g, k, t, inner_from_tape=True)
    eps = {z: layout.eps(at, layout.entry(g, "column", z, k)) for z in local.computed}
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
    body += _pass_back(layout, g, k, at, eps)
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
        for kind in layout.kinds_into(g, s):
            learns = gather and kind.learnt
            if not (learns or kind.now):
                continue

            def terms(
                c: Index, kind: Kind = kind, delta: Ref = delta, learns: bool = learns
            ) -> list[Statement]:
                into: dict[Ref, Expr] = {}
                if learns:
                    for p in kind.synapse.parameters:
                        there = kind.parameter(p, c)
                        assert isinstance(there, Ref)
                        into[Ref("grad_theta", there.index)] = DELTA * kind.synapse.partials[p]
                if kind.now:  # what it hears is of this step: ε of its source is not complete yet
                    there = layout.eps(at, Lookup(kind.table("eps"), c))
                    into[there] = DELTA * kind.synapse.by_source
                return accumulate(layout, kind, c, t, into, {DELTA: delta})

            body.append(layout.into(kind, row, terms))
    return body


def _pass_back(
    layout: Layout, g: Group, k: Index, at: Index, eps: dict[Symbol, Ref]
) -> list[Statement]:
    """What a unit passes to its own states of the step before, and to earlier parts of itself."""
    adjoint, local = g.adjoint, g.local
    body: list[Statement] = []
    if not layout.in_parts:
        for y, z in zip(local.old, local.new, strict=True):
            if y in adjoint.carry:
                body.append(copy(eps[z], scalar(adjoint.carry[y])))
            else:
                body.append(Assign(eps[z], ZERO))
        return body
    body += [Assign(ref, ZERO) for ref in eps.values()]
    new = dict(zip(local.old, local.new, strict=True))
    passed = {
        **{layout.eps(plus(at, -1), layout.entry(g, "column", new[y], k)): symbol
           for y, symbol in adjoint.carry.items()},
        **{layout.eps(at, layout.entry(g, "column", v, k)): symbol
           for v, symbol in adjoint.links.items()},
    }  # fmt: skip
    return body + [
        Assign(ref, SOURCE, ((SOURCE, scalar(symbol)),), accumulate=True)
        for ref, symbol in passed.items()
    ]


def across_connections(
    layout: Layout,
    t: Index,
    first: int,
    count: int,
    into: str,
    at: tuple[Index, ...] = (),
    *,
    last: Index,
    turned: int = 0,
    rest: Index | None = None,
    whole: bool = True,
) -> tuple[Statement, ...]:
    """ε_l(t) += Σ over the connections c out of l of δ(t + delay_c)·∂(contribution)/∂(source).

    For ``count`` sources from ``first`` on; ``into`` is the array that gathers them. Connections
    of delay 0 are no part of it: these are passed with the step they are heard in.

    Parameters
    ----------
    last : index
        The last time there are signals of; δ of later ones is 0.
    turned : int
        Rings of ε and δ are read as if so many steps later, for times that may be negative.
    rest : index, optional
        The time whose signals are those of all times.
    whole : bool
        Whether ε is wanted also of units that nothing learnt reaches.
    """
    kinds = tuple(kind for kind in layout.kinds if not kind.now)
    if not layout.net.wiring.size or not kinds:
        return ()
    body: list[Statement] = []
    l = Var("l")  # noqa: E741 - the paper's letter
    to_eps, when = into == "eps", (last, turned, rest)
    if not (whole or layout.moved.all()):
        for table, first_of in (("moved", 0), ("heard_moved", layout.n + layout.m)):
            here = Lookup(table, l)
            column = Lookup("heard", here) if first_of else here
            target = layout.eps(plus(t, turned), column)
            gathered = _gathered(layout, kinds, t, plus(here, first_of), target, True, when)
            size = int(layout.tables[table].size)
            body += [Loop("l", 0, size, gathered, "units")] if size else []
        return _unnamed(tuple(body))
    if count:
        target = layout.eps(plus(t, turned), l) if to_eps else Ref(into, (*at, l))
        gathered = _gathered(layout, kinds, t, plus(l, first), target, to_eps, when)
        body.append(Loop("l", 0, count, gathered, "units", turns="n" if to_eps else "m"))
    further = int(layout.tables["heard"].size) if to_eps else 0
    if further:  # states that are heard and are no outputs
        place = plus(l, layout.n + layout.m)
        target = layout.eps(plus(t, turned), Lookup("heard", l))
        gathered = _gathered(layout, kinds, t, place, target, to_eps, when)
        body.append(Loop("l", 0, further, gathered, "units", turns="n_H"))
    return tuple(body)


def _gathered(
    layout: Layout,
    kinds: tuple[Kind, ...],
    t: Index,
    place: Index,
    target: Ref,
    to_eps: bool,
    when: tuple[Index, int, Index | None],
) -> tuple[Statement, ...]:
    # Gathered in a local variable: an element of an array would be stored at every connection.
    loops = []
    last, turned, rest = when
    for kind in kinds:

        def add(c: Index, kind: Kind = kind) -> list[Statement]:
            then = plus(t, Lookup(kind.table("out_delay"), c))
            ring, synapse = slot(layout, plus(then, turned)), kind.synapse
            reads: dict[Symbol, Operand] = {
                DELTA: Ref("delta", (ring, Lookup(kind.table("out_row"), c))),
                **{p: kind.parameter(p, c, "out_") for p in synapse.parameters},
                SOURCE: Ref("z", (layout.row(t if rest is None else rest), _column(layout, place))),
            }
            before = least(plus(then, -1), last) if rest is None else rest
            for y in synapse.looked_at:
                reads[y] = Ref("z", (layout.row(before), kind.looked_at(y, c, "out_")))
            return summed(kind, {SUM: DELTA * synapse.by_source}, reads)

        loops.append(layout.out_of(kind, place, add, "w_U" if to_eps else "w_I"))
    return (copy(SUM, target), *loops, copy(target, SUM))


def _column(layout: Layout, place: Index) -> Index:
    """The column of z of a source, given by its place among all that are heard."""
    further = layout.n + layout.m
    if isinstance(place, Plus) and place.right == further:
        return Lookup("heard", place.left)
    return place
