"""Add several terms of a sum at each pass over its columns.

``for q: for i: a[i] += w[q]*p[q, i]`` loads and stores all of ``a`` once for each q. Four terms at
a time, gathered in a local variable in the same order, take a fourth of that and the same bits.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    parts,
    plus,
    quotient,
    substituted,
    times,
)
from derive.program.storage import copy

TERMS = 4
"""At a time; eight were no faster and four vectors fit the registers of every processor."""

PART = Ref("part")


def jam_columns(program: Program) -> Program:
    """The program with each sum over columns taken several terms at a time."""
    body = _jammed(program.body)
    arrays = {**program.arrays, PART.array: Array(PART.array, (), "scalar", True)}
    return replace(program, arrays=arrays).with_body(body)


def _jammed(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif (found := sum_over_columns(s)) is None:
            out.append(replace(s, body=_jammed(s.body)))
        else:
            out += _several(s, *found)
    return tuple(out)


def sum_over_columns(loop: Loop) -> tuple[Loop, Assign] | None:
    """The columns and the term, where a loop does nothing but add terms to columns."""
    if loop.role not in ("connections", "units") or loop.backward or len(loop.body) != 1:
        return None
    (columns,) = loop.body
    if not isinstance(columns, Loop) or columns.role != "columns" or len(columns.body) != 1:
        return None
    (term,) = columns.body
    if not isinstance(term, Assign) or not term.accumulate:
        return None
    if any(isinstance(r, Ref) and r.array == term.target.array for _, r in term.reads):
        return None
    bounds: tuple[Index, ...] = (*term.target.index, columns.start, columns.stop)
    if any(part == Var(loop.var) for i in bounds for part in parts(i)):
        return None
    return columns, term


def _several(loop: Loop, columns: Loop, term: Assign) -> list[Statement]:
    """Terms four at a time, then two of what is left, then the last."""
    length = plus(loop.stop, times(loop.start, -1))
    if isinstance(length, int) and length < 2:
        return [loop]
    start, found = loop.start, []
    for size in (TERMS, TERMS // 2):
        groups = quotient(plus(loop.stop, times(start, -1)), size)
        if groups != 0:
            found.append(_together(replace(loop, start=start), columns, term, size, groups))
            start = plus(start, times(groups, size))
    rest = replace(loop, start=start, span=loop.bounds)
    return [*found, rest] if not _empty(rest) else list(found)


def _together(loop: Loop, columns: Loop, term: Assign, size: int, groups: Index) -> Loop:
    group = f"{loop.var}s"
    body: list[Statement] = [copy(PART, term.target)]
    for j in range(size):
        at = plus(loop.start, times(Var(group), size), j)
        (one,) = substituted((replace(term, target=PART),), {loop.var: at})
        body.append(one)
    body.append(copy(term.target, PART))
    most = None if loop.bounds is None else (0, (loop.bounds[1] - loop.bounds[0]) // size)
    return Loop(group, 0, groups, (replace(columns, body=tuple(body)),), loop.role, span=most)


def _empty(loop: Loop) -> bool:
    return isinstance(loop.start, int) and isinstance(loop.stop, int) and loop.start >= loop.stop
