"""Look a place up once where a row and a column were looked up, each in a table of its own.

``z[t - delay[c] + 2, source[c]]`` needs two entries and a product for every connection. Rows are
equally long, so it is place ``68*(t + 2) + place[c]`` of the same numbers in one line, with
``place[c] = source[c] - 68*delay[c]``.

A ring of rows, ``δ[(t + delay[c]) mod 3, target[c]]``, needs a division besides. It is kept twice,
one behind the other: then rows from ``t mod 3`` on follow each other without a turn, and an entry
may be added behind the remainder. Writing all twice costs little beside it, since there are many
connections to a unit.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Modulo,
    Plus,
    Program,
    Ref,
    Statement,
    Times,
    as_table,
    assigned,
    modulo,
    placed,
    plus,
    references,
    times,
)
from derive.program.storage import copy


def fold_rows(program: Program) -> Program:
    """The program with arrays in one line whose rows are looked up connection by connection."""
    refs: dict[str, list[Ref]] = {}
    for s, _ in assigned(program.body):
        for r in references(s):
            refs.setdefault(r.array, []).append(r)
    folding = _Folding(program)
    for a in program.arrays.values():
        looked_up = [r for r in refs.get(a.name, []) if len(r.index) == 2 and _lookups(r.index[0])]
        if looked_up and a.role == "work" and isinstance(a.shape[1], int):
            folding.add(a, looked_up)
    if not folding.width:
        return program
    made = replace(program, arrays=folding.arrays)
    body = folding.body(program.body)
    return replace(made, tables={**program.tables, **folding.tables}).with_body(body)


class _Folding:
    """What becomes of arrays, and of the elements in them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.arrays = dict(program.arrays)
        self.tables: dict[str, Any] = {}
        self.width: dict[str, int] = {}
        self.ring: dict[str, int] = {}

    def add(self, a: Array, looked_up: list[Ref]) -> None:
        """Take an array, if each of its elements that is looked up can be found so."""
        rows, width = a.shape
        assert isinstance(width, int)
        rings = [r.index[0] for r in looked_up if isinstance(r.index[0], Modulo)]
        inner = [r.index[0].left if isinstance(r.index[0], Modulo) else r.index[0]
                 for r in looked_up]  # fmt: skip
        if any(isinstance(t, Modulo) and _lookups(t) for i in inner for t in _terms(i)):
            return
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

    def _range(self, index: Index) -> tuple[int, int]:
        """The least and the most that entries of tables add to an index."""
        ends = [
            sorted(factor * int(end) for end in (values.min(), values.max()))
            for factor, entry in _lookups(index)
            for values in [self.program.tables[entry.table]]
        ]
        return sum(e[0] for e in ends), sum(e[1] for e in ends)

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            match s:
                case Assign():
                    s = placed(s, self.place)
                    out.append(s)
                    turn = self.ring.get(s.target.array, 0) * self.width.get(s.target.array, 0)
                    if turn:
                        (at,) = s.target.index
                        out.append(copy(Ref(s.target.array, (plus(at, turn),)), s.target))
                case Loop():
                    out.append(replace(s, body=self.body(s.body)))
                case _:
                    out.append(s)
        return tuple(out)

    def place(self, r: Ref) -> Ref:
        if r.array not in self.width:
            return r
        row, column = r.index
        width = self.width[r.array]
        if isinstance(row, Modulo) and _lookups(row):
            least, _ = self._range(row.left)
            # Before the division whatever is not looked up; never negative, as one turn more is
            # added than the least entry may be short of those that are there.
            rest = plus(*(t for t in _terms(row.left) if _lookup(t) is None), least + row.size)
            entries = [times(entry, factor) for factor, entry in _lookups(row.left)]
            row = plus(modulo(rest, row.size), *entries, -least)
        return Ref(r.array, (self._folded(plus(_scaled(row, width), column)),))

    def _folded(self, index: Index) -> Index:
        by_place: dict[Index, list[tuple[int, str]]] = {}
        for factor, entry in _lookups(index):
            by_place.setdefault(entry.at, []).append((factor, entry.table))
        rest = [t for t in _terms(index) if _lookup(t) is None]
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


def _terms(index: Index) -> Iterator[Index]:
    if isinstance(index, Plus):
        yield from _terms(index.left)
        yield from _terms(index.right)
    else:
        yield index


def _lookup(term: Index) -> tuple[int, Lookup] | None:
    match term:
        case Lookup():
            return 1, term
        case Times(Lookup() as entry, int(factor)):
            return factor, entry
    return None


def _lookups(index: Index) -> list[tuple[int, Lookup]]:
    inside = index.left if isinstance(index, Modulo) else index
    return [found for t in _terms(inside) if (found := _lookup(t)) is not None]


def _scaled(index: Index, factor: int) -> Index:
    def scaled(term: Index) -> Index:
        match term:
            case Times(left, int(by)):
                return times(left, by * factor)
        return times(term, factor)

    return plus(*(scaled(t) for t in _terms(index)))
