"""Take the sums over time of a sparse net for many units at once, signals looked up in registers.

``for k: for c of k: for t: total += δ[k, t]*z[source[c], t]`` loads a number for each product.
Where signals are in pages, one instruction takes from the page of a step what each of a vector of
units hears there, and the sums of a line of connections are a vector. The terms of a sum are added
in the same order as before, so no bit changes.

The sums are in lines during the sweep, and in their places before and after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

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
    all_placed,
    plus,
    rebuilt,
    references,
    simplified,
    substituted,
    times,
    walk,
)
from derive.program.passes.fold_tables import folded
from derive.program.passes.jam import Arrays, mentions, read_once
from derive.program.passes.look_up import by_table, factors, goes_on
from derive.program.passes.pages import (
    Heard,
    Packed,
    Pages,
    heard,
    packed,
    pages_of,
    pays,
)
from derive.program.passes.tile_sums import is_sum_over_time, several
from derive.program.storage import ZERO, clear, copy

PRODUCT, VECTOR, PAGE = 1, 2.5, 12
"""What a product by table, 64 bytes of products looked up, and laying out a page take, about."""

FEWEST = 24
"""Steps of a sweep from which on it pays."""

SIDE = 8
"""Lines of connections at once, where there are 32 registers: their sums and their places in a page
stay there."""

TOTAL = "total_by_page"
"""Begins the names of sums while they are made."""

HERE = "by_page"
"""Begins the names of what several of them multiply: these are vectors, and no other loop's."""


def look_up_totals(
    program: Program,
    size: int,
    group: int,
    product: float = PRODUCT,
    fewest: int = FEWEST,
    side: int = SIDE,
) -> Program:
    """The program, its sums deferred, with those of connections taken by pages where that pays.

    Parameters
    ----------
    size : int
        Numbers of a page.
    group : int
        Units whose sums are taken together.
    product : float
        What a product by table takes, where a vector of products takes :data:`VECTOR`.
    fewest : int
        Steps of a sweep from which on it pays to take sums to lines and back.
    side : int
        Lines of connections at once.
    """
    arrays, tables = dict(program.arrays), dict(program.tables)
    return _Totals(program, arrays, tables, size, group, product, fewest, side).all()


@dataclass(frozen=True)
class Total:
    """A sum over the steps of a stretch for each connection of each unit.

    Attributes
    ----------
    units : Loop
    target : Ref
        Where it goes.
    sweep : Loop
        The loop over the steps.
    kept : Ref
        The unit's part of a term, kept for the stretch by unit and step.
    heard : Ref
        The source's part.
    signal : Ref
        Where that is copied from, or the same.
    """

    units: Loop
    target: Ref
    sweep: Loop
    kept: Ref
    heard: Ref
    signal: Ref

    @property
    def loops(self) -> tuple[Loop, Loop]:
        """The loops over units and their connections."""
        (connections,) = self.units.body
        assert isinstance(connections, Loop)
        return self.units, connections

    @property
    def turns(self) -> int:
        """How many units there are."""
        assert isinstance(self.units.start, int) and isinstance(self.units.stop, int)
        return self.units.stop - self.units.start

    @property
    def term(self) -> Assign:
        """What is added in a step."""
        (term,) = self.sweep.body
        assert isinstance(term, Assign)
        return term


@dataclass
class _Totals:
    """The work on one program."""

    program: Program
    arrays: Arrays
    tables: dict[str, Any]
    size: int
    group: int
    product: float
    fewest: int
    side: int

    def all(self) -> Program:
        """The program, changed."""
        swapped: set[str] = set()
        body = self.body(self.program.body, swapped)
        if not swapped:
            return self.program

        def place(r: Ref) -> Ref:
            return Ref(r.array, (r.index[1], r.index[0])) if r.array in swapped else r

        program = replace(self.program, arrays=self.arrays, tables=self.tables, page=self.size)
        return program.with_body(all_placed(body, place))

    def body(self, body: tuple[Statement, ...], swapped: set[str]) -> tuple[Statement, ...]:
        """Statements, those that are sweeps in stretches changed; what is then kept by step."""
        out: list[Statement] = []
        for s in body:
            if not isinstance(s, Loop) or s.role != "time":
                out.append(s)
            elif any(isinstance(t, Loop) and t.role == "units" for t in s.body) and (
                totals := list(self.totals(s))
            ):
                out += self.stretches(s, totals, swapped)
            else:
                out.append(replace(s, body=self.body(s.body, swapped)))
        return tuple(out)

    def totals(self, stretches: Loop) -> Iterator[Total]:
        """The sums over the steps of a stretch that are of connections found by a table."""
        copies = {c.name: c for c in _copies(stretches.body)}
        for s in stretches.body:
            if not isinstance(s, Loop) or s.role != "units" or len(s.body) != 1:
                continue
            (connections,) = s.body
            if not is_sum_over_time(connections) or not isinstance(s.start, int):
                continue
            assert isinstance(connections, Loop)
            begin, sweep, end = connections.body
            assert isinstance(begin, Assign) and isinstance(sweep, Loop) and isinstance(end, Assign)
            # The first stretch is as long as the sweep is, if that is shorter than a stretch.
            (early,) = substituted((sweep,), {stretches.var: 0})
            if not goes_on(early, self.fewest):
                continue
            if len(sweep.body) != 1 or begin != copy(begin.target, end.target) or end.accumulate:
                continue
            (term,) = sweep.body
            assert isinstance(term, Assign)
            found = factors(term)
            if found is None or any(self.arrays[r.array].wide for r in references(term)):
                continue
            units = [r for r in found if _is_kept(r, self.arrays, s)]
            others = [r for r in found if r not in units]
            if len(units) == len(others) == 1 and by_table(others[0], connections.var):
                signal = _copied(others[0], copies)
                yield Total(s, end.target, sweep, units[0], others[0], signal)

    def stretches(self, s: Loop, totals: list[Total], swapped: set[str]) -> list[Statement]:
        """A sweep in stretches, with what comes before and after it."""
        groups: dict[Ref, list[tuple[Total, Heard]]] = {}
        for total in totals:
            of = heard(total.signal, total.target, total.loops, self.program.tables)
            if of is not None:
                groups.setdefault(of.fixed, []).append((total, of))
        before: list[Statement] = []
        after: list[Statement] = []
        body = list(s.body)
        for together in groups.values():
            pages = pages_of([h for _, h in together], self.size)
            by_page = [packed(h, pages, t.turns, self.group) for t, h in together]
            laying_out = PAGE * pages.count
            if not pays(by_page, self.program.itemsize, self.product, VECTOR, laying_out):
                continue
            paged, clearing, filling = self.laid_out(pages, together[0][0])
            before.append(clearing)
            for (total, _), terms in zip(together, by_page, strict=True):
                self.tables |= terms.tables()
                lines, begin, end = self.lines(total, terms)
                at = body.index(total.units)
                body[at : at + 1] = [*filling, self.summed(total, terms, pages, paged, lines)]
                filling = []
                before += [*begin, *self.by_step(total, terms, swapped)]
                after.append(end)
        read = {r.array for t in walk(tuple(body)) if isinstance(t, Assign) for _, r in t.reads
                if isinstance(r, Ref)}  # fmt: skip
        gone = [c.loop for c in _copies(s.body) if c.name not in read]
        return [*before, replace(s, body=tuple(t for t in body if t not in gone)), *after]

    def laid_out(self, pages: Pages, first: Total) -> tuple[str, Statement, list[Statement]]:
        """Where the pages of all steps of a stretch are; what is done once, and for each."""
        of, steps = self.arrays[pages.fixed.array], self.steps(first)
        name, row = f"kept_by_page_{pages.name}", Var("r")
        size = pages.count * steps * pages.size
        meaning = f"{of.name} of a stretch, in pages"
        self.arrays[name] = Array(name, (size,), "work", meaning=meaning)

        def place(page: Index, number: Index) -> Ref:
            return Ref(name, (plus(times(plus(times(page, steps), row), pages.size), number),))

        sweep = first.sweep
        inside = substituted(
            tuple(pages.filled(place)), {sweep.var: simplified(plus(sweep.start, row))}
        )
        count = plus(sweep.stop, times(sweep.start, -1))
        return name, clear(name, (size,)), [Loop(row.name, 0, count, inside, "copy")]

    def steps(self, total: Total) -> int:
        """Steps for which there is room in a stretch, as it was before :meth:`by_step`."""
        steps = self.program.arrays[total.kept.array].shape[1]
        assert isinstance(steps, int)
        return steps

    def by_step(self, total: Total, terms: Packed, swapped: set[str]) -> list[Statement]:
        """Have what units keep stand by step; what is done once, so that no unit is amiss."""
        kept, steps = self.arrays[total.kept.array], self.steps(total)
        if kept.name in swapped:
            return []
        swapped.add(kept.name)
        first, last = total.units.start, total.units.stop
        assert isinstance(first, int) and isinstance(last, int)
        width = first + terms.groups * self.group
        # An odd number of groups, so that not all steps of a unit meet in one part of a cache.
        width += self.group * (width // self.group % 2 == 0)
        self.arrays[kept.name] = replace(kept, shape=(steps, width))
        if width == last:
            return []
        row, unit = Var("r"), Var("l")
        nobody = Assign(Ref(kept.name, (unit, row)), ZERO)
        inside = Loop(unit.name, last, width, (nobody,), "copy")
        return [Loop(row.name, 0, steps, (inside,), "copy")]

    def lines(self, total: Total, terms: Packed) -> tuple[str, list[Statement], Statement]:
        """Where sums are in lines, what takes them there, and what takes them back."""
        of, i = self.arrays[total.target.array], Var("i")
        name = f"{of.name}_by_page_{terms.name}"
        self.arrays[name] = Array(name, (len(terms.within),), "work", meaning=f"{of.name}, by page")
        here, there = (Lookup(terms.table(what), i) for what in ("place", "weight"))
        line, sum_ = Ref(name, (here,)), Ref(of.name, (there,))
        take, back = (Loop(i.name, 0, len(terms.place), (s,), "copy")
                      for s in (copy(line, sum_), copy(sum_, line)))  # fmt: skip
        taken = folded((take, back), {}, self.tables)
        return name, [clear(name, (len(terms.within),)), taken[0]], taken[1]

    def summed(
        self, total: Total, terms: Packed, pages: Pages, paged: str, lines: str
    ) -> Statement:
        """The sums, a group of units, a page and a few lines at a time."""
        group, unit, page, line = Var("group"), Var("l"), Var("page"), Var("line")
        made = Ref(TOTAL)
        self.arrays[TOTAL] = Array(TOTAL, (), "scalar")
        at = plus(times(line, self.group), unit)
        of_page = plus(times(page, self.steps(total)), total.kept.index[1])
        within = Lookup(terms.table("within"), at)
        neighbour = plus(times(group, self.group), unit, total.units.start)
        parts = {
            total.kept: Ref(total.kept.array, (neighbour, total.kept.index[1])),
            total.heard: Ref(paged, (plus(times(of_page, self.size), within),)),
        }
        term = total.term
        reads = tuple((v, parts[r]) for v, r in term.reads if isinstance(r, Ref))
        sweep = replace(total.sweep, body=(Assign(made, term.expr, reads, True),), turns="")
        here, first = Ref(lines, (at,)), plus(times(group, pages.count), page)
        begin, end = (Lookup(terms.table("first"), i) for i in (first, plus(first, 1)))
        one = Loop(line.name, begin, end, (copy(made, here), sweep, copy(here, made)), "blocks")
        some = tuple(several(one, self.arrays, self.side))
        inside = Loop(unit.name, 0, self.group, some, "columns")
        groups = Loop(group.name, 0, terms.groups, (inside,), "blocks")
        whole = Loop(page.name, 0, pages.count, (groups,), "blocks")
        (read,) = read_once((whole,), self.arrays, HERE)
        return read


@dataclass(frozen=True)
class Copy:
    """A loop that copies rows of an array, each number of a row to a row of its own."""

    name: str
    loop: Loop
    row: str
    column: str
    source: Ref


def _copies(body: tuple[Statement, ...]) -> Iterator[Copy]:
    """Those in a body."""
    for rows in body:
        if not isinstance(rows, Loop) or rows.role != "copy" or len(rows.body) != 1:
            continue
        (columns,) = rows.body
        if not isinstance(columns, Loop) or len(columns.body) != 1:
            continue
        (put,) = columns.body
        if isinstance(put, Assign) and put.target.index == (Var(columns.var), Var(rows.var)):
            ((_, source),) = put.reads
            if isinstance(source, Ref) and put == copy(put.target, source):
                yield Copy(put.target.array, rows, rows.var, columns.var, source)


def _copied(r: Ref, copies: Mapping[str, Copy]) -> Ref:
    """Where an element is copied from, if it is."""
    if (made := copies.get(r.array)) is None:
        return r
    column, row = r.index
    at = {made.column: column, made.row: row}

    def change(part: Index) -> Index | None:
        return at.get(part.name) if isinstance(part, Var) else None

    return Ref(made.source.array, tuple(simplified(rebuilt(i, change)) for i in made.source.index))


def _is_kept(r: Ref, arrays: Arrays, units: Loop) -> bool:
    """Whether an element is what a unit keeps for the steps of a stretch."""
    a = arrays[r.array]
    return a.role == "work" and len(r.index) == 2 and r.index[0] == Var(units.var) and not any(
        mentions(r.index[1], loop.var) for loop in (units, *units.body) if isinstance(loop, Loop)
    )  # fmt: skip
