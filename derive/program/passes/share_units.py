"""Let several threads do one Program together: each the units that are its own.

``for k in 0…512: z[t, k] = f(s[k])`` does nothing for one unit that it does for another, so any
thread may do any part of it. A loop is divided where nothing that one turn writes has another turn
to do with; what cannot be divided one thread does. Threads meet where one would read what another
writes, or write what another reads.

Units stand in *grains*, and a thread has some neighbouring ones. So loops of different lengths over
the same units are divided alike, and threads need not meet between them. No sum is divided, so
every bit is the same for any number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import (
    THREAD,
    THREADS,
    Index,
    Loop,
    Meet,
    Program,
    Ref,
    Statement,
    Var,
    all_placed,
    mapped,
    parts,
    plus,
    quotient,
    times,
    walk,
)
from derive.program.passes.leaves import (
    Access,
    Along,
    Around,
    Leaf,
    Node,
    Place,
    Span,
    leaves,
    nodes_of,
    turned_between,
)

FIRST, END = "first_grain", "end_of_grains"
"""The grains of a thread, from the first to before the last."""

ONE = "by_one_thread"
"""The counter of what one thread does."""

GRAINS = (16, 8, 4, 2)
"""Parts that a net may have; at most as many threads work."""

WORK = 2**13
"""Vectors computed in a step from which on it pays: threads meet in each, some times."""

CALL = 2**17
"""The same where every call is a step: a thread is there after some tens of microseconds."""

MEETING = 2**9
"""The same for each meeting in it: threads are there at different times, and look for each other
for as long as some hundred vectors take."""

ALONE = 0.1
"""Of these the part that one thread may do alone at most."""

ALIKE = 1.05
"""Two costs whose ratio is smaller are taken as equal."""


def share_units(
    program: Program, each: float = 1, always: bool = False, grains: Sequence[int] = GRAINS
) -> Program:
    """The program for several threads at once, if a step has work for them; else as it was.

    It has two more sizes, which of how many threads does it; with one it is what it was. A number
    is so many vectors, or such a part of one, in ``each`` of its places. What can be divided is
    ``always``, if that is said, whether it pays or not.
    """
    nodes = nodes_of(program, each < 1)
    in_time = any(s.role == "time" for _, loops in leaves(nodes) for s in loops)
    divided, alone = _work(nodes, in_time)
    least = WORK if in_time else CALL
    if not divided or (not always and (divided * each < least or alone > ALONE * divided)):
        return program
    plans = [_Plan(nodes, count) for count in sorted({grains[0], _alike(nodes, grains)})]
    lowest = min(plan.cost for plan in plans)
    best = max((p for p in plans if p.cost <= ALIKE * lowest), key=lambda plan: plan.grains)
    if not always and best.meetings * MEETING > divided * each:
        return program
    derived = {
        **program.derived,
        FIRST: quotient(times(Var(THREAD), best.grains), Var(THREADS)),
        END: quotient(times(plus(Var(THREAD), 1), best.grains), Var(THREADS)),
    }
    own = {name for leaf, _ in leaves(nodes) for name in leaf.own}
    arrays = {
        n: replace(a, shape=(best.grains, *a.shape)) if n in own else a
        for n, a in program.arrays.items()
    }
    return replace(
        program,
        body=tuple(best.statements(nodes)),
        arrays=arrays,
        sizes=(*program.sizes, THREAD, THREADS),
        derived=derived,
        grains=best.grains,
    )


def undivided(loop: Loop) -> Loop:
    """A loop as it was before it was divided."""
    if loop.span is not None and Var(FIRST) in parts(loop.start):
        return replace(loop, start=loop.span[0], stop=loop.span[1], span=None)
    return loop


def _work(nodes: list[Node], in_time: bool) -> tuple[float, float]:
    """Numbers computed in a step by what is divided, and by one thread alone.

    All is one step where nothing is ``in_time``.
    """
    divided = alone = 0.0
    for leaf, loops in leaves(nodes):
        inmost = next((s for s in reversed(loops) if s.role == "time"), None)
        within = inmost is not None and not _goes_through_time(inmost.body)
        if within or not in_time:
            divided += leaf.work * (leaf.turns > 0)
            alone += leaf.work * (leaf.turns == 0)
    return divided, alone


def _goes_through_time(body: tuple[Statement, ...]) -> bool:
    """Whether there are steps with loops in them, rather than sums over steps."""
    loops = [s for s in walk(body) if isinstance(s, Loop) and s.role == "time"]
    return any(isinstance(s, Loop) for loop in loops for s in loop.body)


def _with_own(s: Statement, names: frozenset[str]) -> Statement:
    """A statement in which each thread has scratch of its own."""

    def place(r: Ref) -> Ref:
        return Ref(r.array, (Var(THREAD), *r.index)) if r.array in names else r

    return all_placed((s,), place)[0] if names else s


def _alike(nodes: list[Node], grains: Sequence[int]) -> int:
    """The most grains that divide all long loops without a rest, or else the most."""
    work = max(leaf.work for leaf, _ in leaves(nodes) if leaf.turns)
    turns = [leaf.turns for leaf, _ in leaves(nodes) if leaf.turns and LONG * leaf.work >= work]
    return next((count for count in grains if not any(n % count for n in turns)), grains[0])


LONG = 20
"""A loop is, if it does at least this part of what the longest does."""


_Open = dict[tuple[Leaf, int, int, tuple[Along, ...]], Access]
"""What was done since threads last met: by whom, its access of which number, how many turns ago and
where."""

LONG_AGO = 3
"""Turns of a loop from which on it does not matter how many there were."""


class _Plan:
    """Who does what, for some number of grains.

    Attributes
    ----------
    at_end : set of Leaf
        What the thread with the last grains does alone, rather than that with the first.
    meets : dict of Node to tuple of Loop
        Before which threads meet, and the loops around it.
    """

    def __init__(self, nodes: list[Node], grains: int) -> None:
        self.grains = grains
        self.at_end: set[Leaf] = set()
        self.meets: dict[Node, tuple[Loop, ...]] = {}
        self.accesses = {leaf: self._by_grain(leaf, 0) for leaf, _ in leaves(nodes)}
        self._give_to_the_nearest()
        before = -1
        while before < len(self.meets):
            before = len(self.meets)
            self._meet(nodes, {}, ())

    @property
    def cost(self) -> float:
        """How often threads meet, more or less."""
        return sum(100.0 ** len(loops) for loops in self.meets.values())

    @property
    def meetings(self) -> float:
        """How often they do in a step, all ways over time together."""
        found = 0.0
        for loops in self.meets.values():
            last = max((i for i, s in enumerate(loops) if s.role == "time"), default=len(loops))
            inside = [s.bounds or (0, 1) for s in loops[last + 1 :]]
            found += math.prod(stop - start for start, stop in inside) * (last < len(loops))
        return found

    def _by_grain(self, leaf: Leaf, alone: int) -> tuple[Access, ...]:
        """What each grain has to do with; all of it one of them, if that is not divided."""
        part_of = _grain_of(leaf.turns, self.grains)

        def place(p: Place) -> Place:
            if not isinstance(p, Span):
                return p
            if leaf.turns:
                return p.in_parts(part_of)
            return p.all_by(*((0, self.grains - 1) if leaf.local else (alone, alone)))

        turn = None if leaf.turns or leaf.local else alone
        return tuple(
            replace(a, places=tuple(map(place, a.places)), turn=turn) for a in leaf.accesses
        )

    def _give_to_the_nearest(self) -> None:
        """What is not divided is done by the thread whose elements it is about, if one of two."""
        divided = [a for leaf, all_ in self.accesses.items() if leaf.turns for a in all_]
        for leaf in self.accesses:
            if leaf.turns or leaf.local:
                continue
            first, last = (self._by_grain(leaf, at) for at in (0, self.grains - 1))
            clashes = [sum(a.clashes(b) for a in mine for b in divided) for mine in (first, last)]
            if clashes[1] < clashes[0]:
                self.at_end.add(leaf)
                self.accesses[leaf] = last

    def _meet(self, nodes: list[Node], open_: _Open, around: tuple[Loop, ...]) -> _Open:
        """Find where threads have to meet, given what may have happened since they last met."""
        for node in nodes:
            if isinstance(node, Leaf):
                mine = self.accesses[node]
                if node in self.meets or self._clash(mine, open_):
                    self.meets[node] = around
                    open_ = {}
                open_ = open_ | {(node, i, 0, _along(a)): a for i, a in enumerate(mine)}
                continue
            if node in self.meets or self._better_before(node, open_, around):
                self.meets[node] = around
                open_ = {}
            before = _without(open_, node.loop)
            inside, again, found = before, None, -1
            while again is None or found < len(self.meets) or again.keys() != inside.keys():
                inside, found = before if again is None else again, len(self.meets)
                after = self._meet(node.nodes, inside, (*around, node.loop))
                again = before | _a_turn_before(after, node.loop)
            open_ = before | _without(after, node.loop)
        return open_

    def _clash(self, mine: tuple[Access, ...], open_: _Open) -> bool:
        by_array: dict[str, list[Access]] = {}
        for a in mine:
            by_array.setdefault(a.array, []).append(a)
        written = {a.array for a in mine if a.writes}
        return any(
            a.clashes(b)
            for b in open_.values()
            if b.array in written or (b.writes and b.array in by_array)
            for a in by_array[b.array]
        )

    def _better_before(self, node: Around, open_: _Open, around: tuple[Loop, ...]) -> bool:
        """Whether it saves a meeting in every turn of a loop if there is one before."""
        before = _without(open_, node.loop)
        if not any(self._clash(self.accesses[leaf], before) for leaf, _ in leaves([node])):
            return False
        kept, costs = dict(self.meets), []
        for start in ({}, open_):
            self._meet(node.nodes, _without(start, node.loop), (*around, node.loop))
            costs.append(self.cost)
            self.meets = dict(kept)
        return costs[0] < costs[1]

    def statements(self, nodes: list[Node]) -> Iterator[Statement]:
        """The Program's body for one of the threads."""
        for node in nodes:
            if node in self.meets:
                yield Meet()
            if not isinstance(node, Leaf):
                yield replace(node.loop, body=tuple(self.statements(node.nodes)))
                continue
            if node.turns:
                (loop,) = node.body
                assert isinstance(loop, Loop)
                yield _with_own(self._divided(loop, node.turns), node.own)
            elif node.local:
                yield from node.body
            else:
                found = tuple(_with_own(s, node.own) for s in node.body)
                start, stop = plus(Var(THREADS), -1), plus(Var(THREAD), 1)
                if node not in self.at_end:
                    start, stop = Var(THREAD), 1
                yield Loop(ONE, start, stop, found, "blocks", span=(0, 1))

    def _divided(self, loop: Loop, turns: int) -> Loop:
        assert isinstance(loop.start, int) and isinstance(loop.stop, int)
        start, stop = (plus(loop.start, self._turn(Var(name), turns)) for name in (FIRST, END))
        ends = plus(start, stop, -1)
        body = mapped(loop.body, lambda i: turned_between(i, loop.var, ends))
        return replace(loop, start=start, stop=stop, body=body, span=(loop.start, loop.stop))

    def _turn(self, grain: Index, turns: int) -> Index:
        """The first turn of a grain."""
        if turns % self.grains == 0:
            return times(grain, turns // self.grains)
        return quotient(times(grain, turns), self.grains)


def _grain_of(turns: int, grains: int) -> Any:
    """The grain of each turn."""
    starts = np.arange(grains) * turns // grains
    return np.searchsorted(starts, np.arange(turns), "right") - 1


def _along(a: Access) -> tuple[Along, ...]:
    return tuple(p for p in a.places if isinstance(p, Along))


def _a_turn_before(open_: _Open, loop: Loop) -> _Open:
    """What was done in a turn of a loop, by the counter of the next."""
    found: _Open = {}
    for (leaf, number, ago, along), a in open_.items():
        if along and ago + 1 == LONG_AGO:
            a = _without_counter(a, loop)
        elif along and ago + 1 < LONG_AGO:
            moved = (p.seen_from_next(loop) if isinstance(p, Along) else p for p in a.places)
            a = replace(a, places=tuple(moved))
        found[leaf, number, min(ago + 1, LONG_AGO), _along(a) if along else ()] = a
    return found


def _without(open_: _Open, loop: Loop) -> _Open:
    """What was done when a loop's counter was another."""
    found: _Open = {}
    for (leaf, number, ago, along), a in open_.items():
        a = _without_counter(a, loop) if along else a
        found[leaf, number, ago, _along(a) if along else ()] = a
    return found


def _without_counter(a: Access, loop: Loop) -> Access:
    places = (None if isinstance(p, Along) and loop.var in dict(p.moves) else p for p in a.places)
    return replace(a, places=tuple(places))
