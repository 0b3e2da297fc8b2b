"""Take sums over columns strip by strip, all sources of a strip in one go.

``for k: for i: a[i] = 0; for q: for i: a[i] += w[k, q]*p[q, i]; for i: new[k, i] = d[k]*a[i]``
reads all of p anew for every few units, and loads and stores ``a`` with every few terms. A strip
of p comes from far once for all units; and for a few units and a vector of columns the sums stay
in registers from the first source to the last. What follows a sum is done for all units of a strip
in turn. Each sum is still added in its own order.

The last strip ends where the columns do, so that all are of one width: the columns that it shares
with the one before are computed twice, and are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np

from derive.blocks import BYTES
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    all_placed,
    as_table,
    least,
    most,
    plus,
    rebuilt,
    references,
    substituted,
    summands,
    times,
    touched,
    walk,
)
from derive.program.passes.jam import (
    ROWS,
    elsewhere,
    filled_anew,
    independent,
    jam,
    mentions,
    read_once,
)
from derive.program.passes.jam_columns import sum_over_columns
from derive.program.passes.turns import turns_of, values
from derive.program.storage import ZERO, copy

WIDTH = 64
"""Columns in a strip: whole vectors of every processor, and of 128 sources they are in the nearest
cache."""

FEWEST = 8
"""Sources from which on it pays."""

TOTAL = Ref("sum_of_columns")
"""A sum while it is made."""

FAR = 2**19
"""Bytes of all rows from which on it pays for units with sources of their own."""

HERE = "column"
"""Begins the names of what several units multiply: these are vectors, and no other loop's."""


def strip_columns(
    program: Program, width: int = WIDTH, fewest: int = FEWEST, far: int = FAR
) -> Program:
    """The program with sums over columns of rows that are all there taken strip by strip."""
    strips = _Strips(program, width, fewest, far, dict(program.arrays), dict(program.tables))
    body = strips.body(program.body)
    return replace(program, arrays=strips.arrays, tables=strips.tables).with_body(body)


@dataclass(frozen=True)
class Sum:
    """A run of columns that begins at zero, and loops that add terms to all of them."""

    into: str
    counter: str
    terms: tuple[Loop, ...]


@dataclass(frozen=True)
class Row:
    """What is done for each unit to a row of columns.

    Attributes
    ----------
    units : Loop
    before : tuple of Assign
        The unit's local variables.
    steps : tuple of Sum or Loop
        Sums, loops that add to single columns of one, loops over columns.
    after : tuple of Statement
        What follows the last loop over columns.
    own : frozenset of str
        Scratch of a unit.
    width : int
        How many columns there are.
    """

    units: Loop
    before: tuple[Assign, ...]
    steps: tuple[Sum | Loop, ...]
    after: tuple[Statement, ...]
    own: frozenset[str]
    width: int

    @property
    def number(self) -> Index:
        """Which of the units one is."""
        assert isinstance(self.units.start, int)
        return plus(Var(self.units.var), -self.units.start)

    @property
    def turns(self) -> int:
        """How many units there are."""
        return _turns(self.units)

    @property
    def terms(self) -> list[Loop]:
        """The loops of all sums."""
        return [loop for step in self.steps if isinstance(step, Sum) for loop in step.terms]

    @property
    def alike(self) -> bool:
        """Whether all units have equally many sources, so that several can be done together."""
        return all(_known(loop) and not _within(loop, self.units.var) for loop in self.terms)

    @property
    def inside(self) -> tuple[Statement, ...]:
        """What is done in strips."""
        out: list[Statement] = []
        for step in self.steps:
            out += step.terms if isinstance(step, Sum) else (step,)
        return tuple(out)

    @property
    def rest(self) -> tuple[Statement, ...]:
        """All that may need the unit's local variables."""
        return (*self.inside, *self.after)


@dataclass(frozen=True)
class Strip:
    """One of the strips of a row, by its number.

    Attributes
    ----------
    number : Var
    width : int
        Its columns, as many as of any other.
    begins : index
        Its first column.
    starts : integer array
        The first column of each strip there is.
    """

    number: Var
    width: int
    begins: Index
    starts: Any


def strip_of(columns: int, most_columns: int, itemsize: int) -> Strip:
    """Strips of whole vectors, about as wide as they may be, that cover so many columns."""
    count = -(-columns // most_columns)
    vector = BYTES // itemsize
    width = -(-columns // (count * vector)) * vector
    number = Var("strip")
    begins: Index = times(number, width)
    if columns < count * width:
        begins = least(begins, columns - width)
    return Strip(number, width, begins, np.minimum(np.arange(count) * width, columns - width))


@dataclass
class _Strips:
    """The work on one program."""

    program: Program
    width: int
    fewest: int
    far: int
    arrays: dict[str, Array]
    tables: dict[str, Any]

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        out: list[Statement] = []
        for s in body:
            if isinstance(s, Loop):
                row = self.row(s)
                out += [replace(s, body=self.body(s.body))] if row is None else self.stripped(row)
            else:
                out.append(s)
        return tuple(out)

    def row(self, units: Loop) -> Row | None:
        """What a loop over units does to their rows, if it is that and strips do the same."""
        if units.role != "units" or not units.body or not _known(units):
            return None
        *before, rows = units.body
        local = tuple(s for s in before if isinstance(s, Assign) and not s.target.index)
        if len(local) < len(before) or not isinstance(rows, Loop) or rows.role != "units":
            return None
        own = frozenset(filled_anew(self.program, units))
        if (rows.start, rows.stop) != (0, 1) or not independent(units, self.arrays, own):
            return None
        found = _steps(substituted(rows.body, {rows.var: 0}), own)
        if found is None or found[2] < max(self.width, BYTES // self.program.itemsize):
            return None
        inside = touched(rows.body)
        if any(self.arrays[name].wide for name in inside):
            return None
        row = Row(units, local, found[0], found[1], own, found[2])
        return row if self.worth(row) and _twice_alike(row) else None

    def worth(self, row: Row) -> bool:
        """Whether there are enough sources and units.

        Where units have sources of their own, the numbers of all rows must be more than a near
        cache holds, since those of several units cannot share what they read.
        """
        if row.turns < 2 or not row.terms:
            return False
        if row.alike:
            return sum(map(_turns, row.terms)) >= self.fewest
        return row.turns * row.width * self.program.itemsize >= self.far

    def stripped(self, row: Row) -> list[Statement]:
        """The strips; before them what each unit keeps for them, after them what follows."""
        strip = strip_of(row.width, self.width, self.program.itemsize)
        for name in row.own:
            self.arrays[name] = replace(self.arrays[name], shape=(row.turns, strip.width))
        read = touched(row.rest)
        kept = {s.target: self.kept(row, s.target) for s in row.before if s.target.array in read}
        body: list[Statement] = []
        for step in row.steps:
            if isinstance(step, Sum):
                body += all_placed(tuple(self.sums(row, step, strip)), _from(kept))
            elif step.role == "columns":
                inside = all_placed((_across(row, step, strip),), _from(kept))
                body.append(replace(row.units, body=inside))
            else:
                body.append(self.scattered(row, step, strip, kept))
        out: list[Statement] = []
        if kept:
            keep = (*row.before, *(copy(there, here) for here, there in kept.items()))
            out.append(replace(row.units, body=keep))
        out.append(Loop(strip.number.name, 0, len(strip.starts), tuple(body), "blocks"))
        if row.after:
            out.append(replace(row.units, body=all_placed(row.after, _from(kept))))
        return out

    def kept(self, row: Row, local: Ref) -> Ref:
        """Where a unit's local variable is kept for the strips."""
        a = self.arrays[local.array]
        # Units of another kind may have a local variable of that name.
        name = f"each_{local.array}_{row.units.start}_{row.turns}"
        self.arrays[name] = replace(a, name=name, shape=(row.turns,), role="work")
        return Ref(name, (row.number,))

    def sums(self, row: Row, step: Sum, strip: Strip) -> list[Statement]:
        """One sum of every unit: of a few units, in a vector of columns, at a time."""
        self.arrays[TOTAL.array] = Array(TOTAL.array, (), "scalar", True)
        body: list[Statement] = [Assign(TOTAL, ZERO)]
        for loop in step.terms:
            columns = loop.body[0]
            assert isinstance(columns, Loop)
            (term,) = _across(row, columns, strip).body
            assert isinstance(term, Assign)
            body.append(replace(loop, body=(replace(term, target=TOTAL),)))
        body.append(copy(Ref(step.into, (row.number, Var(step.counter))), TOTAL))
        columns = Loop(step.counter, 0, strip.width, tuple(body), "columns")
        units = replace(row.units, body=(columns,))
        if not row.alike:
            return [units]
        return list(read_once(tuple(jam(units, self.arrays, ROWS)), self.arrays, HERE))

    def scattered(self, row: Row, loop: Loop, strip: Strip, kept: Mapping[Ref, Ref]) -> Loop:
        """What is added to single columns: only of units, and of theirs, that the strip has."""
        column = _scattered(loop, row.own)
        assert column is not None
        units = row.units
        turns = turns_of(self.tables, (units, loop))
        at = None if turns is None else values(self.tables, column, *turns)
        if turns is not None and at is not None:
            of = turns[0][units.var]
            met = [of[(at >= s) & (at < s + strip.width)] for s in strip.starts.tolist()]
            ends = [(int(k.min()), int(k.max()) + 1) if k.size else (0, 0) for k in met]
            name = f"strips_{crc32(np.array(ends).tobytes())}"
            first, stop = f"{name}_first", f"{name}_stop"
            firsts, stops = zip(*ends, strict=True)
            self.tables |= {first: as_table(firsts), stop: as_table(stops)}
            units = replace(
                units,
                start=Lookup(first, strip.number),
                stop=Lookup(stop, strip.number),
                span=units.bounds,
            )
        before = plus(strip.begins, times(_with(column, Var(loop.var), 0), -1))
        inside = replace(
            loop,
            start=most(loop.start, before),
            stop=least(loop.stop, plus(before, strip.width)),
            span=loop.bounds,
        )

        def place(r: Ref) -> Ref:
            if r.array in row.own:
                return Ref(r.array, (row.number, plus(r.index[0], times(strip.begins, -1))))
            return kept.get(r, r)

        return replace(units, body=all_placed((inside,), place))


def _across(row: Row, columns: Loop, strip: Strip) -> Loop:
    """A loop over the columns of a strip instead of all."""
    i = Var(columns.var)
    there = plus(i, strip.begins)

    def place(r: Ref) -> Ref:
        if r.array in row.own:
            return Ref(r.array, (row.number, i))
        return Ref(r.array, tuple(_with(index, i, there) for index in r.index))

    return replace(columns, stop=strip.width, body=all_placed(columns.body, place), span=None)


def _with(index: Index, var: Var, value: Index) -> Index:
    return rebuilt(index, lambda part: value if part == var else None)


def _from(kept: Mapping[Ref, Ref]) -> Callable[[Ref], Ref]:
    return lambda r: kept.get(r, r)


def _steps(
    body: tuple[Statement, ...], own: frozenset[str]
) -> tuple[tuple[Sum | Loop, ...], tuple[Statement, ...], int] | None:
    """The steps of a row, what follows them, and its width; None if it is anything else."""
    last = max((i for i, s in enumerate(body) if _is_columns(s)), default=-1)
    steps: list[Sum | Loop] = []
    widths: set[Index] = set()
    for s in body[: last + 1]:
        if not isinstance(s, Loop):
            return None
        if (into := _zeroed(s, own)) is not None:
            steps.append(Sum(into, s.var, ()))
            widths.add(s.stop)
        elif (found := sum_over_columns(s)) is not None:
            columns, term = found
            before = steps[-1] if steps else None
            if not isinstance(before, Sum) or term.target != Ref(before.into, (Var(columns.var),)):
                return None
            if (columns.var, columns.start) != (before.counter, 0):
                return None
            if not _is_product(term, Var(columns.var)):
                return None
            steps[-1] = replace(before, terms=(*before.terms, s))
            widths.add(columns.stop)
        elif _is_columns(s) and _only_columns(s, own):
            steps.append(s)
            widths.add(s.stop)
        elif _scattered(s, own) is not None:
            steps.append(s)
        else:
            return None
    if len(widths) != 1 or not isinstance(width := widths.pop(), int):
        return None
    after = body[last + 1 :]
    if any(r.array in own for s in walk(after) if isinstance(s, Assign) for r in references(s)):
        return None
    return tuple(steps), after, width


def _is_columns(s: Statement) -> bool:
    return isinstance(s, Loop) and s.role == "columns" and s.start == 0


def _zeroed(s: Loop, own: frozenset[str]) -> str | None:
    """The scratch that a loop sets to zero."""
    if not _is_columns(s) or len(s.body) != 1 or not isinstance(s.body[0], Assign):
        return None
    first = s.body[0]
    begins = not first.accumulate and not first.reads and first.expr == ZERO
    return first.target.array if begins and first.target.array in own else None


def _is_product(term: Assign, i: Var) -> bool:
    """Whether a term is a product with neighbouring columns: what vectors do as numbers do."""
    read = [r for _, r in term.reads if isinstance(r, Ref)]
    columns = [r.index for r in read if any(mentions(at, i.name) for at in r.index)]
    neighbours = all(
        summands(index[-1]).count(i) == 1
        and not any(mentions(at, i.name) for at in (*index[:-1], *summands(index[-1])) if at != i)
        for index in columns
    )
    return neighbours and bool(term.expr.is_Mul) and all(a.is_Symbol for a in term.expr.args)


def _only_columns(s: Loop, own: frozenset[str]) -> bool:
    """Whether a loop does no more than set columns, its own at its counter."""
    refs = [r for t in s.body if isinstance(t, Assign) for r in references(t)]
    return all(isinstance(t, Assign) and t.target.index and not t.accumulate for t in s.body) and (
        all(r.index == (Var(s.var),) for r in refs if r.array in own)
    )


def _scattered(s: Loop, own: frozenset[str]) -> Index | None:
    """The column to which each turn of a loop adds, if neighbours in turn are so in memory."""
    *before, add = s.body or (None,)
    if not isinstance(add, Assign) or add.target.array not in own or not add.accumulate:
        return None
    if any(not isinstance(t, Assign) or t.target.index for t in before) or s.backward:
        return None
    if any(r.array in own for t in before if isinstance(t, Assign) for r in references(t)):
        return None
    column = add.target.index[0]
    form = affine(column)
    return column if form is not None and form[0].get(s.var) == 1 else None


def _known(loop: Loop) -> bool:
    return isinstance(loop.start, int) and isinstance(loop.stop, int) and not loop.backward


def _turns(loop: Loop) -> int:
    assert isinstance(loop.start, int) and isinstance(loop.stop, int)
    return loop.stop - loop.start


def _within(loop: Loop, var: str) -> bool:
    inner = [s for s in walk((loop,)) if isinstance(s, Loop)]
    return any(mentions(i, var) for s in inner for i in (s.start, s.stop))


def _twice_alike(row: Row) -> bool:
    """Whether a column may be done twice: what a strip changes it does not read."""
    assigns = [s for s in walk(row.inside) if isinstance(s, Assign)]
    changed = {s.target for s in assigns if s.target.index and s.target.array not in row.own}
    local = {s.target.array for s in row.before}
    reads = {r for s in assigns for _, r in s.reads if isinstance(r, Ref)}
    return not any(s.target.array in local for s in assigns) and all(
        elsewhere(r, w) for r in reads for w in changed if r.array == w.array
    )
