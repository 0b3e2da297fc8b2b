"""What a Program does with a result that is a sum: clears it first, adds to each element once.

For who has several such sums to add: a sum that is cleared, and then added to once, can as well be
added at once to those before it, and every bit is the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from derive.program.ir import (
    Index,
    Loop,
    Program,
    Ref,
    Statement,
    assigned,
    plus,
    times,
    touched,
)
from derive.program.passes.share_units import undivided
from derive.program.passes.turns import values_at
from derive.program.storage import clear


def cleared(program: Program, name: str) -> Statement | None:
    """The statement that clears an array, if nothing is done with that before."""
    shape = program.arrays[name].shape
    known = tuple(n for n in shape if isinstance(n, int))
    for s in program.body:
        whole = undivided(s) if isinstance(s, Loop) else s
        if len(known) == len(shape) and whole == clear(name, known):
            return s
        if name in touched((s,)):
            return None
    return None


def added_once(program: Program, name: str) -> Index | None:
    """How many times something is added to each element of an array after it is cleared.

    None where that is not known, or differs.
    """
    first = cleared(program, name)
    users = [s for s in program.body if s is not first and name in touched((s,))]
    stretches = users[0] if len(users) == 1 else None
    if first is None or not isinstance(stretches, Loop) or stretches.role != "time":
        return None
    seen: list[Any] = []
    for s, loops in assigned((stretches,)):
        if name not in touched((s,)):
            continue
        read = [r for _, r in s.reads if isinstance(r, Ref) and r.array == name]
        if read or not s.accumulate:
            return None
        (index,) = s.target.index
        places = values_at(program.tables, tuple(map(undivided, loops[1:])), index)
        if places is None:
            return None
        seen.append(places)
    if np.bincount(np.concatenate(seen)).max(initial=0) > 1:
        return None
    return plus(stretches.stop, times(stretches.start, -1))
