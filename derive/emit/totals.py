"""Totals over the sequences of a block, several at once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile

from derive.emit.elements import element, value_of
from derive.emit.groups import is_total
from derive.program.ir import Assign, Program, Statement, affine, offset, plus, times


def together(
    program: Program,
    first: Statement,
    rest: list[Statement],
    count: str,
    vector: int | str | None = None,
) -> tuple[int, str] | None:
    """How many totals are added at once, ``first`` and those that follow, and how; or none.

    They are over ``count`` sequences, of one vector or all of a group.
    """
    if not is_total(program, first):
        return None
    every = [first, *rest[: ROWS * ROWS - 1]]
    totals = [s for s in takewhile(lambda s: is_total(program, s), every) if isinstance(s, Assign)]
    vectors: list[int | str] = list(range(program.vectors)) if vector is None else [vector]
    if len(vectors) == 1 and (rows := _rows(program, totals)):
        places = [f"&{element(program, s.target)}" for s in rows[::ROWS]]
        return len(rows), _call(program, "k_total_of_rows", rows, vectors, [count, *places])
    four = totals[:ROWS]
    if len(four) < ROWS:
        return None
    of_two = "_of_two" if len(vectors) > 1 else ""
    places = [f"&{element(program, s.target)}" for s in four]
    return ROWS, _call(program, f"k_total_of_four{of_two}", four, vectors, [count, *places])


ROWS = 4
"""Totals that are added at once, or rows of as many neighbours."""


def _rows(program: Program, totals: list[Assign]) -> list[Assign]:
    """Totals of four rows of four neighbours, row by row, if that is what they are."""
    if len(totals) < ROWS * ROWS or len({s.target.array for s in totals}) > 1:
        return []
    if not (steps := _steps(program, totals)):
        return []
    order = sorted(range(len(totals)), key=steps.__getitem__)
    rows = [order[i : i + ROWS] for i in range(0, len(order), ROWS)]
    neighbours = all(steps[row[i]] == steps[row[0]] + i for row in rows for i in range(ROWS))
    return [totals[i] for i in order] if neighbours else []


def in_order(program: Program, totals: Iterable[Statement]) -> list[Assign]:
    """Totals in the order in which they are in memory, so far as that is known."""
    given = [s for s in totals if isinstance(s, Assign)]
    steps = _steps(program, given) if len({s.target.array for s in given}) == 1 else []
    return [given[i] for i in sorted(range(len(steps)), key=steps.__getitem__)] or given


def _steps(program: Program, totals: list[Assign]) -> list[int]:
    """How far from the first of some elements of an array each is, if all are known."""
    at = [offset(program.arrays[s.target.array], s.target.index) for s in totals]
    apart = [affine(plus(i, times(at[0], -1))) for i in at]
    steps = [form[1] for form in apart if form is not None and not any(form[0].values())]
    return steps if len(steps) == len(totals) else []


def _call(
    program: Program, name: str, totals: list[Assign], vectors: list[int | str], rest: list[str]
) -> str:
    values = [value_of(program, s, v) for s in totals for v in vectors]
    return f"{name}({', '.join([*values, *rest])})"
