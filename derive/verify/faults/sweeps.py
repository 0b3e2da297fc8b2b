"""Mistakes in the terms of learning: signs, indices, delays, masks, what is summed how often.

Each is planted wherever it can be made: in a sweep back, in the hybrid's many sweeps, in
sensitivities carried forward.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import sympy

from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Modulo,
    Program,
    Ref,
    Statement,
    Var,
    parts,
    plus,
    substituted,
)
from derive.verify.faults.finding import (
    Around,
    Body,
    adds,
    advances,
    backward,
    carries,
    changed,
    errs,
    holds,
    indexed,
    is_sum,
    masked,
    moved,
    pairs,
    read_elsewhere,
    reads,
    sets,
    unmasked,
)

DELAYS = ("delay", "out_delay", "pass_delay", "term_delay")
"""Tables of delays, or how their names begin."""


def is_delay(table: str) -> bool:
    """Whether a table holds delays."""
    return table.startswith(DELAYS)


def drop_term(s: Statement, around: Around) -> Body | None:
    """Leave the last connection out of each sum of what flows back, or of sensitivities."""
    if isinstance(s, Loop) and s.role == "connections" and holds(s, carries):
        return (replace(s, stop=plus(s.stop, -1)),)
    return None


def transpose_weight(p: Program, net: Any) -> Program:
    """Read w_kl where w_lk belongs; a connection without its opposite keeps its own."""
    weights: dict[tuple[int, int], int] = {}
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        if c.fixed is None:
            weights.setdefault((c.target, c.source), i)
    opposite = np.arange(net.size)
    for (k, source), i in weights.items():
        opposite[i] = weights.get((source, k), i)
    if np.array_equal(opposite, np.arange(net.size)):
        return p

    def change(s: Statement, around: Around) -> Body | None:
        if not isinstance(s, Assign) or not carries(s):
            return None
        return (read_elsewhere(s, "theta", lambda r: Ref("theta", (Lookup(table, r.index[0]),))),)

    table = "opposite_weight"
    wrong = changed(p, change)
    return wrong if wrong.body == p.body else replace(wrong, tables={**p.tables, table: opposite})


def shift_time(s: Statement, around: Around) -> Body | None:
    """Pair δ(τ) with x(τ) instead of x(τ−1); what is heard in the same step, with that before."""
    if not isinstance(s, Assign) or not pairs(s, around):
        return None

    def shifted(r: Ref) -> Ref:
        later = any(isinstance(i, Lookup) and is_delay(i.table) for i in parts(r.index[0]))
        return Ref("z", (moved(r.index[0], 1 if later else -1), *r.index[1:]))

    return (read_elsewhere(s, "z", shifted),)


def flip_sign(s: Statement, around: Around) -> Body | None:
    """Take y − d for d − y."""
    return (replace(s, expr=-s.expr),) if isinstance(s, Assign) and errs(s) else None


def flip_partial(s: Statement, around: Around) -> Body | None:
    """Change the sign of ∂y/∂s."""
    if not isinstance(s, Assign) or not s.reads:
        return None
    back = backward(around) and sets(s, "delta", "delta_k")
    forward = sets(s, "p") and any(isinstance(r, Ref) and is_sum(r.array) for _, r in s.reads)
    return (replace(s, expr=-s.expr),) if back or forward else None


def forget_delay(p: Program, net: Any) -> Program:
    """Read every delay as 1 in what is learnt."""
    return p if all_one(p) else changed(p, _undelayed)


def _undelayed(s: Statement, around: Around) -> Body | None:
    if not isinstance(s, Assign) or advances(s):
        return None
    return (indexed(s, _one),)


def _one(i: Index) -> Index | None:
    return 1 if isinstance(i, Lookup) and is_delay(i.table) else None


def all_one(p: Program) -> bool:
    """Whether every connection has one step of delay."""
    return all((values == 1).all() for name, values in p.tables.items() if is_delay(name))


def late_delay(s: Statement, around: Around) -> Body | None:
    """Read δ, or p, one step off what the delay says."""
    if not isinstance(s, Assign) or not carries(s):
        return None

    def later(r: Ref) -> Ref:
        at = r.index[0]
        return Ref(r.array, (moved(at, 1) if isinstance(at, Modulo) else at, *r.index[1:]))

    for array in ("delta", "delta_k", "p"):
        s = read_elsewhere(s, array, later)
    return (s,)


def ignore_mask(s: Statement, around: Around) -> Body | None:
    """Take an error where there is no target."""
    return (unmasked(s),) if isinstance(s, Assign) and errs(s) else None


def ignore_last_mask(p: Program, net: Any) -> Program:
    """Inject the error of the last step whether or not it has a target."""
    for at, sweep in enumerate(p.body):
        if not isinstance(sweep, Loop) or sweep.role != "time" or not sweep.backward:
            continue
        last: list[Statement] = []
        for loop in sweep.body:
            if isinstance(loop, Loop):
                found = [s for s in loop.body if isinstance(s, Assign) and errs(s)]
                extra = tuple(replace(s, expr=unmasked(s).expr - s.expr) for s in found)
                again = (replace(loop, body=extra),) if extra else ()
                last += substituted(again, {sweep.var: Var("T")})
        return replace(p, body=(*p.body[:at], *last, *p.body[at:]))
    return p


def drop_parameter_gradient(s: Statement, around: Around) -> Body | None:
    """Learn no parameter of a cell: only weights."""
    if not isinstance(s, Assign) or not s.accumulate or not s.reads:
        return None
    local = all(isinstance(r, Ref) and not r.index for _, r in s.reads)
    swept = adds(s, "gathered") and not reads(s, "delta_k") and not reads(s, "p")
    return () if swept or (local and adds(s, "grad_theta", "p")) else None


def drop_carry(s: Statement, around: Around) -> Body | None:
    """Forget what a unit's own state passes to the step before, or after."""
    if not isinstance(s, Assign) or not s.reads or masked(s):
        return None
    if backward(around) and _passes_back(s) and not holds(around[-1], carries):
        return (replace(s, expr=sympy.S.Zero, reads=()),)
    if sets(s, "p") and reads(s, "p"):
        own = {v: 0 for v, r in s.reads if isinstance(r, Ref) and r.array == "p"}
        kept = tuple((v, r) for v, r in s.reads if v not in own)
        expr = s.expr.subs(own)
        return (replace(s, expr=expr, reads=tuple(r for r in kept if r[0] in expr.free_symbols)),)
    return None


def _passes_back(s: Assign) -> bool:
    """Whether a unit passes something to the step before, or to an earlier part of itself."""
    if sets(s, "eps", "zeta"):
        return True
    return adds(s, "eps", "zeta") and not any(isinstance(r, Ref) and r.index for _, r in s.reads)


def stale_sum(s: Statement, around: Around) -> Body | None:
    """Let the sum of the step before stand when the next is summed."""
    if not isinstance(s, Assign) or s.reads or s.accumulate:
        return None
    back = backward(around) and s.target.array in ("eps", "zeta")
    return () if back or is_sum(s.target.array) else None


def double_count(s: Statement, around: Around) -> Body | None:
    """Add each weight's term twice."""
    return (s, s) if pairs(s, around) else None


def drop_direct(s: Statement, around: Around) -> Body | None:
    """Leave out what a weight does itself, 1{i=k}·x_j: sensitivities only feed on another."""
    return () if pairs(s, around) and not adds(s, "grad_theta") else None


def forward_order(s: Statement, around: Around) -> Body | None:
    """Multiply the step Jacobians from the first step to the last."""
    if isinstance(s, Loop) and s.role == "time" and s.backward:
        return (replace(s, backward=False),)
    return None
