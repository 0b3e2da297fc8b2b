"""Replace entries of static tables by arithmetic wherever they follow a simple rule.

``source[4*k + c]`` becomes ``c`` in a fully connected net, a table of equal delays becomes that
delay, ``weight[c]`` becomes ``c`` where no weight is shared. What is left are the tables that say
something about the topology.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import (
    Assign,
    Index,
    Lookup,
    Loop,
    Program,
    Statement,
    affine,
    linear,
    rebuilt,
    reindexed,
)

Spans = dict[str, tuple[int, int]]


def fold_tables(program: Program) -> Program:
    """The program with every table entry that is an affine function of counters written as such."""
    return program.with_body(folded(program.body, {}, program.tables))


def folded(body: tuple[Statement, ...], spans: Spans, tables: Any) -> tuple[Statement, ...]:
    """A part of a program, whose outer counters stay between ``spans``, likewise."""

    def change(index: Index) -> Index:
        return rebuilt(index, lambda part: _entry(part, spans, tables))

    out: list[Statement] = []
    for s in body:
        match s:
            case Assign():
                out.append(reindexed(s, change))
            case Loop():
                s = replace(s, start=change(s.start), stop=change(s.stop))
                out.append(replace(s, body=folded(s.body, within(s, spans), tables)))
            case _:
                out.append(s)
    return tuple(out)


def within(loop: Loop, spans: Spans) -> Spans:
    """The counters within a loop and what they stay between, as far as that is known."""
    around = {k: v for k, v in spans.items() if k != loop.var}
    return around if loop.bounds is None else {**around, loop.var: loop.bounds}


def _entry(part: Index, spans: Spans, tables: Any) -> Index | None:
    if not isinstance(part, Lookup):
        return None
    at = rebuilt(part.at, lambda inner: _entry(inner, spans, tables))
    table = tables[part.table]
    form = affine(at)
    if form is None or any(v not in spans for v in form[0]):
        return None if at == part.at else Lookup(part.table, at)
    coefficients, constant = form
    names = list(coefficients)
    extents = [spans[v][1] - spans[v][0] for v in names]
    if not table.size or any(e <= 0 for e in extents):
        return 0  # never reached
    grid = np.full(extents, constant, dtype=np.int64)
    for axis, v in enumerate(names):
        steps = np.arange(*spans[v]).reshape([-1 if a == axis else 1 for a in range(len(names))])
        grid = grid + coefficients[v] * steps
    if grid.min() < 0 or grid.max() >= table.size:
        return Lookup(part.table, at)
    values = table[grid].astype(np.int64)
    rule: dict[str, int] = {}
    corner = int(values[(0,) * len(names)])
    for axis, v in enumerate(names):
        beside = tuple(1 if a == axis else 0 for a in range(len(names)))
        rule[v] = int(values[beside]) - corner if extents[axis] > 1 else 0
    offset = corner - sum(rule[v] * spans[v][0] for v in names)
    expected = np.full(extents, offset, dtype=np.int64)
    for axis, v in enumerate(names):
        steps = np.arange(*spans[v]).reshape([-1 if a == axis else 1 for a in range(len(names))])
        expected = expected + rule[v] * steps
    if not np.array_equal(values, expected):
        return Lookup(part.table, at)
    return linear({v: c for v, c in rule.items() if c}, offset)
