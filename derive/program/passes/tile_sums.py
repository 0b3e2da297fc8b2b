"""Sum over time for a tile of elements at once.

``for k: for c: total = 0; for t: total += δ[t, k]*z[t, c]`` loads two numbers for each product. A
tile of four by three loads seven for twelve. Where the number of c differs from unit to unit, a
tile is of one unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
    evaluate,
    plus,
    quotient,
    substituted,
    times,
)
from derive.program.passes.jam import beside, jam, may_jam, read_once


@dataclass(frozen=True)
class Tile:
    """How many sums at a time: elements of a unit by units, or only elements of one."""

    units: int
    elements: int
    alone: int


def tile_sums(program: Program, tile: Tile, near: float = math.inf) -> Program:
    """The program with sums over time taken a tile at a time.

    Parameters
    ----------
    near : float
        Steps of signals that all units go over before the next signals are taken: what is read
        again and again stays near.
    """
    arrays = dict(program.arrays)
    steps = program.known(dict.fromkeys(program.sizes, MANY))
    tiling = _Tiling(arrays, tile, near, steps)
    body = read_once(tiling.statements(program.body), arrays)
    return replace(program, arrays=arrays).with_body(body)


@dataclass(frozen=True)
class _Tiling:
    """The work on one program.

    Attributes
    ----------
    known : mapping of str to int
        What follows from sizes, if these are large.
    """

    arrays: dict[str, Array]
    tile: Tile
    near: float
    known: Mapping[str, int]

    def statements(self, body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        """Statements with the sums over time in them in tiles."""
        out: list[Statement] = []
        for s in body:
            if not isinstance(s, Loop):
                out.append(s)
            elif is_sum_over_time(s):
                out += several(s, self.arrays, self.tile.alone)
            elif len(s.body) == 1 and isinstance(s.body[0], Loop) and is_sum_over_time(s.body[0]):
                out += self._by_parts(s, s.body[0])
            else:
                out.append(replace(s, body=self.statements(s.body)))
        return tuple(out)

    def _by_parts(self, units: Loop, elements: Loop) -> list[Statement]:
        """Sums of elements for units, part by part of the elements where that pays."""
        start, stop, steps = elements.start, elements.stop, self._steps(elements)
        if not (isinstance(start, int) and isinstance(stop, int)):
            return self._in_tiles(units, elements)
        many = self.tile.elements
        parts = -(-(stop - start) * max(steps, 1) // int(min(self.near, MANY)))
        if parts < 2 or stop - start < 2 * many:
            return self._in_tiles(units, elements)
        size = many * -(-(stop - start) // (parts * many))
        whole = (stop - start) // size
        var = Var(f"{elements.var}_part")
        at = plus(times(var, size), start, Var(elements.var))
        of_part = substituted(elements.body, {elements.var: at})
        part = replace(elements, start=0, stop=size, body=of_part, span=None)
        found: list[Statement] = [
            Loop(var.name, 0, whole, tuple(self._in_tiles(units, part)), "blocks")
        ]
        if start + whole * size < stop:
            found += self._in_tiles(units, replace(elements, start=start + whole * size))
        return found

    def _steps(self, elements: Loop) -> int:
        """The steps that are kept of a signal at most."""
        sums = elements.body[1]
        assert isinstance(sums, Loop)
        reads = [r for s in sums.body if isinstance(s, Assign) for _, r in s.reads]
        extents = [self.arrays[r.array].shape[-1] for r in reads
                   if isinstance(r, Ref) and len(r.index) == 2]  # fmt: skip
        return max((evaluate(e, self.known, {}) for e in extents), default=0)

    def _in_tiles(self, units: Loop, elements: Loop) -> list[Statement]:
        """Sums of elements for units, in tiles of both if units can be side by side."""
        arrays = self.arrays
        tiled = replace(units, body=tuple(several(elements, arrays, self.tile.elements)))
        if may_jam(tiled, arrays):
            return jam(tiled, arrays, self.tile.units)
        return [replace(units, body=tuple(several(elements, arrays, self.tile.alone)))]


MANY = 2**30
"""Steps of a long sequence, or signals where all are near."""


def is_sum_over_time(s: Statement) -> bool:
    """Whether each turn of ``s`` sums over steps in a local variable and puts that in its place."""
    if not isinstance(s, Loop) or s.role not in ("units", "connections") or len(s.body) != 3:
        return False
    first, loop, last = s.body
    return (
        isinstance(first, Assign)
        and isinstance(loop, Loop)
        and loop.role == "time"
        and isinstance(last, Assign)
        and not first.target.index
        and all(isinstance(t, Assign) and t.target == first.target for t in loop.body)
    )


def several(loop: Loop, arrays: dict[str, Array], size: int) -> list[Statement]:
    """``loop`` a few turns at a time; where it is not known how many there are, then fewer."""
    if isinstance(loop.start, int) and isinstance(loop.stop, int):
        return jam(loop, arrays, size)
    start, found = loop.start, []
    while size > 1:
        groups = quotient(plus(loop.stop, times(start, -1)), size)
        var = Var(f"{loop.var}s")
        first = plus(times(var, size), start)
        body = beside(loop, [plus(first, j) for j in range(size)], arrays)
        span = None if loop.bounds is None else (0, (loop.bounds[1] - loop.bounds[0]) // size)
        found.append(Loop(var.name, 0, groups, body, loop.role, span=span))
        start = plus(start, times(groups, size))
        size //= 2
    return [*found, replace(loop, start=start, span=loop.bounds)]
