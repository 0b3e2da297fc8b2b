"""Make one loop of neighbouring loops over the same columns.

After loops over connections are written out, each term of a sum has a loop over columns of its own;
as one loop the sum stays in a register.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Assign, Loop, Program, Statement, references


def fuse_columns(program: Program) -> Program:
    """The program with neighbouring loops over columns fused where each turn stays to itself."""
    return program.with_body(_fused(program.body))


def _fused(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
    out: list[Statement] = []
    for s in body:
        if not isinstance(s, Loop):
            out.append(s)
            continue
        s = replace(s, body=_fused(s.body))
        last = out[-1] if out else None
        if isinstance(last, Loop) and _together(last, s):
            out[-1] = replace(last, body=(*last.body, *s.body), turns="")
        else:
            out.append(s)
    return tuple(out)


def _together(a: Loop, b: Loop) -> bool:
    """Whether two loops have the same turns, and no turn of one meets another turn of the other.

    Every array that either writes must be reached at one and the same index in both.
    """
    if a.role != "columns" or b.role != "columns" or a.backward or b.backward:
        return False
    if (a.var, a.start, a.stop) != (b.var, b.start, b.stop):
        return False
    both = [s for s in (*a.body, *b.body)]
    if not all(isinstance(s, Assign) for s in both):
        return False
    refs = [r for s in both if isinstance(s, Assign) for r in references(s)]
    written = {s.target.array for s in both if isinstance(s, Assign)}
    places = {(r.array, r.index) for r in refs if r.array in written}
    return len(places) == len(written)
