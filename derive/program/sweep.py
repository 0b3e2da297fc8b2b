"""The pieces every algorithm is composed of: one step forward, one step backward.

Nothing here knows a formula of a particular cell: the right-hand sides are the cell's own
equations and what :mod:`derive.calculus` made of them; here they get places in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Symbol

from derive.calculus.adjoint import bar
from derive.calculus.partials import DESIRED, OUTPUT, SOURCE, WEIGHT
from derive.calculus.tangent import SLOPE
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Operand,
    Ref,
    Role,
    Statement,
    Var,
    modulo,
    plus,
    times,
)
from derive.program.layout import Group, Layout

DELTA, MASK = Symbol("δ", real=True), Symbol("m", real=True)
ZERO = sympy.S.Zero

PREFIXES = {"⁺": "new_", "⁺̄": "eps_", "̄": "bar_"}


def local_name(symbol: Symbol) -> str:
    """The local variable that holds a cell's symbol while one unit is computed.

    A prefix tells what is derived from what a person named, and ``u_`` marks the latter, so that
    a state ``y`` and an intermediate ``y_new`` or ``bar_y`` never meet.
    """
    if SLOPE in symbol.name:
        of, by = symbol.name.split(SLOPE)
        # Two underscores at the joints and lengths in front: no two pairs of names meet.
        return f"d{len(of)}_{of.replace('⁺', '_new')}__{by}"
    for mark in ("⁺̄", "⁺", "̄"):
        if symbol.name.endswith(mark):
            return f"{PREFIXES[mark]}{symbol.name.removesuffix(mark)}"
    return f"u_{symbol.name}"


def scalar(symbol: Symbol) -> Ref:
    """A cell's symbol as a local variable."""
    return Ref(local_name(symbol))


def arrays(layout: Layout, wanted: tuple[str, ...], tape: bool) -> dict[str, Array]:
    """Declarations of the arrays an algorithm may use, caller's first, in the order of the call."""
    net = layout.net
    T: tuple[Index, ...] = (Var("T"),)
    mask_rows: tuple[Index, ...] = (Var("mask_rows"),)
    y_rows: tuple[Index, ...] = (plus(Var("T"), 1),)
    if layout.memory.one_step:
        T = mask_rows = y_rows = ()
    labels = theta_labels(layout)
    n_T = len(net.objective.targets)
    states = len(layout.state_columns)
    everything = [
        Array("theta", (net.size,), "in", meaning="parameters", labels=labels),
        Array("x", (*T, net.inputs), "in", True, "inputs"),
        Array("target", (*T, n_T), "in", True, "targets d"),
        Array("mask", (*mask_rows, n_T), "in", True, "1 where a target exists"),
        Array("y0", (states,), "in", True, "initial state"),
        Array("y", (*y_rows, states), "out", True, "states"),
        Array("J", (), "out", True, "objective"),
        Array(
            "grad_theta",
            (net.size,),
            "out",
            True,
            "gradient by theta",
            labels=tuple(f"grad_{label}" for label in labels),
        ),
        Array("grad_x", (*T, net.inputs), "out", True, "gradient by x"),
        Array("grad_y0", (states,), "out", True, "gradient by y0"),
    ]
    return {a.name: a for a in everything if a.name in wanted} | kept_arrays(layout, tape)


def kept_arrays(layout: Layout, tape: bool) -> dict[str, Array]:
    """Where signals, and what the way back needs besides them, are kept."""
    role: Role = "state" if layout.memory.one_step else "work"
    rows = layout.rows
    found = {"z": Array("z", (rows, layout.width), role, True, "outputs, inputs, states")}
    if tape:
        ring = layout.memory.tape
        steps = layout.memory.steps if ring is None else ring
        shape = (steps, layout.tape_width)
        found["tape"] = Array("tape", shape, role, True, "kept for the way back")
    return found


LABELLED = 512
"""Parameters up to which each has a name of its own."""


def theta_labels(layout: Layout) -> tuple[str, ...]:
    """``w_TARGET_SOURCE[_DELAY]`` or ``PARAMETER_UNIT`` for each entry of theta of a small net."""
    net = layout.net
    if net.size > LABELLED:
        return ()
    labels: dict[int, str] = {}
    ports = [len(net.cells[c].net_inputs) for c in net.cell_index]
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        parts = ["w", str(c.target), *([c.net_input or ""] if ports[c.target] > 1 else [])]
        parts += [str(c.source), *([f"d{c.delay}"] if c.delay != 1 else [])]
        labels.setdefault(i, "_".join(parts))
    for p in net.parameters:
        if p.unit is not None:
            # A double underscore: no weight's label has one, whatever the parameter is called.
            labels[p.start] = f"{p.name}__{p.unit}"
    return tuple(labels[i] for i in range(net.size))


def constants(layout: Layout) -> dict[str, Array]:
    """Fixed parameters that differ between units, as arrays known when the code is made."""
    found = {}
    for g in layout.groups:
        for p, values in g.fixed.items():
            if values.size and (values != values[0]).any():
                name = f"fixed_{g.number}_{p.name}"
                found[name] = Array(name, (g.size,), "const", meaning=p.name, values=values)
    return found


SUM = Ref("sum")
"""The local variable in which what flows back to one source is gathered."""


def locals_of(layout: Layout) -> dict[str, Array]:
    """The local variables of all cells."""
    found = {SUM.array: Array(SUM.array, (), "scalar", True)}
    for g in layout.groups:
        symbols = (*g.local.net_inputs, *(e.symbol for e in g.local.equations))
        symbols += (*g.adjoint.eps, *(e.symbol for e in g.adjoint.equations))
        for s in symbols:
            found[local_name(s)] = Array(local_name(s), (), "scalar", True)
    return found


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


def copy(target: Ref, source: Ref) -> Assign:
    """target = source."""
    return Assign(target, SOURCE, ((SOURCE, source),))


def advance(layout: Layout, t: Index, tape: bool) -> tuple[Statement, ...]:
    """One step of the network: time t from what came before it."""
    before = plus(t, -1)
    body: list[Statement] = []
    if layout.m:
        column = plus(Var("l"), layout.n)
        given = Ref("x", (*given_row(layout, t), Var("l")))
        take = copy(Ref("z", (layout.row(before), column)), given)
        body.append(Loop("l", 0, layout.m, (take,), "copy", turns="m"))
    for g in layout.groups:
        body += layout.for_units(g, lambda k, g=g: _unit_forward(layout, g, k, t, tape))
    return tuple(body)


def given_row(layout: Layout, t: Index) -> tuple[Index, ...]:
    """The row of the caller's arrays that holds what is given for time t."""
    return () if layout.memory.one_step else (plus(t, -1),)


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


def in_order(expr: sympy.Expr) -> list[Symbol]:
    """The symbols of an expression, sorted."""
    return sorted(expr.free_symbols, key=lambda s: s.name)


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


def backward_arrays(layout: Layout) -> dict[str, Array]:
    """ε for every column that can have one, and δ for as many steps as the longest delay."""
    return {
        "eps": Array("eps", (layout.width,), "work", True, "ordered derivative by z(t)"),
        "delta": Array(
            "delta", (layout.longest, layout.row_count), "work", True, "ordered derivative by s(t)"
        ),
    }


def clear(array: str, shape: tuple[int, ...]) -> Statement:
    """array = 0 everywhere."""
    names = [f"i{d}" for d in range(len(shape))]
    body: Statement = Assign(Ref(array, tuple(Var(v) for v in names)), ZERO)
    for name, extent in zip(reversed(names), reversed(shape), strict=True):
        body = Loop(name, 0, extent, (body,), "copy")
    return body


def inject(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """J += J(t), and ε_k(t) += e_k(t) for the units that have a target."""
    j = Var("j")
    term, error = judged(layout, t)
    body = (
        Assign(Ref("J"), term.expr, term.reads, accumulate=True),
        Assign(Ref("eps", (_target(j),)), error.expr, error.reads, accumulate=True),
    )
    return (for_targets(layout, body),)


def judge(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """J += J(t), and e_k(t) kept for the way back; under teacher forcing the mask is, too."""
    j = Var("j")
    term, error = judged(layout, t)
    row = layout.error_row(t)
    body = [
        Assign(Ref("J"), term.expr, term.reads, accumulate=True),
        Assign(Ref("error", (row, j)), error.expr, error.reads),
    ]
    if layout.forced:
        body.append(copy(Ref("there", (row, j)), _mask(layout, t, j)))
    return (for_targets(layout, tuple(body)),)


def judge_arrays(layout: Layout) -> dict[str, Array]:
    """The errors of as many steps as are kept, and where there were targets."""
    role: Role = "state" if layout.memory.one_step else "work"
    n_T, ring = len(layout.net.objective.targets), layout.memory.errors
    rows = layout.memory.steps if ring is None else ring
    found = {"error": Array("error", (rows, n_T), role, True, "injected errors e")}
    if layout.forced:
        found["there"] = Array("there", (rows, n_T), role, True, "where outputs were forced")
    return found


def inject_kept(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """ε_k(t) += e_k(t), as :func:`judge` kept it."""
    j = Var("j")
    kept = Ref("error", (layout.error_row(t), j))
    add = Assign(Ref("eps", (_target(j),)), SOURCE, ((SOURCE, kept),), accumulate=True)
    return (for_targets(layout, (add,)),)


def force(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """Teacher forcing: from here on z_k(t) is d_k(t) where there is a target, else y_k(t)."""
    if not layout.forced:
        return ()
    j = Var("j")
    reads: tuple[tuple[Symbol, Operand], ...] = (
        (DESIRED, Ref("target", (*given_row(layout, t), j))),
        (MASK, _mask(layout, t, j)),
        (OUTPUT, Ref("z", (layout.row(t), layout.own_target(j)))),
    )
    chosen = sympy.Piecewise((DESIRED, sympy.Ne(MASK, 0)), (OUTPUT, True))
    put = Assign(Ref("z", (layout.row(t), _target(j))), chosen, reads)
    return (for_targets(layout, (put,)),)


def forced_at(layout: Layout, t: Index, j: Index, kept: bool) -> Ref:
    """The mask that says whether target j was there at time t: the caller's, or as kept."""
    return Ref("there", (layout.error_row(t), j)) if kept else _mask(layout, t, j)


def cut(layout: Layout, t: Index, kept: bool) -> tuple[Statement, ...]:
    """Nothing flows back into an output that was forced at time t: it was a constant."""
    if not layout.forced:
        return ()
    j = Var("j")
    clear_it = cleared_where(Ref("eps", (_target(j),)), forced_at(layout, t, j, kept))
    return (for_targets(layout, (clear_it,)),)


def cleared_where(ref: Ref, mask: Ref) -> Assign:
    """ref = 0 where the mask says that there was a target."""
    expr = sympy.Piecewise((ZERO, sympy.Ne(MASK, 0)), (SOURCE, True))
    return Assign(ref, expr, ((MASK, mask), (SOURCE, ref)))


@dataclass(frozen=True)
class Judged:
    """A right-hand side with its reads."""

    expr: sympy.Expr
    reads: tuple[tuple[Symbol, Operand], ...]


def judged(layout: Layout, t: Index) -> tuple[Judged, Judged]:
    """Target j's term of J(t), and its error e_k(t)."""
    j = Var("j")
    reads: tuple[tuple[Symbol, Operand], ...] = (
        (DESIRED, Ref("target", (*given_row(layout, t), j))),
        (MASK, _mask(layout, t, j)),
        (OUTPUT, Ref("z", (layout.row(t), layout.own_target(j)))),
    )

    def where_there(expr: sympy.Expr) -> Judged:
        # Selected, not multiplied: a target that does not exist may be NaN.
        chosen = sympy.Piecewise((MASK * expr, sympy.Ne(MASK, 0)), (ZERO, True))
        return Judged(chosen, tuple(r for r in reads if r[0] in chosen.free_symbols))

    return where_there(layout.injection.expr), where_there(layout.injection.error)


def _mask(layout: Layout, t: Index, j: Index) -> Ref:
    if layout.memory.one_step:
        return Ref("mask", (j,))
    return Ref("mask", (times(plus(t, -1), Var("mask_step")), j))


def _target(j: Index) -> Index:
    return Lookup("target_unit", j)


def for_targets(layout: Layout, body: tuple[Statement, ...]) -> Loop:
    """A loop over the columns of ``target``."""
    return Loop("j", 0, len(layout.net.objective.targets), body, "targets", turns="n_T")


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
