"""Give a unit's equations a loop of their own, after the sums over connections of all units.

``y[k] = tanh(s[k])`` for consecutive k is a loop that a compiler can do several units at a time,
where the C library has such a tanh. Woven into the sums it is one call a unit, and for a single
sequence these calls take most of the time.
"""

from __future__ import annotations

from dataclasses import replace

import sympy

from derive.calculus.partials import is_costly
from derive.program.ir import Array, Assign, Loop, Program, Ref, Statement, Var, references, walk
from derive.program.storage import copy


def split_units(program: Program) -> Program:
    """The program with each loop over units that goes on after its last sum split in two.

    Only where what follows calls the library, and not on the way back: backward equations come
    before the sums.
    """
    arrays = dict(program.arrays)
    body = tuple(s for outer in program.body for s in _split(outer, arrays, ()))
    return replace(program, arrays=arrays).with_body(body)


def _split(
    s: Statement, arrays: dict[str, Array], outer: tuple[Loop, ...]
) -> tuple[Statement, ...]:
    if not isinstance(s, Loop):
        return (s,)
    if s.role != "units":
        inner = tuple(t for part in s.body for t in _split(part, arrays, (*outer, s)))
        return (replace(s, body=inner),)
    sums = [i for i, part in enumerate(s.body) if isinstance(part, Loop)]
    if not sums or s.bounds is None or any(loop.backward for loop in outer):
        return (s,)
    before, after = s.body[: sums[-1] + 1], s.body[sums[-1] + 1 :]
    kept = sorted(_written(before, arrays) & _read(after))
    if not kept or not any(_has_call(part) for part in after):
        return (s,)
    # Several groups of units may use one local variable: each gets an array of its own.
    number = sum(1 for name in arrays if name.startswith("all_"))
    moved = {name: Ref(f"all_{number + i}_{name}", (Var(s.var),)) for i, name in enumerate(kept)}
    for name, ref in moved.items():
        arrays[ref.array] = Array(ref.array, (s.bounds[1],), "work", arrays[name].batched)
    loads = tuple(copy(Ref(name), ref) for name, ref in moved.items())
    return replace(s, body=_stored(before, arrays, moved)), replace(s, body=(*loads, *after))


def _stored(
    body: tuple[Statement, ...], arrays: dict[str, Array], moved: dict[str, Ref]
) -> tuple[Statement, ...]:
    """``body`` with each local variable put in its place once it is final.

    Kept until the end, sums take registers that the next ones need.
    """
    out: list[Statement] = []
    for i, s in enumerate(body):
        later = _written(body[i + 1 :], arrays)
        out += [s, *(copy(moved[n], Ref(n)) for n in sorted(_written((s,), arrays) - later)
                     if n in moved)]  # fmt: skip
    return tuple(out)


def _has_call(s: Statement) -> bool:
    return isinstance(s, Assign) and any(map(is_costly, sympy.preorder_traversal(s.expr)))


def _written(body: tuple[Statement, ...], arrays: dict[str, Array]) -> set[str]:
    targets = {s.target.array for s in walk(body) if isinstance(s, Assign)}
    return {name for name in targets if arrays[name].role == "scalar"}


def _read(body: tuple[Statement, ...]) -> set[str]:
    return {r.array for s in walk(body) if isinstance(s, Assign) for r in list(references(s))[1:]}
