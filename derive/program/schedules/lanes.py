"""A batch in SIMD lanes: every number is a vector over a few sequences.

The Program stays what it is for one sequence, loops or straight line, and each element of every
array that belongs to a sequence becomes a vector. Parameters stay single numbers.
"""

from __future__ import annotations

from dataclasses import replace

from derive.blocks import width
from derive.program.ir import Program

WORDS = {1: "lanes, ", 2: "pairs of lanes, "}
"""What stands before a schedule's name."""

COUNT = "count"
"""The size that says how many sequences there are in a block."""


def lanes(program: Program, sequences: int | None = None, vectors: int = 1) -> Program:
    """``program``, already scheduled for one sequence, over a block of sequences at once.

    A vector is as wide as processors have them, or no wider than some number of ``sequences``
    needs.
    """
    return replace(
        program,
        sizes=(*program.sizes, COUNT),
        lane_width=width(program.itemsize, sequences),
        vectors=vectors,
        schedule=WORDS[vectors] + program.schedule,
    )


def laid_out(schedule: str) -> tuple[str, int]:
    """The name of a schedule without the words on lanes, and how many vectors these say."""
    for vectors, words in WORDS.items():
        if schedule.startswith(words):
            return schedule.removeprefix(words), vectors
    return schedule, 1
