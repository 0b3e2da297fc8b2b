"""A Program as statements that are done as one, the loops around them, and what each touches.

For who wants to know which statements may be done in another order, or by another thread: an
element belongs to the turns of a loop that write or read it, and of two places of an array each
axis may say that they differ.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np

from derive.program.ir import (
    Assign,
    Index,
    Loop,
    Modulo,
    Plus,
    Program,
    Ref,
    Statement,
    Times,
    Var,
    affine,
    assigned,
    lots,
    needed,
    offset,
    parts,
    plus,
    rebuilt,
    references,
    substituted,
    times,
    touched,
)
from derive.program.passes.turns import turns_of, values, values_at


@dataclass(frozen=True, eq=False)
class Span:
    """For runs of places of an axis the least and the greatest turn that has to do with them.

    Where none has to, the least is above the greatest.
    """

    starts: Any
    least: Any
    most: Any

    @classmethod
    def of(cls, least: Any, most: Any) -> Span:
        """Given for each place."""
        least, most = np.append(least, NONE), np.append(most, -1)
        starts = _runs(least, most)
        return cls(starts, least[starts], most[starts])

    def in_parts(self, part_of: Any) -> Span:
        """The same by parts of turns, given that of each turn."""
        there = self.least <= self.most
        least = np.where(there, part_of[np.where(there, self.least, 0)], self.least)
        most = np.where(there, part_of[np.where(there, self.most, 0)], self.most)
        kept = _runs(least, most)
        return Span(self.starts[kept], least[kept], most[kept])

    def all_by(self, first: int, last: int) -> Span:
        """The same places, of some turns."""
        there = self.least <= self.most
        return Span(
            self.starts, np.where(there, first, self.least), np.where(there, last, self.most)
        )

    def apart(self, other: Span) -> bool:
        """Whether each place that both have to do with is of one and the same turn."""
        return _spans_apart(self, other)


def _runs(least: Any, most: Any) -> Any:
    """Where neighbours begin to differ from those before."""
    new = np.flatnonzero((np.diff(least) != 0) | (np.diff(most) != 0)) + 1
    return np.concatenate([[0], new])


@lru_cache(maxsize=2**14)
def _spans_apart(a: Span, b: Span) -> bool:
    if a is b:
        return bool(np.all(a.least >= a.most))
    at: Any = [slice(None), slice(None)]
    if not np.array_equal(a.starts, b.starts):
        starts = np.union1d(a.starts, b.starts)
        at = [np.searchsorted(s.starts, starts, "right") - 1 for s in (a, b)]
    least, most = [a.least[at[0]], b.least[at[1]]], [a.most[at[0]], b.most[at[1]]]
    both = (least[0] <= most[0]) & (least[1] <= most[1])
    alike = (least[0] == most[0]) & (least[1] == most[1]) & (least[0] == least[1])
    return bool(np.all(alike | ~both))


NONE = 2**31 - 1
"""More than any turn."""


@dataclass(frozen=True)
class Along:
    """A place on an axis that is not known, but how counters and sizes move it; in a ring of some
    places, or in none."""

    moves: tuple[tuple[str, int], ...]
    at: int
    ring: int = 0

    def apart(self, other: Along) -> bool:
        """Whether two are never the same place."""
        if (self.moves, self.ring) != (other.moves, other.ring):
            return False
        between = self.at - other.at
        return bool(between % self.ring if self.ring else between)

    def seen_from_next(self, loop: Loop) -> Along:
        """The place that it was a turn of the loop before, by the counter of this one."""
        step = dict(self.moves).get(loop.var, 0)
        return replace(self, at=self.at + (step if loop.backward else -step))


Place = Span | Along | None


@dataclass(frozen=True, eq=False)
class Access:
    """An array, whether it is written to, and where, axis by axis; perhaps in one turn alone."""

    array: str
    writes: bool
    places: tuple[Place, ...]
    turn: int | None = None

    def clashes(self, other: Access) -> bool:
        """Whether two may have to do with one element in different turns, and one writes it."""
        if self.array != other.array or not (self.writes or other.writes):
            return False
        if self.turn is not None and self.turn == other.turn:
            return False
        return not any(_apart(p, q) for p, q in zip(self.places, other.places, strict=True))


def _apart(p: Place, q: Place) -> bool:
    if isinstance(p, Span) and isinstance(q, Span):
        return p.apart(q)
    return isinstance(p, Along) and isinstance(q, Along) and p.apart(q)


@dataclass(eq=False)
class Leaf:
    """Statements that are done as one.

    Attributes
    ----------
    turns : int
        Of their loop, if it can be divided: then nothing that one turn writes has another to do
        with. Else 0.
    local : bool
        Whether they set local variables only.
    accesses : tuple of Access
        By the turns of that loop; all by the only turn where it is not divided.
    work : float
        Assignments that are done.
    own : frozenset of str
        Scratch that each turn of the loop fills anew, and nothing else touches.
    """

    body: tuple[Statement, ...]
    turns: int = 0
    local: bool = False
    accesses: tuple[Access, ...] = ()
    work: float = 0.0
    own: frozenset[str] = frozenset()


@dataclass(eq=False)
class Around:
    """A loop, and what is in it."""

    loop: Loop
    nodes: list[Node]


Node = Leaf | Around


def leaves(
    nodes: list[Node], loops: tuple[Loop, ...] = ()
) -> Iterator[tuple[Leaf, tuple[Loop, ...]]]:
    """All leaves in order, with the loops around each."""
    for node in nodes:
        if isinstance(node, Leaf):
            yield node, loops
        else:
            yield from leaves(node.nodes, (*loops, node.loop))


def nodes_of(program: Program, runs: bool = False) -> list[Node]:
    """A Program's body, with loops that can be divided as leaves, from the outside in.

    Loops that compilers would do several turns of at once are divided in ``runs`` of turns, if
    that is said: then each turn is done in the same way wherever a part begins.
    """
    return _Nodes(program, runs).nodes(program.body)


def _for_loops(body: tuple[Statement, ...]) -> set[str]:
    """Local variables that are set by assignments of their own, and read by loops alone."""
    found: set[str] = set()
    others: set[str] = set()
    for s in body:
        if isinstance(s, Loop):
            others |= {t.target.array for t, _ in assigned((s,))}
        elif isinstance(s, Assign):
            others |= {r.array for _, r in s.reads if isinstance(r, Ref)}
            (others if s.accumulate else found).add(s.target.array)
    return found - others


def straight(index: Index) -> Index:
    """An index without the turn there and back that :func:`there_and_back` gives it."""
    return rebuilt(index, lambda p: 0 if _turn(p) is not None else None)


def there_and_back(counter: Var, time: str, first_and_last: Index) -> Index:
    """A counter that runs from the other end in every other step; given the sum of both ends."""
    return plus(counter, times(Modulo(Var(time), 2), plus(times(counter, -2), first_and_last)))


def turned_between(index: Index, var: str, first_and_last: Index) -> Index:
    """An index whose counter turns back at other ends than before."""

    def change(part: Index) -> Index | None:
        if _turn(part) != var:
            return None
        assert isinstance(part, Times)
        return Times(part.left, plus(times(Var(var), -2), first_and_last))

    return rebuilt(index, change)


def _turn(part: Index) -> str | None:
    """The counter that a part of an index turns back, if it does."""
    match part:
        case Times(Modulo(Var(), 2), Plus(Times(Var(name), -2), _)):
            return name
    return None


RUN = 16
"""Turns of a loop that are done as one: of any processor's vectors a whole number."""

FEW = 8
"""Turns of a loop of which one more or less for one thread matters."""

UNEVEN = (1, 3)
"""Turns of a loop that two threads cannot share fairly, so that one inside is divided instead."""


def _may_be_done_in_two_ways(loop: Loop) -> bool:
    """Whether a turn's numbers may depend on whether the next are computed in the same vector.

    Of a sum of products a compiler may round any but one to begin with, and choose another one in
    vectors. A product that is added to what is there leaves no choice.
    """
    if any(isinstance(s, Loop) for s in loop.body):
        return False
    return any(
        isinstance(s, Assign)
        and not (s.expr.is_Symbol or s.expr.is_number or (s.accumulate and s.expr.is_Mul))
        for s in loop.body
    )


@dataclass
class _Nodes:
    program: Program
    runs: bool = False
    shared: set[str] = field(init=False)
    scalars: set[str] = field(init=False)
    users: Counter[str] = field(init=False)
    known: dict[Any, _Where] = field(default_factory=dict)

    def __post_init__(self) -> None:
        arrays = self.program.arrays
        written = {s.target.array for s, _ in assigned(self.program.body)}
        self.shared = {n for n in written if arrays[n].role not in ("scalar", "const")}
        self.scalars = {n for n, a in arrays.items() if a.role == "scalar"}
        self.users = Counter(r.array for s, _ in assigned(self.program.body) for r in references(s))

    def nodes(self, body: tuple[Statement, ...], outside: tuple[Loop, ...] = ()) -> list[Node]:
        """The nodes of some statements; ``outside`` are loops around them with known turns."""
        # What is set once for loops that only read it anyone may set.
        kept = self.scalars - _for_loops(body)
        found = lots(body, lambda s: needed((s,), set()) & kept)
        return [n for lot in found for n in self._nodes_of_lot(lot, outside)]

    def _nodes_of_lot(
        self, lot: tuple[Statement, ...], outside: tuple[Loop, ...]
    ) -> Sequence[Node]:
        (first, *others) = lot
        if others or not isinstance(first, Loop):
            return [self._leaf(lot, None, outside)]
        divided = self._divided(first, outside) or self._but_for_the_last(first, outside)
        if divided and self.runs and _may_be_done_in_two_ways(first):
            return self._in_runs(first, outside)
        if divided and divided[0].turns not in UNEVEN:
            return divided
        inside = self.nodes(first.body, (*outside, first) if _turns(first) else outside)
        if any(leaf.turns for leaf, _ in leaves(inside)) and not self._hands_on(inside):
            return [Around(first, inside)]
        return divided or [self._leaf(lot, None, outside)]

    def _hands_on(self, nodes: list[Node]) -> bool:
        """Whether a leaf needs a local variable that is set outside of it."""
        found = [leaf for leaf, _ in leaves(nodes)]
        inside = {n for leaf in found if not leaf.local for n in self._set_in(leaf.body)}
        return any(needed(leaf.body, set()) & inside for leaf in found)

    def _set_in(self, body: tuple[Statement, ...]) -> set[str]:
        return {s.target.array for s, _ in assigned(body)} & self.scalars

    def _leaf(
        self, lot: tuple[Statement, ...], divided: Loop | None, outside: tuple[Loop, ...]
    ) -> Leaf:
        found: dict[Any, list[tuple[_Where, ...]]] = {}
        work = 0.0
        local = True
        for s, loops in assigned(lot):
            work += self._work((*outside, *loops))
            local &= s.target.array not in self.shared
            for at, r in enumerate(references(s)):
                if r.array in self.shared:
                    where = tuple(self._where(i, (*outside, *loops), divided) for i in r.index)
                    along = tuple(w for w in where if not isinstance(w, _Turns))
                    found.setdefault((r.array, at == 0, along), []).append(where)
        accesses = tuple(
            Access(name, writes, tuple(map(_together, zip(*all_, strict=True))))
            for (name, writes, _), all_ in found.items()
        )
        turns = 0 if divided is None else _turns(divided)
        return Leaf(lot, turns, local, accesses, work)

    def _work(self, loops: tuple[Loop, ...]) -> float:
        """How often an assignment is done, so far as that is known."""
        found = 1
        for i, loop in enumerate(loops):
            if isinstance(loop.start, int) and isinstance(loop.stop, int):
                found *= max(0, loop.stop - loop.start)
            elif (turns := turns_of(self.program.tables, loops[: i + 1])) is not None:
                found = turns[1]
        return float(found)

    def _divided(
        self, loop: Loop, outside: tuple[Loop, ...], whole: Loop | None = None
    ) -> list[Leaf]:
        """A loop as a leaf, if no turn of it has to do with what another writes; or none.

        It may be part of a ``whole`` loop, which alone uses some scratch.
        """
        columns = loop.role == "columns" and any(isinstance(s, Loop) for s in loop.body)
        if _turns(loop) < 2 or loop.role == "time" or columns:
            return []
        if needed(loop.body, set()) & self._set_in(loop.body):
            return []
        leaf = self._leaf((loop,), loop, outside)
        clashing = {
            a.array for a in leaf.accesses for b in leaf.accesses if a.writes and a.clashes(b)
        }
        if not all(self._fills_anew(whole or loop, name) for name in clashing):
            return []
        found = _with_own(leaf, clashing)
        return [found] if any(a.writes for a in found.accesses) else []

    def _in_runs(self, loop: Loop, outside: tuple[Loop, ...]) -> Sequence[Node]:
        """A loop as runs of :data:`RUN` turns, and the turns left over, which are not divided."""
        assert isinstance(loop.start, int) and isinstance(loop.stop, int)
        count, rest = divmod(loop.stop - loop.start, RUN)
        found: list[Node] = []
        if count > 1:
            run = Var(f"{loop.var}_run")
            at = plus(times(run, RUN), loop.start, Var(loop.var))
            inner = replace(
                loop, start=0, stop=RUN, body=substituted(loop.body, {loop.var: at}), span=None
            )
            found += self._divided(Loop(run.name, 0, count, (inner,), "blocks"), outside)
        if rest or not found:
            left = replace(loop, start=loop.stop - rest) if found else loop
            found.append(self._leaf((left,), None, outside))
        return found

    def _but_for_the_last(self, loop: Loop, outside: tuple[Loop, ...]) -> list[Leaf]:
        """The same for all turns but the last, which may do again what the one before did."""
        if loop.role != "blocks" or _turns(loop) <= FEW or loop.backward:
            return []
        assert isinstance(loop.stop, int)
        before, last = replace(loop, stop=loop.stop - 1), replace(loop, start=loop.stop - 1)
        found = self._divided(before, outside, loop)
        if not found:
            return []
        return [*found, _with_own(self._leaf((last,), None, outside), set(found[0].own))]

    def _fills_anew(self, loop: Loop, name: str) -> bool:
        """Whether only this loop touches some scratch, which each turn fills before it reads it."""
        a = self.program.arrays[name]
        size = math.prod(n if isinstance(n, int) else 0 for n in a.shape)
        if a.role != "work" or self.users[name] != _uses(name, loop.body) or not size:
            return False
        filled = np.zeros(size, bool)
        for statement in loop.body:
            for s, loops in assigned((statement,)):
                if name not in touched((s,)):
                    continue
                reads = any(isinstance(r, Ref) and r.array == name for _, r in s.reads)
                if s.accumulate or reads:
                    return bool(filled.all())
                at = values_at(self.program.tables, loops, offset(a, s.target.index))
                if at is None:
                    return bool(filled.all())
                filled[at] = True
        return bool(filled.all())

    def _where(self, index: Index, loops: tuple[Loop, ...], divided: Loop | None) -> _Where:
        """Where on an axis, by the turns of one of the loops if that is to be divided."""
        index = straight(index)
        names = _counters(index)
        around: list[Loop] = []
        for loop in reversed(loops):
            if loop.var in names:
                around.insert(0, loop)
                names |= _counters(loop.start) | _counters(loop.stop)
        both = (*around, *([divided] if divided else []))
        key = (index, *((s.var, s.start, s.stop) for s in both), divided is None)
        if key not in self.known:
            self.known[key] = self._found(index, around, divided)
        return self.known[key]

    def _found(self, index: Index, around: list[Loop], divided: Loop | None) -> _Where:
        turns = turns_of(self.program.tables, tuple(around))
        at = values(self.program.tables, index, *turns) if turns is not None else None
        if turns is None or at is None:
            return _along(index) if not around else None
        at = at.astype(np.int32)
        if divided is None or divided not in around:
            at = np.unique(at)
            return _Turns(at, np.zeros_like(at), 0 if divided is None else _turns(divided) - 1)
        assert isinstance(divided.start, int)
        return _Turns(at, (turns[0][divided.var] - divided.start).astype(np.int32))


@dataclass(frozen=True, eq=False)
class _Turns:
    """Places of an axis, which turn has to do with each, and how many after it have too."""

    at: Any
    turn: Any
    more: int = 0


_Where = _Turns | Along | None


def _together(all_: tuple[_Where, ...]) -> Place:
    """Where several accesses are that move alike."""
    found = [w for w in dict.fromkeys(all_) if isinstance(w, _Turns)]
    if not found:
        first = all_[0]
        assert not isinstance(first, _Turns)
        return first
    end = max(int(w.at.max(initial=-1)) for w in found) + 1
    least, most = np.full(end, NONE, np.int32), np.full(end, -1, np.int32)
    for w in found:
        np.minimum.at(least, w.at, w.turn)
        np.maximum.at(most, w.at, w.turn + np.int32(w.more))
    return Span.of(least, most)


def _with_own(leaf: Leaf, names: set[str]) -> Leaf:
    others = tuple(a for a in leaf.accesses if a.array not in names)
    return replace(leaf, accesses=others, own=frozenset(names))


def _uses(name: str, body: tuple[Statement, ...]) -> int:
    return sum(r.array == name for s, _ in assigned(body) for r in references(s))


def _along(index: Index) -> Along | None:
    """A place by what moves it."""
    inside, ring = (index.left, index.size) if isinstance(index, Modulo) else (index, 0)
    form = affine(inside)
    return None if form is None else Along(tuple(sorted(form[0].items())), form[1], ring)


def _counters(index: Index) -> set[str]:
    return {p.name for p in parts(index) if isinstance(p, Var)}


def _turns(loop: Loop) -> int:
    """How many turns a loop has; 0 where that is not known."""
    known = isinstance(loop.start, int) and isinstance(loop.stop, int)
    return max(0, loop.stop - loop.start) if known else 0  # type: ignore[operator]
