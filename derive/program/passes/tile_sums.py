"""Sum over time for a tile of elements at once.

``for k: for c: total = 0; for t: total += δ[t, k]*z[t, c]`` loads two numbers for each product. A
tile of four by three loads seven for twelve. Where the number of c differs from unit to unit, a
tile is of one unit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from derive.program.ir import (
    Array,
    Assign,
    Loop,
    Program,
    Ref,
    Statement,
    Var,
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
    body = read_once(_tiled(program.body, arrays, tile, near), arrays)
    return replace(program, arrays=arrays).with_body(body)


def _tiled(
    body: tuple[Statement, ...], arrays: dict[str, Array], tile: Tile, near: float
) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif is_sum_over_time(s):
            out += several(s, arrays, tile.alone)
        elif len(s.body) == 1 and isinstance(s.body[0], Loop) and is_sum_over_time(s.body[0]):
            out += _by_parts(s, s.body[0], arrays, tile, near)
        else:
            out.append(replace(s, body=_tiled(s.body, arrays, tile, near)))
    return tuple(out)


def _by_parts(
    units: Loop, elements: Loop, arrays: dict[str, Array], tile: Tile, near: float
) -> list[Statement]:
    """Sums of elements for units, part by part of the elements where that pays."""
    start, stop, steps = elements.start, elements.stop, _steps(elements, arrays)
    if not (isinstance(start, int) and isinstance(stop, int) and steps):
        return _in_tiles(units, elements, arrays, tile)
    size = max(near // steps // tile.elements, 1) * tile.elements
    if size >= stop - start:
        return _in_tiles(units, elements, arrays, tile)
    whole = int((stop - start) // size)
    var = Var(f"{elements.var}_part")
    first = plus(times(var, int(size)), start)
    of_part = substituted(elements.body, {elements.var: plus(first, Var(elements.var))})
    part = replace(elements, start=0, stop=int(size), body=of_part, span=None)
    found: list[Statement] = [
        Loop(var.name, 0, whole, tuple(_in_tiles(units, part, arrays, tile)), "blocks")
    ]
    if start + whole * size < stop:
        rest = replace(elements, start=int(start + whole * size))
        found += _in_tiles(units, rest, arrays, tile)
    return found


def _steps(elements: Loop, arrays: dict[str, Array]) -> int:
    """The steps that are kept of a signal."""
    assert isinstance(elements.body[1], Loop)
    reads = [r for s in elements.body[1].body for _, r in s.reads]  # type: ignore[union-attr]
    extents = [arrays[r.array].shape[-1] for r in reads if isinstance(r, Ref) and r.index]
    known = [e for e in extents if isinstance(e, int)]
    return max(known) if len(known) == len(extents) else 0


def _in_tiles(
    units: Loop, elements: Loop, arrays: dict[str, Array], tile: Tile
) -> list[Statement]:
    tiled = replace(units, body=tuple(several(elements, arrays, tile.elements)))
    if may_jam(tiled, arrays):
        return jam(tiled, arrays, tile.units)
    return [replace(units, body=tuple(several(elements, arrays, tile.alone)))]


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
