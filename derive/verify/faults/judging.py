"""Mistakes in what outputs are judged by: quantities pooled over units, and terms in parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derive.program.ir import Assign, Loop, Program, Ref, Statement
from derive.verify.faults.finding import Around, Body, adds, masked, unmasked

POOL, SLOPE = "pool_", "by_pool_"
"""How the names of sums over units begin, and those of J's derivatives by them."""


def drop_pool(s: Statement, around: Around) -> Body | None:
    """Hold what is pooled fixed: an output's part in it brings no error."""
    if not isinstance(s, Assign) or not adds(s, "eps", "error"):
        return None
    return () if any(isinstance(r, Ref) and r.array.startswith(SLOPE) for _, r in s.reads) else None


def stale_pool(s: Statement, around: Around) -> Body | None:
    """Let the sum of the step before stand when the next is summed."""
    if not isinstance(s, Assign) or s.reads or s.accumulate:
        return None
    return () if s.target.array.startswith(POOL) else None


def unmasked_pool(s: Statement, around: Around) -> Body | None:
    """Count terms in J's derivative by a sum where there is no target."""
    if isinstance(s, Assign) and s.target.array.startswith(SLOPE) and masked(s):
        return (unmasked(s),)
    return None


def is_penalty(s: Statement) -> bool:
    """∂J/∂θ += R′(θ): a loop that reads parameters and nothing that a run computes."""
    if not isinstance(s, Loop) or len(s.body) != 1 or s.role != "targets":
        return False
    return adds(s.body[0], "grad_theta")


def drop_penalty(s: Statement, around: Around) -> Body | None:
    """Leave out what J says of the parameters themselves."""
    return () if is_penalty(s) else None


def penalty_once(p: Program, net: Any) -> Program:
    """Count what J says of the parameters once a sweep, not for each step whose errors count."""

    def outside(body: Body) -> Body:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop) and s.role == "time":
                moved = tuple(t for t in s.body if is_penalty(t))
                kept = outside(tuple(t for t in s.body if not is_penalty(t)))
                out += [replace(s, body=kept), *moved]
            else:
                out.append(s)
        return tuple(out)

    return replace(p, body=outside(p.body))
