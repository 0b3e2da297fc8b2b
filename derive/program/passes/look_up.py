"""Take the sums of a sparse net for many units at once, their signals looked up in registers.

``for k: for c of k: s += w[c]*z[source[c]]`` waits for two loads a product. Signals are laid out
in pages, and a vector of units takes from a page what each of them hears there by one
instruction. A unit that has fewer terms of a page than others beside it multiplies the page's
zero by minus zero, and its sum keeps every bit. Terms come a page at a time, which may be another
order than before.

Weights are copied into that order once a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from derive.calculus.partials import SOURCE
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Least,
    Lookup,
    Loop,
    Most,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    parts,
    plus,
    rebuilt,
    references,
    times,
)
from derive.program.passes.fold_tables import folded
from derive.program.passes.jam import Arrays, elsewhere, independent, mentions, only_adds
from derive.program.passes.pages import Packed, Pages, heard, packed, pages_of, pays
from derive.program.storage import clear, copy

PRODUCT, VECTOR = 1, 2
"""What a product by table, and 64 bytes of products looked up, take, about."""

PAGE, LOOP = 2, 64
"""What laying out a page takes; and its loop, by how many numbers it has."""

FEWEST = 8
"""Steps of a loop over time from which on it pays to copy weights."""

NOTHING = -0.0
"""A weight that changes no sum, not even the sign of a zero, where the signal is zero."""

TOTAL = Ref("sum_by_page")
"""A sum while it is made."""


def look_up(program: Program, size: int, group: int, product: float = PRODUCT) -> Program:
    """The program with sums in loops over time taken by pages, where that is less work.

    Parameters
    ----------
    size : int
        Numbers of a page.
    group : int
        Units whose sums are taken together.
    product : float
        What a product by table takes, where a vector of products takes :data:`VECTOR`.
    """
    arrays, tables = dict(program.arrays), dict(program.tables)
    return _Sums(program, arrays, tables, size, group, product).all()


@dataclass(frozen=True)
class Sum:
    """A sum of each unit, over products of a weight and a signal.

    Attributes
    ----------
    begin : Assign
        What its local variable is at first.
    terms : Loop
    weight, signal : Ref
        What is multiplied.
    """

    begin: Assign
    terms: Loop
    weight: Ref
    signal: Ref

    @property
    def local(self) -> Ref:
        """The local variable that it is made in."""
        return self.begin.target


@dataclass
class _Sums:
    """The work on one program."""

    program: Program
    arrays: Arrays
    tables: dict[str, Any]
    size: int
    group: int
    product: float
    once: list[Statement] = field(default_factory=list)
    """What is done before the loops over time."""

    def all(self) -> Program:
        """The program, changed."""
        body: list[Statement] = []
        for s in self.program.body:
            body += self.body((s,)) if goes_on(s, FEWEST) else (s,)
        if not self.once:
            return self.program
        program = replace(self.program, arrays=self.arrays, tables=self.tables, page=self.size)
        return program.with_body((*folded(tuple(self.once), {}, self.tables), *body))

    def body(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """A part of a loop over time."""
        out: list[Statement] = []
        for s in body:
            if not isinstance(s, Loop):
                out.append(s)
            elif s.role == "units":
                out += self.units(s)
            else:
                out.append(replace(s, body=self.body(s.body)))
        return tuple(out)

    def units(self, loop: Loop) -> list[Statement]:
        """A loop over units with its sums taken by pages, if it has such and that pays."""
        found = _sums(loop, self.arrays)
        if found is None:
            return [loop]
        sums, after = found
        tables = self.program.tables
        terms = [heard(s.signal, s.weight, (loop, s.terms), tables) for s in sums]
        known = [h for h in terms if h is not None]
        if len(known) < len(sums) or len({h.fixed for h in known}) > 1:
            return [loop]
        assert isinstance(loop.start, int) and isinstance(loop.stop, int)
        pages = pages_of(known, self.size)
        by_page = [packed(h, pages, loop.stop - loop.start, self.group) for h in known]
        laying_out = (PAGE + LOOP / self.size) * pages.count
        if not pays(by_page, self.program.itemsize, self.product, VECTOR, laying_out):
            return [loop]
        paged, out = self.laid_out(pages)
        number, totals = plus(Var(loop.var), -loop.start), []
        for s, p in zip(sums, by_page, strict=True):
            total = self.named(f"{s.local.array}_by_page_{p.name}", p.groups * self.group)
            if s.begin.reads:
                begin = replace(s.begin, target=Ref(total, (number,)))
                out.append(replace(loop, body=(begin,)))
            out.append(self.summed(s, p, pages, paged, total))
            totals.append(copy(s.local, Ref(total, (number,))))
        return [*out, replace(loop, body=(*totals, *after))]

    def named(self, name: str, size: int, meaning: str = "") -> str:
        """A place for so many numbers."""
        self.arrays[name] = Array(name, (size,), "work", meaning=meaning)
        return name

    def laid_out(self, pages: Pages) -> tuple[str, list[Statement]]:
        """Where pages are, and the loops that fill them."""
        of, size = self.arrays[pages.fixed.array], pages.count * pages.size
        name = self.named(f"{of.name}_by_page_{pages.name}", size, f"{of.name}, in pages")
        self.once.append(clear(name, (size,)))
        return name, pages.filled(lambda page, i: Ref(name, (plus(times(page, pages.size), i),)))

    def weights(self, weight: Ref, terms: Packed) -> str:
        """Where weights are, copied once a call."""
        name, of, i = f"{weight.array}_by_page_{terms.name}", self.arrays[weight.array], Var("i")
        if name in self.arrays:
            return name
        self.named(name, len(terms.within), f"{of.meaning}, by page")
        to, read = (Lookup(terms.table(what), i) for what in ("place", "weight"))
        put = copy(Ref(name, (to,)), Ref(of.name, (read,)))
        nothing = Assign(Ref(name, (i,)), SOURCE, ((SOURCE, NOTHING),))
        self.once += [
            Loop(i.name, 0, len(terms.within), (nothing,), "copy"),
            Loop(i.name, 0, len(terms.place), (put,), "copy"),
        ]
        return name

    def summed(self, s: Sum, terms: Packed, pages: Pages, paged: str, total: str) -> Loop:
        """The sums, a group of units at a time."""
        self.tables |= terms.tables()
        self.arrays[TOTAL.array] = Array(TOTAL.array, (), "scalar")
        group, unit, page, line = Var("group"), Var("l"), Var("page"), Var("line")
        here = Ref(total, (plus(times(group, self.group), unit),))
        at = plus(times(line, self.group), unit)
        (term,) = s.terms.body
        assert isinstance(term, Assign)
        places = {
            s.weight: Ref(self.weights(s.weight, terms), (at,)),
            s.signal: Ref(
                paged, (plus(times(page, self.size), Lookup(terms.table("within"), at)),)
            ),
        }
        reads = tuple((v, places[r]) for v, r in term.reads if isinstance(r, Ref))
        first = plus(times(group, pages.count), page)
        lines = Loop(
            line.name, Lookup(terms.table("first"), first),
            Lookup(terms.table("first"), plus(first, 1)),
            (Assign(TOTAL, term.expr, reads, True),), "connections",
        )  # fmt: skip
        begin = copy(TOTAL, here) if s.begin.reads else replace(s.begin, target=TOTAL)
        columns = (begin, Loop(page.name, 0, pages.count, (lines,), "blocks"), copy(here, TOTAL))
        inside = Loop(unit.name, 0, self.group, columns, "columns")
        return Loop(group.name, 0, terms.groups, (inside,), "blocks")


def goes_on(s: Statement, fewest: int) -> bool:
    """Whether a statement is a loop over so many steps at least, for all that is known."""
    if not isinstance(s, Loop) or s.role != "time":
        return False
    known = [
        between[1]
        for start in _ends(s.start, Most)
        for stop in _ends(s.stop, Least)
        if (between := affine(plus(stop, times(start, -1)))) and not any(between[0].values())
    ]
    return min(known, default=fewest) >= fewest


def _ends(index: Index, kind: type[Least] | type[Most]) -> list[Index]:
    """An index, and what it is at most or at least for one or the other of two numbers in it."""

    def chosen(side: str) -> Index:
        return rebuilt(index, lambda p: getattr(p, side) if isinstance(p, kind) else None)

    return [index, chosen("left"), chosen("right")]


def _sums(loop: Loop, arrays: Arrays) -> tuple[list[Sum], list[Assign]] | None:
    """The sums of a loop over units, and what is done with them; None if it is not that."""
    if not isinstance(loop.start, int) or not isinstance(loop.stop, int):
        return None
    sums: list[Sum] = []
    after: list[Assign] = []
    body = list(loop.body)
    while body:
        s = body.pop(0)
        if not isinstance(s, Assign):
            return None
        if s.target.index:
            after.append(s)
            continue
        following = body.pop(0) if body else None
        made = _sum(s, following, arrays) if isinstance(following, Loop) else None
        read = [r for t in (s, *(made.terms.body if made else ())) if isinstance(t, Assign)
                for r in references(t)]  # fmt: skip
        written = {a.target for a in after}
        if made is None or not all(elsewhere(r, w) for r in read for w in written
                                   if w.array == r.array):  # fmt: skip
            return None
        sums.append(made)
    known = {s.local for s in sums}
    for a in after:
        local = {r for r in references(a) if arrays[r.array].role == "scalar"}
        if a.accumulate or not local <= known:
            return None
    apart = sums and len(known) == len(sums) and independent(loop, arrays)
    return (sums, after) if apart else None


def _sum(begin: Assign, terms: Loop, arrays: Arrays) -> Sum | None:
    """A sum of products of a parameter and a signal that is found by a table."""
    if begin.accumulate or terms.role != "connections" or len(terms.body) != 1:
        return None
    (term,) = terms.body
    if not isinstance(term, Assign) or not only_adds(terms) or term.target != begin.target:
        return None
    found = factors(term)
    if found is None or any(arrays[r.array].wide for r in (term.target, *found)):
        return None
    fixed = [r for r in found if arrays[r.array].role == "in" and not arrays[r.array].batched]
    signals = [r for r in found if r not in fixed and by_table(r, terms.var)]
    if len(fixed) != 1 or len(signals) != 1:
        return None
    return Sum(begin, terms, fixed[0], signals[0])


def factors(term: Assign) -> tuple[Ref, Ref] | None:
    """The two elements whose product an assignment takes, if it is that."""
    found = [r for _, r in term.reads if isinstance(r, Ref)]
    product = term.expr.is_Mul and set(term.expr.args) == {v for v, _ in term.reads}
    if not product or len(term.reads) != 2 or len(found) != 2:
        return None
    return found[0], found[1]


def by_table(r: Ref, var: str) -> bool:
    """Whether a table says where an element is in each turn of a loop."""
    inside = [p for i in r.index for p in parts(i)]
    return any(isinstance(p, Lookup) and mentions(p.at, var) for p in inside)
