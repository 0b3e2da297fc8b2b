"""Mistakes in what is remembered: not forgotten at the start, forgotten too soon, mixed up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import Assign, Lookup, Modulo, Program, Ref, Statement, modulo
from derive.verify.faults.finding import (
    Around,
    Body,
    Programs,
    adds,
    changed,
    if_other,
    is_sum,
    read_elsewhere,
    reads,
    sets,
)


def stale_sensitivities(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Begin a run with the sensitivities of the one before."""
    return _not_cleared(programs, "p")


def stale_history(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Begin a run with the signals of the one before, where delays reach before time 0."""
    return _not_cleared(programs, "z", "history")


def stale_part(s: Statement, around: Around) -> Body | None:
    """Count what some steps have added again with what the next ones add."""
    within = any(loop.role == "time" for loop in around)
    cleared = isinstance(s, Assign) and not s.reads and sets(s, "grad_theta", "along")
    return () if within and cleared else None


def _not_cleared(programs: Programs, array: str, by: str = "") -> dict[str, Program] | None:
    if "start" not in programs:
        return None

    def change(s: Statement, around: Around) -> Body | None:
        if not isinstance(s, Assign) or not sets(s, array):
            return None
        return () if not s.reads or (by and reads(s, by)) else None

    return if_other(programs, {**programs, "start": changed(programs["start"], change)})


def short_memory(s: Statement, around: Around) -> Body | None:
    """Keep the sensitivities of one time less than are read: new ones are written over old."""
    if not isinstance(s, Assign):
        return None

    def place(r: Any) -> Any:
        if not isinstance(r, Ref) or r.array != "p" or not isinstance(r.index[0], Modulo):
            return r
        ring = r.index[0]
        return Ref("p", (modulo(ring.left, ring.size - 1), *r.index[1:]))

    reads = tuple((v, place(r)) for v, r in s.reads)
    return (replace(s, target=place(s.target), reads=reads),)


def swap_rows(p: Program, net: Any) -> Program:
    """Read the sensitivities of another unit: p with its axes confused."""
    if "row_start" not in p.tables:
        return p
    start = p.tables["row_start"]
    # Only for those of a unit that keeps as many; there is no place for more.
    size: Any = p.arrays["p"].shape[1]
    length = np.diff(np.append(start, size))
    other = np.arange(start.size)
    for entries in np.unique(length):
        rows = np.flatnonzero(length == entries)
        other[rows] = np.roll(rows, 1)
    tables = dict(p.tables)
    for name, values in p.tables.items():
        if name.startswith(("term_start", "target_start")) and values.size:
            row = np.searchsorted(start, values, side="right") - 1
            tables[name] = (start[other[row]] + values - start[row]).astype(values.dtype)
    return replace(p, tables=tables)


def swap_axes(p: Program, net: Any) -> Program:
    """Read p^i_kj where p^k_ij belongs in the gradient: the axes of unit and target exchanged."""
    return _exchanged(p, net, lambda s: adds(s, "grad_theta"))


def swap_axes_within(p: Program, net: Any) -> Program:
    """Exchange these axes where sensitivities are carried from unit to unit."""
    return _exchanged(
        p, net, lambda s: isinstance(s, Assign) and s.accumulate and is_sum(s.target.array)
    )


def _exchanged(p: Program, net: Any, where: Callable[[Statement], bool]) -> Program:
    if not {"row_start", "row_column", "row_width"} <= set(p.tables):
        return p
    # Rows are those of units in order only where each has one state, and rows for nothing else.
    if len(net.states) != net.units or len(p.tables["row_start"]) % net.units:
        return p
    size: Any = p.arrays["p"].shape[1]
    other = _exchange(p.tables, net, int(size))

    def change(s: Statement, around: Around) -> Body | None:
        if not isinstance(s, Assign) or not where(s) or not reads(s, "p"):
            return None
        return (
            read_elsewhere(
                s, "p", lambda r: Ref("p", (*r.index[:-1], Lookup("exchanged", r.index[-1])))
            ),
        )

    if np.array_equal(other, np.arange(other.size)):
        return p
    wrong = changed(p, change)
    return (
        wrong if wrong.body == p.body else replace(wrong, tables={**p.tables, "exchanged": other})
    )


def _exchange(tables: Any, net: Any, size: int) -> Any:
    """For each place of p, of unit k by w_ij, that of unit i by w_kj; its own where there is none.

    A row is of one state, and of parameters side by side.
    """
    weights: dict[tuple[Any, ...], int] = {}
    for c, i in zip(net.connections, net.wiring.weight.tolist(), strict=True):
        if c.fixed is None:
            weights.setdefault((c.target, c.source, c.delay, c.net_input), i)
    entered = {i: key for key, i in reversed(list(weights.items()))}
    blocks = len(tables["row_start"]) // net.units
    place: dict[tuple[int, str, int], int] = {}
    rows = zip(tables["row_start"], tables["row_width"], tables["row_column"], strict=True)
    for row, (start, width, column) in enumerate(rows):
        unit, state = net.states[row // blocks]
        for n in range(int(width)):
            place[unit, state, int(column) + n] = int(start) + n
    other = np.arange(size)
    for (k, state, parameter), at in place.items():
        if parameter in entered:
            i, *rest = entered[parameter]
            opposite = weights.get((k, *rest), -1)
            other[at] = place.get((i, state, opposite), at)
    return other
