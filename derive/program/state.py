"""What an online algorithm remembers, as one run of numbers: where each array of it stands."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from derive.program.ir import Program

ALIGNED = 8
"""Each array begins at a multiple of this many numbers."""


def state_arrays(program: Program) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Each state array's place in the state of one sequence, and its shape."""
    found, at = {}, 0
    for a in program.arrays.values():
        if a.role == "state":
            shape = tuple(int(e) for e in a.shape if isinstance(e, int))
            found[a.name] = (at, shape)
            at += _rounded(int(np.prod(shape, dtype=np.int64)))
    return found


def state_size(programs: Mapping[str, Program]) -> int:
    """Numbers that the state of one sequence takes."""
    places = state_arrays(programs["start"]).values()
    return max((at + _rounded(int(np.prod(s, dtype=np.int64))) for at, s in places), default=0)


def _rounded(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED
