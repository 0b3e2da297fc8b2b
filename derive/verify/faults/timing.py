"""Mistakes in when: errors and slopes of another step, factors multiplied in another order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sympy

from derive.program.ir import (
    Assign,
    Index,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    plus,
    substituted,
)
from derive.verify.faults.finding import (
    Around,
    Body,
    Change,
    adds,
    backward,
    errs,
    holds,
    injects,
    is_sum,
    moved,
    read_elsewhere,
    sets,
)
from derive.verify.faults.sweeps import all_one


def late_error(s: Statement, around: Around) -> Body | None:
    """Inject e(τ−1) at τ, and nothing at the first step."""
    if not _judges(s):
        return None
    assert isinstance(s, Loop)
    first = plus(s.start, 1)
    return (
        replace(s, start=first, body=_errors(s, -1)),
        replace(s, stop=first, body=_errors(s, None)),
    )


def early_error(s: Statement, around: Around) -> Body | None:
    """Inject e(τ+1) at τ, and nothing at the last step."""
    if not _judges(s):
        return None
    assert isinstance(s, Loop)
    last = plus(s.stop, -1)
    return (
        replace(s, start=last, body=_errors(s, None)),
        replace(s, stop=last, body=_errors(s, 1)),
    )


def _judges(s: Statement) -> bool:
    """Whether a loop back takes errors as it goes."""
    if not isinstance(s, Loop) or s.role != "time" or not s.backward:
        return False
    return holds(s, lambda t: errs(t) and adds(t, "eps"))


def _errors(sweep: Loop, by: int | None) -> Body:
    """The body of a sweep with errors of another step, or of none."""

    def change(s: Statement, around: Around) -> Body | None:
        if not (errs(s) and adds(s, "eps")):
            return None
        if by is None:
            return ()
        (moved_,) = substituted((s,), {sweep.var: plus(Var(sweep.var), by)})
        assert isinstance(s, Assign) and isinstance(moved_, Assign)
        return (replace(moved_, target=s.target),)  # another step's error, to where this one's goes

    return within(sweep.body, change)


def within(body: Body, change: Change) -> Body:
    """A body with statements replaced, at any depth."""
    out: list[Statement] = []
    for s in body:
        new = change(s, ())
        if new is not None:
            out += new
        elif isinstance(s, Loop):
            out.append(replace(s, body=within(s.body, change)))
        else:
            out.append(s)
    return tuple(out)


def flat_partial(s: Statement, around: Around) -> Body | None:
    """Take ∂y/∂s for 1: δ = ε, and p of the output is that of the net input."""
    if not isinstance(s, Assign) or s.accumulate or not s.reads:
        return None
    back = backward(around) and s.target.array.startswith(("bar_", "delta"))
    if not (back or sets(s, "p")):
        return None
    expr = s.expr
    for v, r in s.reads:
        if isinstance(r, Ref) and (r.array.startswith(("eps_", "zeta_")) or is_sum(r.array)):
            slope = sympy.diff(expr, v)
            expr = expr if slope == 0 else expr - slope * v + v
    kept = tuple(read for read in s.reads if read[0] in expr.free_symbols)
    return (replace(s, expr=sympy.expand(expr), reads=kept),) if kept != s.reads else None


def late_partial(s: Statement, around: Around) -> Body | None:
    """Take ∂y/∂s of the step before: δ(τ) = f′(s(τ−1)) ε(τ)."""
    if not isinstance(s, Assign) or s.accumulate or s.target.index or not backward(around):
        return None
    return (read_elsewhere(s, "z", lambda r: Ref("z", (moved(r.index[0], -1), *r.index[1:]))),)


def reversed_product(p: Program, net: Any) -> Program:
    """For every pair of steps multiply the Jacobians between them in the opposite order.

    What reaches τ from t passes through step τ+1 first and through t last. Only where one error is
    swept back at a time, and no connection skips a step.
    """
    if "eps" not in p.arrays or "delta" not in p.arrays or not all_one(p):
        return p

    def in_body(body: Body) -> Body:
        out: list[Statement] = []
        for s in body:
            further = _passes(s)
            newest = next((k for k in range(len(out) - 1, -1, -1) if _takes_one(out[k])), None)
            if further is not None and newest is not None:
                first = out[newest]
                assert isinstance(first, Loop)
                out.append(_each_start(p, first, further))
            elif isinstance(s, Loop):
                out.append(replace(s, body=in_body(s.body)))
            else:
                out.append(s)
        return tuple(out)

    return replace(p, body=in_body(p.body))


def _takes_one(s: Statement) -> bool:
    """Whether a loop injects the error of one step."""
    alone = isinstance(s, Loop) and plus(s.start, 1) == s.stop
    return alone and isinstance(s, Loop) and holds(s, injects)


def _passes(s: Statement) -> Loop | None:
    """The loop over steps through which an error passes, if this is one."""
    if not isinstance(s, Loop) or s.role != "time" or not s.backward or holds(s, injects):
        return None
    learns = holds(s, lambda t: adds(t, "grad_theta")) and not holds(s, errs)
    return s if learns else None


def _each_start(p: Program, newest: Loop, further: Loop) -> Loop:
    """for τ: ε = e(t); through τ+1, …, t in this order; then δ(τ) and its terms."""
    tau, end = Var("tau"), newest.start
    inject = tuple(s for s in newest.body if isinstance(s, Loop) and holds(s, injects))
    silent = within(further.body, lambda s, _: () if adds(s, "grad_theta") else None)
    onward = Loop(further.var, plus(tau, 1), plus(end, 1), silent, "time")
    learn = replace(further, start=tau, stop=plus(tau, 1))
    body = (
        *(_cleared(a, p.arrays[a].shape) for a in ("eps", "delta")),
        *substituted(inject, {newest.var: end}),
        onward,
        learn,
    )
    return Loop("tau", further.start, further.stop, body, "time", backward=True)


def _cleared(array: str, shape: tuple[Index, ...]) -> Statement:
    counters = tuple(Var(f"i{n}") for n in range(len(shape)))
    s: Statement = Assign(Ref(array, counters), sympy.S.Zero)
    for v, size in reversed(list(zip(counters, shape, strict=True))):
        s = Loop(v.name, 0, size, (s,), "copy")
    return s
