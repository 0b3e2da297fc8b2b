"""Mistakes in what is remembered: not forgotten at the start, forgotten too soon, mixed up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from derive.program.ir import Assign, Modulo, Program, Ref, Statement, modulo
from derive.verify.faults.finding import Around, Body, Programs, changed, if_other, reads, sets


def stale_sensitivities(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Begin a run with the sensitivities of the one before."""
    return _not_cleared(programs, "p")


def stale_history(programs: Programs, net: Any) -> dict[str, Program] | None:
    """Begin a run with the signals of the one before, where delays reach before time 0."""
    return _not_cleared(programs, "z", "history")


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
