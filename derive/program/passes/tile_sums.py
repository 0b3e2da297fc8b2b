"""Sum over time for a tile of elements at once.

``for k: for c: total = 0; for t: total += δ[t, k]*z[t, c]`` loads two numbers for each product. A
tile of four by three loads seven for twelve. Where the number of c differs from unit to unit, a
tile is of one unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Program,
    Statement,
    Var,
    plus,
    quotient,
    times,
)
from derive.program.passes.jam import beside, jam, may_jam, read_once


@dataclass(frozen=True)
class Tile:
    """How many sums at a time: elements of a unit by units, or only elements of one."""

    units: int
    elements: int
    alone: int


def tile_sums(program: Program, tile: Tile) -> Program:
    """The program with sums over time taken a tile at a time."""
    arrays = dict(program.arrays)
    body = read_once(_tiled(program.body, arrays, tile), arrays)
    return replace(program, arrays=arrays).with_body(body)


def _tiled(
    body: tuple[Statement, ...], arrays: dict[str, Array], tile: Tile
) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif is_sum_over_time(s):
            out += several(s, arrays, tile.alone)
        elif len(s.body) == 1 and isinstance(s.body[0], Loop) and is_sum_over_time(s.body[0]):
            tiled = replace(s, body=tuple(several(s.body[0], arrays, tile.elements)))
            if may_jam(tiled, arrays):
                out += jam(tiled, arrays, tile.units)
            else:
                out.append(replace(s, body=tuple(several(s.body[0], arrays, tile.alone))))
        else:
            out.append(replace(s, body=_tiled(s.body, arrays, tile)))
    return tuple(out)


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
