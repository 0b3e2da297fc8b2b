"""A batch in SIMD lanes: every number is a vector over a few sequences.

The Program stays what it is for one sequence, loops or straight line, and each element of every
array that belongs to a sequence becomes a vector. Parameters stay single numbers.
"""

from __future__ import annotations

import re
from dataclasses import replace

from derive.blocks import MANY, PAIRS, SINGLE, WIDE, Block, width
from derive.program.ir import Program
from derive.program.schedules.tables import PAGES

WORDS = {
    SINGLE: "lanes, ",
    PAIRS: "pairs of lanes, ",
    MANY: f"lanes in {MANY.registers} registers, ",
    WIDE: f"pairs of lanes in {WIDE.registers} registers, ",
}
"""What stands before a schedule's name."""

GROUPS = re.compile(r"(\d+) groups of (.*)", re.DOTALL)
"""What stands before these words."""

COUNT = "count"
"""The size that says how many sequences there are in a block."""


def lanes(program: Program, sequences: int | None = None, block: Block = SINGLE) -> Program:
    """``program``, already scheduled for one sequence, over a block of sequences at once.

    A vector is as wide as processors have them, or no wider than some number of ``sequences``
    needs.
    """
    return replace(
        program,
        sizes=(*program.sizes, COUNT),
        lane_width=width(program.itemsize, sequences),
        vectors=block.vectors,
        groups=block.groups,
        schedule=words(block) + program.schedule,
    )


def words(block: Block) -> str:
    """What stands before a schedule's name where numbers are laid out so."""
    groups = f"{block.groups} groups of " if block.groups > 1 else ""
    return groups + WORDS[replace(block, groups=1)]


def laid_out(schedule: str) -> tuple[str, Block]:
    """The name of a schedule without the words before it, and what these say."""
    if found := GROUPS.fullmatch(schedule):
        rest, block = laid_out(found[2])
        return rest, replace(block, groups=int(found[1]))
    for block, words in (*WORDS.items(), *PAGES.items()):
        if schedule.startswith(words):
            return schedule.removeprefix(words), block
    return schedule, SINGLE
