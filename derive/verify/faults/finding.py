"""Statements found by the arrays they read and write, and replaced: how a fault gets planted.

No fault knows a cell or an algorithm by name; what it needs is in the shape of statements. The
arrays are those of :mod:`derive.program`: ``eps``, ``delta`` of a sweep back, ``zeta``,
``delta_k``, ``gathered`` of the many sweeps back of the hybrid, ``p`` and its sums ``p_…`` of
sensitivities carried forward, ``error`` and ``there`` of what is kept of errors and masks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from derive.program.ir import (
    Assign,
    Index,
    Loop,
    Modulo,
    Program,
    Ref,
    Statement,
    plus,
    rebuilt,
    reindexed,
    walk,
)
from derive.program.judgement import MASK

Body = tuple[Statement, ...]
Around = tuple[Loop, ...]
Change = Callable[[Statement, Around], Body | None]
"""What replaces a statement, given the loops around it; None leaves it."""

Programs = Mapping[str, Program]
Rewrite = Callable[[Programs, Any], dict[str, Program] | None]
"""From a kernel's Programs and the network to those with the fault; None: it has no place."""


# --- replacing -----------------------------------------------------------------------------------


def changed(program: Program, change: Change) -> Program:
    """A program with every statement replaced for which ``change`` gives something else."""
    return replace(program, body=_rewritten(program.body, change))


def _rewritten(body: Body, change: Change, around: Around = ()) -> Body:
    out: list[Statement] = []
    for s in body:
        new = change(s, around)
        if new is not None:
            out += new
        elif isinstance(s, Loop):
            out.append(replace(s, body=_rewritten(s.body, change, (*around, s))))
        else:
            out.append(s)
    return tuple(out)


def each(change: Change) -> Rewrite:
    """A fault that changes statements one by one, in every program."""
    return every(lambda program, net: changed(program, change))


def every(rewrite: Callable[[Program, Any], Program]) -> Rewrite:
    """A fault that changes programs one by one."""

    def all_of(programs: Programs, net: Any) -> dict[str, Program] | None:
        return if_other(programs, {k: rewrite(p, net) for k, p in programs.items()})

    return all_of


def if_other(before: Programs, after: dict[str, Program]) -> dict[str, Program] | None:
    """``after``, with the very programs that stayed as they were, or None if all did."""
    same = {k for k, p in after.items() if p.body == before[k].body and _tables_equal(p, before[k])}
    if len(same) == len(after):
        return None
    return {k: before[k] if k in same else p for k, p in after.items()}


def _tables_equal(a: Program, b: Program) -> bool:
    return a.tables.keys() == b.tables.keys() and all(
        a.tables[k] is b.tables[k] or (a.tables[k] == b.tables[k]).all() for k in a.tables
    )


def indexed(s: Assign, change: Callable[[Index], Index | None]) -> Assign:
    """An assignment with every part of its indices replaced for which ``change`` gives another."""
    return reindexed(s, lambda i: rebuilt(i, change))


def read_elsewhere(s: Assign, array: str, change: Callable[[Ref], Ref]) -> Assign:
    """An assignment that reads some array at other places."""
    reads = tuple(
        (v, change(r) if isinstance(r, Ref) and r.array == array else r) for v, r in s.reads
    )
    return replace(s, reads=reads)


def moved(index: Index, by: int) -> Index:
    """An index some places on, within its ring if it is one."""
    if isinstance(index, Modulo):
        return Modulo(plus(index.left, by), index.size)
    return plus(index, by)


def unmasked(s: Assign) -> Assign:
    """A right-hand side as if the mask were 1."""
    kept = tuple((v, r) for v, r in s.reads if v != MASK)
    return replace(s, expr=s.expr.subs(MASK, 1), reads=kept)


# --- finding -------------------------------------------------------------------------------------


def reads(s: Statement, *arrays: str) -> bool:
    """Whether an assignment reads each of some arrays."""
    if not isinstance(s, Assign):
        return False
    read = {r.array for _, r in s.reads if isinstance(r, Ref)}
    return all(a in read for a in arrays)


def sets(s: Statement, *arrays: str) -> bool:
    """array = …"""
    return isinstance(s, Assign) and not s.accumulate and s.target.array in arrays


def adds(s: Statement, *arrays: str) -> bool:
    """array += …"""
    return isinstance(s, Assign) and s.accumulate and s.target.array in arrays


def masked(s: Statement) -> bool:
    """Whether what an assignment does depends on the mask."""
    return isinstance(s, Assign) and any(v == MASK for v, _ in s.reads)


def backward(around: Around) -> bool:
    """Whether time runs backwards there."""
    return any(loop.role == "time" and loop.backward for loop in around)


def among_connections(around: Around) -> bool:
    """Whether a statement stands directly in a loop over connections."""
    return bool(around) and around[-1].role == "connections"


def is_sum(array: str) -> bool:
    """Whether an array is where the sensitivity of a net input is summed."""
    return array.startswith("p_")


def carries(s: Statement) -> bool:
    """+= w·δ or w·p: what one connection passes on of an ordered derivative or a sensitivity."""
    if not isinstance(s, Assign) or not s.accumulate:
        return False
    if not any(reads(s, of) for of in ("theta", "fixed_weight", "brought")):
        return False
    at_once = s.target.array == "eps" and not reads(s, "error") and not reads(s, "target")
    return at_once or any(reads(s, array) for array in ("delta", "delta_k", "p"))


def advances(s: Statement) -> bool:
    """s += w·x: one connection's part of a net input on the way forward."""
    if not isinstance(s, Assign) or not s.accumulate or s.target.index:
        return False
    return reads(s, "theta", "z") or reads(s, "fixed_weight", "z")


def errs(s: Statement) -> bool:
    """e(t): injected at once, or kept for the way back."""
    return (adds(s, "eps") or sets(s, "error")) and reads(s, "mask")


def injects(s: Statement) -> bool:
    """ε += e, from what was kept."""
    return adds(s, "eps") and reads(s, "error")


def pairs(s: Statement, around: Around) -> bool:
    """What pairs a signal with the derivative by the net input it enters: the term of a weight."""
    if not isinstance(s, Assign) or not reads(s, "z"):
        return False
    if adds(s, "grad_theta"):
        return among_connections(around)
    return adds(s, "gathered") or (s.accumulate and is_sum(s.target.array))


def cuts(s: Statement) -> bool:
    """array = 0 where an output was forced."""
    return sets(s, "eps", "zeta", "p") and masked(s)


def forces(s: Statement) -> bool:
    """z = d where there is a target."""
    return sets(s, "z") and masked(s)


def holds(loop: Loop, test: Callable[[Statement], bool]) -> bool:
    """Whether some statement in a loop passes a test."""
    return any(test(s) for s in walk(loop.body))
