"""What outputs are judged by: J(t), the errors e(t) it injects, and targets in their place.

J(t) is a sum of terms over units, with targets or without, and over learned parameters. What a
term pools over its units is summed before its errors are taken, and J's derivative by each sum is
found in the reverse order, as for the intermediates of a cell. A term in learned parameters stands
in every J(t), so its gradient is added once for each step whose errors count.

Under teacher forcing a target takes the place of an output once its error is taken, in all that is
computed afterwards; what flows back into a forced output is cut, since it was a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import sympy
from sympy import Expr, Symbol

from derive.calculus.partials import DESIRED, OUTPUT, PARAMETER, SOURCE
from derive.functions import greatest
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Note,
    Operand,
    Ref,
    Role,
    Statement,
    Var,
    plus,
    substituted,
    times,
)
from derive.program.layout import Layout
from derive.program.storage import ZERO, copy
from derive.program.terms import Penalized, Placed

MASK = Symbol("m", real=True)

EMPTY: Mapping[Symbol, Operand] = MappingProxyType({})


def inject(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """J += J(t), ε_k(t) += e_k(t) for the units that are judged, and R′(θ) for learned ones."""

    def into(term: Placed, j: Index) -> Ref:
        return layout.eps(t, term.unit(j))

    return (*_judged(layout, t, into, accumulate=True), *penalize(layout), *add_penalties(layout))


def judge(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """J += J(t), and e_k(t) kept for the way back; under teacher forcing the mask is, too."""
    j, judging = Var("j"), layout.judging
    row = layout.error_row(t)

    def into(term: Placed, j: Index) -> Ref:
        return Ref("error", (row, term.place(j)))

    kept: tuple[Statement, ...] = ()
    if layout.forced:
        kept = (copy(Ref("there", (row, j)), _mask(layout, t, j)),)
    if judging.single:
        return (*_judged(layout, t, into, accumulate=False, more=kept), *penalize(layout))
    none = for_judged(layout, (Assign(Ref("error", (row, j)), ZERO),))
    return (
        none,
        *_judged(layout, t, into, accumulate=True),
        *((for_targets(layout, kept),) if kept else ()),
        *penalize(layout),
    )


def judge_arrays(layout: Layout) -> dict[str, Array]:
    """The errors of as many steps as are kept, and where there were targets."""
    role: Role = "state" if layout.memory.one_step else "work"
    n_T, ring = len(layout.net.objective.targets), layout.memory.errors
    rows = layout.memory.steps if ring is None else ring
    judged = len(layout.judging.units)
    found = {"error": Array("error", (rows, judged), role, True, "injected errors e")}
    if layout.forced:
        found["there"] = Array("there", (rows, n_T), role, True, "where outputs were forced")
    return found


def inject_kept(layout: Layout, t: Index, at: Index | None = None) -> tuple[Statement, ...]:
    """ε_k(t) += e_k(t), as :func:`judge` kept it; ε is that of time ``at``, if it is not t."""
    j = Var("j")
    kept = Ref("error", (layout.error_row(t), j))
    column = Lookup(layout.judging.unit_table, j)
    eps = layout.eps(t if at is None else at, column)
    add = Assign(eps, SOURCE, ((SOURCE, kept),), accumulate=True)
    return (for_judged(layout, (add,)),)


def force(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """Teacher forcing: from here on z_k(t) is d_k(t) where there is a target, else y_k(t)."""
    if not layout.forced:
        return ()
    j = Var("j")
    reads: tuple[tuple[Symbol, Operand], ...] = (
        (DESIRED, Ref("target", (*layout.given_row(t), j))),
        (MASK, _mask(layout, t, j)),
        (OUTPUT, Ref("z", (layout.row(t), layout.own_target(j)))),
    )
    chosen = sympy.Piecewise((DESIRED, sympy.Ne(MASK, 0)), (OUTPUT, True))
    put = Assign(Ref("z", (layout.row(t), _target(j))), chosen, reads)
    return (for_targets(layout, (put,)),)


def forced_at(layout: Layout, t: Index, j: Index, kept: bool) -> Ref:
    """The mask that says whether target j was there at time t: the caller's, or as kept."""
    return Ref("there", (layout.error_row(t), j)) if kept else _mask(layout, t, j)


def cut(layout: Layout, t: Index, kept: bool, at: Index | None = None) -> tuple[Statement, ...]:
    """Nothing flows back into an output that was forced at time t: it was a constant."""
    if not layout.forced:
        return ()
    j = Var("j")
    eps = layout.eps(t if at is None else at, _target(j))
    clear_it = cleared_where(eps, forced_at(layout, t, j, kept))
    return (for_targets(layout, (clear_it,)),)


def cleared_where(ref: Ref, mask: Ref) -> Assign:
    """ref = 0 where the mask says that there was a target."""
    expr = sympy.Piecewise((ZERO, sympy.Ne(MASK, 0)), (SOURCE, True))
    return Assign(ref, expr, ((MASK, mask), (SOURCE, ref)))


# --- the terms of J(t) -------------------------------------------------------------------------

Into = Callable[[Placed, Index], Ref]
"""Where the error of a term's j-th unit goes."""


def _judged(
    layout: Layout,
    t: Index,
    into: Into,
    accumulate: bool,
    more: tuple[Statement, ...] = (),
) -> tuple[Statement, ...]:
    """J += J(t), and the errors of each term; ``more`` is done for each of its units."""
    body: list[Statement] = []
    for term in layout.judging.terms:
        body += _pools(layout, term, t)
        body.append(_over(term, _unit(layout, term, t, into(term, Var("j")), accumulate) + more))
    return tuple(body)


def _unit(
    layout: Layout, term: Placed, t: Index, into: Ref, accumulate: bool
) -> tuple[Statement, ...]:
    """A unit's term of J(t) and its error: what it adds itself, and what it does to sums."""
    found = term.partials
    body = [
        _masked(layout, term, t, Ref("J"), found.expr),
        _masked(layout, term, t, into, found.error, accumulate),
    ]
    shares = [(p.symbol, p.by_output) for p in found.pools if p.by_output]
    if shares:
        slopes = {symbol: Symbol(f"∂J/∂{symbol.name}", real=True) for symbol, _ in shares}
        expr = sympy.Add(*(slopes[symbol] * share for symbol, share in shares))
        known = {slopes[symbol]: term.slope(symbol) for symbol, _ in shares}
        body.append(Assign(into, expr, _reads(layout, term, t, expr, known), True))
    return tuple(body)


def _pools(layout: Layout, term: Placed, t: Index) -> list[Statement]:
    """What is pooled over the units of a term, and J(t)'s derivative by each sum, last first."""
    body: list[Statement] = []
    if term.partials.pools:
        body.append(Note("what is pooled over units, then ∂J(t) by each sum"))
    for p in term.partials.pools:
        at = term.pool(p.symbol)
        reads = _reads(layout, term, t, p.expr)
        if p.shifts:
            first = substituted((Assign(at, p.expr, reads),), {"j": 0})
            larger = Assign(at, greatest(SO_FAR, p.expr), ((SO_FAR, at), *reads))
            body += [*first, _over(term, (larger,), first=1)]
        else:
            body.append(Assign(at, ZERO))
            body.append(_over(term, (Assign(at, p.expr, reads, True),)))
    sums = [p for p in term.partials.pools if not p.shifts]
    for p in reversed(sums):
        at = term.slope(p.symbol)
        each: list[Statement] = []
        if p.symbol in term.partials.by_pool:
            each.append(_masked(layout, term, t, at, term.partials.by_pool[p.symbol]))
        for later in sums:
            if p.symbol in later.by_pool:
                known = {SLOPE: term.slope(later.symbol)}
                expr = SLOPE * later.by_pool[p.symbol]
                each.append(Assign(at, expr, _reads(layout, term, t, expr, known), True))
        body.append(Assign(at, ZERO))
        body += [_over(term, tuple(each))] if each else []
    return body


SO_FAR, SLOPE = Symbol("so far", real=True), Symbol("∂J", real=True)
"""No identifier is called so."""


def _masked(
    layout: Layout, term: Placed, t: Index, into: Ref, expr: Expr, accumulate: bool = True
) -> Assign:
    """into += expr where there is a target; everywhere for a term without targets."""
    if term.reads_targets:
        # Selected, not multiplied: a target that does not exist may be NaN.
        expr = sympy.Piecewise((MASK * expr, sympy.Ne(MASK, 0)), (ZERO, True))
    return Assign(into, expr, _reads(layout, term, t, expr), accumulate)


def _reads(
    layout: Layout, term: Placed, t: Index, expr: Expr, known: Mapping[Symbol, Operand] = EMPTY
) -> tuple[tuple[Symbol, Operand], ...]:
    """Where the symbols of an expression of a term stand for its j-th unit."""
    j = Var("j")
    own = term.own(j, layout.forced)
    place: dict[Symbol, Operand] = {}
    if term.reads_targets:
        place[DESIRED] = Ref("target", (*layout.given_row(t), term.column(j)))
        place[MASK] = _mask(layout, t, term.column(j))
    place[OUTPUT] = Ref("z", (layout.row(t), own))
    place |= {p.symbol: term.pool(p.symbol) for p in term.partials.pools}
    place |= {**term.fixed(j), **known}
    return tuple((v, place[v]) for v in place if v in expr.free_symbols)


def _over(term: Placed, body: tuple[Statement, ...], first: int = 0) -> Loop:
    turns = term.turns if not first else str(max(term.count - first, 0))
    return Loop("j", first, term.count, body, "targets", turns=turns)


# --- the terms in learned parameters -----------------------------------------------------------


def penalize(layout: Layout) -> tuple[Statement, ...]:
    """J += R(θ), the terms of J(t) in learned parameters."""
    loops = [
        _over_entries(p, Assign(Ref("J"), p.partials.expr, _entry_reads(p, p.partials.expr), True))
        for p in layout.judging.penalties
    ]
    return (Note("terms of J(t) in learned parameters"), *loops) if loops else ()


def add_penalties(layout: Layout) -> tuple[Statement, ...]:
    """∂J/∂θ += R′(θ), for one step whose errors count."""
    return tuple(
        _over_entries(
            p,
            Assign(
                Ref("grad_theta", (p.entry(Var("i")),)),
                p.partials.slope,
                _entry_reads(p, p.partials.slope),
                True,
            ),
        )
        for p in layout.judging.penalties
    )


def _entry_reads(p: Penalized, expr: Expr) -> tuple[tuple[Symbol, Operand], ...]:
    i = Var("i")
    place: dict[Symbol, Operand] = {PARAMETER: Ref("theta", (p.entry(i),)), **p.fixed(i)}
    return tuple((v, place[v]) for v in place if v in expr.free_symbols)


def _over_entries(p: Penalized, each: Assign) -> Loop:
    return Loop("i", 0, len(p.entries), (each,), "targets", turns=p.turns)


def _mask(layout: Layout, t: Index, j: Index) -> Ref:
    if layout.memory.one_step:
        return Ref("mask", (j,))
    return Ref("mask", (times(plus(t, -1), Var("mask_step")), j))


def _target(j: Index) -> Index:
    return Lookup("target_unit", j)


def for_targets(layout: Layout, body: tuple[Statement, ...]) -> Loop:
    """A loop over the columns of ``target``."""
    return Loop("j", 0, len(layout.net.objective.targets), body, "targets", turns="n_T")


def for_judged(layout: Layout, body: tuple[Statement, ...]) -> Loop:
    """A loop over the units that are judged, those with targets first."""
    judging = layout.judging
    return Loop("j", 0, len(judging.units), body, "targets", turns=judging.turns)
