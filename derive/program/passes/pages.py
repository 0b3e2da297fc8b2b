"""Signals in pages, and the terms of sums over them by groups of units, for sums of sparse nets.

A page has as many numbers as a register or two hold, and one instruction takes from it what each of
a vector of units hears there. Where a unit has fewer terms of a page than others of
its group, it takes the page's last number, which is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np

from derive.blocks import BYTES
from derive.program.ir import (
    Index,
    Loop,
    Modulo,
    Ref,
    Statement,
    Var,
    as_table,
    modulo,
    plus,
    summands,
    times,
)
from derive.program.passes.jam import mentions
from derive.program.passes.turns import turns_of, values
from derive.program.storage import copy

GROUP = 2 * BYTES
"""Bytes of a sum of each unit of a group: two or four vectors, so that none waits for its last
term, and pages are read once for all of them."""


def pays(sums: list[Packed], itemsize: int, product: float, vector: float, pages: float) -> bool:
    """Whether some sums are less work by page than term by term.

    A term takes ``product`` by table; by page a ``vector`` of :data:`BYTES` takes so much, and
    laying out all ``pages``.
    """
    vectors = sum(len(p.within) for p in sums) * itemsize / BYTES
    return product * sum(len(p.place) for p in sums) >= vector * vectors + pages


@dataclass(frozen=True)
class Heard:
    """The terms of a sum, all units' in order.

    Attributes
    ----------
    unit : integer array
        Whose each is, from 0 on.
    fixed : Ref
        The place of a signal, but for what differs from term to term.
    moving : integer array
        That, a row for each term and a column for each index.
    weight : integer array
        The place of its weight.
    """

    unit: Any
    fixed: Ref
    moving: Any
    weight: Any


def heard(
    signal: Ref, weight: Ref, loops: tuple[Loop, Loop], tables: Mapping[str, Any]
) -> Heard | None:
    """What the units of a loop hear in one over connections; None where places are not known."""
    turns = turns_of(tables, loops)
    if turns is None or not turns[1] or not signal.index or len(weight.index) != 1:
        return None
    places = values(tables, weight.index[0], *turns)
    first = loops[0].start
    fixed: list[Index] = []
    moving: list[Any] = []
    for i in signal.index:
        inside = summands(i.left if isinstance(i, Modulo) else i)
        moves = [p for p in inside if any(mentions(p, loop.var) for loop in loops)]
        stays = plus(*(p for p in inside if p not in moves))
        fixed.append(Modulo(stays, i.size) if isinstance(i, Modulo) else stays)
        moving.append(values(tables, plus(*moves), *turns))
    known = places is not None and all(m is not None for m in moving)
    if not known or not isinstance(first, int) or isinstance(fixed[-1], Modulo):
        return None
    place = Ref(signal.array, tuple(fixed))
    return Heard(turns[0][loops[0].var] - first, place, np.stack(moving, axis=1), places)


@dataclass(frozen=True)
class Run:
    """Neighbouring signals that fill some pages.

    Attributes
    ----------
    lead : tuple of int
        What is added to the fixed part of their place but for its last index.
    low, count : int
        The same of the first one's last index, and how many there are.
    page : int
        The first page.
    """

    lead: tuple[int, ...]
    low: int
    count: int
    page: int


@dataclass(frozen=True)
class Pages:
    """The signals of some sums, and where they are in pages."""

    fixed: Ref
    runs: tuple[Run, ...]
    count: int
    size: int
    """Numbers of a page."""

    @property
    def name(self) -> str:
        """What tells these pages from others."""
        return str(crc32(repr((self.fixed, self.runs, self.size)).encode()))

    def filled(self, place: Callable[[Index, Index], Ref]) -> list[Statement]:
        """The loops that copy signals to their ``place``, by page and number within it."""
        page, number = Var("page"), Var("l")
        out: list[Statement] = []
        for run in self.runs:
            whole, rest = divmod(run.count, self.size - 1)
            lead = tuple(map(_added, self.fixed.index[:-1], run.lead))

            def turn(at: Index, count: int, run: Run = run, lead: Any = lead) -> Loop:
                last = plus(self.fixed.index[-1], times(at, self.size - 1), number, run.low)
                signal = Ref(self.fixed.array, (*lead, last))
                put = copy(place(plus(at, run.page), number), signal)
                return Loop(number.name, 0, count, (put,), "copy")

            if whole:
                out.append(Loop(page.name, 0, whole, (turn(page, self.size - 1),), "copy"))
            if rest:
                out.append(turn(whole, rest))
        return out


def pages_of(sums: list[Heard], size: int) -> Pages:
    """The signals of some sums, all of one array at one time, in pages."""
    moving = np.concatenate([h.moving for h in sums])
    runs, page = [], 0
    leads = moving[:, :-1]
    one = (leads == leads[0]).all()
    for lead in leads[:1] if one else np.unique(leads, axis=0):
        last = moving[(leads == lead).all(axis=1), -1]
        low, count = int(last.min()), int(np.ptp(last)) + 1
        runs.append(Run(tuple(map(int, lead)), low, count, page))
        page += -(-count // (size - 1))
    return Pages(sums[0].fixed, tuple(runs), page, size)


@dataclass(frozen=True)
class Packed:
    """Terms of a sum, for a group of units at a time, page by page.

    Attributes
    ----------
    groups : int
    first : integer array
        The first line of each group and page, and the end. A line has a term for each unit.
    place : integer array
        Where each term stands.
    within : integer array
        Which number of its page each place takes; the last, a zero, where there is no term.
    weight : integer array
        The place of each term's weight.
    """

    groups: int
    first: Any
    place: Any
    within: Any
    weight: Any

    @property
    def name(self) -> str:
        """What tells its tables from others, the same in every Program of a network."""
        digest = 0
        for table in (self.first, self.place, self.within, self.weight):
            digest = crc32(as_table(table).tobytes(), digest)
        return str(digest)

    def tables(self) -> dict[str, Any]:
        """What it says, by the names of :meth:`table`."""
        return {
            self.table("first"): as_table(self.first),
            self.table("place"): as_table(self.place),
            self.table("within"): self.within.astype(np.uint8),
            self.table("weight"): as_table(self.weight),
        }

    def table(self, what: str) -> str:
        """The name of a table: ``first``, ``place``, ``within`` or ``weight``."""
        return f"{what}_by_page_{self.name}"


def packed(of: Heard, pages: Pages, units: int, group: int) -> Packed:
    """Where each term of a sum of so many units stands, a group of them at a time."""
    size = pages.size
    page = np.empty_like(of.unit)
    within = np.empty_like(of.unit)
    for run in pages.runs:
        here = (of.moving[:, :-1] == run.lead).all(axis=1)
        in_page, within[here] = np.divmod(of.moving[here, -1] - run.low, size - 1)
        page[here] = run.page + in_page
    mine = of.unit * pages.count + page
    order = np.argsort(mine, kind="stable")
    counts = np.bincount(mine, minlength=units * pages.count)
    rank = np.empty_like(mine)
    rank[order] = np.arange(len(mine)) - np.repeat(np.cumsum(counts) - counts, counts)
    groups = -(-units // group)
    whole = np.zeros((groups * group, pages.count), dtype=np.int64)
    whole[:units] = counts.reshape(units, pages.count)
    lines = whole.reshape(groups, group, pages.count).max(axis=1).ravel()
    first = np.concatenate([[0], np.cumsum(lines)])
    mine, lane = np.divmod(of.unit, group)
    place = (first[mine * pages.count + page] + rank) * group + lane
    places = np.full(int(first[-1]) * group, size - 1, dtype=np.int64)
    places[place] = within
    return Packed(groups, first, place, places, of.weight)


def _added(index: Index, more: int) -> Index:
    """The place so far behind another, in a ring perhaps."""
    if isinstance(index, Modulo):
        return modulo(plus(index.left, more), index.size)
    return plus(index, more)
