"""Look a place up once where a row and a column were looked up, each in a table of its own.

``z[t - delay[c] + 2, source[c]]`` needs two entries and a product for every connection. Rows are
equally long, so it is place ``68*(t + 2) + place[c]`` of the same numbers in one line, with
``place[c] = source[c] - 68*delay[c]``.

A ring of rows, ``δ[(t + delay[c]) mod 3, target[c]]``, needs a division besides. It is kept twice,
one behind the other: then rows from ``t mod 3`` on follow each other without a turn, and an entry
may be added behind the remainder. So may the steps of an innermost loop over time, which then
divides once. Writing all twice costs little beside it, since there are many connections to a unit.
"""

from __future__ import annotations

import zlib
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Least,
    Lookup,
    Loop,
    Modulo,
    Program,
    Ref,
    Statement,
    Times,
    Var,
    as_table,
    assigned,
    modulo,
    parts,
    placed,
    plus,
    references,
    summands,
    times,
    unturned,
)
from derive.program.storage import copy


def fold_rows(program: Program) -> Program:
    """The program with arrays in one line whose rows are looked up, or found by a division."""
    uses: dict[str, list[tuple[Ref, Loop | None]]] = {}
    written: set[Ref] = set()
    for s, around in assigned(program.body):
        written.add(s.target)
        for r in references(s):
            loop = None if r is s.target else _innermost(around)
            uses.setdefault(r.array, []).append((r, loop))
    folding = _Folding(program)
    turned = {r.array for r in written if r.index and _is_turned(r.index[0])}
    for a in program.arrays.values():
        kept = a.role == "work" and a.name not in turned
        if kept and len(a.shape) == 2 and isinstance(a.shape[1], int):
            folding.add(a, uses.get(a.name, []))
    if not folding.width:
        return program
    made = replace(program, arrays=folding.arrays)
    body = folding.body(program.body)
    return replace(made, tables={**program.tables, **folding.tables}).with_body(body)


def _innermost(around: tuple[Loop, ...]) -> Loop | None:
    """The loop that an assignment stands in, if there is no other in that one."""
    if not around or any(isinstance(s, Loop) for s in around[-1].body):
        return None
    return around[-1]


class _Folding:
    """What becomes of arrays, and of the elements in them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arrays = dict(program.arrays)
        self.tables: dict[str, Any] = {}
        self.width: dict[str, int] = {}
        self.ring: dict[str, int] = {}

    def add(self, a: Array, uses: list[tuple[Ref, Loop | None]]) -> None:
        """Take an array, if each of its elements that needs it can be found so."""
        rows, width = a.shape
        assert isinstance(width, int)
        found = [(r.index[0], loop) for r, loop in uses]
        looked_up = [row for row, _ in found if _lookups(row)]
        turning = [row for row, loop in found if self._ahead(row, loop) is not None]
        if not looked_up and not turning:
            return
        if any(_is_turned(t) for i in looked_up for t in summands(unturned(i))):
            return
        rings = [row for row in (*looked_up, *turning) if isinstance(row, Modulo)]
        if any(r.size != rows or not self._in_one_turn(r) for r in rings):
            return
        self.width[a.name] = width
        if rings:
            assert isinstance(rows, int)
            self.ring[a.name] = rows
        size = times(rows, width * (2 if rings else 1))
        self.arrays[a.name] = replace(a, shape=(size,), labels=())

    def _in_one_turn(self, ring: Modulo) -> bool:
        least, most = self._range(ring.left)
        return most - least < ring.size

    def _ahead(self, row: Index, loop: Loop | None) -> tuple[Index, Index] | None:
        """A ring's first row of those in a loop, before the division, and how far others are on.

        None where no loop goes through rows, or perhaps through more than there are.
        """
        if not isinstance(row, Modulo) or loop is None or loop.role != "time":
            return None
        least, most = self._range(row.left)
        steps = _longest(loop)
        if steps is None or steps - 1 + most - least > row.size:
            return None
        counter = Var(loop.var)
        ends = {counter: loop.start, Times(counter, -1): plus(times(loop.stop, -1), 1)}
        plain = [t for t in summands(row.left) if _lookup(t) is None]
        mine = [t for t in plain if counter in parts(t)]
        if len(mine) != 1 or mine[0] not in ends:
            return None
        end = ends[mine[0]]
        return plus(*(end if t == mine[0] else t for t in plain)), plus(mine[0], times(end, -1))

    def _range(self, index: Index) -> tuple[int, int]:
        """The least and the most that entries of tables add to an index."""
        ends = [
            sorted(factor * int(end) for end in (values.min(), values.max()))
            for factor, entry in _lookups(index)
            for values in [self.program.tables[entry.table]]
        ]
        return sum(e[0] for e in ends), sum(e[1] for e in ends)

    def body(self, body: tuple[Statement, ...], loop: Loop | None = None) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            match s:
                case Assign():
                    target = self.place(s.target, None)
                    s = replace(placed(s, lambda r: self.place(r, loop)), target=target)
                    out.append(s)
                    turn = self.ring.get(s.target.array, 0) * self.width.get(s.target.array, 0)
                    if turn:
                        (at,) = s.target.index
                        out.append(copy(Ref(s.target.array, (plus(at, turn),)), s.target))
                case Loop():
                    out.append(replace(s, body=self.body(s.body, _innermost((s,)))))
                case _:
                    out.append(s)
        return tuple(out)

    def place(self, r: Ref, loop: Loop | None) -> Ref:
        """Where an element is now."""
        if r.array not in self.width:
            return r
        row, column = r.index
        ahead = self._ahead(row, loop)
        if isinstance(row, Modulo) and (ahead is not None or _lookups(row)):
            least, _ = self._range(row.left)
            first = plus(*(t for t in summands(row.left) if _lookup(t) is None))
            first, further = ahead or (first, 0)
            # Never negative: one turn more is added than the least entry may be short of those
            # that are there.
            turned = modulo(plus(first, least + row.size if _lookups(row) else 0), row.size)
            entries = [times(entry, factor) for factor, entry in _lookups(row)]
            row = plus(turned, further, *entries, -least)
        width = self.width[r.array]
        return Ref(r.array, (self._folded(plus(_scaled(row, width), column)),))

    def _folded(self, index: Index) -> Index:
        by_place: dict[Index, list[tuple[int, str]]] = {}
        for factor, entry in _lookups(index):
            by_place.setdefault(entry.at, []).append((factor, entry.table))
        rest = [t for t in summands(index) if _lookup(t) is None]
        return plus(*rest, *(self._entry(at, found) for at, found in by_place.items()))

    def _entry(self, at: Index, found: list[tuple[int, str]]) -> Index:
        if len(found) == 1:
            ((factor, table),) = found
            return times(Lookup(table, at), factor)
        known = {**self.program.tables, **self.tables}
        length = min(known[table].size for _, table in found)
        sums = sum(factor * known[table][:length].astype(np.int64) for factor, table in found)
        values = as_table(sums)
        name = f"{'_'.join(sorted({table for _, table in found}))}_{zlib.crc32(values.tobytes())}"
        self.tables[name] = values
        return Lookup(name, at)


def _lookup(term: Index) -> tuple[int, Lookup] | None:
    match term:
        case Lookup():
            return 1, term
        case Times(Lookup() as entry, int(factor)):
            return factor, entry
    return None


def _lookups(index: Index) -> list[tuple[int, Lookup]]:
    return [found for t in summands(unturned(index)) if (found := _lookup(t)) is not None]


def _is_turned(row: Index) -> bool:
    """Whether it is looked up where in a ring a row is: what is written so is not kept twice."""
    return isinstance(row, Modulo) and bool(_lookups(row))


def _longest(loop: Loop) -> int | None:
    """The most turns that a loop can have, if that can be told."""
    ends = [loop.stop]
    while any(isinstance(e, Least) for e in ends):
        ends = [side for e in ends
                for side in ((e.left, e.right) if isinstance(e, Least) else (e,))]  # fmt: skip
    found = []
    for end in ends:
        left = Counter(t for t in summands(end) if not isinstance(t, int))
        left.subtract(t for t in summands(loop.start) if not isinstance(t, int))
        if not any(left.values()):
            known = [sum(t for t in summands(i) if isinstance(t, int)) for i in (end, loop.start)]
            found.append(known[0] - known[1])
    return min(found, default=None)


def _scaled(index: Index, factor: int) -> Index:
    def scaled(term: Index) -> Index:
        match term:
            case Times(left, int(by)):
                return times(left, by * factor)
        return times(term, factor)

    return plus(*(scaled(t) for t in summands(index)))
