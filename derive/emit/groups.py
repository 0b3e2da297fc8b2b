"""Blocks of several groups of vectors: which statements are done for one group after another.

What is read for every sequence, as a weight is, comes from near from the second group on. So it
pays that few statements are done for all groups before the next few are: a tile of sums, or what
stands in one loop. Local variables hold the numbers of one group only, so whatever hands one on
stays together.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from derive.emit.elements import GROUP, carried, element_type, in_groups, is_vector, kind_of
from derive.program.ir import (
    Assign,
    Loop,
    Note,
    Program,
    Ref,
    Statement,
    lots,
    needed,
    references,
    touched,
    walk,
)
from derive.program.schedules.lanes import COUNT
from derive.program.storage import ZERO

PART = "part_of_block"
"""The counter of the parts of a block: the vectors that are whole, and the one that is not."""

ONE = "vector_of_block"
"""The counter of loops that add one vector after another to the same sums."""

IN_GROUP, IN_PART = f"k_in_group({GROUP}, {COUNT})", f"k_in_part({PART}, {COUNT})"
"""How many sequences there are in a group, or in each vector of such a part."""


def segments(program: Program, body: tuple[Statement, ...]) -> list[tuple[Statement, ...]]:
    """Statements that follow one another in as many lots as local variables of vectors allow.

    Assignments of vectors that stand side by side are one lot.
    """
    return lots(
        body,
        lambda s: _vectors(program, needed((s,), set())) - carried(program),
        lambda *both: all(_assigns(program, s) for s in both),
    )


def by_group(program: Program, segment: tuple[Statement, ...]) -> bool:
    """Whether a lot of statements is done for one group after another; else what is in it is.

    So is a loop that has nothing in common for them.
    """
    (first, *others) = segment
    enters = not others and isinstance(first, Loop) and (
        (first.role == "time" and any(isinstance(t, Loop) for t in first.body))
        or any(_has_in_common(program, t) for t in walk(first.body))
    )  # fmt: skip
    return not enters and any(_on_vectors(program, s) for s in walk(segment))


def _has_in_common(program: Program, s: Statement) -> bool:
    """Whether a statement is a total, or a loop inside of others that reads single numbers."""
    if not isinstance(s, Loop):
        return is_total(program, s)
    names = touched(tuple(t for t in s.body if _on_vectors(program, t)))
    return any(program.arrays[n].role != "const" for n in names - _vectors(program, names))


def places(program: Program, segment: tuple[Statement, ...]) -> list[str]:
    """The arrays in memory that a lot touches, of which each group has its own numbers."""
    return sorted(n for n in touched(segment) if in_groups(program, program.arrays[n]))


def sum_of_vectors(
    program: Program, segment: tuple[Statement, ...]
) -> tuple[tuple[Statement, ...], Loop, tuple[Statement, ...]] | None:
    """The parts of a lot that sums in local variables from zero over steps and adds their totals.

    What clears them, the loop over steps, and the totals; None for any other. Such a sum goes on
    from vector to vector of a block, where it has several.
    """
    if program.vectors * program.groups == 1:
        return None
    loops = [(i, s) for i, s in enumerate(segment) if isinstance(s, Loop) and s.role == "time"]
    if len(loops) != 1:
        return None
    ((at, loop),) = loops
    before, after = segment[:at], segment[at + 1 :]
    local = all(isinstance(s, Assign) and not s.target.index for s in (*before, *loop.body))
    zero = all(isinstance(s, Assign) and s.expr == ZERO for s in before)
    totals = bool(after) and all(is_total(program, s) for s in after)
    return (before, loop, after) if local and zero and totals else None


def is_total(program: Program, s: Statement) -> bool:
    """Whether a statement adds to a number in memory what a vector sums to."""
    if not isinstance(s, Assign) or not s.accumulate or not s.target.index:
        return False
    read = [
        element_type(program, program.arrays[r.array]) for _, r in s.reads if isinstance(r, Ref)
    ]
    return kind_of(program, s) == "real" and "lane" in read and "wide_lane" not in read


def _vectors(program: Program, names: set[str]) -> set[str]:
    """Those of some arrays whose numbers are vectors."""
    return {n for n in names if is_vector(element_type(program, program.arrays[n]))}


def _assigns(program: Program, s: Statement) -> bool:
    return isinstance(s, Note) or (isinstance(s, Assign) and _on_vectors(program, s))


def _on_vectors(program: Program, s: Statement) -> bool:
    """Whether a statement itself sets or reads vectors."""
    return isinstance(s, Assign) and bool(_vectors(program, {r.array for r in references(s)}))


@lru_cache(maxsize=16)
def locals_of_sums(program: Program) -> tuple[frozenset[str], frozenset[str]]:
    """Local variables that such sums have, for one vector; and those with which others go on."""
    if program.vectors * program.groups == 1:
        return frozenset(), frozenset()
    own, others = set[str](), set[str]()
    for lot, summed in _lots(program, program.body):
        (own if summed else others).update(_locals(program, lot))
    return frozenset(own), frozenset(others)


def adds_by_group(program: Program) -> bool:
    """Whether some totals are added group by group, and not of all vectors at once."""
    apart = (lot for lot, summed in _lots(program, program.body) if not summed)
    return program.groups > 1 and any(is_total(program, s) for lot in apart for s in lot)


def _lots(
    program: Program, body: tuple[Statement, ...]
) -> Iterator[tuple[tuple[Statement, ...], bool]]:
    """Such sums, and the assignments beside them, and which is which."""
    for segment in segments(program, body):
        if sum_of_vectors(program, segment) is not None:
            yield segment, True
            continue
        if program.groups > 1 and by_group(program, segment):
            yield tuple(s for s in walk(segment) if isinstance(s, Assign)), False
            continue
        yield tuple(s for s in segment if isinstance(s, Assign)), False
        for s in segment:
            if isinstance(s, Loop):
                yield from _lots(program, s.body)


def _locals(program: Program, body: tuple[Statement, ...]) -> set[str]:
    return {n for n in touched(body) if program.arrays[n].role == "scalar"}
