"""Write loops whose bounds are known out as straight-line code.

Time and columns stay, and copies of many rows: those of a history that long delays reach back to.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from derive.program.ir import (
    Index,
    Lookup,
    Loop,
    Program,
    Statement,
    mapped,
    rebuilt,
    substituted,
)

STAY = ("time", "columns")

MOST_COPIES = 64
"""Turns of a copying loop up to which it is written out."""


def unroll(program: Program) -> Program:
    """The program with loops over units, connections, targets and short copies written out."""
    return program.with_body(_unrolled(program.body, program.tables))


def _unrolled(body: tuple[Statement, ...], tables: Any) -> tuple[Statement, ...]:
    def known(part: Index) -> Index | None:
        if isinstance(part, Lookup) and isinstance(part.at, int):
            return int(tables[part.table][part.at])
        return None

    out: list[Statement] = []
    for s in mapped(body, lambda i: rebuilt(i, known)):
        if not isinstance(s, Loop):
            out.append(s)
        elif s.role in STAY or not (isinstance(s.start, int) and isinstance(s.stop, int)):
            out.append(replace(s, body=_unrolled(s.body, tables)))
        elif s.role == "copy" and s.stop - s.start > MOST_COPIES:
            out.append(replace(s, body=_unrolled(s.body, tables)))
        else:
            steps = range(s.start, s.stop)
            for i in reversed(steps) if s.backward else steps:
                out += _unrolled(substituted(s.body, {s.var: i}), tables)
    return tuple(out)
