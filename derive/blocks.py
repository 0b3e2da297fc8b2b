"""How many sequences of a batch stand together, in how many vectors of how many bytes.

Without SymPy, since a kernel that is found in the cache needs none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        That stand for each number, for a group of sequences.
    registers : int
        Vector registers that may be counted on.
    page : int
        Bytes of neighbouring numbers from which one instruction takes any, a vector of them at
        once, for one sequence; 0 where there is none.
    groups : int
        Groups of sequences, for one of which after another a few statements are done before the
        next few: what these read of a net is then near.
    """

    vectors: int = 1
    registers: int = 16
    page: int = 0
    groups: int = 1


SINGLE = Block()
PAIRS = Block(2)
MANY = Block(registers=32, page=2 * BYTES)
"""On processors whose registers are the widest; these have twice as many of them."""
WIDE = Block(2, MANY.registers, MANY.page)
"""For batches of large nets, whose weights are then read half as often; in groups of these."""
MOST_GROUPS = 4
"""In a block: from there on it gains little, and sequences that threads could share are in one."""
HEAVY = 2**18
"""Bytes of parameters from which on these pay: a core has no more nearest to it."""
HEAVIEST = 3 * 2**20
"""The same, even where one such block is all there is, and threads have nothing to share: what is
read from afar would keep a second thread waiting."""
SHORT = Block(page=BYTES // 2)
"""One sequence on processors with registers of half that size, which find four-byte numbers in one
of them."""


def width(itemsize: int, sequences: int | None = None) -> int:
    """Sequences in one vector."""
    full, least = BYTES // itemsize, LEAST_BYTES // itemsize
    if sequences is None or sequences >= full:
        return full
    return int(max(least, 2 ** (sequences - 1).bit_length()))


def is_heavy(parameters: int, itemsize: int) -> bool:
    """Whether so many parameters come from further away than what else a batch needs."""
    return parameters * itemsize >= HEAVY


def block_for(register: int, itemsize: int, batch: bool | int, parameters: int = 0) -> Block:
    """How numbers stand where registers have so many bytes, of a net with so many ``parameters``.

    Those of a batch in as many vectors as make :data:`BYTES`, if there are sequences for them; of
    large nets in groups of two of that size, so that there are two blocks, for two threads, or
    more; but for the largest.
    """
    sequences = 0 if isinstance(batch, bool) else batch
    if register >= BYTES:
        group = WIDE.vectors * width(itemsize)
        there = 2 if batch is True else sequences // group
        least = 1 if parameters * itemsize >= HEAVIEST else 2
        if there < least or not is_heavy(parameters, itemsize):
            return MANY
        return replace(WIDE, groups=min(max(there // 2, 1), MOST_GROUPS))
    if not batch:
        return SHORT if (register, itemsize) == (SHORT.page, 4) else SINGLE
    size = width(itemsize, sequences or None) * itemsize
    return PAIRS if size >= MOST * register else SINGLE
