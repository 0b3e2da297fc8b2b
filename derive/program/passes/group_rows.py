"""Take rows whose sums have equally many terms together, in loops written for that many.

In a sparse net each row of sensitivities is a sum of its own number of others:
``for k: for r of k: for q of r: for i: a[i] += w[q]*p[q, i]`` loads and stores ``a`` for each
term, and jumps where nobody can foresee it. Rows with three terms are taken one after another by
``for i: a[i] = w[q]*p[q, i] + w[q+1]*p[q+1, i] + w[q+2]*p[q+2, i]``: the same terms in the same
order. For single numbers a long row is done up to the end of its last vector, where nothing is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from derive.program.ir import (
    Array,
    Assign,
    Lookup,
    Loop,
    Modulo,
    Note,
    Program,
    Ref,
    Statement,
    Var,
    as_table,
    assigned,
    parts,
    plus,
    references,
    substituted,
    times,
)
from derive.program.passes.fold_tables import fold_tables
from derive.program.passes.jam import filled_anew, mentions, set_first
from derive.program.passes.jam_columns import PART, sum_over_columns
from derive.program.passes.turns import turns_of, values
from derive.program.sensitivities import VECTOR, WIDE
from derive.program.storage import ZERO, copy

LONGEST = 16
"""Terms of a sum that is written out; longer ones are taken a few at a time as they are."""

GROUPS = 16
"""Loops that one becomes at most: each is text to compile."""

OTHER = -1
"""Stands for the number of terms of a sum that is not written out."""


def group_rows(program: Program, lanes: bool = False) -> Program:
    """The program with rows of equally many terms together.

    Parameters
    ----------
    lanes : bool
        Whether numbers will be vectors over sequences: then rows keep their lengths.
    """
    grouping = _Grouping(program, dict(program.arrays), dict(program.tables), lanes)
    body = tuple(t for s in program.body for t in grouping.statement(s))
    if not grouping.changed:
        return program
    made = replace(program, arrays=grouping.arrays, tables=grouping.tables)
    return fold_tables(made.with_body(body))


@dataclass(frozen=True)
class Nest:
    """A loop over units, a few local variables, and a loop over each unit's rows."""

    units: Loop
    rows: Loop
    sums: tuple[int, ...]
    """Where in a row's body sums over columns stand, whose lengths differ from row to row."""


@dataclass
class _Grouping:
    """The work on one program."""

    program: Program
    arrays: dict[str, Array]
    tables: dict[str, Any]
    lanes: bool
    changed: bool = False

    def statement(self, s: Statement) -> list[Statement]:
        if not isinstance(s, Loop):
            return [s]
        nest = _nest(s)
        if nest is None:
            return [replace(s, body=tuple(t for inner in s.body for t in self.statement(inner)))]
        for whole in (False,) if self.lanes else (True, False):
            if found := self.grouped(nest, whole):
                self.changed = True
                return found
        return [s]

    def grouped(self, nest: Nest, whole: bool) -> list[Statement]:
        """The loops that a nest becomes; none where that is not known to be the same."""
        pairs = turns_of(self.tables, (nest.units, nest.rows))
        terms = None if pairs is None else self._terms(nest, *pairs)
        own = frozenset(filled_anew(self.program, nest.units))
        if pairs is None or terms is None or not set_first(nest.units.body, self.arrays):
            return []
        env, count = pairs
        kinds, kind = np.unique(_few(terms), axis=0, return_inverse=True)
        if (kinds == OTHER).all():
            return []
        order = np.argsort(kind.ravel(), kind="stable")
        unit, row = env[nest.units.var][order], env[nest.rows.var][order]
        name = f"rows_{crc32(np.stack([unit, row]).tobytes())}"
        made = {f"{name}_unit": as_table(unit), f"{name}_row": as_table(row)}
        loops, start = [], 0
        for i, of_kind in enumerate(kinds.tolist()):
            turns = int((kind == i).sum())
            at = plus(Var(f"{nest.rows.var}s"), start)
            body = _written(nest, of_kind)
            to = {
                nest.units.var: Lookup(f"{name}_unit", at),
                nest.rows.var: Lookup(f"{name}_row", at),
            }
            body = substituted(body, to)
            loops.append(Loop(f"{nest.rows.var}s", 0, turns, body, "units"))
            start += turns
        tables, arrays = self.tables | made, dict(self.arrays)
        arrays[PART.array] = Array(PART.array, (), "scalar", True)
        uses = _uses(loops, tables, arrays, own)
        if whole:
            loops = _lengthened(loops, tables, arrays, own)
            longer = _uses(loops, tables, arrays, own)
            if not loops or uses is None or longer is None or not _beyond(longer, uses):
                return []
            uses = longer
        if uses is None or not _apart(uses):
            return []
        self.tables, self.arrays = tables, arrays
        return list(loops)

    def _terms(self, nest: Nest, env: Mapping[str, Any], count: int) -> Any:
        """How many terms each sum has, (rows, sums); None if not known."""
        found = []
        for place in nest.sums:
            loop = nest.rows.body[place]
            assert isinstance(loop, Loop)
            first, last = (values(self.tables, i, env, count) for i in (loop.start, loop.stop))
            if first is None or last is None:
                return None
            found.append(np.maximum(last - first, 0))
        return np.stack(found, axis=1)


def _nest(loop: Loop) -> Nest | None:
    if loop.role != "units" or loop.bounds is None or not loop.body:
        return None
    *before, rows = loop.body
    if not isinstance(rows, Loop) or rows.role != "units" or rows.backward or loop.backward:
        return None
    if any(not isinstance(s, Assign | Note) for s in before):
        return None
    if any(isinstance(s, Assign) and (s.accumulate or s.target.index) for s in before):
        return None
    sums = tuple(
        i
        for i, s in enumerate(rows.body)
        if isinstance(s, Loop)
        and sum_over_columns(s) is not None
        and mentions(plus(s.stop, s.start), rows.var)
    )
    return Nest(loop, rows, sums) if sums else None


def _few(terms: Any) -> Any:
    """Numbers of terms, of which those that are too large or too rare are :data:`OTHER`."""
    terms = np.where(terms > LONGEST, OTHER, terms)
    kinds, kind, rows = np.unique(terms, axis=0, return_inverse=True, return_counts=True)
    if len(kinds) > GROUPS:
        rare = np.argsort(-rows, kind="stable")[GROUPS - 1 :]
        terms[np.isin(kind.ravel(), rare)] = OTHER
    return terms


def _written(nest: Nest, terms: list[int]) -> tuple[Statement, ...]:
    """What is done for one row, each sum written out in as many terms as it has."""
    out: list[Statement] = [s for s in nest.units.body[:-1] if isinstance(s, Assign)]
    number = dict(zip(nest.sums, terms, strict=True))
    for i, s in enumerate(nest.rows.body):
        count = number.get(i, OTHER)
        if count == OTHER:
            out.append(s)
        elif count:
            assert isinstance(s, Loop)
            out.append(_at_once(s, count, out))
    return tuple(out)


def _at_once(loop: Loop, count: int, before: list[Statement]) -> Loop:
    """A sum over columns in one pass over them; it takes over from a pass that sets them to 0."""
    found = sum_over_columns(loop)
    assert found is not None
    columns, term = found
    zero = replace(columns, body=(Assign(term.target, ZERO),))
    first: Statement = copy(PART, term.target)
    if before and _alike(before[-1], zero):
        before.pop()
        first = Assign(PART, ZERO)
    body = [first]
    for j in range(count):
        body += substituted((replace(term, target=PART),), {loop.var: plus(loop.start, j)})
    return replace(columns, body=(*body, copy(term.target, PART)))


def _alike(s: Statement, zero: Loop) -> bool:
    return isinstance(s, Loop) and replace(s, turns="") == replace(zero, turns="")


def _lengthened(
    loops: list[Loop], tables: dict[str, Any], arrays: dict[str, Array], own: frozenset[str]
) -> list[Loop]:
    """Loops over rows with each pass over their entries up to the end of a vector; or none."""
    out: list[Loop] = []
    for loop in loops:
        found = turns_of(tables, (loop,))
        body: list[Statement] = []
        for s in loop.body:
            if isinstance(s, Loop) and s.role == "columns":
                lengths = None if found is None or s.start != 0 else values(tables, s.stop, *found)
                if lengths is None or not lengths.size:
                    return []
                if lengths.min() >= WIDE:
                    s = _whole(s, -(-lengths // VECTOR), loop.var, tables)
                    _make_room(s, own, arrays)
            body.append(s)
        out.append(replace(loop, body=tuple(body)))
    return out


def _make_room(columns: Loop, own: frozenset[str], arrays: dict[str, Array]) -> None:
    """Have scratch of a row be as long as a pass."""
    assert columns.span is not None
    for name in own:
        (size,) = arrays[name].shape
        assert isinstance(size, int)
        arrays[name] = replace(arrays[name], shape=(max(size, columns.span[1]),))


def _whole(columns: Loop, vectors: Any, row: str, tables: dict[str, Any]) -> Loop:
    """A pass over so many vectors of each row."""
    most = int(vectors.max()) * VECTOR
    if (vectors == vectors[0]).all():
        return replace(columns, stop=most, span=(0, most))
    name = f"vectors_{crc32(vectors.tobytes())}"
    tables[name] = as_table(vectors)
    return replace(columns, stop=times(Lookup(name, Var(row)), VECTOR), span=(0, most))


def _uses(
    loops: list[Loop], tables: Mapping[str, Any], arrays: Mapping[str, Array], own: frozenset[str]
) -> list[Use] | None:
    """The elements that rows share with others, as they are used; None if some are not there."""
    every = [found for loop in loops for found in assigned((loop,))]
    written = {s.target.array for s, _ in every if s.target.index} - own
    uses: list[Use] = []
    before = dict(zip(map(id, loops), np.cumsum([0, *(loop.stop for loop in loops)]), strict=False))
    for s, around in every:
        found = turns_of(tables, around)
        if found is None:
            return None
        env, count = found
        row = env[around[0].var] + before[id(around[0])]
        for r in references(s):
            if not r.index:
                continue
            at = values(tables, r.index[-1], env, count)
            last = arrays[r.array].shape[-1]
            if at is None or (isinstance(last, int) and at.size and at.max() >= last):
                return None
            if r.array in written:
                slots = _slots(tables, r, env, count)
                uses.append(Use(r.array, r is s.target, at, row, slots))
    return uses


def _beyond(longer: list[Use], uses: list[Use]) -> bool:
    """Whether what longer passes write besides is nobody's."""
    real = {u.array: set[int]() for u in uses}
    for u in uses:
        real[u.array].update(u.at.tolist())
    return all(
        not u.writes or real[u.array].isdisjoint(np.setdiff1d(u.at, before.at).tolist())
        for u, before in zip(longer, uses, strict=True)
    )


@dataclass(frozen=True)
class Use:
    """The places of an array that a statement writes or reads, turn by turn, and for which row.

    ``slots`` are the places in a ring along the first axis, if there is one and they are known.
    """

    array: str
    writes: bool
    at: Any
    row: Any
    slots: Any


def _slots(tables: Mapping[str, Any], r: Ref, env: Mapping[str, Any], count: int) -> Any:
    """Where in a ring an element is, beside the step: what is read is of another step mostly."""
    ring = r.index[0]
    if not isinstance(ring, Modulo):
        return None
    free = {p.name for p in parts(ring.left) if isinstance(p, Var)} - set(env)
    now, later = (
        values(tables, ring.left, {**env, **dict.fromkeys(free, np.full(count, t))}, count)
        for t in (0, 1)
    )
    same = now is not None and (later - now == 1).all()
    return np.unique(now % ring.size) if same else None


def _apart(uses: list[Use]) -> bool:
    """Whether no two rows use the same element, one of them to write it."""
    return all(
        _rows_apart([u for u in uses if u.array == name]) for name in {u.array for u in uses}
    )


def _rows_apart(uses: list[Use]) -> bool:
    """Whether no two rows use the same element, one of them to write it."""
    slots = [u.slots for u in uses if u.writes]
    known = all(s is not None for s in slots)
    there = np.concatenate(slots) if known else None
    met = [u for u in uses if there is None or u.slots is None or np.isin(u.slots, there).any()]
    both = np.concatenate([np.stack([u.at, u.row]) for u in met], axis=1)
    places = np.unique(both, axis=1)[0]
    return bool(np.unique(places).size == places.size)
