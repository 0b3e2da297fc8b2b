"""Sums of the largest nets in a batch: what they read again and again stays near.

``for ls: for c: s[0…11] += θ[c*516 + ls*12 + 0…11]*δ[c]`` goes over all of δ for every twelve
sums, and finds their weights far apart. A run of connections at a time, for all units, reads δ from
a cache; and a copy of θ in the order of the loops, made once a call, is read from beginning to end.
Each sum still has its terms in their order, so no bit changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Operand,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    placed,
    plus,
    substituted,
    times,
    walk,
)
from derive.program.passes.jam import only_adds
from derive.program.storage import copy

FAR = 512
"""Bytes between the weights of two connections from which on a copy pays: they are in lines, and
mostly in pages, of their own."""


def near_sums(program: Program, signals: int, far: int = FAR) -> Program:
    """The program with its sums over connections, several at a time, in runs and from copies.

    Parameters
    ----------
    signals : int
        How many signals stay near.
    far : int
        Bytes between the weights of two connections from which on they are copied.
    """
    nearing = _Nearing(program, signals, far)
    body = tuple(nearing.statement(s, False) for s in program.body)
    if not nearing.copies and body == program.body:
        return program
    return replace(program, arrays=nearing.arrays).with_body((*nearing.copies, *body))


class _Nearing:
    """The work on one program: copies are declared, and made first."""

    def __init__(self, program: Program, signals: int, far: int) -> None:
        self.program = program
        self.signals = signals
        self.far = far
        self.arrays = dict(program.arrays)
        self.copies: list[Statement] = []

    def statement(self, s: Statement, timed: bool) -> Statement:
        """A statement, as it is or with the sums inside of it near."""
        if not isinstance(s, Loop):
            return s
        if timed and s.role == "units" and (at := _sum_in(s)) is not None:
            return self._in_runs(self._from_copy(s, at), at)
        inside = timed or s.role == "time"
        return replace(s, body=tuple(self.statement(t, inside) for t in s.body))

    def _from_copy(self, units: Loop, at: int) -> Loop:
        """A loop over units whose sums read weights from a copy, if that pays."""
        sums = units.body[at]
        assert isinstance(sums, Loop) and sums.bounds and units.bounds
        (first, last), (begin, end) = units.bounds, sums.bounds
        refs = [r for s in sums.body if isinstance(s, Assign) for _, r in s.reads
                if isinstance(r, Ref) and self._is_far(r, units.var, sums.var)]  # fmt: skip
        if len(refs) < 2 or len(refs) != len(sums.body) or len({r.array for r in refs}) > 1:
            return units
        name = f"{refs[0].array}_near_{len(self.copies)}"
        of = self.arrays[refs[0].array]
        size = (last - first) * (end - begin) * len(refs)
        meaning = f"{of.meaning}, in the order in which sums read them"
        self.arrays[name] = Array(name, (size,), "work", meaning=meaning)
        turn = plus(times(plus(Var(units.var), -first), end - begin), plus(Var(sums.var), -begin))
        places = {r: Ref(name, (plus(times(turn, len(refs)), j),)) for j, r in enumerate(refs)}
        moved = tuple(copy(to, r) for r, to in places.items())
        across = replace(units, body=moved, role="copy", turns="", span=None)
        self.copies.append(replace(sums, body=(across,), role="copy", turns="", span=None))
        near = tuple(placed(s, lambda r: places.get(r, r)) if isinstance(s, Assign) else s
                     for s in sums.body)  # fmt: skip
        return replace(
            units, body=(*units.body[:at], replace(sums, body=near), *units.body[at + 1 :])
        )

    def _is_far(self, r: Ref, *counters: str) -> bool:
        """Whether an element is a parameter, and far from that of the next connection."""
        a, form = self.arrays[r.array], affine(r.index[0]) if len(r.index) == 1 else None
        if a.role != "in" or a.batched or form is None or not set(form[0]) <= {*counters}:
            return False
        return abs(form[0].get(counters[-1], 0)) * self.program.itemsize >= self.far

    def _in_runs(self, units: Loop, at: int) -> Loop:
        """A loop over units for one run of connections after another, where sums are in memory."""
        sums = units.body[at]
        assert isinstance(sums, Loop) and sums.bounds
        begin, end = sums.bounds
        runs = -(-end // self.signals)
        if begin or runs < 2 or end % runs or not _is_in_memory(units, at):
            return units
        size = end // runs
        run = Var(f"{sums.var}_run")
        c: Index = plus(times(run, size), Var(sums.var))
        of_run = replace(sums, start=0, stop=size, body=substituted(sums.body, {sums.var: c}))
        inside = replace(units, body=(*units.body[:at], of_run, *units.body[at + 1 :]))
        return Loop(run.name, 0, runs, (inside,), "blocks")


def _sum_in(units: Loop) -> int | None:
    """Which of a loop's statements is its one sum over connections, of known bounds."""
    loops = [i for i, s in enumerate(units.body) if isinstance(s, Loop)]
    if len(loops) != 1 or not isinstance(units.start, int) or not isinstance(units.stop, int):
        return None
    s = units.body[loops[0]]
    assert isinstance(s, Loop)
    known = isinstance(s.start, int) and isinstance(s.stop, int) and not s.backward
    return loops[0] if known and s.role == "connections" and only_adds(s) else None


def _is_in_memory(units: Loop, at: int) -> bool:
    """Whether sums begin with what is in memory, and go back there."""
    before, after = units.body[:at], units.body[at + 1 :]
    loaded = dict(_copies(before))
    stored = {of: to for to, of in _copies(after)}
    whole = len(loaded) == len(before) and len(stored) == len(after)
    inside = {s.target for s in walk(units.body[at : at + 1]) if isinstance(s, Assign)}
    return whole and loaded == stored and set(loaded) == inside


def _copies(body: tuple[Statement, ...]) -> Iterator[tuple[Ref, Operand]]:
    """What is set to what, for assignments that only copy."""
    for s in body:
        if isinstance(s, Assign) and not s.accumulate and len(s.reads) == 1:
            ((symbol, of),) = s.reads
            if s.expr == symbol:
                yield s.target, of
