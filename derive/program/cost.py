"""Count what a Program does and keeps: operations per time step, numbers held for T steps.

The counts are read off the Program itself, so they are those of the code that is emitted, and a
schedule that changed them would show. What is an operation says
:mod:`derive.program.operations`; ``a += b`` adds once, loads ``a`` once and stores it once, and
local variables are free to reach, and so are pages that registers hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from derive.errors import ProgramError
from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Program,
    Ref,
    affine,
    evaluate,
    in_registers,
    walk,
)
from derive.program.occurrences import Occurrence, occurrences, occurrences_in
from derive.program.operations import Tally, operations


@dataclass(frozen=True)
class Cost:
    """What a Program costs: per time step, per call, and in numbers held.

    Attributes
    ----------
    sweeps : tuple of Tally
        One step of each loop over time, in order: forward and backward for epochwise.
    call : Tally
        What is done once a call, outside the steps.
    held : tuple of int
        ``(per step, per call)``: elements of scratch arrays and local variables.
    tables : int
        Entries of static index tables and of constants.
    """

    sweeps: tuple[Tally, ...]
    call: Tally
    held: tuple[int, int]
    tables: int

    @property
    def step(self) -> Tally:
        """One time step of all sweeps together."""
        return reduce(lambda a, b: a + b, self.sweeps, Tally())

    @property
    def multiplications(self) -> int:
        """Multiplications per time step."""
        return self.step.multiplications

    @property
    def additions(self) -> int:
        """Additions and subtractions per time step."""
        return self.step.additions

    @property
    def divisions(self) -> int:
        """Divisions per time step."""
        return self.step.divisions

    @property
    def functions(self) -> dict[str, int]:
        """Calls per time step, by the function's name."""
        return dict(sorted(self.step.functions.items()))

    @property
    def loads(self) -> int:
        """Array elements read per time step."""
        return self.step.loads

    @property
    def stores(self) -> int:
        """Array elements written per time step."""
        return self.step.stores

    def storage(self, T: int) -> int:
        """Numbers held during a call over T steps, besides the caller's arrays."""
        return self.held[0] * T + self.held[1]

    def work(self, T: int) -> int:
        """Arithmetic operations and function calls of a call over T steps."""
        return self.step.operations * T + self.call.operations


def cost(program: Program) -> Cost:
    """Count a program over a sequence of any length: operations, and the numbers it holds.

    Raises
    ------
    ProgramError
        For loops over time within loops over time, or a bound that depends on the time;
        :func:`cost_at` counts those, at given sizes.
    """
    sweeps: list[Tally] = []
    call = Tally()
    for s in program.body:
        if isinstance(s, Loop) and s.role == "time":
            per_step, rest = _trips(s)
            if any(isinstance(inner, Loop) and inner.role == "time" for inner in walk(s.body)):
                raise ProgramError("cost: a loop over time within another is not counted")
            body = _total(program, occurrences_in(program, s.body, {}))
            # A loop 0…T is T steps and one turn more, which is not a step's.
            sweeps.append(body * per_step)
            call = call + body * rest
        else:
            call = call + _total(program, occurrences_in(program, (s,), {}))
    entries = sum(len(t) for t in program.tables.values())
    entries += sum(np.size(a.values) for a in program.arrays.values() if a.role == "const")
    held = [sum(held_at(program, {"T": T}).get(r, 0) for r in PASSING) for T in (0, 1)]
    return Cost(tuple(sweeps), call, (held[1] - held[0], held[0]), entries)


def cost_at(program: Program, sizes: Mapping[str, int]) -> Tally:
    """Count one call of a program at given sizes.

    Loops over time may stand within one another and have bounds that depend on the time, as those
    of online algorithms do.

    Parameters
    ----------
    sizes : mapping of str to int
        What the bounds of its loops depend on: T of a sequence; t and perhaps b of a step.

    Raises
    ------
    ProgramError
        Where a bound depends on a size that is not given.
    """
    return _total(program, occurrences(program, sizes))


PASSING = ("work", "scalar")
"""Roles of what lasts no longer than a call."""


def held_at(program: Program, sizes: Mapping[str, int]) -> dict[str, int]:
    """Elements of a program's arrays at given sizes, by their role; the caller's left out."""
    found: dict[str, int] = {}
    for a in program.arrays.values():
        if a.role in ("state", *PASSING):
            found[a.role] = found.get(a.role, 0) + elements(program, a, sizes)
    return found


def elements(program: Program, array: Array, sizes: Mapping[str, int]) -> int:
    """How many numbers an array holds."""
    return int(np.prod(extents(program, array, sizes), dtype=np.int64))


def extents(program: Program, array: Array, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """An array's shape at given sizes."""
    known = program.known(sizes)
    return tuple(evaluate(e, known, program.tables) for e in array.shape)


def tally(program: Program, s: Assign) -> Tally:
    """The operations of one assignment, and what it moves to and from arrays."""

    def outside(r: Any) -> bool:
        there = isinstance(r, Ref) and program.arrays[r.array].role != "scalar"
        return there and not in_registers(program, r)

    stored = int(outside(s.target))
    loads = sum(outside(r) for _, r in s.reads) + (stored if s.accumulate else 0)
    moves = Tally(additions=int(s.accumulate), loads=loads, stores=stored)
    return operations(s.expr) + moves


def _total(program: Program, found: Iterator[Occurrence]) -> Tally:
    return reduce(lambda a, o: a + tally(program, o.statement) * o.times, found, Tally())


def _trips(loop: Loop) -> tuple[int, int]:
    """The turns of a loop over time as (times T, plus)."""
    start, stop = affine(loop.start), affine(loop.stop)
    if start is None or stop is None or start[0] or set(stop[0]) - {"T"}:
        raise ProgramError(f"cost: the bounds of the loop over {loop.var} are not those of a sweep")
    return stop[0].get("T", 0), stop[1] - start[1]
