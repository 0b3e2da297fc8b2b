"""A batch in SIMD lanes: every number is a vector over a few sequences.

The Program stays what it is for one sequence, loops or straight line, and each element of every
array that belongs to a sequence becomes a vector. Parameters stay single numbers.
"""

from __future__ import annotations

from dataclasses import replace

from derive.program.ir import Program

BYTES = 64
"""One vector at most: eight float64 or sixteen float32. A processor whose registers are narrower
takes as many as one of these holds."""

LEAST_BYTES = 16
"""The narrowest vector that every processor has."""


COUNT = "count"
"""The size that says how many sequences there are in a block."""


def lanes(program: Program, sequences: int | None = None) -> Program:
    """``program``, already scheduled for one sequence, over a block of sequences at once.

    A vector is as wide as processors have them, or no wider than some number of ``sequences``
    needs.
    """
    return replace(
        program,
        sizes=(*program.sizes, COUNT),
        lane_width=width(program.itemsize, sequences),
        schedule=f"lanes, {program.schedule}",
    )


def width(itemsize: int, sequences: int | None = None) -> int:
    """Sequences in one vector."""
    full, least = BYTES // itemsize, LEAST_BYTES // itemsize
    if sequences is None or sequences >= full:
        return full
    return int(max(least, 2 ** (sequences - 1).bit_length()))
