"""Sums over time in float64, whatever the other numbers are.

J and ∂J/∂θ are sums over all steps. In float32 a term is lost once the sum is 10⁷ times its size,
and long before that every addition rounds at the size of the sum. So the terms of a few steps are
summed as they are, and what that gives is added up in float64: once in so many steps, so that it
costs next to nothing, and rounds once at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from derive.calculus.partials import SOURCE
from derive.program.ir import (
    Array,
    Assign,
    Index,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    least,
    most,
    plus,
    quotient,
    references,
    root,
    times,
    walk,
)
from derive.program.storage import ZERO, copy

STRETCH = 32
"""Steps at most whose terms are summed before they are added up in float64; ⌈√T⌉ of few, so that
a proof on few steps has several such sums as well."""


def in_float64(program: Program) -> Program:
    """The program with what its loops over time add up kept in float64."""
    arrays, derived = dict(program.arrays), dict(program.derived)
    body: list[Statement] = []
    for s in program.body:
        sums = _sums(program, s) if isinstance(s, Loop) and s.role == "time" else ()
        if not isinstance(s, Loop) or not sums:
            body.append(s)
            continue
        for a in sums:
            name = _wide(a)
            arrays[name] = Array(name, a.shape, "work", a.batched, "sum in float64", wide=True)
        for a in sums:
            body += _each(a, (Assign(_at(a, _wide(a)), ZERO),))
        body.append(_by_stretches(s, tuple(moved for a in sums for moved in _moved(a)), derived))
        for a in sums:
            body += _each(a, (copy(_at(a), _at(a, _wide(a))),))
    return replace(program, arrays=arrays, derived=derived).with_body(tuple(body))


def _sums(program: Program, loop: Loop) -> tuple[Array, ...]:
    """The arrays, as large however many steps there are, that a loop does nothing to but add."""
    added: set[str] = set()
    other: set[str] = set()
    for s in walk(loop.body):
        if isinstance(s, Assign):
            target, *read = (r.array for r in references(s))
            (added if s.accumulate else other).add(target)
            other.update(read)
    found = (program.arrays[name] for name in program.arrays if name in added - other)
    return tuple(
        a for a in found if a.role != "scalar" and all(isinstance(e, int) for e in a.shape)
    )


def _by_stretches(loop: Loop, ends: tuple[Statement, ...], derived: dict[str, Index]) -> Statement:
    """A loop over time with ``ends`` done now and then: once a stretch, or once a window."""
    if any(isinstance(s, Loop) and s.role == "time" for s in walk(loop.body)):
        return replace(loop, body=(*loop.body, *ends))
    part, stretch = Var(f"{loop.var}_part"), Var(f"stretch_{len(derived)}")
    length = plus(loop.stop, times(loop.start, -1))
    derived[stretch.name] = most(root(least(length, STRETCH**2)), 1)
    begin = plus(loop.start, times(part, stretch))
    steps = replace(loop, start=begin, stop=least(plus(begin, stretch), loop.stop))
    count = quotient(plus(length, stretch, -1), stretch)
    return Loop(part.name, 0, count, (steps, *ends), "time", backward=loop.backward)


def _moved(a: Array) -> tuple[Statement, ...]:
    """What has been added to an array, put into its float64 sum."""
    here = _at(a)
    add = Assign(_at(a, _wide(a)), SOURCE, ((SOURCE, here),), accumulate=True)
    return _each(a, (add, Assign(here, ZERO)))


def _each(a: Array, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    """``body`` for all elements of an array."""
    for name, extent in reversed(list(zip(_counters(a), a.shape, strict=True))):
        body = (Loop(name, 0, extent, body, "units"),)
    return body


def _at(a: Array, name: str = "") -> Ref:
    return Ref(name or a.name, tuple(Var(v) for v in _counters(a)))


def _counters(a: Array) -> Iterator[str]:
    return (f"i{d}" for d in range(len(a.shape)))


def _wide(a: Array) -> str:
    return f"wide_{a.name}"
