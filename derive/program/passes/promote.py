"""Keep in local variables what is only ever reached by a known index.

The compiler cannot do this itself for memory that the caller could see; with it ε, δ and the
gradient's accumulators of a small net stay in registers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Program,
    Ref,
    Statement,
    all_placed,
    references,
    walk,
)
from derive.program.storage import copy

MOST = 512
"""Elements an array may have: beyond, locals only become spills."""


def promote(program: Program) -> Program:
    """The program with suitable arrays replaced by local variables, loaded first, stored last.

    Not one for several threads, who would each have their own.
    """
    if program.grains > 1:
        return program
    chosen = {a.name: a for a in program.arrays.values() if _suitable(a, program)}
    arrays: dict[str, Array] = {}
    before: list[Statement] = []
    after: list[Statement] = []
    for a in program.arrays.values():
        if a.name not in chosen or a.role != "work":
            arrays[a.name] = a
        if a.name in chosen:
            for index in _elements(a):
                local = _local(a, index)
                arrays[local.array] = Array(local.array, (), "scalar", a.batched, wide=a.wide)
                if a.role == "in":
                    before.append(copy(local, Ref(a.name, index)))
                if a.role == "out":
                    after.append(copy(Ref(a.name, index), local))
    body = _renamed(program.body, chosen)
    return replace(program, arrays=arrays).with_body((*before, *body, *after))


def _suitable(a: Array, program: Program) -> bool:
    if a.role not in ("in", "out", "work") or not all(isinstance(e, int) for e in a.shape):
        return False
    size = 1
    for e in a.shape:
        assert isinstance(e, int)
        size *= e
    if not 0 < size <= MOST:
        return False
    uses = [
        r
        for s in walk(program.body)
        if isinstance(s, Assign)
        for r in references(s)
        if r.array == a.name
    ]
    if not uses or not all(isinstance(i, int) for r in uses for i in r.index):
        return False
    # What is used outside the loops over time only gains nothing: y0 is read once.
    return any(r.array == a.name for r in _in_time(program.body))


def _in_time(body: tuple[Statement, ...]) -> Iterator[Ref]:
    for loop in body:
        if isinstance(loop, Loop) and loop.role == "time":
            for s in walk(loop.body):
                if isinstance(s, Assign):
                    yield from references(s)


def _elements(a: Array) -> Iterator[tuple[int, ...]]:
    yield from product(*(range(e) for e in a.shape if isinstance(e, int)))


def _local(a: Array, index: tuple[int, ...]) -> Ref:
    if a.labels:
        return Ref(f"v_{a.labels[index[0]]}")
    return Ref("_".join(["v", a.name, *map(str, index)]))


def _renamed(body: tuple[Statement, ...], chosen: dict[str, Array]) -> tuple[Statement, ...]:
    def moved(r: Ref) -> Ref:
        if r.array not in chosen:
            return r
        return _local(chosen[r.array], tuple(i for i in r.index if isinstance(i, int)))

    return all_placed(body, moved)
