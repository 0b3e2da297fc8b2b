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


MOST = 2
"""Vectors that stand for one number: two share what is read for both, more do not fit registers."""

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


def width(itemsize: int, sequences: int | None = None) -> int:
    """Sequences in one vector."""
    full, least = BYTES // itemsize, LEAST_BYTES // itemsize
    if sequences is None or sequences >= full:
        return full
    return int(max(least, 2 ** (sequences - 1).bit_length()))


def vectors_for(register: int, itemsize: int, batch: bool | int) -> int:
    """How many vectors stand for one number where registers have so many bytes.

    As many as make a block of :data:`BYTES`, if there are sequences for them.
    """
    if not batch:
        return 1
    size = width(itemsize, None if isinstance(batch, bool) else batch) * itemsize
    return max(1, min(MOST, size // register))


def laid_out(schedule: str) -> tuple[str, int]:
    """The name of a schedule without the words on lanes, and how many vectors these say."""
    for vectors, words in WORDS.items():
        if schedule.startswith(words):
            return schedule.removeprefix(words), vectors
    return schedule, 1
