"""For one sequence: add a term to the sums of all units at once, instead of unit by unit.

``for k: s = 0; for c: s += w[k, c]*z[c]; all_s[k] = s`` is one long chain of additions a unit, in
an order that must not change. ``for c: for k: all_s[k] += w[k, c]*z[c]`` adds the same terms to
each in the same order, and several neighbouring units fit one vector. Weights that are not
neighbours are copied so that they are, once a call.

Of weights that are more than a near cache holds, those of a block of units stand together and are
read from beginning to end. Blocks are taken in opposite orders at even and odd steps, so that a
step begins with those that the one before it ended with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    parts,
    placed,
    plus,
    rebuilt,
    times,
)
from derive.program.passes.jam import independent, mentions
from derive.program.passes.leaves import there_and_back
from derive.program.storage import copy

FEWEST = 8
"""Units from which on it pays: one vector."""

BLOCK = 64
"""Units in a block: enough that what is set up for each source is little beside its terms."""

FAR = 2**17
"""Bytes of weights from which on they are taken in blocks: more stay in no near cache."""

ROW = 16
"""Rows of copied weights begin at multiples of this: 64 bytes in both types."""


def sum_by_columns(
    program: Program, fewest: int = FEWEST, block: int = BLOCK, far: int = FAR
) -> Program:
    """The program with sums over the same sources for all units taken source by source."""
    beside = _Beside(program, {}, [], fewest, block, far)
    body = tuple(_changed(program.body, program.arrays, beside))
    arrays = {**program.arrays, **{a.name: a for a in beside.made.values()}}
    return replace(program, arrays=arrays).with_body((*beside.copies, *body))


def _changed(
    body: tuple[Statement, ...], arrays: Mapping[str, Array], beside: _Beside, time: str = ""
) -> Iterator[Statement]:
    """``time`` is the counter of the loop over time around."""
    for s in body:
        if not isinstance(s, Loop):
            yield s
        elif (sums := _sums(s, arrays, beside.fewest)) is not None and all(
            beside.possible(r, s, loop) for one in sums for loop in one.loops for r in _read(loop)
        ):
            yield from _in_blocks(s, sums, beside, time)
        else:
            around = s.var if s.role == "time" else time
            yield replace(s, body=tuple(_changed(s.body, arrays, beside, around)))


@dataclass(frozen=True)
class Sum:
    """One sum of each unit: what it begins with, the terms, and where it ends up."""

    first: Assign
    loops: tuple[Loop, ...]
    place: Ref


def _sums(units: Loop, arrays: Mapping[str, Array], fewest: int) -> list[Sum] | None:
    """The sums a loop over units consists of, if of nothing else."""
    if units.role != "units" or not (isinstance(units.start, int) and isinstance(units.stop, int)):
        return None
    if units.stop - units.start < fewest or not independent(units, arrays):
        return None
    first: dict[str, Assign] = {}
    loops: dict[str, list[Loop]] = {}
    place: dict[str, Ref] = {}
    for s in units.body:
        if isinstance(s, Loop):
            targets = {t.target.array for t in s.body if isinstance(t, Assign) and t.accumulate}
            if len(targets) != 1 or len(s.body) != 1 or not targets <= set(first):
                return None
            if any(mentions(i, units.var) for i in (s.start, s.stop)) or s.backward:
                return None
            loops.setdefault(targets.pop(), []).append(s)
        elif isinstance(s, Assign) and not s.accumulate:
            if not s.target.index:
                first[s.target.array] = s
            elif len(s.reads) == 1 and s.expr == s.reads[0][0] and isinstance(s.reads[0][1], Ref):
                place[s.reads[0][1].array] = s.target
            else:
                return None
        else:
            return None
    if not loops or set(first) != set(loops) or set(first) != set(place):
        return None
    plain = all(arrays[r.array].role != "scalar" for of in loops.values() for x in of
                for r in _read(x))  # fmt: skip
    if not plain or any(not stride_one(r, units.var) for r in place.values()):
        return None
    return [Sum(first[name], tuple(loops[name]), place[name]) for name in first]


def _read(loop: Loop) -> Iterator[Ref]:
    for s in loop.body:
        if isinstance(s, Assign):
            yield from (r for _, r in s.reads if isinstance(r, Ref))


def stride_one(r: Ref, var: str) -> bool:
    """Whether what is read for neighbouring units stands side by side."""
    if not r.index or any(mentions(i, var) for i in r.index[:-1]):
        return False
    form = affine(r.index[-1])
    return form is not None and form[0].get(var) == 1


def _in_blocks(units: Loop, sums: list[Sum], beside: _Beside, time: str) -> Iterator[Statement]:
    """The sums of all units together, or block by block where weights are many."""
    assert isinstance(units.start, int) and isinstance(units.stop, int)
    count = units.stop - units.start
    blocks = count // beside.block
    if not time or blocks < 2 or beside.weights(units, sums) < beside.far:
        whole = _Block(units, beside)
        for one in sums:
            yield from whole.by_columns(one)
        return
    turn = Var(f"{units.var}_block")
    at = there_and_back(turn, time, blocks - 1)
    some = _Block(units, beside, at, beside.block, blocks)
    body = tuple(s for one in sums for s in some.by_columns(one))
    yield Loop(turn.name, 0, blocks, body, "blocks")
    if rest := count - blocks * beside.block:
        last = _Block(units, beside, 0, rest, 1, blocks * beside.block)
        for one in sums:
            yield from last.by_columns(one)


@dataclass(frozen=True)
class _Block:
    """Some of the units of a loop: all, or the block of number ``at`` among ``count``.

    Blocks have ``size`` units and begin with that of number ``first``.
    """

    units: Loop
    beside: _Beside
    at: Index = 0
    size: int = 0
    count: int = 0
    first: int = 0

    def by_columns(self, one: Sum) -> Iterator[Statement]:
        columns = replace(self.units, role="columns", turns="")
        if self.size:
            columns = replace(columns, start=0, stop=self.size)
        place = self.moved(one.place, self.at)
        if not any(r == one.place for _, r in one.first.reads):
            first = placed(one.first, lambda r: self.moved(r, self.at))
            yield replace(columns, body=(replace(first, target=place),))
        for loop in one.loops:
            (term,) = loop.body
            assert isinstance(term, Assign)
            reads = tuple(
                (v, self.beside.read(r, loop, self) if isinstance(r, Ref) else r)
                for v, r in term.reads
            )
            add = replace(term, target=place, reads=reads)
            yield replace(loop, body=(replace(columns, body=(add,)),))

    def moved(self, r: Ref, at: Index) -> Ref:
        """An element of block number ``at``, by the number of a unit within it."""
        if not self.size:
            return r
        assert isinstance(self.units.start, int)
        unit = Var(self.units.var)
        here = plus(unit, times(at, self.size), self.units.start + self.first)
        return Ref(
            r.array, tuple(rebuilt(i, lambda p: here if p == unit else None) for i in r.index)
        )


@dataclass
class _Beside:
    """Copies of what is read, in which the numbers of neighbouring units are neighbours."""

    program: Program
    made: dict[tuple[Any, ...], Array]
    copies: list[Statement]
    fewest: int
    block: int
    far: int

    def possible(self, r: Ref, units: Loop, loop: Loop) -> bool:
        """Whether it is one number for all units, or a run of numbers, or can be copied."""
        alone = not any(mentions(i, units.var) for i in r.index)
        return alone or stride_one(r, units.var) or self.can_be_copied(r, units, loop)

    def can_be_copied(self, r: Ref, units: Loop, loop: Loop) -> bool:
        """Whether it is the same at each step, and of known size."""
        counters = {p.name for i in r.index for p in parts(i) if isinstance(p, Var)}
        whole = isinstance(loop.start, int) and isinstance(loop.stop, int)
        given = self.program.arrays[r.array].role in ("in", "const")
        return whole and given and counters <= {units.var, loop.var}

    def weights(self, units: Loop, sums: list[Sum]) -> int:
        """Bytes of what can be copied."""
        assert isinstance(units.start, int) and isinstance(units.stop, int)
        terms = 0
        for loop in (loop for one in sums for loop in one.loops):
            for r in _read(loop):
                if any(mentions(i, units.var) for i in r.index) and self.can_be_copied(
                    r, units, loop
                ):
                    assert isinstance(loop.start, int) and isinstance(loop.stop, int)
                    terms += loop.stop - loop.start
        return terms * (units.stop - units.start) * self.program.itemsize

    def read(self, r: Ref, loop: Loop, block: _Block) -> Ref:
        """Where it is read for a block of units."""
        units = block.units
        if not any(mentions(i, units.var) for i in r.index):
            return r
        copied = self.can_be_copied(r, units, loop)
        if not copied or (stride_one(r, units.var) and not block.size):
            return block.moved(r, block.at)
        key = (r, replace(units, body=()), replace(loop, body=()), block.size, block.first)
        if key not in self.made:
            self.made[key] = self.copy(r, loop, block)
        at = (Var(loop.var), Var(units.var))
        return Ref(self.made[key].name, (block.at, *at) if block.size else at)

    def copy(self, r: Ref, loop: Loop, block: _Block) -> Array:
        """Have it copied, once a call."""
        units, name = block.units, f"beside_{len(self.made)}_{r.array}"
        assert isinstance(loop.stop, int) and isinstance(units.stop, int)
        meaning = f"{r.array}, neighbours for neighbouring units"
        over = replace(units, role="copy", turns="")
        at: tuple[Index, ...] = (Var(loop.var), Var(units.var))
        shape: tuple[int, ...] = (loop.stop, -(-(block.size or units.stop) // ROW) * ROW)
        if not block.size:
            put = replace(over, body=(copy(Ref(name, at), r),))
            self.copies.append(Loop(loop.var, loop.start, loop.stop, (put,), "copy"))
            return Array(name, shape, "work", False, meaning)
        turn = Var(f"{units.var}_block")
        put = replace(
            over, start=0, stop=block.size,
            body=(copy(Ref(name, (turn, *at)), block.moved(r, turn)),),
        )  # fmt: skip
        inner = Loop(loop.var, loop.start, loop.stop, (put,), "copy")
        self.copies.append(Loop(turn.name, 0, block.count, (inner,), "copy"))
        return Array(name, (block.count, *shape), "work", False, meaning)
