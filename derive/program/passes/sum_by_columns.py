"""For one sequence: add a term to the sums of all units at once, instead of unit by unit.

``for k: s = 0; for c: s += w[k, c]*z[c]; all_s[k] = s`` is one long chain of additions a unit, in
an order that must not change. ``for c: for k: all_s[k] += w[k, c]*z[c]`` adds the same terms to
each in the same order, and several neighbouring units fit one vector. Weights that are not
neighbours are copied so that they are, once a call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Operand,
    Program,
    Ref,
    Statement,
    Var,
    affine,
    parts,
)
from derive.program.passes.jam import independent, mentions
from derive.program.storage import copy

FEWEST = 8
"""Units from which on it pays: one vector."""

ROW = 16
"""Rows of copied weights begin at multiples of this: 64 bytes in both types."""


def sum_by_columns(program: Program, fewest: int = FEWEST) -> Program:
    """The program with sums over the same sources for all units taken source by source."""
    beside = _Beside(program, {}, [], fewest)
    body = tuple(_changed(program.body, program.arrays, beside))
    arrays = {**program.arrays, **{a.name: a for a in beside.made.values()}}
    return replace(program, arrays=arrays).with_body((*beside.copies, *body))


def _changed(
    body: tuple[Statement, ...], arrays: Mapping[str, Array], beside: _Beside
) -> Iterator[Statement]:
    for s in body:
        if not isinstance(s, Loop):
            yield s
        elif (sums := _sums(s, arrays, beside.fewest)) is not None and all(
            beside.possible(r, s, loop) for one in sums for loop in one.loops for r in _read(loop)
        ):
            for one in sums:
                yield from _by_columns(s, one, beside)
        else:
            yield replace(s, body=tuple(_changed(s.body, arrays, beside)))


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


def _by_columns(units: Loop, one: Sum, beside: _Beside) -> Iterator[Statement]:
    columns = replace(units, role="columns", turns="")
    if not any(r == one.place for _, r in one.first.reads):
        yield replace(columns, body=(replace(one.first, target=one.place),))
    for loop in one.loops:
        (term,) = loop.body
        assert isinstance(term, Assign)
        reads = tuple((v, beside.moved(r, units, loop)) for v, r in term.reads)
        add = replace(term, target=one.place, reads=reads)
        yield replace(loop, body=(replace(columns, body=(add,)),))


@dataclass
class _Beside:
    """Copies of what is read, in which the numbers of neighbouring units are neighbours."""

    program: Program
    made: dict[tuple[Ref, Loop, Loop], Array]
    copies: list[Statement]
    fewest: int

    def possible(self, r: Ref, units: Loop, loop: Loop) -> bool:
        """Whether it is one number for all units, or a run of numbers, or can be copied."""
        if not any(mentions(i, units.var) for i in r.index) or stride_one(r, units.var):
            return True
        known = {units.var, loop.var}
        counters = {p.name for i in r.index for p in parts(i) if isinstance(p, Var)}
        whole = isinstance(loop.start, int) and isinstance(loop.stop, int)
        return whole and counters <= known and self.program.arrays[r.array].role in ("in", "const")

    def moved(self, r: Operand, units: Loop, loop: Loop) -> Operand:
        """Where it is read."""
        if not isinstance(r, Ref) or not any(mentions(i, units.var) for i in r.index):
            return r
        if stride_one(r, units.var):
            return r
        key = (r, replace(units, body=()), replace(loop, body=()))
        if key not in self.made:
            assert isinstance(loop.stop, int) and isinstance(units.stop, int)
            width = -(-units.stop // ROW) * ROW
            name = f"beside_{len(self.made)}_{r.array}"
            meaning = f"{r.array}, neighbours for neighbouring units"
            self.made[key] = Array(name, (loop.stop, width), "work", False, meaning)
            to = Ref(name, (Var(loop.var), Var(units.var)))
            over = Loop(units.var, units.start, units.stop, (copy(to, r),), "copy")
            self.copies.append(Loop(loop.var, loop.start, loop.stop, (over,), "copy"))
        return Ref(self.made[key].name, (Var(loop.var), Var(units.var)))
