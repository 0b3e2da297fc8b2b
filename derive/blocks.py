"""How many sequences of a batch stand together, in how many vectors of how many bytes.

Without SymPy, since a kernel that is found in the cache needs none.
"""

from __future__ import annotations

BYTES = 64
"""One vector at most: eight float64 or sixteen float32. A processor whose registers are narrower
takes as many as one of these holds."""

LEAST_BYTES = 16
"""The narrowest vector that every processor has."""

MOST = 2
"""Vectors that stand for one number: two share what is read for both, more do not fit registers."""


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
