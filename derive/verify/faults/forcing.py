"""Mistakes under teacher forcing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derive.calculus.partials import OUTPUT
from derive.program.ir import Assign, Index, Lookup, Loop, Program, Statement, walk
from derive.verify.faults.finding import (
    Around,
    Body,
    changed,
    cuts,
    errs,
    forces,
    holds,
    indexed,
    masked,
    reads,
)


def uncut_forcing(s: Statement, around: Around) -> Body | None:
    """Let derivatives flow through an output that a target has replaced."""
    return () if cuts(s) else None


def forget_forcing(s: Statement, around: Around) -> Body | None:
    """Learn from the free run: nothing is replaced, and nothing cut."""
    if isinstance(s, Assign) and forces(s):
        own = tuple((v, r) for v, r in s.reads if v == OUTPUT)
        return (replace(s, expr=OUTPUT, reads=own),)
    return uncut_forcing(s, around)


def error_after_forcing(p: Program, net: Any) -> Program:
    """Judge an output after its target has replaced it, so that there is never an error."""
    if not any(map(forces, walk(p.body))):
        return p
    return changed(replace(p, body=_forced_first(p.body)), _judged_as_seen)


def _forced_first(body: Body) -> Body:
    inner = [replace(s, body=_forced_first(s.body)) if isinstance(s, Loop) else s for s in body]
    judges = [i for i, s in enumerate(inner) if _does(s, errs)]
    forced = [i for i, s in enumerate(inner) if _does(s, forces)]
    if judges and forced and judges[0] < forced[0]:
        inner.insert(judges[0], inner.pop(forced[0]))
    return tuple(inner)


def _does(s: Statement, test: Any) -> bool:
    return isinstance(s, Loop) and s.role == "targets" and holds(s, test)


def _judged_as_seen(s: Statement, around: Around) -> Body | None:
    if not isinstance(s, Assign) or not masked(s) or not reads(s, "z") or forces(s):
        return None

    def seen(i: Index) -> Index | None:
        own = isinstance(i, Lookup) and i.table == "target_own"
        return Lookup("target_unit", i.at) if own and isinstance(i, Lookup) else None

    return (indexed(s, seen),)
