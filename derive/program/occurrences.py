"""How often each assignment of a Program happens in one call, from the bounds of its loops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from derive.errors import ProgramError
from derive.program.ir import (
    Assign,
    Index,
    Least,
    Lookup,
    Loop,
    Modulo,
    Most,
    Plus,
    Program,
    Quotient,
    Root,
    Statement,
    Times,
    Var,
    indices,
    parts,
    square_root,
    walk,
)


@dataclass(frozen=True)
class Occurrence:
    """An assignment in a Program, and how often it happens in one call.

    Attributes
    ----------
    statement : Assign
    loops : tuple of Loop
        Those around it, the outermost first.
    turns : tuple of int
        How often the body of each of them runs, in the whole call.
    """

    statement: Assign
    loops: tuple[Loop, ...]
    turns: tuple[int, ...]

    @property
    def times(self) -> int:
        """How often it happens."""
        return self.turns[-1] if self.turns else 1


def occurrences(program: Program, sizes: Mapping[str, int]) -> Iterator[Occurrence]:
    """Every assignment of a program, in order, with the loops around it."""
    yield from occurrences_in(program, program.body, sizes)


def occurrences_in(
    program: Program, body: tuple[Statement, ...], sizes: Mapping[str, int]
) -> Iterator[Occurrence]:
    """Those of some statements of the program, as if they were all of it."""
    yield from _occurrences(program, body, _Space(program.known(sizes)))


@dataclass(frozen=True)
class _Space:
    """The turns of the loops around a statement.

    Turns are told apart, one row each, only as far as bounds further in depend on them:
    ``counters`` has the counters' values in each row, ``alike`` how many turns it stands for.
    """

    sizes: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)
    alike: Any = field(default_factory=lambda: np.ones(1, dtype=np.int64))

    @property
    def turns(self) -> int:
        """All of them."""
        return int(self.alike.sum())


def _occurrences(
    program: Program,
    body: tuple[Statement, ...],
    space: _Space,
    loops: tuple[Loop, ...] = (),
    turns: tuple[int, ...] = (),
) -> Iterator[Occurrence]:
    for s in body:
        match s:
            case Assign():
                yield Occurrence(s, loops, turns)
            case Loop():
                inner = _inside(program, s, space)
                around = (*loops, s), (*turns, inner.turns)
                yield from _occurrences(program, s.body, inner, *around)


def _inside(program: Program, loop: Loop, space: _Space) -> _Space:
    rows = space.alike.size
    start = np.broadcast_to(_values(loop.start, space, program), rows)
    stop = np.broadcast_to(_values(loop.stop, space, program), rows)
    trips = np.maximum(stop - start, 0)
    # Only bounds further in need a counter's values; a loop over connections has none.
    needed = {
        part.name
        for s in walk(loop.body)
        if isinstance(s, Loop)
        for i in indices(s)
        for part in parts(i)
        if isinstance(part, Var)
    }
    counters = {v: values for v, values in space.counters.items() if v in needed}
    if loop.var in needed:
        ends = np.cumsum(trips)
        counters = {v: np.repeat(values, trips) for v, values in counters.items()}
        counters[loop.var] = np.arange(trips.sum()) - np.repeat(ends - trips - start, trips)
        return _Space(space.sizes, counters, np.repeat(space.alike, trips))
    alike = space.alike * trips
    return _Space(space.sizes, counters, alike if counters else alike.sum(keepdims=True))


def _values(index: Index, space: _Space, program: Program) -> Any:
    match index:
        case int():
            return np.int64(index)
        case Var(name) if name in space.counters:
            return space.counters[name]
        case Var(name) if name in space.sizes:
            return np.int64(space.sizes[name])
        case Var(name):
            raise ProgramError(f"cost: a loop's bound depends on {name!r}, which is not known")
        case Lookup(table, at):
            return np.asarray(program.tables[table], np.int64)[_values(at, space, program)]
        case Modulo(left, size):
            return _values(left, space, program) % size
        case Quotient(left, size):
            return _values(left, space, program) // _values(size, space, program)
        case Root(left):
            return np.vectorize(square_root, otypes=[np.int64])(_values(left, space, program))
        case Plus(left, right) | Times(left, right) | Least(left, right) | Most(left, right):
            a, b = _values(left, space, program), _values(right, space, program)
            return BINARY[type(index)](a, b)
    raise ProgramError(f"not an index: {index!r}")


BINARY: dict[type, Any] = {
    Plus: np.add, Times: np.multiply, Least: np.minimum, Most: np.maximum,
}  # fmt: skip
