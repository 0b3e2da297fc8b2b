"""Sum over time for a tile of elements at once.

``for k: for c: total = 0; for t: total += δ[t, k]*z[t, c]`` loads two numbers for each product. A
tile of four by three loads seven for twelve. Where the number of c differs from unit to unit, a
tile is one unit by three.
"""

from __future__ import annotations

from dataclasses import replace

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

UNITS, SIDE = 4, 3
"""Twelve sums and, one after another, the numbers they are made of: 16 vector registers hold them,
and no sum waits for an addition that is not done."""


def tile_sums(program: Program, side: int = SIDE) -> Program:
    """The program with sums over time taken a tile at a time."""
    arrays = dict(program.arrays)
    body = read_once(_tiled(program.body, arrays, side), arrays)
    return replace(program, arrays=arrays).with_body(body)


def _tiled(
    body: tuple[Statement, ...], arrays: dict[str, Array], side: int
) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
        elif _is_sum_over_time(s):
            out += _several(s, arrays, side)
        elif len(s.body) == 1 and isinstance(s.body[0], Loop) and _is_sum_over_time(s.body[0]):
            inner = tuple(_several(s.body[0], arrays, side))
            tiled = replace(s, body=inner)
            out += jam(tiled, arrays, UNITS) if may_jam(tiled, arrays) else [tiled]
        else:
            out.append(replace(s, body=_tiled(s.body, arrays, side)))
    return tuple(out)


def _is_sum_over_time(s: Statement) -> bool:
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


def _several(loop: Loop, arrays: dict[str, Array], size: int) -> list[Statement]:
    """``loop`` a few turns at a time, whether or not it is known beforehand how many there are."""
    if isinstance(loop.start, int) and isinstance(loop.stop, int):
        return jam(loop, arrays, size)
    groups = quotient(plus(loop.stop, times(loop.start, -1)), size)
    var = Var(f"{loop.var}s")
    first = plus(times(var, size), loop.start)
    body = beside(loop, [plus(first, j) for j in range(size)], arrays)
    span = None if loop.bounds is None else (0, (loop.bounds[1] - loop.bounds[0]) // size)
    together = Loop(var.name, 0, groups, body, loop.role, span=span)
    rest = replace(loop, start=plus(loop.start, times(groups, size)), span=loop.bounds)
    return [together, rest]
