"""Sum the gradient's terms over many time steps at once, after a stretch of the sweep back.

``grad[c] += δ(t)·z(t−1)`` inside the sweep loads and stores every element of the gradient at each
step. Kept for a stretch of steps, δ allows each element to be summed over the stretch in a local
variable; elements side by side then read each δ and z once for several. The terms of an element
are added in the same order as before, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from derive.calculus.partials import SOURCE
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Lookup,
    Loop,
    Modulo,
    Note,
    Operand,
    Program,
    Ref,
    Statement,
    Times,
    Var,
    assigned,
    least,
    modulo,
    parts,
    placed,
    plus,
    quotient,
    references,
    substituted,
    summands,
    times,
    unturned,
    walk,
)
from derive.program.passes.jam import mentions
from derive.program.passes.sum_by_columns import FEWEST, stride_one
from derive.program.passes.turns import values_at
from derive.program.storage import ZERO, copy

LONGEST, SHORTEST = 64, 32
"""Steps of a stretch: long enough that loads and stores of the gradient vanish beside its sums."""

SEVERAL = 4
"""Elements to a signal from which on it pays, for one sequence, to copy signals for them."""

CACHE = 2**19
"""Bytes of signals in a stretch: what a second-level cache holds beside other things."""

TOTAL = "total"

Kept = dict[tuple[int, str], str]
"""The array that keeps a local variable of a loop over units, by which loop it is and its name."""


@dataclass(frozen=True)
class Term:
    """A statement that adds to a sum over time, the loops around it, and what it needs kept."""

    statement: Assign
    loops: tuple[Loop, ...]
    captured: tuple[str, ...]


def defer_sums(
    program: Program,
    lanes: bool = False,
    stretch: int | None = None,
    fewest: int = FEWEST,
    cache: int = CACHE,
    several: int = SEVERAL,
    groups: int = 1,
    fitted: bool = False,
) -> Program:
    """The program with sums over time taken out of its sweeps back.

    Parameters
    ----------
    lanes : bool
        Whether numbers will be vectors over sequences: then each stretch is summed from zero, and
        over the sequences too, before it is added; the sums themselves are single numbers.
    stretch : int, optional
        Steps of a stretch, if not as many as fit the cache.
    fewest : int
        Elements of a unit from which on they are summed side by side, for one sequence.
    cache : int
        Bytes that a stretch of signals may take.
    several : int
        Elements to a signal from which on signals are copied for them, for one sequence.
    groups : int
        Groups of vectors over which sums go on: a stretch can be so much shorter.
    fitted : bool
        Whether there is to be room for no more steps than there are, where these may be few.
    """
    deferring = _Deferring(
        program,
        dict(program.arrays),
        lanes,
        stretch,
        fewest,
        cache,
        several,
        SHORTEST // groups,
        fitted,
    )
    body = tuple(t for s in program.body for t in deferring.statement(s))
    program = replace(program, arrays=deferring.arrays, derived=deferring.derived)
    return program.with_body(body)


class _Deferring:
    """The work on one program: its sweeps are rewritten, and what they keep is declared."""

    def __init__(
        self,
        program: Program,
        arrays: dict[str, Array],
        lanes: bool,
        stretch: int | None,
        fewest: int,
        cache: int,
        several: int,
        shortest: int,
        fitted: bool,
    ) -> None:
        self.program = program
        self.arrays = arrays
        self.lanes = lanes
        self.stretch = stretch
        self.fewest = fewest
        self.cache = cache
        self.several = several
        self.shortest = shortest
        self.fitted = fitted
        self.derived = dict(program.derived)

    def statement(self, s: Statement) -> list[Statement]:
        """A statement, as it is or as a sweep in stretches."""
        if not isinstance(s, Loop):
            return [s]
        inner = any(isinstance(t, Loop) and t.role == "time" for t in s.body)
        if inner or not s.backward:  # windows, segments and stretches have sweeps inside
            return [replace(s, body=tuple(t for part in s.body for t in self.statement(part)))]
        steps = plus(s.stop, times(s.start, -1))
        if s.role != "time" or (isinstance(steps, int) and steps < (self.stretch or self.shortest)):
            return [s]
        terms = _terms_of(self.program, s)
        return [self._in_stretches(s, terms)] if terms else [s]

    def _may_be_short(self, steps: Index, terms: list[Term]) -> bool:
        """Whether room may be for no more steps than there are, which follow from sizes.

        Where signals are looked up, the place is a row and a column in one table, which needs rows
        of known length.
        """
        names = {part.name for part in parts(steps) if isinstance(part, Var)}
        read = (r for t in terms for _, r in t.statement.reads if isinstance(r, Ref))
        looked_up = any(isinstance(p, Lookup) for r in read for i in r.index for p in parts(i))
        return self.fitted and not looked_up and names <= {*self.program.sizes, *self.derived}

    def _room(self, steps: Index) -> Index:
        """An odd number of steps, so that not all units meet in one part of a cache."""
        if isinstance(steps, int):
            return steps | 1
        odd = plus(times(quotient(steps, 2), 2), 1)
        known = {index: name for name, index in self.derived.items()}
        name = known.get(odd, f"room_{len(self.derived)}")
        self.derived[name] = odd
        return Var(name)

    def _in_stretches(self, s: Loop, terms: list[Term]) -> Loop:
        stretch = self.stretch or self._length(terms)
        steps = plus(s.stop, times(s.start, -1))
        block = Var(f"{s.var}_stretch")
        begin = plus(s.start, times(block, stretch))
        end = least(plus(begin, stretch), s.stop)
        row = plus(Var(s.var), times(begin, -1))
        longest = least(stretch, steps) if self._may_be_short(steps, terms) else stretch
        kept = self._keep(terms, longest)
        gathered = self._gather([t for t in terms if self._by_element(t)], s, longest)
        inside = _without(s.body, {id(t.statement) for t in terms}, terms, kept, row)
        sweep = replace(s, start=begin, stop=end, body=inside)
        self.arrays[TOTAL] = Array(TOTAL, (), "scalar", True)
        sums = [self._sum(t, sweep, kept, gathered, row) for t in terms]
        copies = [_copied(g, begin, end) for g in gathered.values()]
        if self.lanes:
            for name in {t.statement.target.array for t in terms}:
                for held in _sums_of(self.program, name, terms):
                    self.arrays[held] = replace(self.arrays[held], batched=False)
        blocks = quotient(plus(s.stop, times(s.start, -1), stretch - 1), stretch)
        note = Note("the gradient's terms of these steps")
        body = (sweep, note, *copies, *sums)
        return Loop(block.name, 0, blocks, body, "time", backward=True)

    def _length(self, terms: list[Term]) -> int:
        """As many steps as fit the cache."""
        z = {r.array for t in terms for _, r in t.statement.reads if isinstance(r, Ref)}
        shapes = [self.program.arrays[name].shape for name in z]
        width = sum(s[-1] for s in shapes if len(s) == 2 and isinstance(s[-1], int))
        number = 64 if self.lanes else self.program.itemsize
        steps = self.cache // max(1, width * number)
        return min(max(steps - steps % 8, self.shortest), LONGEST)

    def _keep(self, terms: list[Term], stretch: Index) -> Kept:
        """Arrays for the local variables that terms read; the steps of a unit stand together."""
        kept: Kept = {}
        for term in terms:
            outer, same = id(term.loops[0]), _first_alike(term.loops[0])
            for name in term.captured:
                key = outer, same.get(name, name)
                if key not in kept:
                    kept[key] = f"kept_{len(self.arrays)}_{name}"
                    units = term.loops[0].bounds
                    assert units is not None
                    shape = units[1], self._room(stretch)
                    self.arrays[kept[key]] = Array(
                        kept[key], shape, "work", self.arrays[name].batched,
                        f"{name} of each step of a stretch",
                    )  # fmt: skip
                kept[outer, name] = kept[key]
        return kept

    def _gather(
        self, terms: list[Term], sweep: Loop, stretch: Index
    ) -> dict[tuple[str, Index, int], Gathered]:
        """Arrays for the signals of a stretch, the steps of each signal standing together."""
        rows: dict[tuple[str, Index, int], list[Rows]] = {}
        for term in terms:
            for _, r in term.statement.reads:
                if (found := _rows_of(self.program, r, sweep)) is not None:
                    assert isinstance(r, Ref)
                    rows.setdefault((r.array, found.origin, found.ring), []).append(found)
        gathered: dict[tuple[str, Index, int], Gathered] = {}
        for (array, origin, ring), found_here in rows.items():
            low, high = min(e.low for e in found_here), max(e.high for e in found_here)
            a, name = self.program.arrays[array], f"kept_{len(self.arrays)}_{array}"
            width = a.shape[1]
            assert isinstance(width, int)
            meaning = f"{array} of a stretch, by column"
            shape = (width, self._room(plus(stretch, high - low)))
            self.arrays[name] = Array(name, shape, "work", a.batched, meaning)
            here = Rows(origin, low, high, ring)
            gathered[array, origin, ring] = Gathered(array, name, here, width)
        return gathered

    def _sum(
        self,
        term: Term,
        sweep: Loop,
        kept: Kept,
        gathered: Mapping[tuple[str, Index, int], Gathered],
        row: Index,
    ) -> Statement:
        """One term of the gradient, for all of its elements, summed over a stretch."""
        if not self.lanes and self._in_columns(term):
            return self._sum_in_columns(term, sweep, kept, row)
        total, target = Ref(TOTAL), term.statement.target

        def place(r: Ref) -> Ref:
            if (found := _rows_of(self.program, r, sweep)) is None:
                return _where_kept(r, term, kept, row)
            if (g := gathered.get((r.array, found.origin, found.ring))) is None:
                return r
            at = plus(found.further(r.index[0]), times(sweep.start, -1), -g.rows.low)
            return Ref(g.name, (r.index[1], at))

        step = replace(placed(term.statement, place), target=total)
        over_time = replace(sweep, body=(step,), turns="")
        first = Assign(total, ZERO) if self.lanes else copy(total, target)
        last = Assign(target, SOURCE, ((SOURCE, total),), accumulate=self.lanes)
        body: tuple[Statement, ...] = (first, over_time, last)
        for loop in reversed(term.loops):
            body = (replace(loop, body=body),)
        return body[0]

    def _by_element(self, term: Term) -> bool:
        """Whether each element is summed for itself, and signals are read several times for that.

        The steps of a signal then stand together. In a batch each of them is a vector, and they
        always do.
        """
        if self.lanes:
            return True
        signals = [self.program.arrays[r.array].shape for _, r in term.statement.reads
                   if isinstance(r, Ref) and len(r.index) == 2]  # fmt: skip
        widths = [s[1] for s in signals if len(s) == 2 and isinstance(s[1], int)]
        (elements,) = self.program.arrays[term.statement.target.array].shape or (0,)
        assert isinstance(elements, int)
        return not self._in_columns(term) and elements >= self.several * max(
            widths, default=elements
        )

    def _in_columns(self, term: Term) -> bool:
        """Whether the elements of a unit, and what they are made of, stand side by side."""
        if len(term.loops) != 2:
            return False
        inner = term.loops[1]
        if not (isinstance(inner.start, int) and isinstance(inner.stop, int)):
            return False
        runs = [r for _, r in term.statement.reads if isinstance(r, Ref) and r.index]
        runs = [r for r in runs if any(mentions(i, inner.var) for i in r.index)]
        return inner.stop - inner.start >= self.fewest and all(
            stride_one(r, inner.var) for r in (term.statement.target, *runs)
        )

    def _sum_in_columns(self, term: Term, sweep: Loop, kept: Kept, row: Index) -> Statement:
        """A step's terms of all elements of a unit at a time; steps still go back."""
        outer, inner = term.loops
        step = Var("back")
        t = plus(sweep.stop, -1, times(step, -1))
        add = placed(term.statement, lambda r: _where_kept(r, term, kept, row))
        columns = replace(inner, body=(add,), role="columns", turns="")
        (moved,) = substituted((columns,), {sweep.var: t})
        count = plus(sweep.stop, times(sweep.start, -1))
        over = Loop(step.name, 0, count, (moved,), "connections")
        return replace(outer, body=(over,))


def _where_kept(r: Ref, term: Term, kept: Kept, row: Index) -> Ref:
    """Where a local variable that a term reads was kept; any other element where it is."""
    outer = term.loops[0]
    name = kept.get((id(outer), r.array))
    return r if name is None else Ref(name, (Var(outer.var), row))


@dataclass(frozen=True)
class Rows:
    """The rows of an array that are read at time t, from t + origin + low to t + origin + high.

    ``origin`` is what does not change during a sweep and is not known beforehand, as where a
    segment begins.
    """

    origin: Index
    low: int
    high: int
    ring: int = 0
    """Rows of a ring, if the array is one."""

    def further(self, index: Index) -> Index:
        """An index of such a row without its origin."""
        origin = summands(self.origin)
        return plus(*(term for term in summands(unturned(index)) if term not in origin))


@dataclass(frozen=True)
class Gathered:
    """Rows of an array that terms read, by column."""

    array: str
    name: str
    rows: Rows
    width: int


def _rows_of(program: Program, r: Operand, sweep: Loop) -> Rows | None:
    """Which rows are read at time t, if a column of such a row is read."""
    if not isinstance(r, Ref) or len(r.index) != 2:
        return None
    a, row = program.arrays[r.array], r.index[0]
    if a.role != "work" or not isinstance(a.shape[1], int):
        return None
    found = _ends(program, unturned(row), sweep)
    if found is None or not isinstance(row, Modulo):
        return found
    return replace(found, ring=row.size)


def _ends(program: Program, index: Index, sweep: Loop) -> Rows | None:
    """Between which numbers index − t lies, whatever the tables in it are asked for."""
    rest = summands(index)
    if rest.count(Var(sweep.var)) != 1:
        return None
    rest.remove(Var(sweep.var))
    inside = [sweep.var, *(s.var for s in walk(sweep.body) if isinstance(s, Loop))]
    low = high = 0
    origin: list[Index] = []
    for term in rest:
        match term:
            case int():
                low, high = low + term, high + term
            case Lookup(table, _):
                values = program.tables[table]
                low, high = low + int(values.min()), high + int(values.max())
            case Times(Lookup(table, _), -1):
                values = program.tables[table]
                low, high = low - int(values.max()), high - int(values.min())
            case _ if not any(mentions(term, var) for var in inside):
                origin.append(term)
            case _:
                return None
    return Rows(plus(*origin), low, high)


def _copied(g: Gathered, begin: Index, end: Index) -> Statement:
    """The copy of a stretch of rows by column."""
    row, column = Var("r"), Var("l")
    at = plus(begin, g.rows.origin, g.rows.low, row)
    if g.rows.ring:
        at = modulo(at, g.rows.ring)
    body = copy(Ref(g.name, (column, row)), Ref(g.array, (at, column)))
    count = plus(end, times(begin, -1), g.rows.high - g.rows.low)
    over = Loop(column.name, 0, g.width, (body,), "copy")
    return Loop(row.name, 0, count, (over,), "copy")


def _sums_of(program: Program, name: str, terms: list[Term]) -> set[str]:
    """``name``, and the arrays it is moved to and from, if they hold nothing but these terms."""
    mine = {id(t.statement) for t in terms}
    others = [
        (s, {r.array for r in references(s)})
        for s in walk(program.body)
        if isinstance(s, Assign) and id(s) not in mine and s.expr != ZERO
    ]
    found, grown = set[str](), {name}
    while found != grown:
        found = set(grown)
        for s, touched in others:
            if touched & found:
                if len(touched) != 2 or s.expr != s.reads[0][0]:
                    return set()
                grown |= touched
    return found if all(program.arrays[a].role in ("work", "out") for a in found) else set()


def _first_alike(loop: Loop) -> dict[str, str]:
    """For each local variable of a unit the first that is set to the same, as δ of a bias is."""
    found: dict[Any, str] = {}
    alike: dict[str, str] = {}
    for s in loop.body:
        if isinstance(s, Assign) and not s.accumulate and not s.target.index:
            alike[s.target.array] = found.setdefault((s.expr, s.reads), s.target.array)
    return alike


def _without(
    body: tuple[Statement, ...],
    gone: set[int],
    terms: list[Term],
    kept: Kept,
    row: Index,
) -> tuple[Statement, ...]:
    """``body`` without the terms, with what they need kept at the end of each unit."""
    out: list[Statement] = []
    for s in body:
        if id(s) in gone:
            continue
        if not isinstance(s, Loop):
            out.append(s)
            continue
        inside = _without(s.body, gone, terms, kept, row)
        mine = [t for t in terms if t.loops[0] is s]
        held: dict[str, str] = {}
        for name in (name for t in mine for name in t.captured):
            held.setdefault(kept[id(s), name], name)  # one of those alike
        stores = tuple(copy(Ref(to, (Var(s.var), row)), Ref(of)) for to, of in held.items())
        if inside or stores:
            out.append(replace(s, body=(*inside, *stores)))
    return tuple(out)


# --- what can be deferred ----------------------------------------------------------------------


def _terms_of(program: Program, sweep: Loop) -> list[Term]:
    """The terms of sums that can wait, if they are all terms of elements apart."""
    written = {s.target.array for s in walk(sweep.body) if isinstance(s, Assign)}
    found: list[Term] = []
    for statement, loops in assigned(sweep.body):
        a = program.arrays[statement.target.array]
        if a.role != "out" or not statement.accumulate or not a.shape or not loops:
            continue
        captured = _captured(program, statement, loops, written)
        if captured is not None and loops[0].bounds is not None:
            found.append(Term(statement, loops, captured))
    for name in {t.statement.target.array for t in found}:
        if not _apart(program, sweep, name):
            found = [t for t in found if t.statement.target.array != name]
    return found


def _captured(
    program: Program, statement: Assign, loops: tuple[Loop, ...], written: set[str]
) -> tuple[str, ...] | None:
    """The local variables of a unit that a term reads; None if it reads what will have changed."""
    names = []
    for _, r in statement.reads:
        if not isinstance(r, Ref):
            continue
        if program.arrays[r.array].role == "scalar":
            names.append(r.array)
        elif r.array in written:
            return None
    here = [s.target.array for s in loops[0].body if isinstance(s, Assign) and not s.accumulate]
    ever = [s.target.array for s in walk(loops[0].body) if isinstance(s, Assign)]
    if any(here.count(name) != 1 or ever.count(name) != 1 for name in names):
        return None
    return tuple(dict.fromkeys(names))


def _apart(program: Program, sweep: Loop, name: str) -> bool:
    """Whether each element of an array is added to by one turn of one statement at most."""
    seen: list[Any] = []
    for statement, loops in assigned(sweep.body):
        if statement.target.array == name:
            (index,) = statement.target.index
            places = values_at(program.tables, loops, index)
            if places is None:
                return False
            seen.append(places)
    # Counted: to sort a million, or to hash them, takes longer than all else here.
    return int(np.bincount(np.concatenate(seen)).max(initial=0)) <= 1
