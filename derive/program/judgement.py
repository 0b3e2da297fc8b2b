"""What outputs are judged by: J(t), the errors e(t) it injects, and targets in their place.

Under teacher forcing a target takes the place of an output once its error is taken, in all that is
computed afterwards; what flows back into a forced output is cut, since it was a constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy
from sympy import Symbol

from derive.calculus.partials import DESIRED, OUTPUT, SOURCE
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
    plus,
    times,
)
from derive.program.layout import Layout
from derive.program.storage import ZERO, copy

MASK = Symbol("m", real=True)


def inject(layout: Layout, t: Index) -> tuple[Statement, ...]:
    """J += J(t), and ε_k(t) += e_k(t) for the units that have a target."""
    j = Var("j")
    term, error = judged(layout, t)
    body = (
        Assign(Ref("J"), term.expr, term.reads, accumulate=True),
        Assign(layout.eps(t, _target(j)), error.expr, error.reads, accumulate=True),
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


def inject_kept(layout: Layout, t: Index, at: Index | None = None) -> tuple[Statement, ...]:
    """ε_k(t) += e_k(t), as :func:`judge` kept it; ε is that of time ``at``, if it is not t."""
    j = Var("j")
    kept = Ref("error", (layout.error_row(t), j))
    eps = layout.eps(t if at is None else at, _target(j))
    add = Assign(eps, SOURCE, ((SOURCE, kept),), accumulate=True)
    return (for_targets(layout, (add,)),)


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


@dataclass(frozen=True)
class Judged:
    """A right-hand side with its reads."""

    expr: sympy.Expr
    reads: tuple[tuple[Symbol, Operand], ...]


def judged(layout: Layout, t: Index) -> tuple[Judged, Judged]:
    """Target j's term of J(t), and its error e_k(t)."""
    j = Var("j")
    reads: tuple[tuple[Symbol, Operand], ...] = (
        (DESIRED, Ref("target", (*layout.given_row(t), j))),
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
