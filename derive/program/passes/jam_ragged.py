"""Take sums of different lengths side by side, those of about equal length together.

In a sparse net each unit has its own number of connections, and a sum waits for each of its terms.
Units in order of that number are taken four at a time: as many terms as the shortest has together,
then what is left of each. Every sum is still added in its own order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np

from derive.errors import ProgramError
from derive.program.ir import (
    Array,
    Index,
    Lookup,
    Loop,
    Program,
    Statement,
    Var,
    as_table,
    parts,
    plus,
    substituted,
    times,
)
from derive.program.passes.jam import (
    Arrays,
    copies_of,
    independent,
    interleaved,
    mentions,
    only_adds,
    renamed,
)
from derive.program.passes.turns import values_at

SIDE = 4
"""Sums at a time: an addition takes four turns of the processor's clock."""

LEAST = 6
"""Terms of an average sum from which on it pays; shorter ones overlap without help."""


def jam_ragged(program: Program, side: int = SIDE, shortest: int = LEAST) -> Program:
    """The program with each loop around a sum whose length a table says taken so."""
    arrays, tables = dict(program.arrays), dict(program.tables)
    body = _jammed(program.body, arrays, tables, side, shortest)
    return replace(program, arrays=arrays, tables=tables).with_body(body)


def _jammed(
    body: tuple[Statement, ...], arrays: Arrays, tables: dict[str, Any], side: int, shortest: int
) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif (place := _ragged_sum(s, arrays)) is not None:
            out += _several(s, place, arrays, tables, side, shortest)
        else:
            out.append(replace(s, body=_jammed(s.body, arrays, tables, side, shortest)))
    return tuple(out)


def _ragged_sum(loop: Loop, arrays: Mapping[str, Array]) -> int | None:
    """Where the one sum stands in a loop over units, if its length differs from unit to unit."""
    inner = [i for i, s in enumerate(loop.body) if isinstance(s, Loop)]
    if loop.role != "units" or len(inner) != 1:
        return None
    sums = loop.body[inner[0]]
    assert isinstance(sums, Loop)
    ragged = mentions(sums.start, loop.var) or mentions(sums.stop, loop.var)
    return inner[0] if only_adds(sums) and ragged and independent(loop, arrays) else None


def _several(
    loop: Loop, place: int, arrays: Arrays, tables: dict[str, Any], side: int, shortest: int
) -> list[Statement]:
    sums = loop.body[place]
    assert isinstance(sums, Loop)
    units, first, last = (
        values_at(tables, (loop,), i) for i in (Var(loop.var), sums.start, sums.stop)
    )
    if units is None or first is None or last is None:
        return [loop]
    if units.size < 2 or (last - first).sum() < shortest * units.size:
        return [loop]
    order = np.argsort(last - first, kind="stable")
    names = {}
    for what, values in (("unit", units), ("first", first), ("last", last)):
        names[what] = f"{_called(loop, sums)}_by_length_{what}"
        table = as_table(values[order])
        if not np.array_equal(tables.setdefault(names[what], table), table):
            raise ProgramError(f"table {names[what]!r} would have two contents")
    group, found = Var(f"{loop.var}s"), []
    whole = units.size // side
    for start, count, width in ((0, whole, side), (whole * side, 1, units.size % side)):
        if count and width:
            at = [plus(times(group, side), start, j) for j in range(width)]
            body = _group(loop, place, at, names, arrays)
            found.append(Loop(group.name, 0, count, body, loop.role))
    return list(found)


def _called(loop: Loop, sums: Loop) -> str:
    """A name for the runs of terms that is theirs in every Program of a network."""
    bounds = (loop.start, loop.stop, sums.start, sums.stop)
    tables = [p.table for p in parts(sums.start) if isinstance(p, Lookup)]
    return "_".join([*tables, str(crc32(repr(bounds).encode()))])


def _group(
    loop: Loop, place: int, at: list[Index], names: Mapping[str, str], arrays: Arrays
) -> tuple[Statement, ...]:
    """A few units at their places in the order: sums together, then the rest of each alone."""
    sums = loop.body[place]
    assert isinstance(sums, Loop)
    unit, first, last = ([Lookup(names[what], i) for i in at] for what in ("unit", "first", "last"))
    shortest = plus(last[0], times(first[0], -1))
    own = copies_of(loop.body, len(at), arrays)

    def turns(body: tuple[Statement, ...], starts: list[Index]) -> list[tuple[Statement, ...]]:
        return [
            renamed(substituted(body, {sums.var: plus(Var(sums.var), c), loop.var: u}), names)
            for u, c, names in zip(unit, starts, own, strict=True)
        ]

    alone = turns(sums.body, [0] * len(at))
    return (
        *interleaved(turns(loop.body[:place], [0] * len(at))),
        Loop(sums.var, 0, shortest, interleaved(turns(sums.body, list(first))), sums.role),
        *(
            replace(sums, start=plus(f, shortest), stop=end, body=body)
            for f, end, body in zip(first, last, alone, strict=True)
        ),
        *interleaved(turns(loop.body[place + 1 :], [0] * len(at))),
    )
