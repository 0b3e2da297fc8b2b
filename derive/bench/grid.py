"""All cells of the grid, those for a quick look, and those a pattern names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import product

from derive.bench.case import CELLS, DTYPES, ONLINE, WHOLE, Case
from derive.errors import BenchError

UNITS = (3, 8, 16, 32, 64, 128, 256, 512)
DENSITIES = (1, 0.1, 0.02)
BATCHES = (1, 8, 32, 128)

# Exact sensitivities grow with the third or fourth power of n: where they take a peer this many
# seconds, a user would stop.
LONGEST_CALL = 1.0

QUICK = (
    "plain-n3-d1-B1-float64-gradient",
    "plain-n8-d1-B1-float64-gradient",
    "plain-n32-d0.1-B1-float64-gradient",
    "plain-n16-d1-B32-float64-gradient",
    "plain-n64-d1-B32-float32-gradient",
    "plain-n128-d1-B32-float32-gradient",
    "plain-n128-d1-B32-float64-gradient",
    "plain-n256-d0.1-B32-float32-gradient",
    "plain-n256-d1-B1-float64-gradient",
    "plain-n64-d1-B1-float64-forward",
    "leaky-n32-d0.1-B8-float64-gradient",
    "lstm-n32-d1-B1-float64-gradient",
    "lstm-n32-d1-B32-float64-gradient",
    "plain-n32-d0.1-B1-float64-rtrl",
    "plain-n32-d1-B1-float64-rtrl",
    "plain-n32-d1-B1-float64-hybrid",
)
"""One cell of each kind: small and large, full and sparse, alone and in a batch, every algorithm
family."""


def grid() -> list[Case]:
    """Every cell that makes sense: a unit has a connection at least.

    Online algorithms are measured for plain cells on one sequence.
    """
    whole = (
        Case(cell, n, d, B, dtype, what)
        for cell, n, d, B, dtype, what in product(CELLS, UNITS, DENSITIES, BATCHES, DTYPES, WHOLE)
    )
    online = (
        Case("plain", n, d, 1, dtype, what)
        for n, d, dtype, what in product(UNITS, DENSITIES, DTYPES, ONLINE)
    )
    return [
        case
        for case in (*whole, *online)
        if case.density * (case.units + case.inputs) >= 1
        and case.steps * case.slowest_step <= LONGEST_CALL
    ]


def chosen(only: Sequence[str] = (), cells: Iterable[str] = CELLS, quick: bool = False
           ) -> list[Case]:  # fmt: skip
    """Cells of the grid whose key has one of the patterns; all where there is no pattern.

    Parameters
    ----------
    only : sequence of str
        As in a shell, or a part of a key: ``plain-n64-*-gradient``, or ``lstm``.
    cells : iterable of str
        Kinds of units.
    quick : bool
        Only the cells for a quick look.

    Raises
    ------
    BenchError
        For a kind that there is not, or a pattern that names nothing.
    """
    unknown = sorted({*cells} - {*CELLS})
    if unknown:
        raise BenchError(f"cells: expected some of {', '.join(CELLS)}, got {unknown[0]!r}")
    found = [c for c in grid() if c.cell in {*cells} and (not quick or c.key in QUICK)]
    for pattern in only:
        if not any(_names(pattern, c.key) for c in found):
            raise BenchError(
                f"only: no cell of the grid is named {pattern!r}; a key reads {found[0].key}"
                if found else f"only: no cell of the grid is named {pattern!r}"
            )  # fmt: skip
    return [c for c in found if not only or any(_names(p, c.key) for p in only)]


def _names(pattern: str, key: str) -> bool:
    return fnmatchcase(key, pattern if set(pattern) & set("*?[") else f"*{pattern}*")
