"""How many sequences of a batch stand together, in how many vectors of how many bytes.

Without SymPy, since a kernel that is found in the cache needs none.
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES = 64
"""One vector at most: eight float64 or sixteen float32. A processor whose registers are narrower
takes as many as one of these holds."""

LEAST_BYTES = 16
"""The narrowest vector that every processor has."""

MOST = 2
"""Vectors that stand for one number: two share what is read for both, more do not fit registers."""


@dataclass(frozen=True)
class Block:
    """How the numbers of a block of sequences stand in registers.

    Attributes
    ----------
    vectors : int
        That stand for each number.
    registers : int
        Vector registers that may be counted on.
    """

    vectors: int = 1
    registers: int = 16


SINGLE = Block()
PAIRS = Block(2)
MANY = Block(registers=32)
"""On processors whose registers are the widest; these have twice as many of them."""


def width(itemsize: int, sequences: int | None = None) -> int:
    """Sequences in one vector."""
    full, least = BYTES // itemsize, LEAST_BYTES // itemsize
    if sequences is None or sequences >= full:
        return full
    return int(max(least, 2 ** (sequences - 1).bit_length()))


def block_for(register: int, itemsize: int, batch: bool | int) -> Block:
    """How a number of a batch stands where registers have so many bytes.

    In as many vectors as make :data:`BYTES`, if there are sequences for them.
    """
    if register >= BYTES:
        return MANY
    if not batch:
        return SINGLE
    size = width(itemsize, None if isinstance(batch, bool) else batch) * itemsize
    return PAIRS if size >= MOST * register else SINGLE
