"""A batch in SIMD lanes: every number is a vector over a few sequences.

The Program stays what it is for one sequence, loops or straight line, and each element of every
array that belongs to a sequence becomes a vector. Parameters stay single numbers.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program

BYTES = 64
"""One vector: eight float64 or sixteen float32. Narrower machines split it."""


COUNT = "count"
"""The size that says how many sequences there are in a block."""


def lanes(program: Program) -> Program:
    """``program``, already scheduled for one sequence, over a block of sequences at once."""
    return replace(
        program,
        sizes=(*program.sizes, COUNT),
        lane_width=BYTES // program.itemsize,
        schedule=f"lanes, {program.schedule}",
    )
