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
)
from derive.program.storage import ZERO, copy

STRETCH = 32
"""Steps at most whose terms are summed before they are added up in float64; ⌈√T⌉ of few, so that
a proof on few steps has several such sums as well."""

SUMMED = ("J", "grad_theta", "along")
"""The sums over time that are results, and the gradient as RTRL gathers it."""


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
        body.append(_by_stretches(s, sums, derived))
        for a in sums:
            body += _each(a, (copy(_at(a), _at(a, _wide(a))),))
    return replace(program, arrays=arrays, derived=derived).with_body(tuple(body))


def _sums(program: Program, loop: Loop) -> tuple[Array, ...]:
    """J and its gradient, where a loop does nothing to them but add."""
    added, other = _uses(loop.body)
    return tuple(
        a for name, a in program.arrays.items() if name in SUMMED and name in added - other
    )


def _uses(body: tuple[Statement, ...]) -> tuple[set[str], set[str]]:
    """What some statements add to, and what they read, or set, otherwise.

    An element is also added to where a local variable takes it, is added to, and is put back.
    """
    added: set[str] = set()
    other: set[str] = set()
    taken: dict[str, Ref] = {}
    for s in body:
        if isinstance(s, Loop):
            more = _uses(s.body)
            added |= more[0]
            other |= more[1]
        elif isinstance(s, Assign):
            target, *read = references(s)
            if taken.get(_copied(s)) == target:
                added.add(target.array)
                continue
            if not target.index and _is_taken_and_put_back(s, body):
                taken[target.array] = read[0]
                continue
            (added if s.accumulate else other).add(target.array)
            other.update(r.array for r in read)
    return added, other


def _is_taken_and_put_back(s: Assign, body: tuple[Statement, ...]) -> bool:
    """Whether a local variable takes an element and later in the same body is put in its place."""
    if not _copied(s):
        return False
    back = copy(s.reads[0][1], s.target) if isinstance(s.reads[0][1], Ref) else None
    return any(other == back for other in body[body.index(s) + 1 :])


def _copied(s: Assign) -> str:
    """The array that an assignment copies an element of; empty for any other assignment."""
    if s.accumulate or s.expr != SOURCE or not isinstance(s.reads[0][1], Ref):
        return ""
    return s.reads[0][1].array


def _by_stretches(
    loop: Loop, sums: tuple[Array, ...], derived: dict[str, Index] | None
) -> Statement:
    """A loop over time that moves what it has added into the float64 sums, stretch by stretch.

    Loops over time within it do so for what they add. ``derived`` takes the length of the
    stretches; it is None within other loops, whose counters lengths may depend on.
    """
    body: list[Statement] = []
    rest: list[Statement] = []
    for s in loop.body:
        if isinstance(s, Loop) and s.role == "time" and (inner := _added(s, sums)):
            body.append(_by_stretches(s, inner, None))
        else:
            body.append(s)
            rest.append(s)
    here = _added(replace(loop, body=tuple(rest)), sums)
    ends = tuple(moved for a in here for moved in _moved(a))
    if len(rest) < len(body):
        return replace(loop, body=(*body, *ends))
    length = plus(loop.stop, times(loop.start, -1))
    stretch: Index = STRETCH
    if derived is not None:
        stretch = Var(f"stretch_{len(derived)}")
        derived[stretch.name] = most(root(least(length, STRETCH**2)), 1)
    part = Var(f"{loop.var}_part")
    begin = plus(loop.start, times(part, stretch))
    steps = replace(loop, start=begin, stop=least(plus(begin, stretch), loop.stop))
    count = quotient(plus(length, stretch, -1), stretch)
    return Loop(part.name, 0, count, (steps, *ends), "time", backward=loop.backward)


def _added(loop: Loop, sums: tuple[Array, ...]) -> tuple[Array, ...]:
    """Those of some sums that a loop adds to."""
    added, _ = _uses(loop.body)
    return tuple(a for a in sums if a.name in added)


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
