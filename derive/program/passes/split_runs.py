"""Split a loop where the entries of a table begin to follow another rule.

In a full net whose first units are heard after one step and the others after two,
``for c: s += w[c]*z[t − delay[c], c]`` looks each delay up, and the compiler can load no run of
neighbours. As two loops, one after the other, each has one delay, and no bit changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import (
    Assign,
    Lookup,
    Loop,
    Program,
    Statement,
    Var,
    indices,
    parts,
    walk,
)
from derive.program.passes.fold_tables import Spans, folded, within
from derive.program.passes.turns import values

MOST = 6
"""Loops that one becomes at most: each is text to compile."""

LEAST = 4
"""Turns that each has on average at least."""


def split_runs(program: Program) -> Program:
    """The program, its tables folded, with loops split so that more of them fold."""
    return program.with_body(tuple(_split(program.body, {}, program.tables)))


def _split(body: tuple[Statement, ...], spans: Spans, tables: Any) -> Iterator[Statement]:
    for s in body:
        if not isinstance(s, Loop):
            yield s
            continue
        inner = replace(s, body=tuple(_split(s.body, within(s, spans), tables)))
        # Where both loops of a nest have runs, neither's entries fold before both are split.
        every = replace(s, body=_everywhere(s.body, within(s, spans), tables))
        found = [_runs(inner, spans, tables), _runs(every, spans, tables)]
        yield from min(found, key=_looked_up)


def _everywhere(body: tuple[Statement, ...], spans: Spans, tables: Any) -> tuple[Statement, ...]:
    """``body`` with its loops split, whether anything is gained or not."""
    return tuple(
        run for s in body for run in (_parts(s, spans, tables) if isinstance(s, Loop) else (s,))
    )


def _runs(loop: Loop, spans: Spans, tables: Any) -> tuple[Statement, ...]:
    """``loop`` as one for each run, if in one of them fewer entries are left to look up.

    Those of the others may fold when loops around are split.
    """
    found = folded(_parts(loop, spans, tables), spans, tables)
    gained = any(_looked_up((run,)) < _looked_up((loop,)) for run in found)
    return found if gained else (loop,)


def _parts(loop: Loop, spans: Spans, tables: Any) -> tuple[Statement, ...]:
    """``loop`` as one for each run, as it is written."""
    starts = _starts(loop, spans, tables)
    if len(starts) < 2:
        return (loop,)
    assert isinstance(loop.stop, int)
    runs = [
        replace(loop, start=a, stop=b)
        for a, b in zip(starts, [*starts[1:], loop.stop], strict=True)
    ]
    return tuple(reversed(runs)) if loop.backward else tuple(runs)


def _looked_up(body: tuple[Statement, ...]) -> float:
    """Entries of tables that an assignment looks up, on average."""
    found = [part for s in walk(body) for i in indices(s) for part in parts(i)]
    assigned = sum(isinstance(s, Assign) for s in walk(body))
    return sum(isinstance(part, Lookup) for part in found) / max(assigned, 1)


def _starts(loop: Loop, spans: Spans, tables: Any) -> list[int]:
    """Where runs begin in each of which every table follows one rule; none if nothing is gained."""
    if not (isinstance(loop.start, int) and isinstance(loop.stop, int)):
        return []
    if loop.role not in ("units", "connections") or loop.stop - loop.start < 2 * LEAST:
        return []
    inner = [s for s in walk(loop.body) if isinstance(s, Loop)]
    if not all(isinstance(s.start, int) and isinstance(s.stop, int) for s in inner):
        return []  # sums of different lengths are for other passes, which want all of them
    most = min(MOST, (loop.stop - loop.start) // LEAST)
    starts = {loop.start}
    seen: set[tuple[Lookup, tuple[tuple[str, tuple[int, int]], ...]]] = set()
    for entry, around in _entries(loop.body, within(loop, spans)):
        counters = sorted({p.name for p in parts(entry.at) if isinstance(p, Var)} - {loop.var})
        if Var(loop.var) not in set(parts(entry.at)) or not all(c in around for c in counters):
            continue
        key = (entry, tuple((c, around[c]) for c in counters))
        if key in seen:
            continue
        seen.add(key)
        starts |= _breaks(loop, entry, [(c, around[c]) for c in counters], tables, most)
        if len(starts) > most:
            return []
    return sorted(starts)


def _entries(body: tuple[Statement, ...], spans: Spans) -> Iterator[tuple[Lookup, Spans]]:
    """The entries of tables that a body looks up, and between what the counters there stay."""
    for s in body:
        for index in indices(s):
            yield from ((part, spans) for part in parts(index) if isinstance(part, Lookup))
        if isinstance(s, Loop):
            yield from _entries(s.body, within(s, spans))


def _breaks(
    loop: Loop, entry: Lookup, counters: list[tuple[str, tuple[int, int]]], tables: Any, most: int
) -> set[int]:
    """Where the steps from one turn's entries to the next's change, but for the first of a run."""
    assert isinstance(loop.start, int) and isinstance(loop.stop, int)
    grid = np.meshgrid(
        np.arange(loop.start, loop.stop), *(np.arange(*span) for _, span in counters),
        indexing="ij",
    )  # fmt: skip
    names = [loop.var, *(name for name, _ in counters)]
    env = {name: axis.ravel() for name, axis in zip(names, grid, strict=True)}
    at = values(tables, entry.at, env, grid[0].size)
    table = tables[entry.table]
    if at is None or at.min(initial=0) < 0 or at.max(initial=0) >= len(table):
        return set()
    steps = np.diff(table[at].astype(np.int64).reshape(loop.stop - loop.start, -1), axis=0)
    found: set[int] = set()
    rule: Any = None
    for turn, step in enumerate(steps, loop.start + 1):
        if rule is None:
            rule = step
        elif not np.array_equal(step, rule):
            found.add(turn)
            rule = None
            if len(found) > most:
                break
    return found
